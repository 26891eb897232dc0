#![doc = include_str!("../README.md")]

mod admin;
mod alerts;
mod answer_headers;
mod app;
mod auth;
mod beside;
mod chat;
mod client_gone;
mod command;
mod config;
mod embeddings;
mod error;
mod front;
mod greeting;
mod headers;
mod health;
mod keys;
mod metrics;
mod models;
mod send_timeout;
mod serve;
mod shutdown;
mod sse;
mod usage;

use std::process::ExitCode;

/// Takes the place of the system's allocator: a request takes fewer instructions, and no more with many at once.
/// In place of `malloc` itself, since asked as Rust's allocator it takes its slower way, for any alignment.
/// Without huge pages: they would keep what a stream never touches, half as much again as it needs.
use mimalloc as _;

fn main() -> ExitCode {
    command::run()
}
