//! Against a server without faults every mode passes and counts exactly what was asked for.

mod support;

use support::loadtest;
use support::server::{Fault, Server};

fn run(mode: &str, path: &str, options: &str) -> support::Run {
    let server = Server::start(Fault::None);
    loadtest(&format!("{mode} --url {} --json {options}", server.url(path)))
}

#[test]
fn broadcast_closed_loop() {
    let run = run("broadcast", "/room", "--sockets 30 --count 40");
    run.assert_clean(30 * 40);
    assert_eq!(run.number("rounds"), 40);
    assert_eq!(run.report["handshake"]["count"], 30);
}

#[test]
fn broadcast_closed_loop_over_rooms_and_threads() {
    // Rooms of 11, 11 and 10 sockets; 31 rounds are 11, 10 and 10.
    let run = run("broadcast", "/room", "--sockets 32 --rooms 3 --threads 2 --count 31 --binary --size 30");
    run.assert_clean(11 * 11 + 10 * 11 + 10 * 10);
}

#[test]
fn broadcast_open_loop() {
    let run = run("broadcast", "/room", "--sockets 10 --threads 2 --rate 200 --duration 300ms --size 5000");
    run.assert_clean(60 * 10);
    assert_eq!(run.number("messages"), 60);
}

#[test]
fn broadcast_for_a_duration() {
    let run = run("broadcast", "/room", "--sockets 5 --duration 200ms");
    let deliveries = run.number("deliveries");
    assert!(deliveries > 0);
    run.assert_clean(deliveries);
}

#[test]
fn a_message_may_be_longer_than_the_read_buffer() {
    run("broadcast", "/room", "--sockets 3 --count 6 --size 200000").assert_clean(18);
}

#[test]
fn burst_of_one_sender_and_of_many() {
    run("burst", "/room", "--sockets 12 --count 10").assert_clean(12 * 10 * 16);
    run("burst", "/room", "--sockets 12 --count 10 --senders 8 --threads 2").assert_clean(12 * 10 * 16);
    run("burst", "/room", "--sockets 12 --rooms 4 --count 10 --burst 6 --senders 6").assert_clean(3 * 10 * 6);
}

#[test]
fn echo_by_count_and_by_duration() {
    run("echo", "/echo", "--sockets 10 --count 50 --pipeline 7 --threads 2").assert_clean(500);
    let by_duration = run("echo", "/echo", "--sockets 4 --duration 200ms --binary");
    by_duration.assert_clean(by_duration.number("messages"));
}

#[test]
fn idle_reports_the_server_and_wakes_everybody() {
    let server = Server::start(Fault::None);
    let arguments = format!("--url {} --sockets 20 --rooms 2 --hold 100ms --json", server.url("/room"));
    let quiet = loadtest(&format!("idle {arguments} --server-pid {}", std::process::id()));
    quiet.assert_clean(0);
    assert!(quiet.report["server"]["resident_bytes_per_connection"].is_number());
    assert!(quiet.report["hold_seconds"].is_number());
    loadtest(&format!("idle {arguments} --then-message")).assert_clean(20);
}

#[test]
fn churn_opens_and_closes() {
    let run = run("churn", "/echo", "--sockets 20 --connect-rate 500 --count 60 --threads 2");
    run.assert_clean(60);
    assert_eq!(run.report["handshake"]["count"], 60);
}

#[test]
fn wake_speaks_after_pauses_to_both_servers() {
    let [first, other] = [Fault::None, Fault::None].map(Server::start);
    let (url, against) = (first.url("/echo"), other.url("/echo"));
    let pid = std::process::id();
    let run = loadtest(&format!(
        "wake --url {url} --against {against} --server-pid {pid} --against-pid {pid} --sockets 3 --threads 2 \
         --pause 10ms --count 7 --json"
    ));
    run.assert_clean(14);
    assert_eq!(run.report["handshake"]["count"], 6, "as many sockets for each");
    assert_eq!(run.report["pause_seconds"], 0.01);
    assert!(run.report["seconds"].as_f64().unwrap() >= 0.14, "a pause before each message");
    let against = &run.report["against"];
    let median = |of: &serde_json::Value| of["latency_ns"]["p50"].as_i64().unwrap();
    assert_eq!(against["median_difference_ns"], median(&run.report) - median(against));
    for server in [&run.report["server"], against] {
        assert!(server["cpu_ns_per_delivery"].as_f64().unwrap() > 0.0);
    }
    let alone = loadtest(&format!("wake --url {url} --sockets 2 --pause 5ms --count 3 --json"));
    alone.assert_clean(3);
    assert!(alone.report.get("against").is_none());
}

#[test]
fn cpu_per_delivery_of_the_server() {
    let server = Server::start(Fault::None);
    let run = loadtest(&format!(
        "broadcast --url {} --sockets 10 --count 50 --json --server-pid {}",
        server.url("/room"),
        std::process::id()
    ));
    run.assert_clean(500);
    assert!(run.report["server"]["cpu_ns_per_delivery"].as_f64().unwrap() > 0.0);
    assert!(run.report["server"]["cpu_ns_per_handshake"].as_f64().unwrap() > 0.0);
    let [all, busiest] =
        ["cpu_ns", "busiest_thread_cpu_ns"].map(|key| run.report["server"][key].as_f64().unwrap());
    assert!(busiest > 0.0 && busiest <= all);
    let capacity = run.report["server"]["capacity_per_second"].as_f64().unwrap();
    assert!((capacity * busiest / 1e9 - 500.0).abs() < 1.0, "{}", run.stdout);
}

#[test]
fn fragments_pings_and_dribbles_are_no_faults() {
    let server = Server::start(Fault::Awkward);
    loadtest(&format!("burst --url {} --sockets 5 --count 4 --burst 5 --json", server.url("/room")))
        .assert_clean(100);
    // The last pongs may still be on their way when the generator closes.
    assert!(server.pongs() > 0);
    loadtest(&format!("echo --url {} --sockets 5 --count 20 --json", server.url("/echo"))).assert_clean(100);
}

#[test]
fn a_run_may_end_without_goodbyes() {
    let server = Server::start(Fault::None);
    let arguments = format!("broadcast --url {} --sockets 5 --count 4 --json", server.url("/room"));
    loadtest(&format!("{arguments} --no-goodbye")).assert_clean(20);
    assert_eq!(server.closes(), 0);
    loadtest(&arguments).assert_clean(20);
    assert_eq!(server.closes(), 5);
}

#[test]
fn the_json_line_is_the_last_one() {
    let server = Server::start(Fault::None);
    let arguments = format!("broadcast --url {} --sockets 3 --count 2", server.url("/room"));
    let with_table = loadtest(&arguments);
    assert!(with_table.stdout.lines().count() > 5, "{}", with_table.stdout);
    with_table.assert_clean(6);
    assert_eq!(with_table.stderr, "", "no progress bars where nobody looks");
    assert_eq!(loadtest(&format!("{arguments} --json")).stdout.lines().count(), 1);
}
