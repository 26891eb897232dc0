//! One connection that all share, made when it is first needed and again when it broke.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, RedisError, ServerErrorKind};
use tokio::time::Instant;

use super::super::StoreError;
use super::scripts::Script;

#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    client: Client,
    open: Mutex<Option<Open>>,
    /// One connects at a time; the others wait for that.
    connecting: tokio::sync::Mutex<()>,
}

/// A connection that is made.
#[derive(Clone)]
pub(super) struct Open {
    connection: MultiplexedConnection,
    clock: ServerClock,
}

/// The server's clock, as it was told last.
#[derive(Debug, Clone, Copy)]
struct ServerClock {
    /// When the server was asked. Its answer is a little younger: leases are rather too long than too short.
    asked: Instant,
    told_ms: u64,
}

/// Nothing waits for longer than this; whoever asks has a timeout of its own, which is shorter.
const LONGEST: Duration = Duration::from_secs(5);

impl Open {
    /// What the server's clock shows now: as it was told last, and the time that has passed here since.
    ///
    /// To ask it in each script would cost as much as all numbers. Where a hold's beginning matters, the server keeps it
    /// between two moments that it knows itself, however wrong this is: a machine may have slept.
    pub(super) fn server_ms(&self) -> u64 {
        let since = u64::try_from(self.clock.asked.elapsed().as_millis()).unwrap_or_default();
        self.clock.told_ms.saturating_add(since)
    }
}

impl Connection {
    pub(super) fn new(client: Client) -> Self {
        Self(Arc::new(Inner { client, open: Mutex::new(None), connecting: tokio::sync::Mutex::new(()) }))
    }

    /// Sends a command made by [`Script::command`], and the script before it where the server does not know it.
    pub(super) async fn run<T: FromRedisValue>(
        &self,
        script: &Script,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        self.run_over(self.get().await?, script, command).await
    }

    pub(super) async fn run_over<T: FromRedisValue>(
        &self,
        open: Open,
        script: &Script,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let mut connection = open.connection;
        match command.query_async(&mut connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                let mut load = redis::cmd("SCRIPT");
                let loaded: Result<String, _> =
                    load.arg("LOAD").arg(script.text()).query_async(&mut connection).await;
                loaded.map_err(|error| self.failed(error))?;
                command.query_async(&mut connection).await.map_err(|error| self.failed(error))
            }
            answered => answered.map_err(|error| self.failed(error)),
        }
    }

    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let mut connection = self.get().await?.connection;
        command.query_async(&mut connection).await.map_err(|error| self.failed(error))
    }

    /// The server, asked then, has told its time.
    pub(super) fn told(&self, asked: Instant, told_ms: u64) {
        if let Some(open) = &mut *self.open() {
            open.clock = ServerClock { asked, told_ms };
        }
    }

    /// It is not to be relied on: the next who asks makes another.
    pub(super) fn lose(&self) {
        let lost = self.open().take();
        drop(lost);
    }

    pub(super) async fn get(&self) -> Result<Open, StoreError> {
        if let Some(connection) = self.known() {
            return Ok(connection);
        }
        // Not by the caller, who may not wait for so long: a server far away is reached all the same.
        let this = self.clone();
        let connecting = tokio::spawn(async move { this.connect().await });
        connecting.await.map_err(|ended| StoreError::Failed(Box::new(ended)))?
    }

    async fn connect(&self) -> Result<Open, StoreError> {
        let _connecting = self.0.connecting.lock().await;
        if let Some(connection) = self.known() {
            return Ok(connection);
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(LONGEST))
            .set_response_timeout(Some(LONGEST));
        let made = self.0.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = made.map_err(|error| StoreError::Failed(Box::new(error)))?;
        let asked = Instant::now();
        let told: Result<(u64, u64), _> = redis::cmd("TIME").query_async(&mut connection).await;
        let (seconds, micros) = told.map_err(|error| StoreError::Failed(Box::new(error)))?;
        let told_ms = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        let made = Open { connection, clock: ServerClock { asked, told_ms } };
        *self.open() = Some(made.clone());
        Ok(made)
    }

    fn known(&self) -> Option<Open> {
        self.open().clone()
    }

    fn open(&self) -> MutexGuard<'_, Option<Open>> {
        // One plain value: a panic elsewhere leaves it as good as it was.
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: RedisError) -> StoreError {
        if error.is_unrecoverable_error() || error.is_io_error() || error.is_timeout() {
            self.lose();
        }
        if is_of_one_question(&error) {
            return StoreError::Damaged(error.to_string());
        }
        StoreError::Failed(Box::new(error))
    }
}

/// Whether a script, or what reads its answer, stumbled over what it found: the server is there, and others do not notice. Before
/// version 7 what is wrong with the whole server comes out of a script in the same way.
fn is_of_one_question(error: &RedisError) -> bool {
    const OF_ALL: [&str; 4] = ["-OOM", "-MISCONF", "-READONLY", "-NOREPLICAS"];
    let detail = error.detail().unwrap_or_default();
    match error.code() {
        Some("ERR") => detail.contains("script") && !OF_ALL.iter().any(|of_all| detail.contains(of_all)),
        code => code == Some("WRONGTYPE") || error.kind() == ErrorKind::UnexpectedReturnType,
    }
}
