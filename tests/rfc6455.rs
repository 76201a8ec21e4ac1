//! The clauses of RFC 6455 that only a whole world obeys, each by its number; those that `wire` obeys alone are proved
//! there. Which there are is listed in `clauses/table.rs`.

mod support;

use support::fake::Fake;
use support::frames::{Heard, PING, client_close, client_frame, closed, text};
use support::http::{ACCEPT, upgrade};
use support::room::{At, fake, fake_with, log, on_fetch, script};

use dormouse::{Response, WebSocketPair};

/// RFC 6455 4.2.2 (5.1), (5.2), (5.3) and (5.4): the status, the two fields, and the answer to the key.
#[test]
fn a_handshake_is_accepted_as_the_standard_says() {
    let reply = fake().ask(&upgrade("/lobby", ""));
    assert!(reply.head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{}", reply.head);
    assert_eq!(reply.header("Upgrade"), Some("websocket"));
    assert_eq!(reply.header("Connection"), Some("Upgrade"));
    assert_eq!(reply.header("Sec-WebSocket-Accept"), Some(ACCEPT));
}

/// The status of an answer after which the connection has ended.
fn refused(fake: &mut Fake, request: &str) -> u16 {
    let client = fake.connect();
    client.bytes(request);
    fake.settle();
    let reply = client.reply();
    client.bytes(upgrade("/lobby", ""));
    fake.settle();
    assert!(client.is_over() && !client.has_reply(), "nothing is heard behind the refusal");
    reply.status
}

/// RFC 6455 4.2.2 (4): the origin, the version, the resource name; 7.2.2: to abort is to close the connection.
#[test]
fn a_handshake_that_is_not_wanted_gets_an_error_and_ends_the_connection() {
    let mut fake = fake_with(|settings| settings.origins = vec!["https://good.example".into()]);
    assert_eq!(refused(&mut fake, &upgrade("/lobby", "Origin: https://bad.example\r\n")), 403);
    assert_eq!(refused(&mut fake, &upgrade("/lobby", "")), 403);
    let other_version = upgrade("/lobby", "").replace("Version: 13", "Version: 14");
    assert_eq!(refused(&mut fake, &other_version), 426);
    on_fetch(|_, _| Ok(Response::new(404, "no such room\n")));
    assert_eq!(refused(&mut fake, &upgrade("/lobby", "Origin: https://good.example\r\n")), 404);
}

/// The answer to an offer, when the application names its choice in the response.
fn chosen(field: &str, offered: &str, choice: &'static str) -> (u16, Option<String>) {
    let name = field.to_owned();
    on_fetch(move |ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        ctx.accept_web_socket(&server, &[])?;
        Ok(Response::web_socket(client).with_header(&name, choice)?)
    });
    let extra = if offered.is_empty() { String::new() } else { format!("{field}: {offered}\r\n") };
    let reply = fake().ask(&upgrade("/lobby", &extra));
    (reply.status, reply.header(field).map(str::to_owned))
}

/// RFC 6455 4.2.2 (4): the subprotocol is one of those that were offered.
#[test]
fn a_subprotocol_is_chosen_among_those_offered_or_not_at_all() {
    let field = "Sec-WebSocket-Protocol";
    assert_eq!(chosen(field, "chat, superchat", "superchat"), (101, Some("superchat".to_owned())));
    for offered in ["", "chat", "Superchat", "chat superchat"] {
        assert_eq!(chosen(field, offered, "superchat"), (500, None), "{offered}");
    }
    let reply = fake().ask(&upgrade("/other", "Sec-WebSocket-Protocol: chat\r\n"));
    assert_eq!(reply.header(field), None, "who does not choose says nothing");
}

/// RFC 6455 4.2.2 (4) and 5.8: extensions not listed by the client are not listed; both sides negotiate, and the
/// application is neither of them.
#[test]
fn an_extension_that_was_not_offered_is_not_named() {
    assert_eq!(chosen("Sec-WebSocket-Extensions", "", "permessage-deflate"), (101, None));
    assert_eq!(chosen("Sec-WebSocket-Extensions", "x-unknown", "x-unknown"), (101, None));
}

