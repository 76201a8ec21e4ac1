//! SEMANTICS 3: acceptWebSocket, its limits and the tags.

mod support;

use dormouse::{ApiError, Response, WebSocketPair};
use support::frames::text;
use support::http::{get, upgrade};
use support::room::{At, fake, fake_with, hook, inside, log, on_fetch, script};

#[test]
fn more_than_ten_distinct_tags_are_refused_and_duplicates_collapse() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        let eleven: Vec<String> = (0..11).map(|n| format!("tag{n}")).collect();
        let mut tags: Vec<&str> = eleven.iter().map(String::as_str).collect();
        let error = ctx.accept_web_socket(&pair.server, &tags).unwrap_err();
        assert_eq!(error, ApiError::TooManyTags);
        assert_eq!(error.to_string(), "a Hibernatable WebSocket cannot have more than 10 tags");
        assert_eq!(ctx.web_socket_count(), 0);
        // A refused socket can still be accepted.
        tags[10] = "tag3";
        tags.insert(0, "tag5");
        ctx.accept_web_socket(&pair.server, &tags)?;
        let expected = [5, 0, 1, 2, 3, 4, 6, 7, 8, 9].map(|n| format!("tag{n}"));
        assert_eq!(ctx.get_tags(&pair.server)?, expected);
        Ok(Response::web_socket(pair.client))
    });
    fake.open("/lobby");
}

#[test]
fn a_tag_is_measured_in_utf_8_bytes_and_may_be_empty() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        let long = "ä".repeat(128) + "x";
        assert_eq!(long.len(), 257);
        let error = ctx.accept_web_socket(&pair.server, &["ok", &long]).unwrap_err();
        assert_eq!(error, ApiError::TagTooLong { tag: long.clone() });
        assert_eq!(
            error.to_string(),
            format!("\"{long}\" is longer than the max tag length (256 characters).")
        );
        let longest = "ä".repeat(128);
        ctx.accept_web_socket(&pair.server, &["", &longest])?;
        assert_eq!(ctx.get_tags(&pair.server)?, ["", &longest]);
        assert_eq!(ctx.get_web_sockets(Some("")), std::slice::from_ref(&pair.server));
        assert_eq!(ctx.get_web_sockets(Some(&longest)), [pair.server]);
        Ok(Response::web_socket(pair.client))
    });
    fake.open("/lobby");
}

#[test]
fn a_socket_is_accepted_once() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        ctx.accept_web_socket(&pair.server, &[])?;
        for end in [&pair.server, &pair.client] {
            let error = ctx.accept_web_socket(end, &[]).unwrap_err();
            assert_eq!(error, ApiError::AlreadyAccepted);
            assert_eq!(
                error.to_string(),
                "Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`"
            );
        }
        assert_eq!(ctx.web_socket_count(), 1);
        Ok(Response::web_socket(pair.client))
    });
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |ctx, ws| {
        assert_eq!(ctx.accept_web_socket(ws, &[]).unwrap_err(), ApiError::AlreadyAccepted);
    });
}

fn one_socket_too_many(limit: usize) {
    let mut fake = fake_with(|settings| {
        (settings.sockets_per_object_max, settings.ping_ms) = (limit, None);
    });
    let clients: Vec<_> = (0..limit).map(|_| fake.connect()).collect();
    let handshake = upgrade("/lobby", "");
    for client in &clients {
        client.bytes(&handshake);
    }
    fake.settle();
    clients.iter().for_each(|client| fake.opened(client));
    let reply = fake.ask(&handshake);
    assert_eq!((reply.status, reply.body.as_str()), (503, "Service Unavailable\n"));
    assert_eq!(fake.counters().namespaces[0].sockets.get(), limit as u64);
    clients[limit / 2].text("shout all here");
    fake.settle();
    assert!(clients.iter().all(|client| client.heard() == [text("all here")]));
    clients[0].close(1000, "");
    fake.settle();
    let late = fake.open("/lobby");
    late.text("say there is room again");
    fake.settle();
    assert_eq!(late.heard(), [text("there is room again")]);
}

#[test]
fn one_socket_too_many_is_refused_alone_with_503() {
    one_socket_too_many(3);
}

/// SEMANTICS 3: the reference's own limit.
#[test]
fn socket_32_769_is_refused_alone_with_503() {
    one_socket_too_many(32_768);
}

#[test]
fn the_error_for_one_socket_too_many_states_the_limit() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        for _ in 0..32_768 {
            ctx.accept_web_socket(&WebSocketPair::new().server, &[])?;
        }
        let error = ctx.accept_web_socket(&WebSocketPair::new().server, &[]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "only 32768 websockets can be accepted on a single Durable Object instance"
        );
        Ok(Response::text("counted"))
    });
    assert_eq!(fake.ask(&get("/lobby")).body, "counted");
}

/// SEMANTICS 3, getTags.
#[test]
fn tags_are_read_in_the_order_given_also_in_the_close_and_error_handlers() {
    for (at, ends) in [(At::Close, &[0x88, 0x80, 0, 0, 0, 0][..]), (At::Error, &[0x80, 0x80][..])] {
        let mut fake = fake();
        let alice = fake.open("/lobby?name=alice&tag=b&tag=a&tag=c");
        log();
        hook(at, |ctx, ws| {
            assert_eq!(ctx.get_tags(ws.unwrap())?, ["b", "a", "c"]);
            Ok(())
        });
        script(at, "log the handler ran");
        alice.bytes(ends);
        fake.settle();
        assert_eq!(log().last().unwrap(), "the handler ran");
    }
}

#[test]
fn a_socket_that_was_not_accepted_has_no_tags() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let pair = WebSocketPair::new();
        let error = ctx.get_tags(&pair.server).unwrap_err();
        assert_eq!(error, ApiError::TagsBeforeAccept);
        assert_eq!(
            error.to_string(),
            "you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket."
        );
        assert_eq!(ctx.add_tag(&pair.server, "x").unwrap_err(), ApiError::TagsBeforeAccept);
        assert_eq!(ctx.remove_tag(&pair.server, "x").unwrap_err(), ApiError::TagsBeforeAccept);
        Ok(Response::text("told"))
    });
    assert_eq!(fake.ask(&get("/lobby")).body, "told");
}

/// SEMANTICS 3, extension.
#[test]
fn tags_come_and_go_later_within_the_same_limits() {
    let mut fake = fake();
    let alice = fake.open("/lobby?tag=0");
    inside(&mut fake, &alice, |ctx, ws| {
        for n in 0..10 {
            ctx.add_tag(ws, &n.to_string()).unwrap();
        }
        assert_eq!(ctx.add_tag(ws, "one more").unwrap_err(), ApiError::TooManyTags);
        ctx.add_tag(ws, "3").expect("a tag that it has is no tag more");
        let long = "x".repeat(257);
        assert_eq!(ctx.add_tag(ws, &long).unwrap_err(), ApiError::TagTooLong { tag: long });
        assert_eq!(ctx.remove_tag(ws, "5"), Ok(true));
        assert_eq!(ctx.remove_tag(ws, "5"), Ok(false));
        ctx.add_tag(ws, "new").unwrap();
        assert_eq!(ctx.get_tags(ws).unwrap(), ["0", "1", "2", "3", "4", "6", "7", "8", "9", "new"]);
    });
    fake.advance(10_000);
    inside(&mut fake, &alice, |ctx, ws| {
        assert_eq!(ctx.get_web_sockets(Some("new")), std::slice::from_ref(ws));
        assert_eq!(ctx.get_web_sockets(Some("5")), []);
    });
}
