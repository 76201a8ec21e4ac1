//! SEMANTICS 8, requests: what is an upgrade, what is refused and how, and what an ordinary request gets.

mod support;

use dormouse::{Response, WebSocketPair};
use support::frames::{Heard, client_frame, text};
use support::http::{KEY, get, post, upgrade};
use support::room::{fake, fake_with, log, on_fetch};

fn status_of(request: &str) -> (u16, bool) {
    let mut fake = fake();
    let client = fake.connect();
    // What stands behind a refused upgrade is never read as a request or as frames.
    client.bytes(request).bytes(client_frame(0x81, b"say smuggled")).bytes(get("/worker/echo"));
    fake.settle();
    let reply = client.reply();
    let is_alone = !client.has_reply() && client.is_over();
    assert_eq!(fake.counters().namespaces[0].messages.get(), 0);
    if reply.status == 426 {
        assert_eq!(reply.header("Sec-WebSocket-Version"), Some("13"));
    }
    (reply.status, is_alone)
}

/// SEMANTICS 8, request and answers.
#[test]
fn a_request_that_is_no_proper_upgrade_is_refused_with_its_status_and_nothing_behind_it_is_read() {
    let good = upgrade("/lobby", "");
    let change = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    let key_line = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let cases = [
        (change("Host: example.com\r\n", ""), 400),
        (change("Host: example.com\r\n", "Host: a\r\nHost: b\r\n"), 400),
        (change(&key_line, ""), 400),
        (change(&key_line, &key_line.repeat(2)), 400),
        (change(KEY, "dGhlIHNhbXBsZSBub25jZQ="), 400),
        (change(KEY, "not base64 at all!!!!!!!"), 400),
        (change("Host: example.com", "Host: example.com\r\n folded"), 400),
        (change("Host: example.com", "Host : example.com"), 400),
        (change("Host: example.com", "Host: exam\0ple.com"), 400),
        (change("Host: example.com", "Host: exam\rple.com"), 400),
        (change("Upgrade: websocket\r\n", "Upgrade: websocket\r\nContent-Length: 5\r\n"), 400),
        (change("Upgrade: websocket\r\n", "Upgrade: websocket\r\nTransfer-Encoding: chunked\r\n"), 400),
        (change("HTTP/1.1", "HTTP/1.0"), 505),
        (change("Version: 13", "Version: 8"), 426),
        (change("Sec-WebSocket-Version: 13\r\n", ""), 426),
        (change("/lobby", &format!("/{}", "x".repeat(8 << 10))), 414),
        (change("\r\nHost", &format!("\r\nX-Long: {}\r\nHost", "x".repeat(16 << 10))), 431),
        (change("\r\nHost", &format!("{}\r\nHost", "\r\nX-One: more".repeat(100))), 431),
    ];
    for (request, status) in cases {
        assert_eq!(status_of(&request), (status, true), "{}", &request[..request.len().min(200)]);
    }
}

#[test]
fn an_upgrade_with_another_method_is_a_405() {
    let mut fake = fake();
    let client = fake.connect();
    client.bytes(upgrade("/lobby?name=alice", "").replacen("GET", "POST", 1));
    fake.settle();
    assert_eq!(client.reply().status, 405);
    fake.settle();
    assert!(client.is_over());
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
}

#[test]
fn case_and_lists_in_upgrade_and_connection_do_not_matter() {
    let mut fake = fake();
    let variants = [
        ("Upgrade: websocket", "Upgrade: WebSocket"),
        ("Upgrade: websocket", "UPGRADE: h2c, websocket"),
        ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
        ("Connection: Upgrade", "connection:UPGRADE"),
        ("Version: 13\r\n", "Version: 13\r\nContent-Length: 0\r\n"),
    ];
    for (from, to) in variants {
        let reply = fake.ask(&upgrade("/lobby", "").replacen(from, to, 1));
        assert_eq!(reply.status, 101, "{to}");
    }
}

#[test]
fn a_head_that_is_not_complete_in_ten_seconds_ends_the_connection() {
    let mut fake = fake();
    let slow = fake.connect();
    for (n, byte) in upgrade("/lobby", "").bytes().take(9).enumerate() {
        slow.bytes([byte]);
        fake.advance(if n == 0 { 999 } else { 1_000 });
    }
    assert!(!slow.is_over());
    fake.advance(2_000);
    assert!(slow.is_over() && !slow.has_reply());
    assert_eq!(fake.counters().request_timeouts.get(), 1);
    fake.advance(10_000);
    assert!(slow.is_closed());
    assert_eq!(fake.counters().connections.get(), 0);
}

