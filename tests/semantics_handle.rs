//! SEMANTICS 4: the WebSocket handle: states, sending, closing, and what comes to a close handler.

mod support;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use dormouse::{ApiError, ReadyState, Response, WebSocket, WebSocketPair};
use support::fake::Fake;
use support::frames::{Heard, closed, text};
use support::http::{get, upgrade};
use support::room::{At, fake, fake_with, hook, inside, log, note, on_fetch, script};

/// SEMANTICS 4, readyState.
#[test]
fn ready_state_is_open_then_closing_then_closed_and_a_fresh_end_reads_open() {
    let numbers = [ReadyState::Connecting, ReadyState::Open, ReadyState::Closing, ReadyState::Closed];
    assert_eq!(numbers.map(|state| state as u8), [0, 1, 2, 3]);
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::default();
        assert_eq!([pair.server.ready_state(), pair.client.ready_state()], [ReadyState::Open; 2]);
        ctx.accept_web_socket(&pair.server, &[])?;
        assert_eq!(pair.server.ready_state(), ReadyState::Open);
        Ok(Response::web_socket(pair.client))
    });
    let alice = fake.open("/lobby");
    let kept: Rc<RefCell<Option<WebSocket>>> = Rc::default();
    let keep = kept.clone();
    inside(&mut fake, &alice, move |_, ws| {
        assert_eq!(ws.ready_state(), ReadyState::Open);
        ws.close(1000, "").unwrap();
        assert_eq!(ws.ready_state(), ReadyState::Closing);
        *keep.borrow_mut() = Some(ws.clone());
    });
    alice.close(1000, "");
    fake.settle();
    assert_eq!(kept.take().unwrap().ready_state(), ReadyState::Closed);
}

/// SEMANTICS 4, send before accept.
#[test]
fn sending_and_closing_need_an_accepted_socket() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        let error = pair.server.send("too early").unwrap_err();
        assert_eq!(error, ApiError::NotAccepted);
        assert_eq!(
            error.to_string(),
            "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages."
        );
        assert_eq!(pair.server.close(1000, "").unwrap_err(), ApiError::NotAccepted);
        assert_eq!(pair.server.buffered_amount(), 0);
        ctx.accept_web_socket(&pair.server, &[])?;
        assert_eq!(pair.client.send("the wrong end").unwrap_err(), ApiError::NotAccepted);
        Ok(Response::web_socket(pair.client))
    });
    let alice = fake.open("/lobby");
    assert_eq!(alice.heard(), []);
}

#[test]
fn handles_of_one_socket_are_equal_also_after_sleep_and_the_ends_of_a_pair_are_not() {
    let mut fake = fake();
    let handles: Rc<RefCell<std::collections::HashSet<WebSocket>>> = Rc::default();
    let first = handles.clone();
    on_fetch(move |ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        assert_ne!(pair.server, pair.client);
        first.borrow_mut().insert(pair.server);
        Ok(Response::web_socket(pair.client))
    });
    let [alice, bob] = [(); 2].map(|()| fake.open("/lobby"));
    for client in [alice, bob] {
        fake.advance(10_000);
        let again = handles.clone();
        inside(&mut fake, &client, move |ctx, ws| {
            assert!(again.borrow().contains(ws));
            again.borrow_mut().extend(ctx.get_web_sockets(None));
        });
    }
    assert_eq!(handles.borrow().len(), 2);
}

/// SEMANTICS 4, send after own close.
#[test]
fn send_after_close_is_an_error_and_close_after_close_is_nothing() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    inside(&mut fake, &alice, |ctx, ws| {
        ws.send("last").unwrap();
        ws.close(4_000, "first").unwrap();
        let error = ws.send("later").unwrap_err();
        assert_eq!(error, ApiError::SendAfterClose);
        assert_eq!(error.to_string(), "Can't call WebSocket send() after close().");
        ws.close(4_001, "second").unwrap();
        ws.close(7, "not even a code").unwrap();
        assert_eq!(ctx.broadcast("to nobody").send(), 0);
    });
    assert_eq!(alice.heard(), [text("last"), closed(4_000, "first")]);
}

