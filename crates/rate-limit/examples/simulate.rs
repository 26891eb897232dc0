//! What the limiter does at a simulated provider, beside clients that only react to 429s:
//! `cargo run --release -p mainstay-rate-limit --example simulate`
#![allow(clippy::print_stdout, reason = "an example prints")]

#[path = "../tests/simulator/mod.rs"]
mod simulator;

use std::time::Duration;

use simulator::{Client, Outcome, Refill, Scenario, run};

fn main() {
    println!("Load 95 % of the token limit, up and down by half every 30 s; headers; 20 minutes.\n");
    heading();
    for refill in [Refill::Steady, Refill::Minute] {
        for gateways in [1, 4, 16] {
            beside(
                &format!("{refill:?}, {gateways} gateways"),
                Scenario { refill, gateways, ..Scenario::default() },
            );
        }
    }
    println!("\nThe same with a load of 120 %.\n");
    heading();
    for refill in [Refill::Steady, Refill::Minute] {
        for gateways in [1, 4, 16] {
            let scenario = Scenario { refill, gateways, offered: 1.2, ..Scenario::default() };
            beside(&format!("{refill:?}, {gateways} gateways, 120 %"), scenario);
        }
    }
    println!("\nNo headers, limits configured and divided among the gateways.\n");
    heading();
    for refill in [Refill::Steady, Refill::Minute] {
        for gateways in [1, 4] {
            let scenario =
                Scenario { refill, gateways, headers: false, configured: true, ..Scenario::default() };
            beside(&format!("{refill:?}, {gateways} gateways"), scenario);
        }
    }
    println!(
        "\nNo headers, nothing configured; the limits are halved after 5 minutes; measured from 2 minutes later.\n"
    );
    heading();
    for refill in [Refill::Steady, Refill::Minute] {
        for gateways in [1, 4, 16] {
            for hint in [true, false] {
                let scenario = Scenario {
                    refill,
                    gateways,
                    hint,
                    headers: false,
                    halved_after: Some(Duration::from_secs(300)),
                    warm_up: Duration::from_secs(420),
                    ..Scenario::default()
                };
                let retry_after = if hint { "retry-after" } else { "no hint" };
                beside(&format!("{refill:?}, {gateways} gateways, {retry_after}"), scenario);
            }
        }
    }
}

fn heading() {
    println!(
        "{:<46} {:>9} {:>8} {:>7} {:>9} {:>7} {:>8} {:>8} {:>8}",
        "", "requests", "429s", "429 %", "offered %", "used %", "given up", "wait p50", "wait p99"
    );
}

fn beside(name: &str, scenario: Scenario) {
    if std::env::args().nth(1).is_some_and(|part| !name.contains(&part)) {
        return;
    }
    print(&format!("{name}: limited"), &run(scenario, Client::Limited));
    print(&format!("{name}: reactive"), &run(scenario, Client::Reactive));
}

fn print(name: &str, outcome: &Outcome) {
    println!(
        "{name:<46} {:>9} {:>8} {:>7.2} {:>9.1} {:>7.1} {:>8} {:>7.1}s {:>7.1}s",
        outcome.requests,
        outcome.throttled,
        100.0 * outcome.throttled_share(),
        100.0 * outcome.offered,
        100.0 * outcome.utilisation,
        outcome.given_up,
        outcome.wait_p50.as_secs_f64(),
        outcome.wait_p99.as_secs_f64(),
    );
}
