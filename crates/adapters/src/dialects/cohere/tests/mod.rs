mod answers;
mod recorded;
mod requests;
#[path = "../../gemini/tests/support.rs"]
#[allow(dead_code, clippy::duplicate_mod)] // what the dialects' tests share, of which each uses a part
mod support;

use crate::config::AdapterConfig;
use crate::dialect::Dialect;

fn cohere() -> Box<dyn Dialect> {
    super::dialect(&AdapterConfig::new("cohere")).unwrap()
}
