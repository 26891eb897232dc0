//! A quantile of the last thousand or two observations.

use std::time::Duration;

/// Counts in buckets that are 5 % wide each, from 1 ms to 10 minutes. When it holds 2,000, all counts are halved, so that
/// what is old counts ever less.
#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Box<[u32]>,
    total: u32,
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self { counts: vec![0; BUCKETS].into(), total: 0 }
    }

    pub(crate) fn record(&mut self, time: Duration) {
        if let Some(count) = self.counts.get_mut(bucket(time)) {
            *count += 1;
            self.total += 1;
        }
        if self.total >= MOST {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().sum();
        }
    }

    pub(crate) fn len(&self) -> u32 {
        self.total
    }

    /// The time that a share of the observations does not exceed: the upper edge of its bucket.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let wanted = (f64::from(self.total) * share).ceil();
        let mut seen = 0.0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += f64::from(*count);
            if seen >= wanted {
                return edge(bucket);
            }
        }
        edge(BUCKETS)
    }
}

fn bucket(time: Duration) -> usize {
    let above = (time.as_secs_f64() / FIRST).max(1.0).ln() / WIDTH.ln();
    // At most a few hundred; what is longer stands in the last bucket.
    (above.ceil() as usize).min(BUCKETS - 1)
}

fn edge(bucket: usize) -> Duration {
    // Bounded by the number of buckets: some 600 seconds.
    Duration::from_secs_f64(FIRST * WIDTH.powi(i32::try_from(bucket).unwrap_or(i32::MAX).min(BUCKETS as i32)))
}

/// In seconds.
const FIRST: f64 = 0.001;
const WIDTH: f64 = 1.05;
const BUCKETS: usize = 274;
const MOST: u32 = 2_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_to_five_percent() {
        let mut histogram = Histogram::new();
        (1..=1_000).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        for (share, expected) in [(0.5, 0.5), (0.95, 0.95), (1.0, 1.0)] {
            let found = histogram.quantile(share).as_secs_f64();
            assert!(found >= expected * 0.999 && found <= expected * 1.06, "{share}: {found}");
        }
    }

    #[test]
    fn the_extremes_have_a_bucket() {
        let mut histogram = Histogram::new();
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.quantile(0.95), Duration::from_millis(1));
        histogram.record(Duration::from_secs(100_000));
        assert!(histogram.quantile(1.0) > Duration::from_secs(500));
    }

    #[test]
    fn old_observations_count_ever_less() {
        let mut histogram = Histogram::new();
        (0..1_999).for_each(|_| histogram.record(Duration::from_secs(10)));
        (0..4_000).for_each(|_| histogram.record(Duration::from_millis(100)));
        assert!(histogram.quantile(0.7) < Duration::from_millis(106));
        assert!(histogram.len() < MOST);
    }
}
