//! SEMANTICS 1, failures: a handler harms nobody but its instance and its socket; calls between objects end.

mod support;

use dormouse::ApiError;
use support::fake::Fake;
use support::frames::{Heard, text};
use support::http::{get, post, upgrade};
use support::room::{At, fake, fake_with, hook, log, on_fetch, room_on, rooms, script, unhook};

fn is_1011(heard: &[Heard]) -> bool {
    matches!(heard, [Heard::Close(1011, reason)] if !reason.contains("script"))
}

/// SEMANTICS 1, handler fails or panics.
#[test]
fn a_message_handler_that_fails_costs_its_instance_and_its_socket_only() {
    for failure in ["fail", "panic", "sleep 5; fail", "sleep 5; panic", "bomb; fail", "bomb; panic"] {
        let mut fake = fake();
        let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
        let other = fake.open("/other?name=carol");
        log();
        alice.text(format!("say before; {failure}"));
        fake.advance(5);
        let heard = alice.heard();
        assert_eq!(heard[0], text("before"), "what was sent earlier is delivered");
        assert!(is_1011(&heard[1..]), "{failure}: {heard:?}");
        assert_eq!(log()[1..], ["drop"]);
        bob.text("say still here");
        other.text("say me too");
        fake.settle();
        assert_eq!(bob.heard(), [text("still here")]);
        assert_eq!(other.heard(), [text("me too")]);
        assert_eq!(log(), ["new", "bob says say still here", "carol says say me too"]);
        alice.close(1011, "");
        fake.settle();
        assert_eq!(log(), ["alice closes 1011 \"\" true"]);
        assert!(alice.is_closed());
        assert_eq!(fake.counters().namespaces[0].failures.get(), 1);
    }
}

/// An error that cannot say what it is, and whose end is a panic.
#[derive(Debug)]
struct Mute;

impl std::fmt::Display for Mute {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

impl std::error::Error for Mute {}

impl Drop for Mute {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a scripted panic in an error's Drop");
        }
    }
}

/// RELIABILITY: a panic is caught at each call of the application's code, and its errors are that too.
#[test]
fn an_error_that_panics_when_it_is_told_or_dropped_harms_nobody_else() {
    let told = tracing_subscriber::fmt().with_writer(std::io::sink).finish();
    tracing::subscriber::with_default(told, || {
        for shards in [1, 2] {
            let mut fake = Fake::new(rooms(|settings| settings.ping_ms = None), shards);
            let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
            hook(At::Message, |_, _| Err(Box::new(Mute)));
            alice.text("fail in your way");
            fake.settle();
            assert!(is_1011(&alice.heard()));
            unhook(At::Message);
            bob.text("say still here");
            fake.settle();
            assert_eq!(bob.heard(), [text("still here")]);
            for at in [At::Fetch, At::New] {
                hook(at, |_, _| Err(Box::new(Mute)));
                for number in 0..4 {
                    let reply = fake.ask(&post(&format!("/new-{at:?}-{number}"), ""));
                    assert_eq!(
                        (reply.status, reply.body.as_str()),
                        (500, "Internal Server Error\n"),
                        "{at:?}"
                    );
                    // Of another shard the error may come when nobody waits for it any more.
                    let late = fake.connect();
                    late.bytes(post(&format!("/late-{at:?}-{number}"), ""));
                    (0..2).for_each(|_| fake.turn(0));
                    fake.move_clock(31_000);
                    fake.turn(0);
                    fake.settle();
                    assert!([500, 504].contains(&late.reply().status));
                }
                unhook(at);
            }
            bob.text("say and now");
            fake.settle();
            assert_eq!(bob.heard(), [text("and now")]);
        }
    });
}

#[test]
fn what_waits_behind_a_failed_event_goes_to_the_next_instance_in_order() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    alice.text("sleep 20; fail");
    fake.settle();
    for n in 0..5 {
        bob.text(format!("say {n}"));
    }
    fake.advance(20);
    assert_eq!(bob.texts(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_close_handler_that_fails_still_ends_its_socket() {
    for failure in ["fail", "panic"] {
        let mut fake = fake();
        let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
        script(At::Close, failure);
        alice.close(4_000, "bye");
        fake.settle();
        assert!(matches!(alice.heard()[..], [Heard::Close(..), Heard::Fin]));
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 1);
        script(At::Close, "");
        bob.text("say here");
        fake.settle();
        assert_eq!(bob.heard(), [text("here")]);
        assert_eq!(log().iter().filter(|line| line.contains("closes")).count(), 1);
    }
}

#[test]
fn an_error_handler_that_fails_still_ends_its_socket() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    script(At::Error, "panic");
    alice.bytes([0x81, 0x01, b'x']);
    fake.settle();
    assert!(matches!(alice.heard()[..], [Heard::Close(1002, _), Heard::Fin]));
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
    assert_eq!(log(), ["new", "fetch /lobby", "alice errs 1002", "drop"]);
}

