//! What a target takes at its peak, and what an open stream takes.

use crate::Options;
use crate::client::Client;
use crate::machine::Cores;
use crate::targets::{Target, Targets};
use anyhow::{Context, Result};
use benches::answers::{Shape, events_in};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::time::sleep;

const STREAMS: usize = 256;

/// The peak of each process over all that was run before, in KiB.
pub(crate) fn peaks(targets: &Targets) -> Result<Vec<(&'static str, f64)>> {
    let served = targets.0.iter().filter_map(|target| Some((target.name, target.process.as_ref()?)));
    served.map(|(name, process)| Ok((name, process.memory_kib("VmHWM")? as f64))).collect()
}

/// KiB per open stream. Fresh processes: one that has been under load keeps memory that it no longer needs.
pub(crate) async fn per_open_stream(
    upstream: SocketAddr,
    options: &Options,
    cores: &Cores,
) -> Result<Vec<(&'static str, f64)>> {
    let mut measured = Vec::new();
    for target in Targets::start_served(upstream, options, cores).await? {
        let kib = open_streams(&target)
            .await
            .with_context(|| format!("{} with {STREAMS} open streams", target.name))?;
        measured.push((target.name, kib));
    }
    Ok(measured)
}

async fn open_streams(target: &Target) -> Result<f64> {
    let process = target.process.as_ref().context("a target that is a process")?;
    let idle = process.memory_kib("VmRSS")?;
    let address = target.address(Shape::Held);
    let request = Shape::Held.request(address);
    let mut clients = Vec::new();
    for _ in 0..STREAMS {
        let mut client = Client::connect(address).await?;
        client.begin(&request).await?;
        clients.push(client);
    }
    for client in &mut clients {
        while events_in(client.body()) == 0 {
            client.advance().await?;
        }
    }
    sleep(Duration::from_millis(1500)).await;
    let open = process.memory_kib("VmRSS")?;
    Ok(open.saturating_sub(idle) as f64 / STREAMS as f64)
}
