//! The server: accepts connections, and stops without breaking what runs.

use std::pin::pin;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use jiff::Timestamp;
use mainstay::budget::Budget;
use mainstay::config::BudgetStoreSetting;
use mainstay::virtual_keys::{KeyChange, KeyRing, SecretToken};
use mainstay::{Client, Events};
use mainstay_cork::Corked;
use tokio::net::TcpStream;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::admin::{self, Admin};
use crate::alerts::Figures;
use crate::app::App;
use crate::auth::Door;
use crate::beside::{self, Aside, Beside};
use crate::client_gone::ClientGone;
use crate::config::GatewayConfig;
use crate::front::Front;
use crate::greeting::greet;
use crate::keys::{Opened, limits as key_limits};
use crate::metrics::{Connections, Metrics, Open, Sources, Tally};
use crate::send_timeout::SendTimeout;
use crate::shutdown::{Aborted, Shutdown};

/// The keys of callers, and the operator's token if there is an admin API.
pub(crate) struct Guard {
    pub(crate) keys: Opened,
    pub(crate) token: Option<SecretToken>,
}

/// What the metrics tell besides what the layers count.
pub(crate) struct Watched {
    pub(crate) events: Tally,
    pub(crate) alerts: Option<Figures>,
    /// Who shows it may read them; everybody when there is none.
    pub(crate) token: Option<SecretToken>,
}

/// Serves until SIGTERM or SIGINT, then drains. A second signal cuts off what still runs.
pub(crate) async fn run(
    config: GatewayConfig,
    client: Client,
    guard: Option<Guard>,
    events: Events,
    watched: Watched,
) -> Result<(), String> {
    let (listener, address) =
        beside::listen(config.server.listen, "choose another address with --listen").await?;
    let signals = Signals::listen()?;
    let shutdown = Shutdown::default();
    let ring = match &guard {
        Some(guard) => Some(guard.keys.ring(events).await),
        None => None,
    };
    if let Some(ring) = &ring {
        forget_with_keys(ring, &client);
    }
    let budget = client.budget().cloned();
    reach(budget.as_ref()).await;
    if let (Some(ring), Some(budget)) = (&ring, &budget) {
        key_limits::follow(ring, budget);
        warn_of_memory(&config);
    }
    let mut beside: Vec<_> =
        admin_api(&config, guard, ring.as_ref(), budget.clone()).await?.into_iter().collect();
    let connections = Connections::default();
    let mut metrics = metrics(&config, &client, ring.clone(), watched, connections.clone(), shutdown.clone());
    if let Some(address) = config.metrics.listen
        && let Some(metrics) = metrics.take()
    {
        beside.push(Beside::listen(address, Aside::Metrics(metrics)).await?);
    }
    let app = App::new(&config, client, Door::new(ring), shutdown.clone(), metrics);
    greet(address, &beside, &config);

    let front = Front::new(app);
    let mut http = http1::Builder::new();
    // Without a timer hyper silently has no header timeout at all.
    http.timer(TokioTimer::new()).header_read_timeout(config.server.header_timeout.duration());
    // Answers and events are small: one write of all that is ready is quicker than a list of pieces.
    http.writev(false);
    let graceful = GracefulShutdown::new();
    let send_timeout = config.server.send_timeout.duration();
    let serve_one = |stream: TcpStream| {
        // Events are small writes: with Nagle's algorithm each would wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true); // fails only on a connection that is already gone
        let stream = SendTimeout::new(ClientGone::new(Corked::new(stream)), send_timeout);
        let serving = http.serve_connection(TokioIo::new(stream), front.clone());
        spawn(graceful.watch(serving), shutdown.aborted(), Some(connections.open()));
    };
    let serve_aside = |(stream, aside): (TcpStream, Aside)| {
        spawn(graceful.watch(http.serve_connection(TokioIo::new(stream), aside)), shutdown.aborted(), None);
    };
    let mut drain = std::pin::pin!(drain_begins(signals, &shutdown, config.server.drain_delay.duration()));
    let signals = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_one(stream),
                Err(error) => wait_out(&error).await,
            },
            accepted = beside::accept(&beside) => match accepted {
                Ok(accepted) => serve_aside(accepted),
                Err(error) => wait_out(&error).await,
            },
            signals = &mut drain => break signals,
        }
    };
    drop((beside, listener));
    finish(graceful, &shutdown, config.server.drain_limit.duration(), signals).await;
    book_all(budget.as_ref()).await;
    Ok(())
}

/// A store that is not there now may be there later: that is told, and no reason not to serve.
async fn reach(budget: Option<&Budget>) {
    if let Some(budget) = budget
        && let Err(error) = budget.ping().await
    {
        tracing::warn!(error = crate::command::whole(&error), "the store of the budgets is not reached");
    }
}

