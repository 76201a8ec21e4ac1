//! SEMANTICS 6 and 7: auto-responses, and the event timeout.

mod support;

use std::time::{Duration, SystemTime};

use dormouse::{ApiError, WebSocketRequestResponsePair};
use support::client::Client;
use support::fake::Fake;
use support::frames::{CONTINUATION, Heard, TEXT, closed, text};
use support::room::{At, fake, fake_with, hook, inside, log, script};

fn with_pair(request: &'static str, response: &'static str) -> (Fake, Client) {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    set_pair(&mut fake, &alice, request, response);
    log();
    (fake, alice)
}

fn set_pair(fake: &mut Fake, client: &Client, request: &'static str, response: &'static str) {
    inside(fake, client, move |ctx, _| {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new(request, response)).unwrap();
    });
}

/// SEMANTICS 6, match.
#[test]
fn the_whole_text_matches_byte_for_byte_fragments_joined_and_binary_never() {
    let (mut fake, alice) = with_pair("ping", "pong");
    alice.text("ping");
    alice.frame(TEXT, "pi").frame(CONTINUATION, "").frame(0x80 | CONTINUATION, "ng");
    alice.text("Ping").text("ping ").text("pin").text("").binary("ping");
    fake.settle();
    assert_eq!(alice.heard(), [text("pong"), text("pong")]);
    assert_eq!(log().len(), 5);
    assert_eq!(fake.counters().auto_responses.get(), 2);
}

#[test]
fn the_empty_string_is_a_valid_request_and_a_valid_response() {
    let (mut fake, alice) = with_pair("", "");
    alice.text("").text("x");
    fake.settle();
    assert_eq!(alice.heard(), [text("")]);
    assert_eq!(log(), ["alice says x"]);
}

/// SEMANTICS 6, limits.
#[test]
fn each_text_has_at_most_2048_utf_8_bytes_and_the_old_pair_stays() {
    let (mut fake, alice) = with_pair("old", "still");
    inside(&mut fake, &alice, |ctx, _| {
        let long = "ä".repeat(1_025);
        let too_long = [
            (WebSocketRequestResponsePair::new(&*long, ""), "Request"),
            (WebSocketRequestResponsePair::new("", &*long), "Response"),
        ];
        for (pair, part) in too_long {
            let error = ctx.set_web_socket_auto_response(pair).unwrap_err();
            assert_eq!(error, ApiError::AutoResponseTooLarge { part, bytes: 2_050 });
            let small = part.to_ascii_lowercase();
            assert_eq!(
                error.to_string(),
                format!("{part} cannot be larger than 2048 bytes. A {small} of size 2050 was provided.")
            );
        }
        assert_eq!(ctx.get_web_socket_auto_response().unwrap().request(), "old");
    });
    alice.text("old");
    fake.settle();
    assert_eq!(alice.heard(), [text("still")]);
    inside(&mut fake, &alice, |ctx, _| {
        let longest = "ä".repeat(1_024);
        let pair = WebSocketRequestResponsePair::new(&*longest, &*longest);
        ctx.set_web_socket_auto_response(pair).unwrap();
    });
    alice.text("ä".repeat(1_024));
    fake.settle();
    assert_eq!(alice.heard(), [text("ä".repeat(1_024))]);
}

/// SEMANTICS 6, scope.
#[test]
fn a_pair_serves_earlier_and_later_sockets_is_replaced_and_removed() {
    let mut fake = fake();
    let early = fake.open("/lobby?name=early");
    set_pair(&mut fake, &early, "ping", "pong");
    let late = fake.open("/lobby?name=late");
    let stranger = fake.open("/other?name=stranger");
    for client in [&early, &late, &stranger] {
        client.text("ping");
    }
    fake.settle();
    assert_eq!([early.texts(), late.texts(), stranger.texts()], [vec!["pong"], vec!["pong"], vec![]]);
    set_pair(&mut fake, &late, "ping", "PONG");
    early.text("ping");
    fake.settle();
    assert_eq!(early.heard(), [text("PONG")]);
    inside(&mut fake, &late, |ctx, _| {
        ctx.set_web_socket_auto_response(None).unwrap();
        assert_eq!(ctx.get_web_socket_auto_response(), None);
    });
    log();
    early.text("ping");
    fake.settle();
    assert_eq!(early.heard(), []);
    assert_eq!(log(), ["early says ping"]);
}

/// SEMANTICS 6, order: "in sequence with what was queued before it".
#[test]
fn an_auto_response_leaves_behind_what_was_queued_before_it() {
    let (mut fake, alice) = with_pair("ping", "pong");
    alice.stop_reading(0);
    alice.text("say queued");
    fake.settle();
    alice.text("ping").ping("x");
    fake.settle();
    alice.text("say later");
    fake.settle();
    alice.read_on();
    fake.settle();
    assert_eq!(alice.heard(), [text("queued"), text("pong"), Heard::Pong(b"x".into()), text("later")]);
}

/// In the reference an auto-response overtakes the answer to a message that came before it.
#[test]
fn race_an_auto_response_does_not_overtake_a_message() {
    for handler in ["say answer", "sleep 100; say answer"] {
        let (mut fake, alice) = with_pair("ping", "pong");
        for sleeps in [false, true] {
            if sleeps {
                fake.advance(20_000);
            }
            alice.text(handler).text("ping").text("say after").text("ping");
            fake.advance(200);
            assert_eq!(
                alice.heard(),
                [text("answer"), text("pong"), text("after"), text("pong")],
                "{handler} {sleeps}"
            );
        }
    }
}

#[test]
fn a_message_of_another_socket_does_not_hold_an_auto_response_up() {
    let (mut fake, alice) = with_pair("ping", "pong");
    let bob = fake.open("/lobby?name=bob");
    bob.text("sleep 60000");
    alice.text("ping");
    fake.settle();
    assert_eq!(alice.heard(), [text("pong")]);
}