/// RFC 6455 5.5.2 and 5.5.3: each ping gets a pong with its payload, also while a message is half here and behind our
/// own Close, but not behind the client's.
#[test]
fn a_ping_gets_its_pong_until_a_close_has_come() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    alice.ping("").ping("x".repeat(125)).frame(1, "half").ping("between");
    fake.settle();
    let pong = |payload: &str| Heard::Pong(payload.into());
    assert_eq!(alice.heard(), [pong(""), pong(&"x".repeat(125)), pong("between")]);
    alice.frame(0x80, "; close 4000 bye");
    fake.settle();
    alice.ping("late");
    fake.settle();
    assert_eq!(alice.heard(), [closed(4000, "bye"), pong("late")]);
    alice.bytes([client_close(Some(4000), ""), client_frame(0x80 | PING, b"too late")].concat());
    fake.settle();
    assert!(!alice.heard().contains(&pong("too late")));
}

/// RFC 6455 5.5.1: no data frames behind our Close; TCP ends as soon as the answer is here. 7.1.2: the code and the
/// reason are those given, and with both Close frames exchanged the connection is closed; 7.1.1: by the server first.
#[test]
fn a_closing_handshake_that_the_object_begins() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    let bob = fake.open("/lobby?name=bob");
    alice.text("close 4001 enough");
    bob.text("shout for those who are still there");
    fake.settle();
    assert_eq!(alice.heard(), [closed(4001, "enough")]);
    assert_eq!(bob.heard(), [text("for those who are still there")]);
    assert!(!alice.is_over());
    alice.close(4001, "enough");
    fake.settle();
    assert!(alice.is_closed(), "without waiting for the client's FIN");
}

/// RFC 6455 5.5.1: a Close gets a Close in response, at once, and TCP ends; 7.1.5: the code is the client's, 1005 without
/// one, 1006 without a Close; 7.1.6: so is the reason.
#[test]
fn a_closing_handshake_that_the_client_begins() {
    let mut fake = fake();
    for (code, reason, told) in [
        (Some(1000), "bye", "1000 \"bye\" true"),
        (Some(4999), "", "4999 \"\" true"),
        (None, "", "1005 \"\" true"),
    ] {
        let alice = fake.open("/lobby?name=alice");
        alice.close(code, reason).close(3000, "a second one counts for nothing");
        fake.settle();
        assert_eq!(alice.heard()[0], closed(code.unwrap_or(1005), reason));
        assert!(alice.is_closed());
        assert_eq!(log().last().unwrap(), &format!("alice closes {told}"));
    }
    fake.open("/lobby?name=bob").fin();
    fake.settle();
    let lost = "bob closes 1006 \"WebSocket disconnected without sending Close frame.\" false";
    assert_eq!(log().last().unwrap(), lost);
}

/// RFC 6455 7.1.7: a failure is told with an appropriate code before the end; 7.1.1: TCP is closed cleanly, so that the
/// Close is not lost: FIN first, and what still arrives is read and thrown away.
#[test]
fn a_client_that_breaks_the_protocol_is_told_so_and_heard_no_more() {
    let mut fake = fake();
    for (frame, code) in
        [(client_frame(0xC1, b""), 1002), (client_frame(0x81, b"\xff"), 1007), (vec![0x82, 0xff, 0x7f], 1009)]
    {
        let alice = fake.open("/lobby?name=alice");
        alice.bytes(frame).text("say anything").close(1000, "");
        fake.settle();
        let heard = alice.heard();
        assert!(matches!(&heard[..], [Heard::Close(told, _), Heard::Fin] if *told == code), "{heard:?}");
        alice.bytes(vec![0; 100_000]);
        fake.settle();
        assert!(!alice.is_closed(), "it reads on");
        alice.fin();
        fake.settle();
        assert!(alice.is_closed());
        assert_eq!(log().last().unwrap(), &format!("alice errs {code}"));
    }
}

/// RFC 6455 7.3: a server may close whenever it wants to, by the closing handshake.
#[test]
fn a_server_that_ends_begins_the_closing_handshake_with_everybody() {
    let mut fake = fake();
    script(At::Close, "");
    let clients = ["/a", "/a", "/b"].map(|room| fake.open(room));
    fake.world().begin_drain();
    fake.settle();
    for client in &clients {
        assert_eq!(client.heard(), [closed(1001, "the server shuts down")]);
        client.close(1001, "");
    }
    fake.settle();
    assert!(fake.world().is_drained());
}
