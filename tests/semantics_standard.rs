//! SEMANTICS 2, 3, 4: sockets accepted with the standard API, whose events an object reads by itself.

mod support;

use dormouse::{
    ApiError, Context, ReadyState, Request, Response, Result, WebSocket, WebSocketEvent, WebSocketEvents,
    WebSocketPair, WebSocketRequestResponsePair,
};
use support::fake::Fake;
use support::frames::{Heard, TEXT, client_frame, closed, text};
use support::room::{fake, fake_with, inside, log, note, on_fetch};

fn awake(fake: &Fake) -> u64 {
    fake.counters().namespaces[0].awake.get()
}

fn sockets(fake: &Fake) -> u64 {
    fake.counters().namespaces[0].sockets.get()
}

/// Answers with a standard socket, and has `read` read its events.
fn answer<F: Future<Output = ()> + 'static>(
    ctx: &Context,
    read: impl FnOnce(WebSocketEvents, WebSocket) -> F,
) -> Result<Response> {
    let WebSocketPair { client, server } = WebSocketPair::new();
    let events = ctx.accept(&server)?;
    ctx.wait_until(read(events, server));
    Ok(Response::web_socket(client))
}

async fn echo(mut events: WebSocketEvents, ws: WebSocket) {
    while let Some(event) = events.next().await {
        note(format!("{event:?}"));
        match event {
            WebSocketEvent::Text(text) => ws.send(&text).unwrap(),
            WebSocketEvent::Binary(bytes) => ws.send(&bytes).unwrap(),
            WebSocketEvent::Close { .. } | WebSocketEvent::Error(_) => {}
        }
    }
    note("over");
}

/// `/lobby` answers with a standard socket, `/lobby?h` with a hibernatable one.
fn both_kinds(ctx: &Context, request: &Request) -> Result<Response> {
    if request.target().ends_with("?h") {
        let WebSocketPair { client, server } = WebSocketPair::new();
        ctx.accept_web_socket(&server, &["h"])?;
        return Ok(Response::web_socket(client));
    }
    answer(ctx, echo)
}

#[test]
fn its_events_come_to_its_reader_and_to_no_handler() {
    let mut fake = fake();
    on_fetch(both_kinds);
    let alice = fake.open("/lobby");
    log();
    alice.text("one").binary([2, 2]).text("three");
    fake.settle();
    assert_eq!(alice.heard(), [text("one"), Heard::Binary(vec![2, 2]), text("three")]);
    assert_eq!(log(), ["Text(\"one\")", "Binary([2, 2])", "Text(\"three\")"]);
    alice.close(4001, "bye");
    fake.settle();
    assert_eq!(log(), ["Close { code: 4001, reason: \"bye\", was_clean: true }", "over"]);
    assert_eq!(alice.heard(), [closed(4001, "bye"), Heard::Fin]);
    assert_eq!(sockets(&fake), 0);
}

/// SEMANTICS 2, not hibernating: it pins its object in memory, however long nothing happens.
#[test]
fn it_pins_its_object_and_lets_it_go_at_its_end() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    on_fetch(both_kinds);
    let alice = fake.open("/lobby");
    let hana = fake.open("/lobby?h");
    fake.advance(3_600_000);
    assert_eq!(awake(&fake), 1);
    alice.close(1000, "");
    fake.settle();
    assert_eq!(awake(&fake), 1);
    fake.advance(10_000);
    assert_eq!((awake(&fake), sockets(&fake)), (0, 1), "asleep, with the hibernatable socket");
    assert!(!hana.is_over());
}

#[test]
fn with_an_idle_time_of_nothing_it_pins_its_object_too() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(0));
    on_fetch(both_kinds);
    let alice = fake.open("/lobby");
    alice.text("one");
    fake.settle();
    assert_eq!((awake(&fake), alice.heard()), (1, vec![text("one")]));
    alice.reset();
    fake.settle();
    assert_eq!((awake(&fake), sockets(&fake)), (0, 0));
}

