//! The default stack, outermost first.

use mainstay_provider_core::{BoxProvider, Provider};
use tower::ServiceBuilder;

use crate::directory::Directory;

/// The stack that a call runs through. Layers join this chain as their crates arrive.
pub(crate) fn chat(directory: Directory) -> BoxProvider {
    ServiceBuilder::new().service(directory).boxed()
}
