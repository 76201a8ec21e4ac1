//! SEMANTICS 8, frames: control frames, strict framing, and how a socket ends; one close or error event for each.

mod support;

use support::fake::Fake;
use support::frames::{
    BINARY, CLOSE, CONTINUATION, Heard, PING, TEXT, client_close, client_frame, closed, text,
};
use support::room::{At, fake, fake_with, log, script};

const LOST: &str = "alice closes 1006 \"WebSocket disconnected without sending Close frame.\" false";

/// SEMANTICS 8, ping.
#[test]
fn each_ping_gets_its_pong_at_once_also_within_a_message_and_a_handler() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("sleep 1000");
    fake.settle();
    alice.frame(TEXT, "say ").ping("").ping("x".repeat(125)).pong("unasked");
    alice.frame(0x80 | CONTINUATION, "hi");
    fake.settle();
    assert_eq!(alice.heard(), [Heard::Pong(vec![]), Heard::Pong(vec![b'x'; 125])]);
    fake.advance(1_000);
    assert_eq!(alice.heard(), [text("hi")]);
}

#[test]
fn too_many_control_frames_in_a_second_pause_reading_until_the_next() {
    let mut fake = fake_with(|settings| settings.control_frames_per_second_max = 10);
    fake.receive_bytes_max = 20;
    let alice = fake.open("/lobby?name=alice");
    let bob = fake.open("/lobby?name=bob");
    for n in 0..25 {
        alice.ping([n]);
    }
    alice.text("say at last");
    bob.text("say not me");
    fake.settle();
    assert_eq!(bob.heard(), [text("not me")]);
    let first = alice.heard().len();
    assert!((11..=14).contains(&first), "{first}");
    fake.advance(5_000);
    let rest = alice.heard();
    assert_eq!(first + rest.len(), 26);
    assert_eq!(rest.last().unwrap(), &text("at last"));
    assert_eq!(fake.counters().control_pauses.get(), 2);
}

/// RFC 6455 5.5.3 lets pongs come unasked; RELIABILITY counts them with the pings.
#[test]
fn pongs_that_nobody_asked_for_are_ignored_and_counted() {
    let mut fake = fake_with(|settings| settings.control_frames_per_second_max = 10);
    fake.receive_bytes_max = 20;
    let alice = fake.open("/lobby?name=alice");
    for n in 0..25 {
        alice.pong([n]);
    }
    alice.text("say at last");
    fake.settle();
    assert_eq!(alice.heard(), []);
    fake.advance(5_000);
    assert_eq!(alice.heard(), [text("at last")]);
    assert_eq!(fake.counters().control_pauses.get(), 2);
    assert_eq!(fake.counters().protocol_errors.get(), 0);
}

/// A pong is owed to whoever reads it; to the others no more than fits their bound.
#[test]
fn pongs_for_a_client_that_does_not_read_are_bounded() {
    let mut fake = fake_with(|settings| {
        (settings.output_socket_bytes_max, settings.control_frames_per_second_max) = (1_000, 1_000);
    });
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(0);
    for _ in 0..100 {
        alice.ping("x".repeat(125));
        fake.settle();
    }
    alice.read_on();
    fake.settle();
    assert_eq!(
        alice.heard(),
        vec![Heard::Pong(vec![b'x'; 125]); 8],
        "8 frames of 127 bytes are just over 1,000"
    );
    alice.ping("and now");
    fake.settle();
    assert_eq!(alice.heard(), [Heard::Pong(b"and now".into())]);
}

