//! The load runs of the gateway.
fn main() {}
