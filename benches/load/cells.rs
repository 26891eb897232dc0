//! Throughput, latency and CPU at each concurrency, round by round.

use crate::Effort;
use crate::client::{Seen, closed_loop};
use crate::targets::{Target, Targets};
use anyhow::{Context, Result};
use benches::answers::{EVENTS, Shape};
use std::collections::BTreeMap;
use std::time::Duration;

/// A shape of answer at a concurrency.
pub(crate) type Cell = (Shape, usize);

pub(crate) const CELLS: [Cell; 6] = [
    (Shape::Json, 1),
    (Shape::Json, 16),
    (Shape::Json, 64),
    (Shape::Json, 256),
    (Shape::Stream, 16),
    (Shape::Stream, 256),
];

/// One target in one cell of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Per answer, or per event of a stream. `None` for the upstream, which shares its process with the load.
    pub(crate) cpu_us: Option<f64>,
}

/// The rounds of each target in each cell.
pub(crate) type Samples = BTreeMap<(Cell, &'static str), Vec<Sample>>;

pub(crate) async fn measure(targets: &Targets, effort: &Effort) -> Result<Samples> {
    let mut samples = Samples::new();
    for round in 1..=effort.rounds {
        for cell in CELLS {
            for target in &targets.0 {
                let sample = sample(target, cell, effort).await.with_context(|| {
                    format!("{} with {:?} at concurrency {}", target.name, cell.0, cell.1)
                })?;
                samples.entry((cell, target.name)).or_default().push(sample);
            }
        }
        eprintln!("round {round} of {} done", effort.rounds);
    }
    Ok(samples)
}

async fn sample(target: &Target, (shape, clients): Cell, effort: &Effort) -> Result<Sample> {
    let mut edges = Vec::new();
    let read_cpu = || {
        let cpu = target.process.as_ref().map(|process| process.cpu()).transpose()?;
        edges.extend(cpu);
        Ok(())
    };
    let times = (effort.warm_up, effort.window);
    let seen = closed_loop((shape, target.address(shape)), clients, times, read_cpu).await?;
    let cpu = match edges[..] {
        [opened, closed] => Some(closed.saturating_sub(opened)),
        _ => None,
    };
    Ok(Sample::of(&seen, shape, cpu))
}

impl Sample {
    fn of(seen: &Seen, shape: Shape, cpu: Option<Duration>) -> Self {
        let answers = seen.latencies.len() as f64;
        let parts = answers * if shape.is_stream() { EVENTS as f64 } else { 1.0 };
        Self {
            per_second: answers / seen.window.as_secs_f64(),
            p50_us: micros(quantile(&seen.latencies, 0.50)),
            p99_us: micros(quantile(&seen.latencies, 0.99)),
            cpu_us: cpu.map(|cpu| micros(cpu) / parts),
        }
    }
}

pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// The smallest value that at least this share of the values does not exceed.
pub(crate) fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.max(1) - 1).or(sorted.last()).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_micros).collect();
        assert_eq!(quantile(&values, 0.50), Duration::from_micros(50));
        assert_eq!(quantile(&values, 0.99), Duration::from_micros(99));
        assert_eq!(quantile(&values[..1], 0.99), Duration::from_micros(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn the_cpu_of_a_stream_is_told_per_event() {
        let seen = Seen { latencies: vec![Duration::from_millis(1); 10], window: Duration::from_secs(2) };
        let sample = Sample::of(&seen, Shape::Stream, Some(Duration::from_millis(2)));
        assert_eq!((sample.per_second, sample.cpu_us), (5.0, Some(10.0)));
    }
}