/// SEMANTICS 4, the peer is gone.
#[test]
fn send_and_close_to_a_peer_that_is_gone_are_ignored() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    let kept: Rc<RefCell<Option<WebSocket>>> = Rc::default();
    let keep = kept.clone();
    hook(At::Close, move |_, ws| {
        let ws = ws.unwrap();
        assert_eq!(ws.ready_state(), ReadyState::Closed);
        ws.send("is anyone there?")?;
        assert_eq!(ws.buffered_amount(), 0);
        ws.close(1000, "")?;
        ws.close(1006, "")?;
        *keep.borrow_mut() = Some(ws.clone());
        Ok(())
    });
    alice.reset();
    fake.settle();
    let gone = kept.take().expect("the close handler ran");
    inside(&mut fake, &bob, move |_, _| {
        assert_eq!(gone.send("still not"), Ok(()));
        assert_eq!(gone.close(1000, "bye"), Ok(()));
        assert_eq!(gone.connection_id(), None);
    });
    assert_eq!(bob.heard(), []);
    assert!(alice.is_closed());
}

/// SEMANTICS 4, send before the 101.
#[test]
fn what_is_sent_before_the_101_leaves_right_behind_it_in_order() {
    let mut fake = fake();
    script(At::Fetch, "say one; shout two; say three");
    let alice = fake.open("/lobby?name=alice");
    assert_eq!(alice.heard(), [text("one"), text("two"), text("three")]);
    assert_eq!(alice.sends(), 1, "in one system call with the 101");
}

#[test]
fn a_close_before_the_101_leaves_behind_it_and_is_timed() {
    let mut fake = fake();
    script(At::Fetch, "say one; close 4000 no");
    let alice = fake.open("/lobby?name=alice");
    assert_eq!(alice.heard(), [text("one"), closed(4_000, "no")]);
    fake.advance(5_128);
    assert!(alice.is_closed());
    assert!(log().iter().any(|line| line.starts_with("alice closes 1006")));
}

/// SEMANTICS 4, close codes and reasons.
#[test]
fn an_application_may_close_with_the_codes_of_the_table_and_no_other() {
    let mut fake = fake();
    let keeper = fake.open("/lobby?name=keeper");
    for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999] {
        let alice = fake.open("/lobby?name=alice");
        alice.text(format!("close {code} why"));
        fake.settle();
        assert_eq!(alice.heard(), [closed(code, "why")]);
    }
    inside(&mut fake, &keeper, |_, ws| {
        for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535] {
            let error = ws.close(code, "").unwrap_err();
            assert_eq!(error, ApiError::InvalidCloseCode { code });
            assert_eq!(error.to_string(), format!("Invalid WebSocket close code: {code}."));
        }
        assert_eq!(ws.close(None, "why").unwrap_err(), ApiError::CloseReasonWithoutCode);
        let long = "ä".repeat(62);
        assert_eq!(ws.close(1000, &long).unwrap_err(), ApiError::CloseReasonTooLong { bytes: 124 });
        assert_eq!(ws.ready_state(), ReadyState::Open);
        ws.close(1000, &long[..122]).unwrap();
    });
    assert_eq!(keeper.heard(), [closed(1000, &"ä".repeat(61))]);
}

#[test]
fn a_close_without_a_code_is_an_empty_frame() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("close");
    fake.settle();
    assert_eq!(alice.heard(), [closed(1005, "")]);
}

/// SEMANTICS 4, close in the close handler: the published examples pass what arrived on to `close`.
#[test]
fn a_close_handler_may_give_back_whatever_arrived() {
    let cases = [
        (Some(1000), "bye", closed(1000, "bye")),
        (Some(4_999), "", closed(4_999, "")),
        (None, "", closed(1005, "")),
    ];
    for (code, reason, answer) in cases {
        let mut fake = fake();
        let alice = fake.open("/lobby?name=alice");
        let arrived = code.unwrap_or(1005);
        let why = reason.to_owned();
        hook(At::Close, move |_, ws| {
            ws.unwrap().close(arrived, &why)?;
            ws.unwrap().close(arrived, &why)?;
            Ok(())
        });
        alice.close(code, reason);
        fake.settle();
        assert_eq!(alice.heard(), [answer, Heard::Fin]);
        assert_eq!(log().last().unwrap(), &format!("alice closes {arrived} {reason:?} true"));
        assert!(alice.is_closed());
    }
}

