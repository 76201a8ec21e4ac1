//! Hostile frames on real sockets (SEMANTICS 8, RFC 6455): each rule gets its close code, as soon as it is broken; the
//! object is told; then TCP ends.

mod engine;

use std::thread;
use std::time::Duration;

use engine::client::{BINARY, CLOSE, Client, PING, PONG, TEXT, close, frame, text};
use engine::objects::events;
use engine::{Served, until, until_equal};

const FIN: u8 = 0x80;

/// The head of a masked frame with a length in 64 bits.
fn head_of_64_bits(first: u8, length: u64) -> Vec<u8> {
    [&[first, FIN | 127][..], &length.to_be_bytes(), &[0; 4]].concat()
}

fn unmasked(payload: &[u8]) -> Vec<u8> {
    [&[FIN | TEXT, payload.len() as u8][..], payload].concat()
}

#[test]
fn each_broken_rule_gets_its_close_code_and_the_object_is_told() {
    let served = Served::start(2, |config| config.limits.frames_per_message = 100);
    let over = vec![b'x'; 126];
    let cases: Vec<(&str, u16, Vec<u8>)> = vec![
        ("unmasked", 1002, unmasked(b"hi")),
        ("unmasked-empty", 1002, unmasked(b"")),
        ("rsv1", 1002, frame(FIN | 0x40 | TEXT, b"hi")),
        ("rsv2", 1002, frame(FIN | 0x20 | BINARY, b"hi")),
        ("rsv3", 1002, frame(FIN | 0x10 | PING, b"hi")),
        ("opcode-3", 1002, frame(FIN | 3, b"hi")),
        ("opcode-7", 1002, frame(FIN | 7, b"")),
        ("opcode-11", 1002, frame(FIN | 11, b"")),
        ("opcode-15", 1002, frame(FIN | 15, b"hi")),
        ("fragmented-ping", 1002, frame(PING, b"hi")),
        ("fragmented-close", 1002, frame(CLOSE, b"")),
        ("long-ping", 1002, frame(FIN | PING, &over)),
        ("long-pong", 1002, frame(FIN | PONG, &over)),
        ("long-close", 1002, frame(FIN | CLOSE, &over)),
        ("stray-continuation", 1002, frame(FIN, b"hi")),
        ("stray-fragment", 1002, frame(0, b"hi")),
        ("missing-continuation", 1002, [frame(TEXT, b"hi"), frame(FIN | TEXT, b"hi")].concat()),
        ("top-bit", 1002, head_of_64_bits(FIN | BINARY, 1 << 63)),
        ("not-shortest-64", 1002, head_of_64_bits(FIN | BINARY, 65_535)),
        ("not-shortest-16", 1002, [FIN | BINARY, FIN | 126, 0, 125, 0, 0, 0, 0].to_vec()),
        ("close-of-one-byte", 1002, frame(FIN | CLOSE, b"x")),
        ("close-0", 1002, close(0, "")),
        ("close-999", 1002, close(999, "")),
        ("close-1004", 1002, close(1004, "")),
        ("close-1005", 1002, close(1005, "")),
        ("close-1006", 1002, close(1006, "")),
        ("close-1015", 1002, close(1015, "")),
        ("close-2999", 1002, close(2999, "")),
        ("close-5000", 1002, close(5000, "")),
        ("reason-not-utf8", 1007, frame(FIN | CLOSE, b"\x03\xe8\xff")),
        ("text-not-utf8", 1007, frame(FIN | TEXT, b"ab\xc0\xaf")),
        ("surrogate", 1007, frame(FIN | TEXT, b"\xed\xa0\x80")),
        ("cut-character", 1007, frame(FIN | TEXT, b"\xe2\x82")),
        ("cut-over-fragments", 1007, [frame(TEXT, b"\xe2\x82"), frame(FIN, b"x")].concat()),
        ("too-large", 1009, head_of_64_bits(FIN | BINARY, (32 << 20) + 1)),
        ("too-large-text", 1009, head_of_64_bits(FIN | TEXT, u64::MAX >> 1)),
        ("too-large-in-sum", 1009, [frame(BINARY, b"hi"), head_of_64_bits(0, (32 << 20) - 1)].concat()),
        ("too-many-frames", 1008, [frame(TEXT, b""), frame(0, b"").repeat(100)].concat()),
    ];
    let count = cases.len() as u64;
    let mut clients = Vec::new();
    for (name, code, bytes) in cases {
        let name = format!("hostile-{name}");
        let mut client = Client::upgraded(served.address, &format!("/o/{name}"));
        // What came before it is answered, what comes behind it is not heard.
        client.send([text("before"), bytes, text("behind")].concat());
        clients.push((name, code, client));
    }
    for (name, code, mut client) in clients {
        assert_eq!(client.text(), "before", "{name}");
        let answer = client.frame();
        assert_eq!(answer.close_code(), code, "{name}: {answer:?}");
        let reason = std::str::from_utf8(&answer.payload[2..]).unwrap().to_owned();
        assert!(!reason.is_empty(), "{name} gets no reason");
        client.end();
        until_equal(&name, 1, || {
            events(&name).iter().filter(|event| event.starts_with("error")).count() as u64
        });
        assert_eq!(events(&name), ["constructed".to_owned(), format!("error {reason}")]);
    }
    assert_eq!(served.count(|counters| counters.protocol_errors.get()), count);
    until_equal("sockets", 0, || served.of("OBEDIENT", |counters| counters.sockets.get()));
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
}