/// The engine took the message when the pair was in force, so it owes the answer that was in force.
#[test]
fn a_pair_removed_or_replaced_while_a_request_waits_still_answers_it() {
    for replacement in [None, Some(WebSocketRequestResponsePair::new("ping", "PONG"))] {
        let (mut fake, alice) = with_pair("ping", "pong");
        hook(At::Message, move |ctx, _| Ok(ctx.set_web_socket_auto_response(replacement.clone())?));
        alice.text("change it").text("ping");
        fake.settle();
        assert_eq!(alice.heard(), [text("pong")]);
        assert_eq!(log(), ["alice says change it"]);
    }
}

/// SEMANTICS 6, cost: never a construction, also not for one that waited behind an event that failed.
#[test]
fn an_auto_response_behind_a_failed_event_constructs_nothing() {
    let (mut fake, alice) = with_pair("ping", "pong");
    let bob = fake.open("/lobby?name=bob");
    bob.text("sleep 10");
    fake.settle();
    alice.text("fail").text("ping");
    fake.advance(10);
    assert!(matches!(alice.heard()[..], [Heard::Close(1011, _)]), "nothing behind the Close");
    assert_eq!(fake.counters().namespaces[0].constructions.get(), 1);
}

/// SEMANTICS 6, timestamp.
#[test]
fn the_timestamp_is_that_of_the_last_match_and_outlives_the_pair() {
    let (mut fake, alice) = with_pair("ping", "pong");
    inside(&mut fake, &alice, |ctx, ws| {
        assert_eq!(ctx.get_web_socket_auto_response_timestamp(ws), None);
    });
    alice.text("ping");
    fake.settle();
    fake.advance(1_000);
    alice.text("ping");
    fake.settle();
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(fake.now.wall_ms);
    fake.advance(20_000);
    inside(&mut fake, &alice, move |ctx, ws| {
        ctx.set_web_socket_auto_response(None).unwrap();
        assert_eq!(ctx.get_web_socket_auto_response_timestamp(ws), Some(at));
    });
    let bob = fake.open("/lobby?name=bob");
    inside(&mut fake, &bob, |ctx, ws| {
        assert_eq!(ctx.get_web_socket_auto_response_timestamp(ws), None);
    });
}

#[test]
fn nothing_is_answered_behind_our_close() {
    let (mut fake, alice) = with_pair("ping", "pong");
    alice.text("close 1000 x");
    fake.settle();
    alice.text("ping");
    fake.settle();
    assert_eq!(alice.heard(), [closed(1000, "x")]);
}

/// SEMANTICS 7.
#[test]
fn an_event_timeout_is_set_read_unset_and_bounded() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |ctx, _| {
        assert_eq!(ctx.get_hibernatable_web_socket_event_timeout(), None);
        ctx.set_hibernatable_web_socket_event_timeout(604_800_000).unwrap();
        let error = ctx.set_hibernatable_web_socket_event_timeout(604_800_001).unwrap_err();
        assert_eq!(error, ApiError::EventTimeoutTooLong);
        assert_eq!(error.to_string(), "Event timeout should not exceed 604800000 ms.");
        assert_eq!(ctx.get_hibernatable_web_socket_event_timeout(), Some(604_800_000));
        ctx.set_hibernatable_web_socket_event_timeout(0).unwrap();
        assert_eq!(ctx.get_hibernatable_web_socket_event_timeout(), None);
        ctx.set_hibernatable_web_socket_event_timeout(5).unwrap();
        ctx.set_hibernatable_web_socket_event_timeout(None).unwrap();
        assert_eq!(ctx.get_hibernatable_web_socket_event_timeout(), None);
    });
}

fn with_timeout(ms: u64) -> (Fake, Client, Client) {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    inside(&mut fake, &alice, move |ctx, _| {
        ctx.set_hibernatable_web_socket_event_timeout(ms).unwrap();
    });
    log();
    (fake, alice, bob)
}

#[test]
fn a_message_handler_over_its_time_is_cancelled_and_the_object_stays_usable() {
    let (mut fake, alice, bob) = with_timeout(500);
    alice.text("say before; sleep 501; say never");
    fake.settle();
    bob.text("say waiting");
    fake.advance(499);
    assert_eq!((alice.heard(), bob.heard()), (vec![text("before")], vec![]));
    fake.advance(1);
    assert!(matches!(alice.heard()[..], [Heard::Close(1011, _)]));
    assert_eq!(bob.heard(), [text("waiting")]);
    fake.advance(1_000);
    assert_eq!(log()[1..4], ["drop", "new", "bob says say waiting"]);
    assert_eq!(fake.counters().event_timeouts.get(), 1);
    bob.text("sleep 499; say in time");
    fake.advance(499);
    assert_eq!(bob.heard(), [text("in time")], "the timeout is still in force and not early");
}

#[test]
fn close_and_error_handlers_have_the_same_time() {
    for (at, ends) in [(At::Close, &[0x88, 0x80, 0, 0, 0, 0][..]), (At::Error, &[0x80, 0x80][..])] {
        let (mut fake, alice, bob) = with_timeout(500);
        script(at, "sleep 100000");
        alice.bytes(ends);
        fake.advance(499);
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 2);
        fake.advance(1);
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 1);
        bob.text("say here");
        fake.settle();
        assert_eq!(bob.heard(), [text("here")]);
    }
}

#[test]
fn without_a_timeout_a_handler_may_take_as_long_as_it_likes() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    alice.text("sleep 1000000; say done");
    fake.advance(1_000_000);
    assert_eq!(alice.heard(), [text("done")]);
}
