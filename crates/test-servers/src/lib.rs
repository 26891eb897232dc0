//! Real servers for tests: each in a folder and at a port of its own, gone when the test is over. Where a program is not there,
//! a line says so and the test passes: `None`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a helper of tests is a test"
)]
#![allow(clippy::disallowed_methods, reason = "where the servers are is told by the environment")]

#[cfg(feature = "postgres")]
mod postgres;
mod process;
mod redis;
mod slow;

#[cfg(feature = "postgres")]
pub use postgres::{postgres, postgres_url};
pub use process::{Server, free_port};
pub use redis::{redis, redis_at, redis_cli, redis_url};
pub use slow::Slow;
