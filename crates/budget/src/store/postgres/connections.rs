//! Connections: made behind the caller's back, and used again after a caller left in the middle of a question only when they
//! have answered it.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Client, Object, Pool};
use tokio::runtime::Handle;
use tokio::sync::OnceCell;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::super::StoreError;

#[derive(Clone)]
pub(super) struct Connections(Arc<Inner>);

struct Inner {
    pool: Pool,
    /// What makes the tables and functions.
    schema: String,
    /// The name of a function: if it is there, all are.
    last: String,
    is_set_up: OnceCell<()>,
}

/// Nothing waits for longer than this; whoever asks has a timeout of its own, which is shorter.
const LONGEST: Duration = Duration::from_secs(5);

/// Making the tables may wait for others who do.
const SETTING_UP: Duration = Duration::from_secs(30);

impl Connections {
    pub(super) fn new(pool: Pool, schema: String, last: String) -> Self {
        Self(Arc::new(Inner { pool, schema, last, is_set_up: OnceCell::new() }))
    }

    pub(super) async fn query(
        &self,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        let lent = Lent(Some(self.get().await?));
        let work = async {
            let client = lent.client();
            let prepared = client.prepare_cached(statement).await?;
            client.query(&prepared, parameters).await
        };
        match tokio::time::timeout(LONGEST, work).await {
            Ok(answered) => {
                lent.give_back();
                answered.map_err(refused)
            }
            Err(_) => Err(StoreError::TimedOut),
        }
    }

    /// One that is there, else one that is made without the caller, who may not wait for so long: a server far away is
    /// reached all the same.
    async fn get(&self) -> Result<Client, StoreError> {
        if self.0.is_set_up.initialized() && self.0.pool.status().available > 0 {
            return tokio::time::timeout(LONGEST, self.0.pool.get())
                .await
                .map_err(|_| StoreError::TimedOut)?
                .map_err(failed);
        }
        let this = self.clone();
        let making = tokio::spawn(async move {
            tokio::time::timeout(SETTING_UP, this.0.is_set_up.get_or_try_init(|| this.set_up()))
                .await
                .map_err(|_| StoreError::TimedOut)??;
            tokio::time::timeout(LONGEST, this.0.pool.get())
                .await
                .map_err(|_| StoreError::TimedOut)?
                .map_err(failed)
        });
        making.await.map_err(failed)?
    }

    /// Makes the tables and functions that are not there. Two who begin at the same time wait for each other.
    async fn set_up(&self) -> Result<(), StoreError> {
        let client = self.0.pool.get().await.map_err(failed)?;
        let is_there =
            client.query_one("SELECT to_regproc($1) IS NOT NULL", &[&self.0.last]).await.map_err(failed)?;
        if !is_there.get::<_, bool>(0) {
            client.batch_execute(&self.0.schema).await.map_err(failed)?;
        }
        Ok(())
    }
}

pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Failed(Box::new(error))
}

/// The server is there and stumbled over a value that it found (class 22 of its codes): others do not notice.
fn refused(error: tokio_postgres::Error) -> StoreError {
    match error.as_db_error() {
        Some(why) if why.code().code().starts_with("22") => StoreError::Damaged(why.message().to_owned()),
        _ => failed(error),
    }
}

/// A connection that is given back. If the caller leaves before that, it goes back when it has answered what was asked and
/// another question, for which it has the longest time: a new one would begin slowly, just when the server is slow.
struct Lent(Option<Client>);

impl Lent {
    fn client(&self) -> &Client {
        self.0.as_ref().expect("it is there until it is given back")
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(client) = self.0.take() else { return };
        let Ok(runtime) = Handle::try_current() else { return drop(Object::take(client)) };
        runtime.spawn(async move {
            if !matches!(tokio::time::timeout(LONGEST, client.simple_query("")).await, Ok(Ok(_))) {
                drop(Object::take(client));
            }
        });
    }
}
