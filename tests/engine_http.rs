//! Requests on real sockets (SEMANTICS 8): what is refused and how, what a request may look like on its way, and what
//! may stand behind it.

mod engine;

use std::io::Write;
use std::thread;
use std::time::Duration;

use engine::client::{CLOSE, Client, close, get, text, upgrade_request};
use engine::{Served, until_equal};

/// An upgrade with one line replaced, or without it.
fn altered(line: &str, by: &str) -> String {
    let request = upgrade_request("/o/altered");
    let lines = request.split_inclusive("\r\n");
    let altered: String = lines.map(|old| if old.starts_with(line) { by } else { old }).collect();
    assert_ne!(altered, request, "{line} stands in the request");
    altered
}

#[test]
fn each_bad_request_gets_its_status_and_nothing_more() {
    let served = Served::start(1, |_| {});
    let headers = |count: usize| "X: y\r\n".repeat(count);
    let get_with = |fields: &str| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
    let cases = [
        (400, "GET\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into()),
        (400, "GET / HTTP/1.1\nHost: a\n\n".into()),
        (400, get_with("A : b\r\n")),
        (400, get_with("A: b\r\n c\r\n")),
        (400, get_with("A: b\0c\r\n")),
        (400, get_with("A: b\rc\r\n")),
        (400, get_with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n")),
        (400, get_with("Content-Length: x\r\n")),
        (400, get_with("Transfer-Encoding: gzip, chunked\r\n")),
        (501, get_with("Transfer-Encoding: gzip\r\n")),
        (400, altered("Sec-WebSocket-Key", "")),
        (400, altered("Sec-WebSocket-Key", "Sec-WebSocket-Key: short\r\n")),
        (400, altered("Sec-WebSocket-Key", &"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n".repeat(2))),
        (400, altered("Connection", "Connection: keep-alive\r\n")),
        (400, altered("Connection", "Connection: Upgrade\r\nContent-Length: 5\r\n")),
        (400, altered("Connection", "Connection: Upgrade\r\nTransfer-Encoding: chunked\r\n")),
        (405, altered("GET", "PUT /o/altered-by-put HTTP/1.1\r\n")),
        (505, altered("GET", "GET /o/altered HTTP/1.0\r\n")),
        (505, "GET / HTTP/2.0\r\nHost: h\r\n\r\n".into()),
        (426, altered("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8\r\n")),
        (426, altered("Sec-WebSocket-Version", "")),
        (414, format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8 * 1024))),
        (431, get_with(&headers(100))),
        (431, get_with(&format!("X: {}\r\n", "y".repeat(16 * 1024)))),
        (413, get_with("Content-Length: 1048577\r\n")),
    ];
    let count = cases.len() as u64;
    for (status, request) in cases {
        let mut client = Client::connect(served.address);
        client.send(&request);
        let answer = client.answer();
        assert_eq!(answer.status, status, "{request:.200?}");
        if status == 426 {
            assert_eq!(answer.header("Sec-WebSocket-Version"), Some("13"));
        }
        if status == 405 {
            assert_eq!(answer.header("Allow"), Some("GET"));
        }
        // RFC 9110 7.8: who sends Upgrade names it in Connection.
        let expected = if status == 426 { "close, upgrade" } else { "close" };
        assert_eq!(answer.header("Connection"), Some(expected), "{request:.200?}");
        client.end();
    }
    assert_eq!(served.count(|counters| counters.requests_refused.get()), count);
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
}

#[test]
fn a_head_may_be_cut_anywhere() {
    let served = Served::start(1, |_| {});
    let request = upgrade_request("/o/cut-anywhere");
    for cut in 1..request.len() {
        let mut client = Client::connect(served.address);
        client.send(&request[..cut]);
        thread::sleep(Duration::from_micros(500));
        client.send(&request[cut..]);
        assert_eq!(client.answer().status, 101, "cut at {cut}");
        assert_eq!(client.ask("hello"), "hello", "cut at {cut}");
    }
    let mut client = Client::connect(served.address);
    for byte in request.as_bytes().chunks(1) {
        client.send(byte);
    }
    assert_eq!(client.answer().status, 101);
    assert_eq!(client.ask("hello"), "hello");
}