/// Its answer, or the reason, waits in the mailbox of a busy object; the connection does not wait for ever.
#[test]
fn a_client_that_has_closed_or_failed_is_dropped_in_time_though_its_object_is_busy() {
    for shards in [1, 2] {
        let builder = support::room::rooms(|settings| settings.crowd_sockets = 0);
        let mut fake = Fake::new(builder, shards);
        let [alice, bob, carol] =
            ["alice", "bob", "carol"].map(|name| fake.open(&format!("/lobby?name={name}")));
        alice.text("sleep 20000");
        fake.settle();
        bob.close(1000, "bye");
        carol.bytes([0xFF, 0xFF]);
        fake.advance(4_900);
        assert!(!bob.is_closed() && !carol.is_closed());
        fake.advance(200);
        assert!(bob.is_closed() && carol.is_closed(), "{shards}");
        log();
        fake.advance(15_000);
        assert_eq!(log(), ["bob closes 1000 \"bye\" true", "carol errs 1002"], "and its object is told");
    }
}

/// SEMANTICS 8, keepalive.
#[test]
fn a_silent_client_is_pinged_after_25_s_and_lost_10_s_later() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    fake.advance(24_999);
    assert_eq!(alice.heard(), []);
    fake.advance(128);
    assert_eq!(alice.heard(), [Heard::Ping(vec![])]);
    fake.advance(9_870);
    assert!(!alice.is_over());
    log();
    fake.advance(200);
    assert!(alice.is_closed());
    assert_eq!(log()[..2], ["new", LOST]);
    assert_eq!(fake.counters().ping_timeouts.get(), 1);
}

#[test]
fn any_byte_counts_as_a_sign_of_life() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    let frame = client_frame(0x80 | TEXT, b"say slow");
    for byte in &frame {
        fake.advance(30_000);
        alice.bytes([*byte]);
    }
    fake.settle();
    let pings = vec![Heard::Ping(vec![]); frame.len()];
    assert_eq!(alice.heard(), [pings, vec![text("slow")]].concat());
}

#[test]
fn keepalive_can_be_configured_and_turned_off() {
    let mut fake = fake_with(|settings| (settings.ping_ms, settings.pong_ms) = (Some(1_000), 500));
    let alice = fake.open("/lobby?name=alice");
    fake.advance(1_128);
    assert_eq!(alice.heard(), [Heard::Ping(vec![])]);
    fake.advance(600);
    assert!(alice.is_closed());
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let bob = fake.open("/lobby");
    fake.advance(10_000_000);
    assert_eq!(bob.heard(), []);
}

/// Nothing leaves behind a Close, not even a ping of ours.
#[test]
fn a_socket_that_is_closing_is_not_pinged() {
    let mut fake = fake_with(|settings| settings.close_ms = 60_000);
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    fake.advance(20_000);
    alice.text("close 1000 x");
    script(At::Close, "sleep 50000");
    bob.close(1000, "");
    fake.advance(50_000);
    assert_eq!(alice.heard(), [closed(1000, "x")]);
    assert_eq!(bob.heard(), [closed(1000, ""), Heard::Fin]);
}

fn masked(first: u8, second: u8, rest: &[u8]) -> Vec<u8> {
    [&[first, second], rest].concat()
}