/// SEMANTICS 3: the rows about `accept()`.
#[test]
fn a_socket_is_accepted_in_one_way_only() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        let _events = ctx.accept(&server)?;
        let again = ctx.accept_web_socket(&server, &[]).unwrap_err();
        assert_eq!(
            again.to_string(),
            "Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`"
        );
        assert_eq!(ctx.accept(&server).err(), Some(ApiError::AcceptTwice));

        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        let late = ctx.accept(&pair.server).err().unwrap();
        assert_eq!(late.to_string(), "Can't accept() WebSocket after enabling hibernation.");
        note("checked");
        Ok(Response::web_socket(client))
    });
    fake.open("/lobby");
    assert!(log().contains(&"checked".to_owned()));
}

/// SEMANTICS 3, 6: no tags, no auto-response, not among the hibernatable ones.
#[test]
fn it_has_no_tags_and_no_auto_response() {
    let mut fake = fake();
    on_fetch(|ctx, request| {
        if request.target().ends_with("?h") {
            return both_kinds(ctx, request);
        }
        let context = ctx.clone();
        answer(ctx, async move |events, server| {
            let expected = Err(ApiError::TagsOfStandardSocket);
            assert_eq!(context.get_tags(&server), expected.clone());
            assert_eq!(context.add_tag(&server, "x"), expected.clone().map(|_: Vec<String>| ()));
            assert_eq!(context.remove_tag(&server, "x"), expected.map(|_: Vec<String>| true));
            assert_eq!(context.get_web_socket_auto_response_timestamp(&server), None);
            note("checked");
            echo(events, server).await;
        })
    });
    let alice = fake.open("/lobby");
    let hana = fake.open("/lobby?h");
    assert!(log().contains(&"checked".to_owned()));
    inside(&mut fake, &hana, |ctx, ws| {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong")).unwrap();
        assert_eq!(ctx.get_web_sockets(None), std::slice::from_ref(ws));
        assert_eq!(ctx.web_socket_count(), 1);
        ctx.broadcast("to all").send();
    });
    alice.text("ping");
    hana.text("ping");
    fake.settle();
    assert_eq!(alice.heard(), [text("ping")], "its reader echoes it");
    assert_eq!(hana.heard(), [text("to all"), text("pong")]);
}

#[test]
fn what_is_attached_stays_with_it() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        server.serialize_attachment("before")?;
        let mut events = ctx.accept(&server)?;
        ctx.wait_until(async move {
            while events.next().await.is_some() {
                note(server.deserialize_attachment::<String>().unwrap().unwrap());
                server.serialize_attachment("after").unwrap();
            }
        });
        Ok(Response::web_socket(client))
    });
    let alice = fake.open("/lobby");
    log();
    alice.text("one").text("two");
    fake.settle();
    assert_eq!(log(), ["before", "after"]);
}

/// SEMANTICS 4: the reader's own Close, also for a code that may not be on the wire, and what it then reads.
#[test]
fn its_reader_may_close_and_answer_a_close() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        answer(ctx, async |mut events: WebSocketEvents, ws: WebSocket| {
            while let Some(event) = events.next().await {
                match event {
                    WebSocketEvent::Text(_) => ws.close(4002, "enough").unwrap(),
                    WebSocketEvent::Close { code, .. } => {
                        note(format!("{code} {:?}", ws.ready_state()));
                        ws.close(4003, "as you wish").unwrap();
                    }
                    _ => {}
                }
            }
        })
    });
    let alice = fake.open("/lobby");
    log();
    alice.text("please close");
    fake.settle();
    assert_eq!(alice.heard(), [closed(4002, "enough")]);
    alice.close(4002, "enough");
    fake.settle();
    assert_eq!(log(), [format!("4002 {:?}", ReadyState::Closed)]);
    assert!(alice.is_over());

    let bob = fake.open("/lobby");
    log();
    bob.close(None, "");
    fake.settle();
    assert_eq!(log(), [format!("1005 {:?}", ReadyState::Closing)]);
    assert_eq!(bob.heard(), [closed(4003, "as you wish"), Heard::Fin]);
    assert_eq!(sockets(&fake), 0);
}

