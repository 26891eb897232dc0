//! Making the tables, once, when the server is there.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::{BACKGROUND, Inner, InvalidPostgres, PostgresStore};
use crate::store::StoreError;

/// How far the tables are.
#[derive(Default)]
pub(super) struct SetUp(watch::Sender<State>);

#[derive(Clone, Default)]
enum State {
    /// Nobody has looked yet.
    #[default]
    New,
    /// Somebody is making them.
    Making,
    /// They are there, and hold vectors of our embedder.
    Done,
    /// The last who tried failed.
    Failed(Arc<InvalidPostgres>),
}

impl PostgresStore {
    /// Makes the tables and waits for it.
    pub(super) async fn set_up_now(self) -> Result<Self, InvalidPostgres> {
        self.0.make_tables().await?;
        self.0.set_up.0.send_replace(State::Done);
        Ok(self)
    }

    /// Waits until the tables are there. They are made in the background: whoever does not wait so long loses nothing of it.
    pub(super) async fn set_up_by(&self, deadline: Instant) -> Result<(), StoreError> {
        let state = &self.0.set_up.0;
        if matches!(*state.borrow(), State::Done) {
            return Ok(());
        }
        self.set_up_behind();
        let mut told = state.subscribe();
        let made = timeout_at(deadline, told.wait_for(|state| !matches!(state, State::Making))).await;
        match made.map(|made| made.map(|state| state.clone())) {
            Ok(Ok(State::Done)) => Ok(()),
            Ok(Ok(State::Failed(why))) => Err(StoreError::Unreachable(Box::new(why))),
            _ => Err(StoreError::Unreachable("the tables are not there yet".into())),
        }
    }

    /// One at a time makes the tables.
    fn set_up_behind(&self) {
        let mine = self.0.set_up.0.send_if_modified(|state| {
            let is_mine = matches!(state, State::New | State::Failed(_));
            if is_mine {
                *state = State::Making;
            }
            is_mine
        });
        if !mine {
            return;
        }
        let making = Making { store: self.clone(), end: State::New };
        tokio::spawn(async move {
            let made = making.store.0.make_tables().await;
            making.ends(made.map_or_else(|why| State::Failed(Arc::new(why)), |()| State::Done));
        });
    }
}

/// Somebody makes the tables. Its drop says once what became of it: when it is dropped before it is done, the next one may.
struct Making {
    store: PostgresStore,
    end: State,
}

impl Making {
    fn ends(mut self, end: State) {
        self.end = end;
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.store.0.set_up.0.send_replace(std::mem::take(&mut self.end));
    }
}

impl Inner {
    async fn make_tables(&self) -> Result<(), InvalidPostgres> {
        let Self { pool, config, statements, .. } = self;
        let making = async {
            let client = pool.get().await.map_err(unreachable)?;
            client.batch_execute(&statements.tables).await.map_err(unreachable)?;
            let row = client
                .query_one(&statements.embedder, &[&config.embedder, &(config.dims as i32)])
                .await
                .map_err(unreachable)?;
            let (found, dims): (String, i32) = (row.get(0), row.get(1));
            if found != config.embedder || dims != config.dims as i32 {
                return Err(InvalidPostgres::OtherEmbedder { found, wanted: config.embedder.clone() });
            }
            let count = client.query_one(&statements.count, &[]).await.map_err(unreachable)?;
            self.entries.store(count.get::<_, i64>(0).unsigned_abs(), Ordering::Relaxed);
            Ok(())
        };
        timeout(BACKGROUND, making).await.map_err(unreachable)?
    }
}

fn unreachable(error: impl std::error::Error + Send + Sync + 'static) -> InvalidPostgres {
    InvalidPostgres::Unreachable(Box::new(error))
}
