//! Panics and errors in each place where code of an application runs (SEMANTICS 1): the one socket or request of the
//! event gets an answer that says so; everything else goes on.

mod engine;

use std::time::{Duration, Instant};

use engine::client::{Client, close, frame, get, text, upgrade_request};
use engine::objects::{events, times};
use engine::{PATIENCE, Served, until, until_equal};

/// An engine with sockets that must not notice anything: of the object itself, and of another on the same shard.
struct Bystanders {
    served: Served,
    same: Client,
    other: Client,
    victim: Client,
}

impl Bystanders {
    fn of(name: &str) -> Bystanders {
        let served = Served::start(1, |_| {});
        let connect = |name: &str| Client::upgraded(served.address, &format!("/o/{name}"));
        let (same, other, victim) = (connect(name), connect("never-touched"), connect(name));
        Bystanders { same, other, victim, served }
    }

    /// Whether all goes on, and how many panics there were.
    #[track_caller]
    fn go_on(&mut self, panics: u64) {
        assert_eq!(self.same.ask("still here"), "still here");
        assert_eq!(self.other.ask("still here"), "still here");
        self.served.answers();
        assert_eq!(self.served.count(|counters| counters.panics.get()), panics);
    }
}

impl Served {
    #[track_caller]
    fn answers(&self) {
        let mut client = Client::connect(self.address);
        client.send(get("/alive"));
        assert_eq!(client.answer().text(), "GET /alive ");
    }
}

#[test]
fn a_message_handler_that_fails_costs_its_own_socket() {
    for (command, panics) in [("panic", 1), ("error", 0)] {
        let name = format!("message-{command}");
        let mut all = Bystanders::of(&name);
        assert_eq!(all.same.ask("count"), "1 of 2");
        all.victim.send([text("before"), text(command)].concat());
        assert_eq!(all.victim.text(), "before");
        assert_eq!(all.victim.frame().close_code(), 1011);
        all.victim.send(close(1011, ""));
        all.victim.end();
        all.go_on(panics);
        // A new instance: what the old one counted is gone with it.
        until("the close event", || times(&name, "close 1011 true") == 1);
        assert_eq!(all.same.ask("count"), "2 of 1");
        assert_eq!(times(&name, "constructed"), 2);
        assert_eq!(all.served.of("OBEDIENT", |counters| counters.failures.get()), 1);
    }
}

#[test]
fn what_one_client_sends_ahead_cannot_make_its_object_fail_again_and_again() {
    let mut all = Bystanders::of("fails-ahead");
    let begun = Instant::now();
    all.victim.send(text("panic").repeat(200));
    assert_eq!(all.victim.frame().close_code(), 1011);
    all.go_on(1);
    assert!(begun.elapsed() < PATIENCE / 3, "its object was held back for {:?}", begun.elapsed());
    // Also from behind its Close.
    all.victim.send(text("panic").repeat(200));
    all.go_on(1);
    all.victim.send(close(1011, ""));
    all.victim.end();
    until("the close event", || times("fails-ahead", "close 1011 true") == 1);
}

#[test]
fn a_close_handler_that_panics_still_closes() {
    let mut all = Bystanders::of("close-panics");
    all.victim.send(close(1000, "panic"));
    assert_eq!(all.victim.frame().close_code(), 1000);
    all.victim.end();
    all.go_on(1);
    assert_eq!(all.same.ask("count"), "2 of 1");
}

#[test]
fn an_error_handler_that_panics_still_closes() {
    let mut all = Bystanders::of("panics-at-error");
    all.victim.send(frame(0x83, b""));
    assert_eq!(all.victim.frame().close_code(), 1002);
    all.victim.end();
    all.go_on(1);
    assert_eq!(all.same.ask("count"), "2 of 1");
}

#[test]
fn a_fetch_that_fails_is_a_500_without_detail() {
    let mut all = Bystanders::of("fetch-fails");
    for path in
        ["/o/fetch-fails?error", "/o/fetch-fails?panic", "/panic", "/error", "/o/never-constructed-here"]
    {
        let mut client = Client::connect(all.served.address);
        client.send(get(path));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (500, "Internal Server Error\n"), "{path}");
        client.send(get("/the-connection-goes-on"));
        assert_eq!(client.answer().status, 200, "{path}");
    }
    assert_eq!(all.victim.ask("hello"), "hello");
    all.go_on(3);
}

#[test]
fn a_tick_that_panics_ends_ticking_and_no_more() {
    let mut all = Bystanders::of("tick-panics");
    all.victim.send(text("tick:5"));
    until_equal("failures", 1, || all.served.of("OBEDIENT", |counters| counters.failures.get()));
    assert_eq!(all.victim.ask("hello"), "hello");
    all.go_on(1);
    assert_eq!(times("tick-panics", "constructed"), 2);
}