/// SEMANTICS 8, strict framing: the code, and that exactly one error event comes and no close event.
#[test]
fn each_breach_of_framing_gets_its_code_one_error_event_and_no_close_event() {
    let key = [0u8; 4];
    let cases: Vec<(&str, Vec<u8>, u16)> = vec![
        ("unmasked", masked(0x81, 1, b"x"), 1002),
        ("RSV1", masked(0xC1, 0x80, &key), 1002),
        ("RSV2", masked(0xA1, 0x80, &key), 1002),
        ("RSV3", masked(0x91, 0x80, &key), 1002),
        ("opcode 3", masked(0x83, 0x80, &key), 1002),
        ("opcode 15", masked(0x8F, 0x80, &key), 1002),
        ("fragmented ping", client_frame(PING, b""), 1002),
        ("long ping", client_frame(0x80 | PING, &[0; 126]), 1002),
        ("stray continuation", client_frame(0x80 | CONTINUATION, b"x"), 1002),
        ("missing continuation", [client_frame(TEXT, b"a"), client_frame(0x80 | TEXT, b"b")].concat(), 1002),
        ("top bit", masked(0x82, 0xFF, &[0x80, 0, 0, 0, 0, 0, 0, 0]), 1002),
        ("long form of 125", masked(0x82, 0xFE, &[0, 125]), 1002),
        ("longest form of 65535", masked(0x82, 0xFF, &[0, 0, 0, 0, 0, 0, 0xFF, 0xFF]), 1002),
        ("close of one byte", client_frame(0x80 | CLOSE, b"x"), 1002),
        ("close 1005", client_close(Some(1005), ""), 1002),
        ("close 1006", client_close(Some(1006), ""), 1002),
        ("close 999", client_close(Some(999), ""), 1002),
        ("close 5000", client_close(Some(5_000), ""), 1002),
        ("text", client_frame(0x80 | TEXT, &[b'a', 0xFF]), 1007),
        (
            "text over frames",
            [client_frame(TEXT, &[0xE2, 0x82]), client_frame(0x80 | CONTINUATION, &[0x28])].concat(),
            1007,
        ),
        ("cut text", client_frame(0x80 | TEXT, &[0xE2, 0x82]), 1007),
        ("reason", client_frame(0x80 | CLOSE, &[0x03, 0xE8, 0xFF]), 1007),
        ("too large", masked(0x82, 0xFF, &[0, 0, 0, 0, 2, 0, 0, 1]), 1009),
    ];
    for (name, bytes, code) in cases {
        for cut in [1, usize::MAX] {
            let mut fake = fake();
            let alice = fake.open("/lobby?name=alice");
            fake.receive_bytes_max = cut;
            log();
            alice.bytes(&bytes).text("say too late").close(1000, "");
            fake.settle();
            let heard = alice.heard();
            assert!(
                matches!(&heard[..], [Heard::Close(c, _), Heard::Fin] if *c == code),
                "{name}: {heard:?}"
            );
            assert_eq!(log(), [format!("alice errs {code}")], "{name}");
            alice.fin();
            fake.settle();
            assert!(alice.is_closed(), "{name}");
            fake.advance(60_000);
            assert_eq!(log(), ["drop"], "{name}");
            assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
            assert_eq!(fake.counters().protocol_errors.get(), 1);
        }
    }
}

#[test]
fn invalid_utf_8_is_answered_as_soon_as_the_byte_has_come() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    let frame = client_frame(0x80 | TEXT, &[&[b'a', 0xFF][..], &[b'x'; 100]].concat());
    alice.bytes(&frame[..8]);
    fake.settle();
    assert!(matches!(alice.heard()[..], [Heard::Close(1007, _), Heard::Fin]));
}

/// SEMANTICS 8, too large: by the sum of the fragments, at the header, before the bytes come.
#[test]
fn a_message_over_the_limit_is_1009_at_the_header_that_exceeds_it() {
    let mut fake = fake_with(|settings| settings.session.message_bytes_max = 100);
    let alice = fake.open("/lobby?name=alice");
    alice.binary([0; 100]).frame(BINARY, [0; 60]);
    fake.settle();
    assert!(!alice.is_over());
    alice.bytes(&client_frame(0x80 | CONTINUATION, &[0; 41])[..6]);
    fake.settle();
    assert!(matches!(alice.heard()[..], [Heard::Close(1009, _), Heard::Fin]));
    assert_eq!(log()[2..], ["alice sends 100 bytes", "alice errs 1009"]);
}

#[test]
fn the_budget_of_all_unfinished_messages_ends_the_one_that_exceeds_it_with_1009() {
    let mut fake = fake_with(|settings| settings.reassembly_bytes_max = 1_000);
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    bob.frame(TEXT, "x".repeat(600));
    fake.settle();
    alice.text("sleep 100");
    alice.frame(TEXT, "x".repeat(600));
    fake.settle();
    // While the object is busy its error event waits; nothing else of this socket may pass it.
    alice.frame(0x80 | CONTINUATION, "x").text("say too late");
    fake.advance(100);
    assert!(matches!(alice.heard()[..], [Heard::Close(1009, _), Heard::Fin]));
    bob.frame(0x80 | CONTINUATION, "x");
    fake.settle();
    assert_eq!(log()[3..], ["alice says sleep 100", "alice errs 1009", "bob says 601 bytes"]);
    bob.frame(TEXT, "x".repeat(600));
    fake.settle();
    bob.frame(0x80 | CONTINUATION, "");
    fake.settle();
    assert_eq!(log(), ["bob says 600 bytes"], "what alice held was given back");
}