/// A month's limit that begins anew with each start is not what an operator expects.
fn warn_of_memory(config: &GatewayConfig) {
    let store = config.client.budget.as_ref().map(|budget| budget.store);
    if store == Some(BudgetStoreSetting::Memory) {
        tracing::warn!(
            "what keys have used is counted in memory and begins anew with each start; set [budget] store = \"journal\" and a path"
        );
    }
}

/// No usage row is lost at a graceful stop (G3).
async fn book_all(budget: Option<&Budget>) {
    const LONGEST: Duration = Duration::from_secs(5);
    if let Some(budget) = budget
        && let Err(error) = budget.flush(LONGEST).await
    {
        tracing::error!(%error, "budget");
    }
}

/// `open` counts it for as long as it is there.
fn spawn<E: std::fmt::Display>(
    connection: impl Future<Output = Result<(), E>> + Send + 'static,
    mut aborted: Aborted,
    open: Option<Open>,
) {
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let served = std::future::poll_fn(|task| {
            // This only wakes: what is under way sees for itself that it is cut off, and still answers.
            let _ = aborted.poll(task);
            connection.as_mut().poll(task)
        });
        if let Err(error) = served.await {
            tracing::debug!(%error, "connection");
        }
        drop(open);
    });
}

/// The metrics; none where they are not wanted.
fn metrics(
    config: &GatewayConfig,
    client: &Client,
    ring: Option<KeyRing>,
    watched: Watched,
    connections: Connections,
    shutdown: Shutdown,
) -> Option<Metrics> {
    let Watched { events, alerts, token } = watched;
    let (client, begun) = (client.clone(), Timestamp::now());
    let sources = Sources { client, ring, alerts, events, connections, shutdown, begun };
    config.metrics.enabled.then(|| Metrics::new(sources, token))
}

/// The admin API and its listener; none without a token.
async fn admin_api(
    config: &GatewayConfig,
    guard: Option<Guard>,
    ring: Option<&KeyRing>,
    budget: Option<Budget>,
) -> Result<Option<Beside>, String> {
    let (Some(settings), Some(ring), Some(Guard { keys, token: Some(token) })) = (&config.admin, ring, guard)
    else {
        return Ok(None);
    };
    let admin = Admin::new(admin::Shared {
        manager: keys.manager(),
        ring: ring.clone(),
        budget,
        token,
        grace: keys.grace,
        body_timeout: config.server.body_timeout.duration(),
    });
    Beside::listen(settings.listen, Aside::Admin(admin)).await.map(Some)
}

/// What caches hold of a key's own namespace goes with the key (security test 20).
fn forget_with_keys(ring: &KeyRing, client: &Client) {
    let client = client.clone();
    ring.watch(move |change| {
        let KeyChange::Removed(id) = change else { return };
        let (client, namespace) = (client.clone(), id.namespace());
        tokio::spawn(async move {
            // Nobody can name this namespace any more: what a store keeps of it in spite of this ends with its time.
            if let Some(cache) = client.exact_cache() {
                let _purged = cache.purge(&namespace).await;
            }
            if let Some(cache) = client.semantic_cache() {
                let _purged = cache.purge(&namespace).await;
            }
        });
    });
}

/// Accepting fails when the process is out of file descriptors: trying again at once would spin.
async fn wait_out(error: &std::io::Error) {
    tracing::warn!(%error, "accept");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Resolves when no more requests are taken, and gives the signals back: whoever listened anew would miss one that came
/// just before. `None` when the second has come already.
async fn drain_begins(mut signals: Signals, shutdown: &Shutdown, delay: Duration) -> Option<Signals> {
    signals.next().await;
    shutdown.begin();
    tracing::info!(delay_s = delay.as_secs_f64(), "draining; a second signal stops at once");
    let second = tokio::time::timeout(delay, signals.next()).await;
    second.is_err().then_some(signals)
}

async fn finish(graceful: GracefulShutdown, shutdown: &Shutdown, limit: Duration, signals: Option<Signals>) {
    let second = async {
        if let Some(mut signals) = signals {
            signals.next().await;
        }
    };
    let mut drained = std::pin::pin!(graceful.shutdown());
    tokio::select! {
        biased;
        () = &mut drained => return,
        () = second => tracing::warn!("second signal; cutting off what still runs"),
        () = tokio::time::sleep(limit) => tracing::warn!("the drain limit has passed; cutting off what still runs"),
    }
    shutdown.abort();
    // The errors still have to be written.
    let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, String> {
        let listen = |kind| signal(kind).map_err(|error| format!("signals cannot be received: {error}"));
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