#[test]
fn a_close_handler_may_close_with_1006_after_a_loss_and_with_a_reason_too_long() {
    let mut fake = fake();
    let [alice, bob] = [(); 2].map(|()| fake.open("/lobby"));
    hook(At::Close, |_, ws| {
        ws.unwrap().close(1006, "WebSocket disconnected without sending Close frame.")?;
        ws.unwrap().close(1000, &"x".repeat(200))?;
        Ok(())
    });
    alice.reset();
    fake.settle();
    assert_eq!(fake.counters().namespaces[0].failures.get(), 0);
    hook(At::Close, |_, ws| Ok(ws.unwrap().close(1000, &"x".repeat(200))?));
    bob.close(1000, "");
    fake.settle();
    assert_eq!(fake.counters().namespaces[0].failures.get(), 0);
    assert_eq!(bob.heard(), [closed(1000, ""), Heard::Fin]);
}

#[test]
fn a_close_handler_may_still_send_before_the_close_is_answered() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    script(At::Close, "say one more; close 4000 done");
    alice.close(1001, "");
    fake.settle();
    assert_eq!(alice.heard(), [text("one more"), closed(4_000, "done"), Heard::Fin]);
}

/// SEMANTICS 4, the handler does not answer.
#[test]
fn a_close_is_answered_with_its_own_code_when_the_handler_returns() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.close(4_321, "so long");
    fake.settle();
    assert_eq!(alice.heard(), [closed(4_321, "so long"), Heard::Fin]);
    assert_eq!(log().last().unwrap(), "alice closes 4321 \"so long\" true");
}

#[test]
fn a_close_is_answered_as_soon_as_the_handler_waits() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    script(At::Close, "say before; sleep 60000; log awake again");
    alice.close(4_321, "so long");
    fake.settle();
    assert_eq!(alice.heard(), [text("before"), closed(4_321, "so long"), Heard::Fin]);
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 1, "it is listed until the handler returns");
    fake.advance(60_000);
    assert_eq!(log().last().unwrap(), "awake again");
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
}

#[test]
fn a_clean_close_without_a_code_arrives_as_1005() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.close(None, "");
    fake.settle();
    assert_eq!(alice.heard(), [closed(1005, ""), Heard::Fin]);
    assert_eq!(log().last().unwrap(), "alice closes 1005 \"\" true");
}

/// SEMANTICS 4, close handshake.
#[test]
fn the_answer_to_our_close_is_awaited_for_the_close_timeout() {
    let mut fake = fake_with(|settings| settings.close_ms = 2_000);
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    alice.text("close 1000 x");
    bob.text("close 1000 x");
    fake.advance(1_999);
    assert!(!alice.is_over() && !bob.is_over());
    bob.close(1000, "x");
    fake.settle();
    assert!(bob.is_closed());
    fake.advance(129);
    assert!(alice.is_closed());
    assert_eq!(fake.counters().close_timeouts.get(), 1);
    let log = log();
    let ends: Vec<_> = log.iter().filter(|line| line.contains("closes")).collect();
    assert_eq!(
        ends,
        [
            "bob closes 1000 \"x\" true",
            "alice closes 1006 \"WebSocket disconnected without sending Close frame.\" false"
        ]
    );
}

#[test]
fn messages_that_cross_our_close_still_arrive() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("close 1000 x").text("crossed it").close(1000, "x");
    fake.settle();
    assert_eq!(
        log()[2..],
        ["alice says close 1000 x", "alice says crossed it", "alice closes 1000 \"x\" true"]
    );
    assert_eq!(alice.heard(), [closed(1000, "x"), Heard::Fin]);
}

fn with_buffer(room: usize) -> (Fake, support::client::Client) {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(room);
    (fake, alice)
}

/// SEMANTICS 4, bufferedAmount.
#[test]
fn buffered_amount_is_what_the_kernel_has_not_taken() {
    let (mut fake, alice) = with_buffer(10);
    inside(&mut fake, &alice, |_, ws| {
        assert_eq!(ws.buffered_amount(), 0);
        ws.send("123456").unwrap();
        assert_eq!(ws.buffered_amount(), 8);
        ws.send(&[0u8; 200]).unwrap();
        assert_eq!(ws.buffered_amount(), 8 + 204);
    });
    inside(&mut fake, &alice, |_, ws| assert_eq!(ws.buffered_amount(), 202));
    alice.read(100);
    fake.settle();
    inside(&mut fake, &alice, |_, ws| assert_eq!(ws.buffered_amount(), 102));
    alice.read_on();
    fake.settle();
    inside(&mut fake, &alice, |_, ws| assert_eq!(ws.buffered_amount(), 0));
    assert_eq!(alice.heard(), [text("123456"), Heard::Binary(vec![0; 200])]);
}