#[test]
fn the_error_comes_behind_the_messages_before_it() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("say one").text("sleep 10; say two").bytes([0xFF, 0xFF]);
    fake.advance(10);
    let heard = alice.heard();
    assert_eq!(heard[..2], [text("one"), text("two")]);
    assert!(matches!(heard[2..], [Heard::Close(1002, _), Heard::Fin]));
    assert_eq!(log().last().unwrap(), "alice errs 1002");
}

#[test]
fn a_breach_behind_our_close_is_an_error_event_and_no_second_close_frame() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("close 4000 x");
    fake.settle();
    alice.bytes([0xFF, 0xFF]);
    fake.settle();
    assert_eq!(alice.heard(), [closed(4_000, "x"), Heard::Fin]);
    assert_eq!(log()[3..], ["alice errs 1002"]);
}

/// SEMANTICS 8, lost connection: never an error event.
#[test]
fn a_lost_connection_is_closed_with_1006_and_never_an_error() {
    type End = fn(&mut Fake, &support::client::Client);
    let ends: [End; 3] = [
        |_, alice| {
            alice.reset();
        },
        |_, alice| {
            alice.fin();
        },
        |_, alice| {
            alice.frame(TEXT, "half a mess").fin();
        },
    ];
    for end in ends {
        let mut fake = fake();
        let alice = fake.open("/lobby?name=alice");
        alice.text("hello");
        fake.settle();
        log();
        end(&mut fake, &alice);
        fake.advance(60_000);
        assert_eq!(log(), [LOST, "drop"]);
        assert!(alice.is_closed());
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
    }
}

#[test]
fn a_loss_that_only_a_send_notices_is_told_too() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    log();
    alice.peer().borrow_mut().client_reset = true;
    bob.text("shout hello");
    fake.settle();
    assert_eq!(log().iter().filter(|line| *line == LOST).count(), 1);
    assert_eq!(bob.heard(), [text("hello")]);
}

/// The client is gone before the handler of its own Close has run; the reference forgets the event.
#[test]
fn race_a_close_is_delivered_though_the_client_is_gone() {
    for vanishes_by_reset in [false, true] {
        let mut fake = fake();
        let alice = fake.open("/lobby?name=alice");
        alice.text("sleep 100");
        fake.settle();
        alice.close(4_000, "off");
        fake.settle();
        if vanishes_by_reset {
            alice.reset();
        } else {
            alice.fin();
        }
        fake.settle();
        log();
        fake.advance(100);
        assert_eq!(log(), ["alice closes 4000 \"off\" true"]);
        assert!(alice.is_closed());
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
    }
}

#[test]
fn a_client_that_waits_for_nothing_after_its_close_is_still_answered() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("say one").close(1000, "").fin();
    fake.settle();
    assert_eq!(alice.heard(), [text("one"), closed(1000, ""), Heard::Fin]);
    assert_eq!(log().last().unwrap(), "alice closes 1000 \"\" true");
}

/// A half-closed client still reads: what was queued for it must not be lost with its FIN.
#[test]
fn output_that_the_kernel_has_not_taken_outlives_the_clients_fin() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(5);
    alice.text("say a longer text than fits").close(1000, "");
    fake.settle();
    alice.fin();
    fake.settle();
    alice.read_on();
    fake.settle();
    assert_eq!(alice.heard(), [text("a longer text than fits"), closed(1000, ""), Heard::Fin]);
}
