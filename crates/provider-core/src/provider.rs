//! Who answers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use tower_service::Service;

use crate::call::Call;
use crate::error::Error;
use crate::reply::Reply;

/// A boxed future that can move between threads.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Anything that answers calls: an adapter, a layer around one, the router, a whole stack, a test double.
///
/// It is a `tower::Service<Call, Response = Reply, Error = Error>` that can be cloned and shared; every such service
/// is a `Provider` by itself, so nobody implements this trait by hand.
pub trait Provider:
    Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
    /// This provider behind one type.
    fn boxed(self) -> BoxProvider {
        BoxProvider::new(self)
    }

    /// Waits until this provider is ready, then asks it.
    ///
    /// # Cancellation
    /// Dropping the future cancels the call.
    fn ask(&self, call: Call) -> impl Future<Output = Result<Reply, Error>> + Send + use<Self> {
        let mut ready = self.clone();
        async move {
            std::future::poll_fn(|task| ready.poll_ready(task)).await?;
            ready.call(call).await
        }
    }
}

impl<P> Provider for P where
    P: Service<Call, Response = Reply, Error = Error, Future: Send + 'static> + Clone + Send + Sync + 'static
{
}

/// Any provider behind one type. A clone is a clone of the provider inside.
pub struct BoxProvider(Box<dyn AnyProvider>);

impl BoxProvider {
    /// Boxes a provider.
    pub fn new(provider: impl Provider) -> Self {
        Self(Box::new(provider))
    }
}

trait AnyProvider: Send + Sync {
    fn any_poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>>;
    fn any_call(&mut self, call: Call) -> BoxFuture<Result<Reply, Error>>;
    fn any_clone(&self) -> Box<dyn AnyProvider>;
}

impl<P: Provider> AnyProvider for P {
    fn any_poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(task)
    }

    fn any_call(&mut self, call: Call) -> BoxFuture<Result<Reply, Error>> {
        Box::pin(self.call(call))
    }

    fn any_clone(&self) -> Box<dyn AnyProvider> {
        Box::new(self.clone())
    }
}

impl Clone for BoxProvider {
    fn clone(&self) -> Self {
        Self(self.0.any_clone())
    }
}

impl std::fmt::Debug for BoxProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BoxProvider")
    }
}

impl Service<Call> for BoxProvider {
    type Response = Reply;
    type Error = Error;
    type Future = BoxFuture<Result<Reply, Error>>;

    fn poll_ready(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.0.any_poll_ready(task)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        self.0.any_call(call)
    }
}