#[test]
fn text_that_is_no_utf8_fails_in_an_unfinished_frame() {
    let served = Served::start(1, |_| {});
    let mut client = Client::upgraded(served.address, "/o/fails-fast");
    // The head announces 1,000 bytes, of which three come.
    client.send([FIN | TEXT, FIN | 126, 3, 232, 0, 0, 0, 0, b'a', b'b', 0xff]);
    assert_eq!(client.frame().close_code(), 1007);
    client.end();

    let mut client = Client::upgraded(served.address, "/o/fails-fast-in-fragments");
    client.send(frame(TEXT, "κό".as_bytes()));
    client.send(&frame(0, b"\xf4\x90\x80\x80")[..8]);
    assert_eq!(client.frame().close_code(), 1007);
    client.end();
}

#[test]
fn a_client_that_answers_a_protocol_error_or_hangs_up_is_an_error_all_the_same() {
    let served = Served::start(1, |_| {});
    let mut answers = Client::upgraded(served.address, "/o/answers-error");
    answers.send(frame(FIN | 3, b""));
    assert_eq!(answers.frame().close_code(), 1002);
    answers.try_send(close(1002, ""));
    answers.end();
    let mut hangs_up = Client::upgraded(served.address, "/o/hangs-up-after-error");
    hangs_up.send(frame(FIN | 3, b""));
    drop(hangs_up);
    for name in ["answers-error", "hangs-up-after-error"] {
        until("the error", || events(name).len() >= 2);
        assert!(events(name)[1].starts_with("error"), "{:?}", events(name));
    }
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
    assert_eq!((events("answers-error").len(), events("hangs-up-after-error").len()), (2, 2));
}

#[test]
fn a_client_that_broke_the_protocol_and_neither_reads_nor_hangs_up_is_let_go() {
    let served = Served::start(1, |config| config.timeouts.close = Duration::from_millis(200));
    let mut client = Client::upgraded(served.address, "/o/lingers-after-error");
    client.send(frame(FIN | 3, b""));
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
    assert_eq!(client.frame().close_code(), 1002);
}

#[test]
fn closing_from_the_client() {
    let served = Served::start(2, |_| {});
    for (name, bytes, code, event) in [
        ("close-plain", frame(FIN | CLOSE, b""), 1005, "close 1005 true"),
        ("close-1000", close(1000, "bye"), 1000, "close 1000 true"),
        ("close-3000", close(3000, ""), 3000, "close 3000 true"),
        ("close-4999", close(4999, "x"), 4999, "close 4999 true"),
        ("close-1001", close(1001, ""), 1001, "close 1001 true"),
    ] {
        let mut client = Client::upgraded(served.address, &format!("/o/{name}"));
        client.send([text("last words"), bytes, text("not heard")].concat());
        assert_eq!(client.text(), "last words");
        assert_eq!(client.frame().close_code(), code);
        client.end();
        until(name, || events(name).iter().any(|found| found == event));
    }
    // Gone without a word, and with half a frame.
    drop(Client::upgraded(served.address, "/o/close-none"));
    let mut half = Client::upgraded(served.address, "/o/close-half");
    half.send(&text("half of it")[..5]);
    half.finish_sending();
    half.end();
    for name in ["close-none", "close-half"] {
        until(name, || events(name).iter().any(|found| found == "close 1006 false"));
    }
    until_equal("sockets", 0, || served.of("OBEDIENT", |counters| counters.sockets.get()));
}

