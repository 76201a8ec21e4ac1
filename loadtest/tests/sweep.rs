//! `sweep` finds what a server can do that was made to do no more.

mod support;

use serde_json::Value;
use std::time::Duration;
use support::loadtest;
use support::server::{Fault, Server};

/// A server that takes 5 ms for a message: 200 in a second, less what sleeping costs.
fn slow() -> Server {
    Server::start(Fault::Slow(Duration::from_millis(5)))
}

#[test]
fn the_capacity_is_found() {
    let server = slow();
    let arguments = "--sockets 4 --p99 100ms --duration 600ms --from 25 --to 1000";
    let run = loadtest(&format!("sweep --url {} {arguments}", server.url("/room")));
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    let rate = |key: &str| run.report[key].as_f64().unwrap();
    // A little above 200 holds for as short as this; a busy machine may sleep longer.
    assert!((50.0..260.0).contains(&rate("rate")), "{}", run.stdout);
    assert!(
        rate("rate_missed") > rate("rate") && rate("rate_missed") < rate("rate") * 1.03,
        "{}",
        run.stdout
    );
    let probes = run.report["probes"].as_array().unwrap();
    let held = |held: bool| probes.iter().filter(|probe| probe["held"] == held).count();
    assert!(held(true) >= 2 && held(false) >= 1, "{}", run.stdout);
    assert!(run.report["latency_ns"]["p99"].as_u64().unwrap() < 100_000_000);
    assert!(run.stdout.lines().count() > probes.len() + 2, "a table stands above the line");
}

#[test]
fn the_range_may_end_before_the_server_does() {
    let server = Server::start(Fault::None);
    let arguments = "--sockets 3 --p99 5s --duration 200ms --from 20 --to 40 --json";
    let run = loadtest(&format!("sweep --url {} {arguments}", server.url("/room")));
    assert_eq!(run.status, 0, "{}{}", run.stdout, run.stderr);
    assert_eq!((run.report["rate"].as_f64(), &run.report["rate_missed"]), (Some(40.0), &Value::Null));
    assert_eq!(run.stdout.lines().count(), 1);
}

#[test]
fn a_server_that_loses_something_holds_no_rate() {
    let server = Server::start(Fault::Drop(10));
    let arguments = "--sockets 3 --p99 5s --duration 200ms --from 100 --wait 1s --tries 1 --json";
    let run = loadtest(&format!("sweep --url {} {arguments}", server.url("/room")));
    assert_eq!((run.status, &run.report["rate"]), (1, &Value::Null), "{}", run.stdout);
    assert!(run.report["probes"][0]["lost"].as_u64().unwrap() > 0);
    let nobody = loadtest("sweep --url ws://127.0.0.1:1/room --sockets 3 --json");
    assert_eq!((nobody.status, nobody.report["probes"].as_array().unwrap().len()), (1, 1));
}
