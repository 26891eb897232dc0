#![doc = include_str!("../README.md")]

mod app;
mod chat;
mod command;
mod config;
mod embeddings;
mod error;
mod headers;
mod health;
mod models;
mod serve;
mod shutdown;
mod sse;

use std::process::ExitCode;

fn main() -> ExitCode {
    command::run()
}