#[test]
fn closing_from_the_object() {
    let served = Served::start(2, |config| config.timeouts.close = Duration::from_millis(300));
    let mut answers = Client::upgraded(served.address, "/o/object-closes");
    answers.send([text("one"), text("close:4001"), text("two")].concat());
    assert_eq!(answers.text(), "one");
    assert_eq!(answers.frame().close_code(), 4001);
    answers.send(close(4001, ""));
    answers.end();
    until("the close event", || events("object-closes").contains(&"close 4001 true".to_owned()));

    let mut does_not_answer = Client::upgraded(served.address, "/o/object-closes-unanswered");
    does_not_answer.send(text("close:4002"));
    assert_eq!(does_not_answer.frame().close_code(), 4002);
    assert!(does_not_answer.ends());
    let name = "object-closes-unanswered";
    until("the close event", || events(name).contains(&"close 1006 false".to_owned()));
    assert_eq!(served.count(|counters| counters.close_timeouts.get()), 1);
}

#[test]
fn each_ping_is_answered_without_waking_and_a_flood_of_them_pauses_only_its_sender() {
    let served = Served::start(1, |config| {
        config.hibernation.idle = Some(Duration::ZERO);
        config.limits.control_frames_per_second = 50;
    });
    let mut client = Client::upgraded(served.address, "/o/pings");
    for number in 0..20u8 {
        client.send(frame(FIN | PING, &vec![number; usize::from(number) * 6]));
        let pong = client.frame();
        assert_eq!((pong.opcode, pong.payload), (PONG, vec![number; usize::from(number) * 6]));
    }
    // Within a message, and unasked.
    client.send(
        [frame(TEXT, b"a"), frame(FIN | PING, b"!"), frame(FIN | PONG, b"?"), frame(FIN, b"b")].concat(),
    );
    assert_eq!(client.frame().payload, b"!");
    assert_eq!(client.text(), "ab");
    assert_eq!(
        served.of("OBEDIENT", |counters| counters.constructions.get()),
        2,
        "the fetch and the message"
    );

    let mut other = Client::upgraded(served.address, "/o/does-not-ping");
    let flood = frame(FIN | PING, b"x").repeat(500);
    client.send(&flood);
    for _ in 0..50 {
        assert_eq!(other.ask("hello"), "hello");
    }
    for _ in 0..500 {
        assert_eq!(client.frame().opcode, PONG);
    }
    assert!(served.count(|counters| counters.control_pauses.get()) > 0);
    assert_eq!(client.ask("still here"), "still here");
}

#[test]
fn a_silent_client_is_pinged_and_a_dead_one_is_lost() {
    let served = Served::start(1, |config| {
        config.timeouts.ping = Some(Duration::from_millis(150));
        config.timeouts.pong = Duration::from_millis(400);
    });
    let mut alive = Client::upgraded(served.address, "/o/silent-but-alive");
    let mut dead = Client::upgraded(served.address, "/o/silent-and-dead");
    for _ in 0..6 {
        let ping = alive.frame();
        assert_eq!(ping.opcode, PING);
        alive.send(frame(FIN | PONG, &ping.payload));
    }
    assert_eq!(dead.frame().opcode, PING);
    assert!(dead.ends());
    assert_eq!(served.count(|counters| counters.ping_timeouts.get()), 1);
    until("the loss", || events("silent-and-dead").contains(&"close 1006 false".to_owned()));
    thread::sleep(Duration::from_millis(1));
    assert_eq!(events("silent-but-alive"), ["constructed"]);
}
