#![doc = include_str!("../README.md")]

mod admin;
mod alerts;
mod answer_headers;
mod app;
mod auth;
mod beside;
mod chat;
mod command;
mod config;
mod embeddings;
mod error;
mod front;
mod headers;
mod health;
mod keys;
mod metrics;
mod models;
mod serve;
mod shutdown;
mod sse;
mod usage;

use std::process::ExitCode;

/// A tenth of a request's instructions less than with the system's allocator, and it does not grow with concurrency.
/// Without huge pages: they would keep what a stream never touches, half as much again as it needs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    command::run()
}
