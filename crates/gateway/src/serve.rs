//! The server: accepts connections, and stops without breaking what runs.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use mainstay::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::GatewayConfig;
use crate::front::Front;
use crate::shutdown::Shutdown;

/// Serves until SIGTERM or SIGINT, then drains. A second signal cuts off what still runs.
pub(crate) async fn run(config: GatewayConfig, client: Client) -> Result<(), String> {
    let listener = TcpListener::bind(config.server.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another address with --listen", config.server.listen)
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut signals = Signals::listen()?;
    let shutdown = Shutdown::default();
    let app = App::new(&config, client, shutdown.clone());
    greet(address, &config);

    let front = Front::new(app);
    let mut http = http1::Builder::new();
    // Without a timer hyper silently has no header timeout at all.
    http.timer(TokioTimer::new()).header_read_timeout(config.server.header_timeout.duration());
    // Answers and events are small: one write of all that is ready is quicker than a list of pieces.
    http.writev(false);
    let graceful = GracefulShutdown::new();
    let serve_one = |stream: TcpStream| {
        // Events are small writes: with Nagle's algorithm each would wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true); // fails only on a connection that is already gone
        let connection = graceful.watch(http.serve_connection(TokioIo::new(stream), front.clone()));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "connection");
            }
        });
    };
    let mut drain =
        std::pin::pin!(drain_begins(&mut signals, &shutdown, config.server.drain_delay.duration()));
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => serve_one(stream),
                Err(error) => wait_out(&error).await,
            },
            () = &mut drain => break,
        }
    }
    drop(listener);
    finish(graceful, &shutdown, config.server.drain_limit.duration()).await
}

/// Accepting fails when the process is out of file descriptors: trying again at once would spin.
async fn wait_out(error: &std::io::Error) {
    tracing::warn!(%error, "accept");
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// Resolves when no more requests are taken.
async fn drain_begins(signals: &mut Signals, shutdown: &Shutdown, delay: Duration) {
    signals.next().await;
    shutdown.begin();
    tracing::info!(delay_s = delay.as_secs_f64(), "draining; a second signal stops at once");
    let _ = tokio::time::timeout(delay, signals.next()).await;
}

async fn finish(graceful: GracefulShutdown, shutdown: &Shutdown, limit: Duration) -> Result<(), String> {
    let mut signals = Signals::listen()?;
    let mut drained = std::pin::pin!(graceful.shutdown());
    tokio::select! {
        () = &mut drained => return Ok(()),
        () = tokio::time::sleep(limit) => tracing::warn!("the drain limit has passed; cutting off what still runs"),
        () = signals.next() => tracing::warn!("second signal; cutting off what still runs"),
    }
    shutdown.abort();
    // The error events still have to be written.
    let _ = tokio::time::timeout(Duration::from_secs(1), drained).await;
    Ok(())
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

fn greet(address: SocketAddr, config: &GatewayConfig) {
    use std::io::Write as _;
    let model = config.client.models.keys().next().map_or("sim/echo", String::as_str);
    let greeting = format!(
        "Mainstay serves the OpenAI API on http://{address}/v1\n\nTry it:\n  curl http://{address}/v1/chat/completions \
         -H 'content-type: application/json' \\\n    -d '{{\"model\": \"{model}\", \"messages\": [{{\"role\": \"user\", \
         \"content\": \"Hello\"}}]}}'\n\n"
    );
    // Standard output may be closed; the server runs all the same.
    let _ = std::io::stdout().write_all(greeting.as_bytes());
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "this gateway checks no keys yet: whoever reaches this address can use your providers");
    }
}
