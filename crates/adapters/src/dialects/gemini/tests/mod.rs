mod answers;
mod embeddings;
mod recorded;
mod requests;
#[allow(clippy::duplicate_mod)] // the tests of other dialects load it too
mod support;

use crate::config::AdapterConfig;
use crate::dialect::Dialect;

fn gemini() -> Box<dyn Dialect> {
    super::dialect(&AdapterConfig::new("gemini")).unwrap()
}

fn vertex() -> Box<dyn Dialect> {
    let mut config = AdapterConfig::new("vertex");
    config.project = Some("acme".into());
    config.region = Some("europe-west4".into());
    super::dialect(&config).unwrap()
}
