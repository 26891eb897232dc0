//! What the benchmarks and the load runs share: the usual request and answers, and just enough HTTP to exchange them.

pub mod answers;
pub mod canned;
pub mod http;
