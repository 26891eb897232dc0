//! One module per dialect; a provider that speaks OpenAI's dialect is a row of [`openai::profile`].

#[cfg(feature = "anthropic")]
pub(crate) mod anthropic;
#[cfg(feature = "bedrock")]
pub(crate) mod bedrock;
#[cfg(feature = "cohere")]
pub(crate) mod cohere;
#[cfg(any(feature = "gemini", feature = "vertex"))]
pub(crate) mod gemini;
#[cfg(feature = "ollama")]
pub(crate) mod ollama;
#[allow(dead_code)] // which profiles are used depends on the features
pub(crate) mod openai;
#[allow(dead_code)]
pub(crate) mod responses;
