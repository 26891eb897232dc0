//! Are events passed on as they arrive? One kept-alive connection, streams one after the other.
//!
//! Without `TCP_NODELAY` a proxy holds every second small write back until the client's delayed acknowledgement, some
//! 40 ms later. A new connection for each stream would not show it.

use crate::cells::{micros, quantile};
use crate::client::Client;
use crate::targets::{Target, Targets};
use anyhow::{Context, Result};
use benches::answers::{Shape, events_in};
use std::time::Duration;
use tokio::time::Instant;

/// Medians over the streams of one target.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) first_event_us: f64,
    pub(crate) largest_gap_us: f64,
}

pub(crate) async fn measure(targets: &Targets, streams: usize) -> Result<Vec<(&'static str, Pace)>> {
    let mut paces = Vec::new();
    for target in &targets.0 {
        let pace =
            pace(target, streams).await.with_context(|| format!("{} with paced streams", target.name))?;
        paces.push((target.name, pace));
    }
    Ok(paces)
}

async fn pace(target: &Target, streams: usize) -> Result<Pace> {
    let address = target.address(Shape::Paced);
    let request = Shape::Paced.request(address);
    let mut client = Client::connect(address).await?;
    let (mut firsts, mut gaps) = (Vec::new(), Vec::new());
    for _ in 0..streams {
        let asked = Instant::now();
        let arrivals = arrivals(&mut client, &request).await?;
        firsts.extend(arrivals.first().map(|first| first.duration_since(asked)));
        gaps.extend(largest_gap(&arrivals));
    }
    firsts.sort_unstable();
    gaps.sort_unstable();
    Ok(Pace { first_event_us: micros(quantile(&firsts, 0.5)), largest_gap_us: micros(quantile(&gaps, 0.5)) })
}

/// When each read that completed an event came back.
async fn arrivals(client: &mut Client, request: &[u8]) -> Result<Vec<Instant>> {
    client.begin(request).await?;
    let (mut arrivals, mut known) = (Vec::new(), 0);
    let mut complete = false;
    while !complete {
        complete = client.advance().await?;
        let events = events_in(client.body());
        if events > known {
            known = events;
            arrivals.push(Instant::now());
        }
    }
    Shape::Paced.check(client.status(), client.body())?;
    Ok(arrivals)
}

fn largest_gap(arrivals: &[Instant]) -> Option<Duration> {
    arrivals.windows(2).map(|pair| pair[1].duration_since(pair[0])).max()
}