#[test]
fn a_detached_future_that_panics_ends_itself() {
    let mut all = Bystanders::of("detached-panics");
    assert_eq!(all.victim.ask("detached-panic"), "detached");
    until_equal("panics", 1, || all.served.count(|counters| counters.panics.get()));
    assert_eq!(all.victim.ask("count"), "2 of 2");
    all.go_on(1);
    assert_eq!(times("detached-panics", "constructed"), 1);
}

#[test]
fn a_drop_that_panics_is_contained() {
    // At hibernation, and when a handler has failed.
    let served = Served::start(1, |config| config.hibernation.idle = Some(Duration::from_millis(50)));
    let mut client = Client::upgraded(served.address, "/o/drop-panics");
    assert_eq!(client.ask("drop-badly"), "armed");
    until_equal("panics", 1, || served.count(|counters| counters.panics.get()));
    assert_eq!(client.ask("count"), "1 of 1");

    let mut second = Client::upgraded(served.address, "/o/drop-panics");
    client.send([text("drop-badly"), text("error")].concat());
    assert_eq!(client.text(), "armed");
    assert_eq!(client.frame().close_code(), 1011);
    assert_eq!(second.ask("hello"), "hello");
    assert_eq!(served.count(|counters| counters.panics.get()), 2);
    served.answers();
}

#[test]
fn a_constructor_that_fails_at_waking_closes_the_objects_sockets_with_1011() {
    for (how, panics) in [("panic", 1), ("error", 0)] {
        let served = Served::start(2, |config| config.hibernation.idle = Some(Duration::ZERO));
        let name = format!("wakes-badly-{how}");
        let mut clients: Vec<_> = (0..3).map(|_| Client::connect(served.address)).collect();
        // All before the first event is over: one construction.
        let mut other = Client::upgraded(served.address, "/o/wakes-well");
        clients[0].send(upgrade_request(&format!("/o/{name}")));
        assert_eq!(clients[0].answer().status, 101);
        until_equal("hibernated", 1, || times(&name, "dropped"));
        clients[0].send(text("wake up"));
        assert_eq!(clients[0].frame().close_code(), 1011);
        clients[0].send(close(1011, ""));
        clients[0].end();
        // And anew: the third construction succeeds.
        clients[1].send(upgrade_request(&format!("/o/{name}")));
        assert_eq!(clients[1].answer().status, 101);
        assert_eq!(clients[1].ask("count"), "1 of 1");
        assert_eq!(other.ask("hello"), "hello");
        assert_eq!(served.count(|counters| counters.panics.get()), panics);
        assert!(!events(&name).iter().any(|event| event.starts_with("close")));
    }
}

#[test]
fn an_object_that_can_never_be_made_answers_500_again_and_again() {
    let served = Served::start(2, |_| {});
    let begun = Instant::now();
    for _ in 0..3 {
        let mut client = Client::connect(served.address);
        client.send(upgrade_request("/o/never-constructed"));
        assert_eq!(client.answer().status, 500);
        client.end();
    }
    assert!(begun.elapsed() < PATIENCE);
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
    assert_eq!(served.of("OBEDIENT", |counters| counters.sockets.get()), 0);
}

/// What the engine's metrics say of `name`, over all shards.
fn metric(served: &Served, name: &str) -> u64 {
    let mut client = Client::connect(served.running().metrics_address().unwrap());
    client.send(get("/metrics"));
    let answer = client.answer();
    let lines = answer.text().lines().filter(|line| line.starts_with(name));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

/// SEMANTICS 7: a handler that never yields is found by a watchdog; the other shards go on.
#[test]
fn a_handler_that_holds_up_its_shard_is_found_and_the_others_go_on() {
    let served = Served::start(2, |config| config.metrics.listen = Some("127.0.0.1:0".parse().unwrap()));
    let mut victim = Client::upgraded(served.address, "/o/stuck");
    let mut calm: Vec<_> =
        (0..16).map(|number| Client::upgraded(served.address, &format!("/o/calm-{number}"))).collect();
    assert_eq!(metric(&served, "dormouse_stuck_handlers_total"), 0);
    victim.send(text("block:8000"));
    until_equal("stuck handlers", 1, || metric(&served, "dormouse_stuck_handlers_total"));
    for client in &mut calm {
        client.send(text("hello"));
    }
    // Sixteen objects are not all on one shard.
    let answered =
        |calm: &mut [Client]| calm.iter_mut().filter_map(|client| client.has_answer().then_some(())).count();
    assert!(calm.iter_mut().any(|client| !client.is_silent(Duration::from_millis(100))));
    assert!(victim.is_silent(Duration::from_millis(1)), "it is still stuck");
    assert_eq!(victim.text(), "unblocked");
    assert_eq!(answered(&mut calm), 16);
    assert_eq!(metric(&served, "dormouse_stuck_handlers_total"), 1, "told once");
}