#[test]
fn before_the_101_everything_sent_is_buffered() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        pair.server.send("12345")?;
        assert_eq!(pair.server.buffered_amount(), 7);
        Ok(Response::web_socket(pair.client))
    });
    let alice = fake.open("/lobby");
    assert_eq!(alice.heard(), [text("12345")]);
}

/// SEMANTICS 4, received text and binary.
#[test]
fn text_arrives_as_text_and_binary_as_bytes() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    let bytes: Vec<u8> = (0..=255).collect();
    alice.text("say ÄÖÜ 🐭").binary(&bytes).binary([]);
    fake.settle();
    assert_eq!(alice.heard(), [text("ÄÖÜ 🐭")]);
    assert_eq!(log()[3..], ["alice sends 256 bytes", "alice sends 0 bytes"]);
}

#[test]
fn a_borrowed_message_stays_as_it_is_while_its_handler_waits_and_more_arrives() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.text("sleep 100; say the same");
    fake.settle();
    for n in 0..1_000 {
        alice.text(format!("log {n} {}", "x".repeat(n)));
        fake.settle();
    }
    fake.advance(100);
    assert_eq!(alice.heard(), [text("the same")]);
}

#[test]
fn a_response_must_carry_a_socket_whose_other_end_was_accepted() {
    let mut fake = fake();
    on_fetch(|_, _| Ok(Response::web_socket(WebSocketPair::new().client)));
    let reply = fake.ask(&upgrade("/lobby", ""));
    assert_eq!((reply.status, reply.body.as_str()), (500, "Internal Server Error\n"));
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.server))
    });
    assert_eq!(fake.ask(&upgrade("/lobby", "")).status, 500);
    fake.settle();
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
}

#[test]
fn a_socket_for_a_request_that_was_no_upgrade_is_a_500_and_goes() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.client))
    });
    assert_eq!(fake.ask(&get("/lobby")).status, 500);
    fake.settle();
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
    assert!(log().iter().any(|line| line.starts_with("someone closes 1006")));
}

/// A handle may be the key of a map: the ends of a pair differ, and stay what they are when one is accepted.
#[test]
fn the_ends_of_a_pair_are_two_sockets_before_and_after_it_is_accepted() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        assert_ne!(client, server);
        let other = WebSocketPair::new();
        assert_ne!(client, other.client);
        let mut names = HashMap::from([(client.clone(), "client"), (server.clone(), "server")]);
        ctx.accept_web_socket(&server, &[])?;
        assert_eq!((names.remove(&client), names.remove(&server)), (Some("client"), Some("server")));
        assert_eq!(ctx.get_web_sockets(None), [server]);
        note("checked");
        Ok(Response::web_socket(client))
    });
    fake.open("/lobby");
    assert!(log().contains(&"checked".to_owned()));
}

/// The client's end is gone with its last handle, and not with one before.
#[test]
fn a_socket_ends_with_the_last_handle_of_the_clients_end() {
    let mut fake = fake();
    let kept: Rc<RefCell<Vec<WebSocket>>> = Rc::default();
    let keeps = kept.clone();
    on_fetch(move |ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        ctx.accept_web_socket(&server, &[])?;
        // Those of the object's own end count for nothing.
        drop((server.clone(), server));
        keeps.borrow_mut().extend([client.clone(), client]);
        Ok(Response::text("kept"))
    });
    assert_eq!(fake.ask(&get("/lobby")).body, "kept");
    let sockets = |fake: &mut Fake| {
        fake.settle();
        fake.counters().namespaces[0].sockets.get()
    };
    assert_eq!(sockets(&mut fake), 1);
    kept.borrow_mut().pop();
    assert_eq!(sockets(&mut fake), 1);
    kept.borrow_mut().pop();
    assert_eq!(sockets(&mut fake), 0);
    assert!(log().iter().any(|line| line.starts_with("someone closes 1006")));
}