#[test]
fn frames_in_the_segment_of_the_request_are_heard_on_either_shard() {
    for shards in [1, 2] {
        let served = Served::start(shards, |_| {});
        for number in 0..40 {
            let mut client = Client::connect(served.address);
            let name = format!("/o/one-segment-{shards}-{number}?first");
            let mut all = upgrade_request(&name).into_bytes();
            all.extend((0..10).flat_map(|number| text(&number.to_string())));
            all.extend(close(1000, "done"));
            client.send(all);
            assert_eq!(client.answer().status, 101);
            assert_eq!(client.text(), "first", "what was sent before the 101 comes right behind it");
            for number in 0..10 {
                assert_eq!(client.text(), number.to_string());
            }
            let last = client.frame();
            assert_eq!((last.opcode, last.close_code(), &last.payload[2..]), (CLOSE, 1000, &b"done"[..]));
            client.end();
        }
        let handed = served.driven(|stats| stats.hand_offs_received.get());
        assert_eq!(handed > 0, shards == 2 && !engine::FAR, "{handed} hand-offs with {shards} shards");
    }
}

#[test]
fn what_stands_behind_a_refused_upgrade_is_never_answered() {
    let served = Served::start(1, |config| config.security.origins = vec!["https://good.example".into()]);
    let with_origin = altered("Connection", "Connection: Upgrade\r\nOrigin: https://bad.example\r\n");
    let with_body = altered("Connection", "Connection: Upgrade\r\nContent-Length: 40\r\n");
    let with_version = altered("Sec-WebSocket-Version", "Sec-WebSocket-Version: 12\r\n");
    let by_put = altered("GET", "PUT /o/altered-by-put HTTP/1.1\r\n");
    let allowed = |path| {
        let request = upgrade_request(path);
        request.replace("\r\n\r\n", "\r\nOrigin: https://good.example\r\n\r\n")
    };
    for (status, request) in [
        (403, with_origin),
        (400, with_body),
        (426, with_version),
        (405, by_put),
        (500, allowed("/error")),
        (500, allowed("/panic")),
        (500, allowed("/unaccepted")),
        (500, allowed("/o/never-constructed")),
    ] {
        let mut client = Client::connect(served.address);
        client.send([request.as_bytes(), get("/smuggled").as_bytes(), &text("smuggled")].concat());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{request}");
        assert!(!answer.text().contains("smuggled") && !answer.text().contains("detail"), "{answer:?}");
        client.end();
    }
    assert_eq!(engine::objects::events("altered"), [""; 0], "no object was reached");
}

#[test]
fn an_upgrade_that_the_worker_answers_otherwise_ends_the_connection() {
    let served = Served::start(1, |_| {});
    let mut client = Client::connect(served.address);
    client.send([upgrade_request("/elsewhere").as_bytes(), get("/smuggled").as_bytes()].concat());
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "GET /elsewhere "));
    client.end();
}

#[test]
fn a_request_that_does_not_get_ready_is_closed_at_its_deadline() {
    let served = Served::start(1, |config| config.timeouts.handshake = Duration::from_millis(300));
    let mut silent = Client::connect(served.address);
    let mut half = Client::connect(served.address);
    half.send("GET / HTTP/1.1\r\nHo");
    let mut body = Client::connect(served.address);
    body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345");
    let mut second = Client::connect(served.address);
    second.send([&get("/first"), "GET /second"].concat());
    assert_eq!(second.answer().text(), "GET /first ");
    let mut dripping = Client::connect(served.address);
    // Whoever drips bytes gets no more time for it; that the write fails in the end is what is wanted.
    // Slowly enough that the method does not become too long for one before the time is over.
    while dripping.stream.write_all(b"G").is_ok() {
        thread::sleep(Duration::from_millis(30));
        if served.count(|counters| counters.request_timeouts.get()) == 5 {
            break;
        }
    }
    for client in [&mut silent, &mut half, &mut body, &mut second] {
        client.end();
    }
    assert!(dripping.ends());
    assert_eq!(served.count(|counters| counters.request_timeouts.get()), 5);
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
}

#[test]
fn a_connection_between_requests_is_closed_when_it_stays_idle() {
    let served = Served::start(1, |config| config.timeouts.keep_alive = Duration::from_millis(200));
    let mut client = Client::connect(served.address);
    client.send(get("/"));
    assert_eq!(client.answer().status, 200);
    client.end();
}

#[test]
fn requests_follow_each_other_and_may_be_sent_ahead() {
    let served = Served::start(2, |_| {});
    let mut client = Client::connect(served.address);
    for number in 0..3 {
        client.send(get(&format!("/{number}")));
        assert_eq!(client.answer().text(), format!("GET /{number} "));
    }
    let ahead: String = (0..50).map(|number| get(&format!("/o/ahead-{number}"))).collect();
    client.send(ahead + &upgrade_request("/o/behind-requests") + "");
    client.send(text("a frame"));
    for number in 0..50 {
        assert_eq!(client.answer().text(), format!("this is ahead-{number}"));
    }
    assert_eq!(client.answer().status, 101);
    assert_eq!(client.text(), "a frame");

    let mut last = Client::connect(served.address);
    last.send("GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".to_owned() + &get("/never"));
    assert_eq!(last.answer().text(), "GET /last ");
    last.end();
}