#[test]
fn a_silent_connection_ends_too_and_costs_no_place() {
    let mut fake = fake();
    let silent = fake.connect();
    fake.advance(20_000);
    assert!(silent.is_closed());
    assert_eq!(fake.shards[0].held_places(), 0);
    assert_eq!(fake.plan.directory().open(), 0);
}

/// SEMANTICS 8, not an upgrade.
#[test]
fn ordinary_requests_reach_the_worker_and_keep_the_connection() {
    let mut fake = fake();
    let client = fake.connect();
    client.bytes(post("/worker/echo", "one")).bytes(get("/worker/echo")).bytes(post("/lobby", ""));
    fake.settle();
    let replies = [client.reply(), client.reply(), client.reply()];
    assert_eq!(
        replies.each_ref().map(|reply| (reply.status, reply.body.as_str())),
        [(200, "one"), (200, ""), (200, "done")]
    );
    assert!(replies[0].header("Date").is_some());
    fake.advance(60_000);
    assert!(!client.is_over());
    client.bytes(get("/worker/echo").replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1));
    fake.settle();
    assert_eq!(client.reply().status, 200);
    assert!(client.is_over());
    client.fin();
    fake.settle();
    assert!(client.is_closed());
}

#[test]
fn a_request_may_come_byte_by_byte_and_its_body_in_chunks() {
    let mut fake = fake();
    fake.receive_bytes_max = 1;
    let chunked = "POST /worker/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
                   3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
    assert_eq!(fake.ask(chunked).body, "abcde");
    let alice = fake.open("/lobby");
    alice.text("say hello");
    fake.settle();
    assert_eq!(alice.heard(), [text("hello")]);
}

#[test]
fn a_client_that_waits_for_leave_to_send_its_body_gets_it() {
    let mut fake = fake();
    let client = fake.connect();
    client
        .bytes("POST /worker/echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    fake.settle();
    assert_eq!(client.reply().status, 100);
    client.bytes("body");
    fake.settle();
    assert_eq!(client.reply().body, "body");
}

#[test]
fn a_body_over_the_limit_is_a_413() {
    let mut fake = fake_with(|settings| settings.body_bytes_max = 10);
    assert_eq!(fake.ask(&post("/worker/echo", "0123456789")).status, 200);
    assert_eq!(fake.ask(&post("/worker/echo", "0123456789a")).status, 413);
}

#[test]
fn an_idle_connection_ends_after_the_keep_alive_time() {
    let mut fake = fake();
    let client = fake.connect();
    client.bytes(get("/worker/echo"));
    fake.advance(74_999);
    assert!(!client.is_over());
    fake.advance(129);
    assert!(client.is_over());
}

/// RELIABILITY: half-open peers; a further request has the time of the first, from its first byte on.
#[test]
fn a_further_request_that_is_not_complete_in_ten_seconds_ends_the_connection() {
    let mut fake = fake();
    let client = fake.connect();
    client.bytes(get("/worker/echo"));
    fake.advance(30_000);
    assert_eq!(client.reply().status, 200);
    client.bytes("GET /worker/echo HT");
    fake.advance(9_900);
    assert!(!client.is_over());
    client.bytes("TP/1.1\r\n");
    fake.advance(228);
    assert!(client.is_over());
    assert_eq!(fake.counters().request_timeouts.get(), 1);
}

/// SEMANTICS 8, answers: whoever refuses an upgrade, and however, what stands behind it is not read.
#[test]
fn what_stands_behind_an_upgrade_that_came_to_nothing_is_never_read() {
    let wrong_method = upgrade("/worker/echo", "").replacen("GET", "POST", 1);
    let wrong_protocol = upgrade("/lobby", "Sec-WebSocket-Protocol: chat\r\n");
    for (request, status) in [
        (upgrade("/worker/echo", ""), 200),
        (upgrade("/worker/fail", ""), 500),
        (upgrade("/worker/panic", ""), 500),
        (upgrade("/worker/hang", ""), 504),
        (wrong_method, 200),
        (wrong_protocol, 500),
    ] {
        let mut fake = fake();
        on_fetch(|ctx, _| {
            let pair = WebSocketPair::new();
            ctx.accept_web_socket(&pair.server, &[])?;
            Ok(Response::web_socket(pair.client).with_header("Sec-WebSocket-Protocol", "another")?)
        });
        let client = fake.connect();
        client.bytes(&request).bytes(get("/worker/home?behind")).text("hook");
        fake.advance(30_100);
        let reply = client.reply();
        assert_eq!((reply.status, reply.header("Connection")), (status, Some("close")), "{request}");
        assert!(!client.has_reply() && client.is_over(), "{request}");
        assert_eq!(fake.counters().requests.get(), 1, "{request}");
        assert_eq!(fake.counters().messages_received.get(), 0, "{request}");
    }
}

/// SEMANTICS 8, frames behind the request in the same segment.
#[test]
fn frames_glued_behind_the_request_are_handled() {
    let mut fake = fake();
    let alice = fake.connect();
    alice.bytes(upgrade("/lobby?name=alice", "")).text("say one").text("say two").close(1000, "");
    fake.settle();
    fake.opened(&alice);
    assert_eq!(alice.heard(), [text("one"), text("two"), Heard::Close(1000, String::new()), Heard::Fin]);
    assert_eq!(log()[2..], ["alice says say one", "alice says say two", "alice closes 1000 \"\" true"]);
}

/// SEMANTICS 8, subprotocol.
#[test]
fn a_subprotocol_is_what_the_application_says_if_the_client_offered_it() {
    let mut fake = fake();
    for (offered, chosen, status) in [
        ("", "chat", 500),
        ("Sec-WebSocket-Protocol: chat, superchat\r\n", "superchat", 101),
        ("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: superchat\r\n", "superchat", 101),
        ("Sec-WebSocket-Protocol: chat, superchat\r\n", "Chat", 500),
        ("Sec-WebSocket-Protocol: superchat\r\n", "chat", 500),
    ] {
        on_fetch(move |ctx, _| {
            let pair = WebSocketPair::new();
            ctx.accept_web_socket(&pair.server, &[])?;
            Ok(Response::web_socket(pair.client).with_header("Sec-WebSocket-Protocol", chosen)?)
        });
        let reply = fake.ask(&upgrade("/lobby", offered));
        assert_eq!(reply.status, status, "{offered} {chosen}");
        if status == 101 {
            assert_eq!(reply.header("Sec-WebSocket-Protocol"), Some(chosen));
        }
    }
    fake.settle();
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 2);
}