#[test]
fn a_tick_that_fails_drops_the_instance_and_no_socket() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    script(At::Tick, "fail");
    alice.text("tick 100");
    fake.advance(100);
    assert_eq!(log().last().unwrap(), "drop");
    assert_eq!(alice.heard(), []);
    alice.text("say here");
    fake.settle();
    assert_eq!(alice.heard(), [text("here")]);
}

#[test]
fn a_future_left_running_that_panics_ends_only_itself() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    support::room::inside(&mut fake, &alice, |ctx, _| ctx.wait_until(async { panic!("a scripted panic") }));
    alice.text("say here");
    fake.settle();
    assert_eq!(alice.heard(), [text("here")]);
    assert_eq!(log(), ["new", "fetch /lobby", "alice says say here"]);
}

#[test]
fn an_instance_that_panics_in_drop_hibernates_and_wakes_like_others() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("bomb");
    fake.advance(10_000);
    alice.text("say here");
    fake.settle();
    assert_eq!(alice.heard(), [text("here")]);
    assert_eq!(fake.counters().panics.get(), 1);
}

/// SEMANTICS 1: repeated failures back off.
#[test]
fn repeated_failures_back_off_and_a_success_forgives() {
    // Nobody answers a Close here, and a success of whatever kind forgives.
    let mut fake = fake_with(|settings| (settings.ping_ms, settings.close_ms) = (None, 1_000_000));
    let clients: Vec<_> = (0..12).map(|n| fake.open(&format!("/lobby?name={n}"))).collect();
    let keeper = fake.open("/lobby?name=keeper");
    log();
    // The first failure is free, the second makes the third instance wait 100 ms, then 200, ... up to 10 s.
    let waits = [0, 0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000];
    for (n, wait) in waits.into_iter().enumerate() {
        clients[n].text("fail");
        if wait > 0 {
            fake.advance(wait - 1);
            assert!(!clients[n].has_reply(), "failure {n} came before its time");
            fake.advance(1);
        } else {
            fake.settle();
        }
        assert!(is_1011(&clients[n].heard()[..1]), "failure {n} after {wait} ms");
    }
    keeper.text("say fine");
    fake.advance(10_000);
    assert_eq!(keeper.heard(), [text("fine")]);
    clients[11].text("fail");
    keeper.text("say at once");
    fake.settle();
    assert_eq!(keeper.heard(), [text("at once")]);
}

/// What an object leaves behind that has no sockets: the memory of its failures.
#[test]
fn failures_back_off_also_where_nothing_is_left_of_the_object() {
    for shards in [1, 2] {
        let mut fake = Fake::new(rooms(|_| {}), shards);
        script(At::New, "fail");
        let failing = room_on(&mut fake, shards - 1);
        let waits = [0, 0, 100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000];
        for (n, wait) in waits.into_iter().enumerate() {
            let client = fake.connect();
            client.bytes(get(&failing));
            if wait > 0 {
                fake.advance(wait - 1);
                assert!(!client.has_reply(), "the failure behind {wait} ms came before its time");
                fake.advance(1);
            } else {
                fake.settle();
            }
            assert_eq!(client.reply().status, 500, "after {wait} ms");
            assert_eq!(fake.ask(&get(&format!("/another{n}"))).status, 500, "others are none the wiser");
        }
        // A success forgives, and so does a minute in which nobody asks.
        let client = fake.connect();
        client.bytes(get(&failing));
        script(At::New, "");
        fake.advance(10_000);
        assert_eq!(client.reply().status, 200);
        script(At::New, "fail");
        fake.advance(11_000);
        assert_eq!([(); 2].map(|()| fake.ask(&get(&failing)).status), [500, 500]);
        fake.advance(60_101);
        assert_eq!([(); 2].map(|()| fake.ask(&get(&failing)).status), [500, 500]);
        script(At::New, "");
    }
}

/// SEMANTICS 1, an error in `fetch`.
#[test]
fn an_error_in_fetch_is_a_500_without_inner_detail_and_the_instance_stays() {
    let mut fake = fake();
    let reply = fake.ask(&post("/lobby", "fail"));
    assert_eq!((reply.status, reply.body.as_str()), (500, "Internal Server Error\n"));
    assert_eq!(log(), ["new", "fetch /lobby"]);
    assert_eq!(fake.ask(&post("/lobby", "")).status, 200);
    assert_eq!(log(), ["fetch /lobby"]);
}

#[test]
fn a_panic_in_fetch_is_a_500_and_the_sockets_stay() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    for failure in ["panic", "sleep 5; panic"] {
        let bob = fake.connect();
        bob.bytes(post("/lobby", failure));
        fake.advance(5);
        let reply = bob.reply();
        assert_eq!((reply.status, reply.body.as_str()), (500, "Internal Server Error\n"));
        alice.text("say here");
        fake.advance(200);
        assert_eq!(alice.heard(), [text("here")]);
    }
}

