//! What an envelope of a client becomes: one event with all its messages, or an error of the peer; and what a class that
//! asked for no batches makes of one. The stories are told with connections near, handed over, and far.

mod support;

use dormouse::object::{Settings, WorldBuilder};
use dormouse::{
    ApiError, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair,
    Worker,
};
use support::batching::{DELAY_MS, batch, envelope};
use support::fake::Fake;
use support::frames::{BINARY, CONTINUATION, Heard, TEXT, closed, text};
use support::room::{fake, log, note, on_fetch};
use support::story::everywhere;

#[test]
fn an_envelope_is_one_event_and_other_messages_are_what_they_were() {
    everywhere(0, |story, placement| {
        let alice = story.open("alice");
        log();
        alice.text("say 1").text(envelope(&["say 2", "say 3", "push"])).text("say 4");
        // In pieces it is the same.
        let pieces = envelope(&["say 5", "say 6"]);
        alice.frame(TEXT, &pieces[..9]).ping("").frame(0x80 | CONTINUATION, &pieces[9..]);
        alice.text("[\"batch\"]").binary(envelope(&["say no"]));
        story.fake.settle();
        assert_eq!(alice.texts(), ["1", "2", "3", "4", "5", "6"], "{placement:?}");
        let told = log();
        let first = ["new", "alice says say 1", "alice sends a batch of 3", "alice says say 2"];
        assert_eq!(told[..4], first, "{placement:?}");
        let counted = |line: &str| told.iter().filter(|told| told.as_str() == line).count();
        assert_eq!([counted("new"), counted("alice sends a batch of 2")], [1, 1]);
        assert_eq!(told[told.len() - 3..], ["alice says [\"batch\"]", "alice sends 20 bytes", "drop"]);
        let counters = &story.fake.shards[1].counters;
        assert_eq!(counters.batches_received.get(), 2);
        assert_eq!(counters.batched_messages_received.get(), 5);
        assert_eq!(counters.namespaces[0].messages.get(), 6);
    });
}

#[test]
fn a_class_that_batches_in_message_pack_hears_it_and_no_json() {
    let mut fake = fake();
    let alice = fake.open("/latest/1?name=alice");
    log();
    let bytes = rmp_serde::to_vec(&("batch/1", "say 1", 2, "say 3")).unwrap();
    alice.binary(&bytes).text(envelope(&["x"])).binary([0x20, 0x03]);
    alice.frame(BINARY, &bytes[..5]).frame(0x80 | CONTINUATION, &bytes[5..]);
    fake.settle();
    assert_eq!(alice.texts(), ["1", "3", "1", "3"]);
    let mut told = log();
    told.drain(..6);
    assert_eq!(
        told,
        ["alice sends a batch of 3", "alice says say 1", "alice sends no text", "alice says say 3"]
    );
}

/// A broken envelope is the peer's fault, and ends its connection alone.
#[test]
fn a_broken_envelope_is_answered_with_1007_and_nothing_else_is_lost() {
    let broken = [
        ("[\"batch/1\",\"x\"", "a batch is one array of values and nothing else"),
        ("[\"batch/2\",\"x\"]", "the version of a batch is 1"),
        ("[\"batch/1\"]", "a batch has a message"),
    ];
    for (bytes, reason) in broken {
        everywhere(10_000, |story, placement| {
            let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
            log();
            alice
                .text("say 1")
                .text(envelope(&["shout 2"]))
                .text(bytes)
                .text("shout 3")
                .text(envelope(&["shout 4"]));
            bob.text("say hello");
            story.fake.settle();
            let reason = format!("RFC 6455 7.4.1: {reason}");
            let heard = alice.heard();
            assert_eq!(heard[..3], [text("1"), text("2"), closed(1007, &reason)], "{placement:?} {bytes}");
            let mut to_bob = bob.texts();
            to_bob.sort();
            assert_eq!(to_bob, ["2", "hello"]);
            let told = log();
            assert!(told.contains(&"alice errs 1007".to_owned()), "{told:?}");
            assert!(!told.iter().any(|line| line.contains("shout 3") || line.contains("shout 4")));
            assert!(!told.iter().any(|line| line.contains("closes")), "{told:?}");
            assert_eq!(story.sockets(), 1);
            assert_eq!(story.fake.shards[1].counters.protocol_errors.get(), 1);
        });
    }
}

#[test]
fn too_many_messages_in_one_envelope_are_refused() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        alice.text(envelope(&["x"; 4_096]));
        story.fake.settle();
        assert_eq!(alice.heard(), []);
        assert!(log().contains(&"alice sends a batch of 4096".to_owned()), "{placement:?}");
        alice.text(envelope(&["x"; 4_097]));
        story.fake.settle();
        let reason = "RFC 6455 7.4.1: a batch has at most 4096 messages";
        assert_eq!(alice.heard()[0], closed(1007, reason), "{placement:?}");
    });
}

#[test]
fn a_batch_whose_handler_fails_costs_its_socket_and_the_instance() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    alice.text(envelope(&["shout 1", "fail", "shout 2"]));
    fake.settle();
    let heard = alice.heard();
    assert_eq!(heard[0], text("1"));
    assert!(matches!(heard[1], Heard::Close(1011, _)), "{heard:?}");
    assert_eq!(bob.heard(), [text("1")]);
    assert_eq!(fake.counters().namespaces[0].failures.get(), 1);
}

/// Events of a standard socket are read by the object itself; it asked for no batches there.
#[test]
fn a_standard_socket_hears_envelopes_as_messages_and_may_be_sent_batches() {
    let mut fake = fake();
    on_fetch(|ctx, _| {
        let WebSocketPair { client, server } = WebSocketPair::new();
        let mut events = ctx.accept(&server)?;
        ctx.wait_until(async move {
            while let Some(event) = events.next().await {
                note(format!("{event:?}"));
                server.batch().push("heard").unwrap();
            }
        });
        Ok(Response::web_socket(client))
    });
    let alice = fake.open("/lobby");
    log();
    alice.text(envelope(&["x"]));
    fake.advance(DELAY_MS);
    assert_eq!(log(), [format!("Text({:?})", envelope(&["x"]))]);
    assert_eq!(alice.heard(), [batch(&["heard"])]);
}

/// An object whose class asked for nothing.
struct Plain(Context);

impl DurableObject for Plain {
    async fn new(ctx: Context, _env: Env) -> Result<Plain> {
        Ok(Plain(ctx))
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let pair = WebSocketPair::new();
        self.0.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        ws.send(message)?;
        for batcher in [self.0.batch(None), self.0.batch(Some("tag")), ws.batch()] {
            let refused = batcher.push("x").unwrap_err();
            assert_eq!((batcher.flush(), &refused), (0, &ApiError::NotBatching));
            ws.send(&refused.to_string())?;
        }
        Ok(())
    }
}

struct ToPlain;

impl Worker for ToPlain {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("PLAIN")?.get_by_name("one").fetch(request).await
    }
}

#[test]
fn a_class_that_did_not_ask_for_batches_has_none() {
    let builder = WorldBuilder::new(ToPlain).namespace::<Plain>("PLAIN").settings(Settings::default());
    let mut fake = Fake::new(builder, 1);
    let alice = fake.open("/");
    let broken = "[\"batch/1\"";
    alice.text(envelope(&["x"])).text(broken);
    fake.settle();
    let heard = alice.texts();
    assert_eq!([&heard[0], &heard[4]], [&envelope(&["x"]), broken]);
    assert!(heard[1].contains("has no BATCHING") && heard[1..4].iter().all(|text| *text == heard[1]));
}