#[test]
fn bodies_are_read_whole_however_they_come() {
    let served = Served::start(1, |_| {});
    let sized = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    let chunked = "POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: r\r\n\r\n";
    let mut client = Client::connect(served.address);
    for request in [sized, chunked] {
        for cut in 1..request.len() {
            client.send(&request[..cut]);
            thread::sleep(Duration::from_micros(200));
            client.send(&request[cut..]);
            assert_eq!(client.answer().text(), "POST /a hello", "cut at {cut} of {request}");
        }
    }
    client.send([sized, chunked, sized].concat());
    for _ in 0..3 {
        assert_eq!(client.answer().text(), "POST /a hello");
    }
    let large = "x".repeat(1 << 20);
    client.send(format!("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n{large}", large.len()));
    assert_eq!(client.answer().body.len(), "POST / ".len() + large.len());

    for (status, wrong) in [
        (400, "zz\r\n"),
        (400, "2\r\nabc\r\n"),
        (413, "fffffffff\r\n"),
        (413, "ffffffffffffffffffffff\r\n"),
        (400, "1\r\na\r\n0\r\nno field\r\n\r\n"),
    ] {
        let mut client = Client::connect(served.address);
        client.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned() + wrong);
        assert_eq!(client.answer().status, status, "{wrong}");
        client.end();
    }
}

#[test]
fn leave_to_send_a_body_is_given_once_and_only_where_one_waits_for_it() {
    let served = Served::start(1, |_| {});
    let mut client = Client::connect(served.address);
    let head = "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    for _ in 0..2 {
        client.send(head);
        assert_eq!(client.head().status, 100);
        client.send("he");
        thread::sleep(Duration::from_millis(5));
        client.send("llo");
        assert_eq!(client.answer().text(), "POST /a hello");
    }
    client.send(head.to_owned() + "hello");
    assert_eq!(client.answer().text(), "POST /a hello");
    // RFC 9110 10.1.1: without content it is ignored, and so are expectations that nobody knows.
    client.send("GET /b HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n\r\n");
    client.send("GET /b HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n");
    assert_eq!(client.answer().text(), "GET /b ");
    assert_eq!(client.answer().text(), "GET /b ");
    // No leave for what is too large anyway.
    client.send(head.replace("Content-Length: 5", "Content-Length: 9999999"));
    assert_eq!(client.answer().status, 413);
    client.end();
}

#[test]
fn head_gets_the_head_alone() {
    let served = Served::start(1, |_| {});
    let mut client = Client::connect(served.address);
    client.send("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n");
    let head = client.head();
    assert_eq!((head.status, head.header("Content-Length")), (200, Some("8")));
    assert!(head.header("Date").is_some());
    client.send(get("/b"));
    assert_eq!(client.answer().text(), "GET /b ");
}

#[test]
fn a_subprotocol_is_the_applications_choice_among_those_offered() {
    let served = Served::start(2, |_| {});
    let offer = |offered: &str, chosen: &str| {
        let fields = format!("\r\nSec-WebSocket-Protocol: {offered}\r\nX-Choose-Protocol: {chosen}\r\n\r\n");
        let mut client = Client::connect(served.address);
        client.send(upgrade_request("/o/subprotocol").replace("\r\n\r\n", &fields));
        client.answer()
    };
    let answer = offer("chat, superchat", "superchat");
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Protocol")), (101, Some("superchat")));
    assert_eq!(answer.header("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(offer("chat", "superchat").status, 500);
    // The socket that was accepted for it is gone with the failed upgrade.
    until_equal("sockets", 0, || served.of("OBEDIENT", |counters| counters.sockets.get()));
}

#[test]
fn a_client_that_goes_away_before_its_answer_leaves_nothing() {
    let served = Served::start(2, |_| {});
    for number in 0..50 {
        let mut client = Client::connect(served.address);
        client.send(upgrade_request(&format!("/o/goes-away-{number}")));
        drop(client);
    }
    until_equal("requests", 50, || served.count(|counters| counters.requests.get()));
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
    until_equal("sockets", 0, || served.of("OBEDIENT", |counters| counters.sockets.get()));
    let mut client = Client::upgraded(served.address, "/o/stays");
    assert_eq!(client.ask("hello"), "hello");
}