#[test]
fn an_upgrade_whose_fetch_fails_leaves_no_socket_behind() {
    for failure in ["fail", "panic"] {
        let mut fake = fake();
        script(At::Fetch, failure);
        let reply = fake.ask(&upgrade("/lobby?name=alice", ""));
        assert_eq!(reply.status, 500);
        fake.settle();
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 0, "{failure}");
        let log = log();
        assert!(log.iter().any(|line| line.starts_with("alice closes 1006")), "{log:?}");
    }
}

#[test]
fn a_worker_that_fails_or_panics_is_a_500_without_inner_detail() {
    let mut fake = fake();
    for target in ["/worker/fail", "/worker/panic"] {
        let reply = fake.ask(&get(target));
        assert_eq!((reply.status, reply.body.as_str()), (500, "Internal Server Error\n"));
    }
}

#[test]
fn a_request_that_nobody_answers_is_a_504_in_time() {
    let mut fake = fake();
    let alice = fake.connect();
    alice.bytes(get("/worker/hang"));
    let bob = fake.connect();
    bob.bytes(post("/lobby", "sleep 100000"));
    fake.advance(29_999);
    assert!(!alice.has_reply() && !bob.has_reply());
    // A connection's deadline is seen to within one bucket of the wheel.
    fake.advance(129);
    assert_eq!([alice.reply().status, bob.reply().status], [504, 504]);
    assert_eq!(fake.ask(&post("/lobby", "")).status, 200, "the object is usable again");
}

#[test]
fn the_caller_of_a_stub_gets_the_error_itself() {
    for shards in [1, 2] {
        let mut fake = Fake::new(rooms(|_| {}), shards);
        let (here, there) = ("/caller".to_owned(), room_on(&mut fake, shards - 1));
        let reply = fake.ask(&post(&here, &format!("call {there} fail")));
        assert_eq!(reply.status, 200);
        assert!(log().contains(&format!("{there} fails: a scripted failure")));
        fake.ask(&post(&here, &format!("call {there} panic")));
        let log = log();
        assert!(log.iter().any(|line| line.contains("did not answer: it panicked")), "{shards}: {log:?}");
    }
}

#[test]
fn an_error_of_the_api_keeps_its_type_on_the_way_to_another_shard() {
    let mut fake = Fake::new(rooms(|_| {}), 2);
    let there = room_on(&mut fake, 1);
    on_fetch(|_, _| Err(ApiError::TooManyWebSockets { limit: 1 }.into()));
    assert_eq!(fake.ask(&get(&there)).status, 503);
}

/// SEMANTICS 1, call cycles.
#[test]
fn a_call_that_comes_back_to_its_caller_is_an_error_that_names_the_cycle() {
    for shards in [1, 2] {
        let mut fake = Fake::new(rooms(|_| {}), shards);
        let [a, b] = [0, shards - 1].map(|shard| room_on(&mut fake, shard));
        let b = if a == b { format!("{b}b") } else { b };
        let reply = fake.ask(&post(&a, &format!("call {b} call {a}")));
        assert_eq!(reply.status, 200);
        let log = log();
        let error = log.iter().find(|line| line.starts_with(&format!("{a} fails"))).expect("it failed");
        assert!(error.contains(&format!("ROOM \"{a}\" -> ROOM \"{b}\" -> ROOM \"{a}\"")), "{error}");
        assert!(log.contains(&format!("{b} answers 200")));
    }
}

#[test]
fn an_object_that_calls_itself_is_told_so() {
    let mut fake = fake();
    fake.ask(&post("/a", "call /a"));
    assert!(log().iter().any(|line| line.contains("ROOM \"/a\" -> ROOM \"/a\"")));
}

#[test]
fn a_cycle_that_begins_in_a_message_handler_is_found_too() {
    let mut fake = fake();
    let alice = fake.open("/a?name=alice");
    alice.text("call /b call /c, call /a");
    fake.settle();
    let log = log();
    assert!(!log.iter().any(|line| line == "/b answers 504"), "{log:?}");
    alice.text("call /b call /a");
    fake.settle();
    let log = self::log();
    assert!(log.iter().any(|line| line.starts_with("/a fails") && line.contains("->")), "{log:?}");
    assert_eq!(alice.heard(), []);
}

#[test]
fn a_call_that_is_not_answered_ends_with_the_deadline() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/a?name=alice");
    alice.text("call /b sleep 100000");
    fake.advance(29_999);
    assert!(!log().iter().any(|line| line.starts_with("/b fails")));
    fake.advance(1);
    assert!(log().iter().any(|line| line == "/b fails: the object did not answer within timeouts.fetch"));
    alice.text("say here");
    fake.settle();
    assert_eq!(alice.heard(), [text("here")]);
}

#[test]
fn an_object_with_too_many_waiting_events_refuses_calls_with_503() {
    let mut fake = fake_with(|settings| settings.mailbox_events_max = 3);
    let clients: Vec<_> = (0..5).map(|_| fake.connect()).collect();
    for client in &clients {
        client.bytes(post("/lobby", "sleep 10"));
    }
    fake.advance(40);
    let statuses: Vec<u16> = clients.iter().map(|client| client.reply().status).collect();
    assert_eq!(statuses, [200, 200, 200, 503, 503]);
}