/// SEMANTICS 8: a lost connection is a Close with 1006, a broken rule an error and no Close.
#[test]
fn a_loss_and_an_error_are_told_once() {
    let mut fake = fake();
    on_fetch(both_kinds);
    let (alice, bob) = (fake.open("/lobby"), fake.open("/lobby"));
    log();
    alice.reset();
    fake.settle();
    let lost = "WebSocket disconnected without sending Close frame.";
    assert_eq!(log(), [format!("Close {{ code: 1006, reason: {lost:?}, was_clean: false }}"), "over".into()]);
    // RFC 6455 5.1: a frame that is not masked.
    bob.bytes([0x81, 0x01, b'x']);
    fake.settle();
    let seen = log();
    assert!(seen[0].starts_with("Error("), "{seen:?}");
    assert_eq!(seen[1..], ["over"]);
    assert!(matches!(bob.heard()[..], [Heard::Close(1002, _), Heard::Fin]));
    assert_eq!(sockets(&fake), 0);
}

#[test]
fn without_a_reader_messages_are_dropped_and_a_close_is_answered() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        drop(ctx.accept(&server)?);
        server.send("only me")?;
        Ok(Response::web_socket(client))
    });
    let alice = fake.open("/lobby");
    alice.text("nobody hears this");
    fake.settle();
    assert_eq!((alice.heard(), awake(&fake)), (vec![text("only me")], 1));
    alice.close(4004, "");
    fake.settle();
    assert_eq!(alice.heard(), [closed(4004, ""), Heard::Fin]);
    assert_eq!(sockets(&fake), 0);
}

/// SEMANTICS 1: what reads it belongs to the instance; when that fails, the client is told.
#[test]
fn when_the_instance_fails_it_ends_with_1011_and_others_stay() {
    let mut fake = fake();
    on_fetch(both_kinds);
    let (alice, hana, hugo) = (fake.open("/lobby"), fake.open("/lobby?h"), fake.open("/lobby?h"));
    hana.text("panic");
    fake.settle();
    assert_eq!(alice.heard(), [closed(1011, "the object failed"), Heard::Fin]);
    assert!(!hugo.is_over());
    alice.close(1011, "");
    fake.settle();
    assert!(alice.is_over());
    assert_eq!(sockets(&fake), 2, "the hibernatable ones; one of them was told to close");
    hugo.text("say still here");
    fake.settle();
    assert_eq!(hugo.heard(), [text("still here")]);
}

/// RELIABILITY: every queue has a limit. A client whose reader is slow is read no further.
#[test]
fn what_nobody_reads_is_bounded() {
    let mut fake = fake_with(|settings| (settings.mailbox_events_max, settings.ping_ms) = (4, None));
    on_fetch(|ctx, _| {
        let context = ctx.clone();
        answer(ctx, async move |mut events: WebSocketEvents, _| {
            context.sleep(std::time::Duration::from_secs(60)).await;
            while let Some(event) = events.next().await {
                note(format!("{event:?}"));
            }
        })
    });
    let alice = fake.open("/lobby");
    log();
    for n in 0..20 {
        alice.bytes(client_frame(0x80 | TEXT, format!("{n}").as_bytes()));
        fake.settle();
    }
    assert!(fake.counters().mailbox_pauses.get() > 0);
    assert_eq!(log().len(), 0);
    fake.advance(60_000);
    assert_eq!(log(), (0..20).map(|n| format!("Text(\"{n}\")")).collect::<Vec<_>>());
}

/// What was sent before the 101 follows it, as for hibernatable sockets.
#[test]
fn what_is_sent_before_the_101_comes_behind_it() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        answer(ctx, async |events, ws: WebSocket| {
            ws.send("later").unwrap();
            echo(events, ws).await;
        })
    });
    let alice = fake.open("/lobby");
    assert_eq!(alice.heard(), [text("later")]);
}