#[test]
fn a_client_may_offer_and_be_given_no_subprotocol_and_no_extension() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.client).with_header("Sec-WebSocket-Extensions", "x-made-up")?)
    });
    let reply = fake.ask(&upgrade("/lobby", "Sec-WebSocket-Protocol: chat\r\n"));
    assert_eq!(reply.status, 101);
    assert_eq!(reply.header("Sec-WebSocket-Protocol"), None);
    assert_eq!(reply.header("Sec-WebSocket-Extensions"), None, "an application cannot speak for the framer");
}

/// SEMANTICS 8, extra response headers.
#[test]
fn extra_headers_are_passed_and_line_breaks_refused() {
    let mut fake = fake();
    on_fetch(|ctx, request| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        let mut response = match request.is_upgrade() {
            true => Response::web_socket(pair.client),
            false => Response::text("plain"),
        };
        response.headers_mut().append("Set-Cookie", "a=1")?;
        response.headers_mut().append("Set-Cookie", "b=2")?;
        for value in ["a\r\nX-Injected: 1", "a\nb", "a\rb", "a\0b"] {
            assert!(response.headers_mut().append("X-Bad", value).is_err());
            assert!(response.headers_mut().append(value, "x").is_err());
        }
        Ok(response)
    });
    for request in [upgrade("/lobby", ""), get("/lobby")] {
        let reply = fake.ask(&request);
        assert!(reply.head.contains("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"), "{}", reply.head);
        assert!(!reply.head.contains("X-"));
    }
}

/// SEMANTICS 8, origin.
#[test]
fn an_origin_that_is_not_on_the_list_is_a_403() {
    let mut fake = fake_with(|settings| settings.origins = vec!["https://good.example".to_owned()]);
    for (origin, status) in [
        ("Origin: https://good.example\r\n", 101),
        ("Origin: https://evil.example\r\n", 403),
        ("Origin: https://good.example.evil.example\r\n", 403),
        ("Origin: null\r\n", 403),
        ("", 403),
    ] {
        assert_eq!(fake.ask(&upgrade("/lobby", origin)).status, status, "{origin}");
    }
    let mut open = fake_with(|_| {});
    assert_eq!(open.ask(&upgrade("/lobby", "Origin: https://evil.example\r\n")).status, 101);
}

#[test]
fn one_connection_over_the_limit_of_the_process_is_refused_alone() {
    let mut fake = support::fake::Fake::new(support::room::rooms(|_| {}).connections_max(2), 1);
    let [alice, _bob] = [(); 2].map(|()| fake.open("/lobby"));
    let carol = fake.connect();
    carol.bytes(upgrade("/lobby", ""));
    fake.settle();
    assert!(carol.is_closed() && !carol.has_reply());
    alice.close(1000, "");
    fake.settle();
    fake.open("/lobby");
    assert_eq!(fake.plan.directory().open(), 2);
}
