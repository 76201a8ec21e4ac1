//! SEMANTICS 2: when an object sleeps, what stays, what wakes it, and in which order its sockets are listed.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use dormouse::object::{Settings, WorldBuilder};
use dormouse::{
    Context, DurableObject, Env, ReadyState, Request, Response, Result, WebSocket, WebSocketPair,
    WebSocketRequestResponsePair, Worker,
};
use support::fake::Fake;
use support::frames::{BINARY, CONTINUATION, Heard, TEXT, client_frame, closed, text};
use support::http::{get, post, upgrade};
use support::room::{At, fake, fake_with, hook, inside, log, note, rooms, script};

fn awake(fake: &Fake) -> u64 {
    fake.counters().namespaces[0].awake.get()
}

fn constructions(fake: &Fake) -> u64 {
    fake.counters().namespaces[0].constructions.get()
}

/// SEMANTICS 2, when: 10 s by default.
#[test]
fn an_object_sleeps_when_nothing_has_happened_for_ten_seconds() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    fake.advance(5_000);
    alice.text("hello");
    fake.advance(9_999);
    assert_eq!(awake(&fake), 1);
    fake.advance(1);
    assert_eq!(awake(&fake), 0);
    assert_eq!(fake.counters().namespaces[0].hibernations.get(), 1);
    assert_eq!(alice.heard(), []);
    assert_eq!(log().last().unwrap(), "drop");
}

#[test]
fn with_an_idle_time_of_nothing_it_sleeps_at_once() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(0));
    let alice = fake.open("/lobby?name=alice");
    assert_eq!(log(), ["new", "fetch /lobby", "drop"]);
    alice.text("say one").text("say two");
    fake.settle();
    assert_eq!(alice.heard(), [text("one"), text("two")]);
    assert_eq!(log(), ["new", "alice says say one", "alice says say two", "drop"]);
}

#[test]
fn without_hibernation_an_object_with_sockets_never_sleeps() {
    let mut fake = fake_with(|settings| (settings.hibernation_idle_ms, settings.ping_ms) = (None, None));
    let alice = fake.open("/lobby");
    fake.advance(10_000_000);
    assert_eq!(awake(&fake), 1);
    alice.close(1000, "");
    fake.settle();
    log();
    // SEMANTICS 2, not hibernating: between 70 and 140 s after the last event, without a socket.
    fake.advance(70_000);
    assert_eq!(awake(&fake), 1);
    fake.advance(70_000);
    assert_eq!((awake(&fake), log()), (0, vec!["drop".to_owned()]));
}

#[test]
fn an_object_does_not_sleep_while_a_handler_a_future_or_a_tick_is_pending() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    alice.text("sleep 60000");
    fake.advance(60_000 + 9_999);
    assert_eq!(awake(&fake), 1, "a handler ran until ten seconds ago");
    alice.text("linger 60000");
    fake.advance(60_000 + 9_999);
    assert_eq!(awake(&fake), 1, "a future ran until ten seconds ago");
    fake.advance(1);
    assert_eq!(awake(&fake), 0);
    alice.text("tick 7000");
    fake.advance(100_000);
    assert_eq!(awake(&fake), 1, "a tick is pending");
}

/// SEMANTICS 2, what stays.
#[test]
fn tags_attachments_the_pair_the_timeout_and_the_timestamp_stay() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice&tag=red&tag=round");
    inside(&mut fake, &alice, |ctx, _| {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong")).unwrap();
        ctx.set_hibernatable_web_socket_event_timeout(1_234).unwrap();
    });
    alice.text("ping");
    fake.settle();
    let at = fake.now.wall_ms;
    fake.advance(20_000);
    assert_eq!(awake(&fake), 0);
    assert_eq!(alice.heard(), [text("pong")]);
    inside(&mut fake, &alice, move |ctx, ws| {
        assert_eq!(ctx.get_tags(ws).unwrap(), ["red", "round"]);
        assert_eq!(ws.deserialize_attachment::<String>().unwrap().as_deref(), Some("alice"));
        let pair = ctx.get_web_socket_auto_response().unwrap();
        assert_eq!((pair.request(), pair.get_response()), ("ping", "pong"));
        assert_eq!(ctx.get_hibernatable_web_socket_event_timeout(), Some(1_234));
        let answered = ctx.get_web_socket_auto_response_timestamp(ws).unwrap();
        let since_epoch = answered.duration_since(std::time::SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since_epoch.as_millis(), u128::from(at));
    });
    assert_eq!(constructions(&fake), 2);
}

#[test]
fn a_half_received_message_stays() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    let whole = [client_frame(TEXT, b"say ha"), client_frame(0x80 | CONTINUATION, b"lf")].concat();
    alice.bytes(&whole[..9]);
    fake.advance(10_000);
    assert_eq!(awake(&fake), 0);
    alice.bytes(&whole[9..15]);
    fake.advance(10_000);
    assert_eq!(constructions(&fake), 1, "half a message wakes nobody");
    alice.bytes(&whole[15..]);
    fake.settle();
    assert_eq!(alice.heard(), [text("half")]);
}

#[test]
fn queued_output_stays() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    alice.stop_reading(3);
    alice.text("say one").text("say two");
    fake.settle();
    let peers = fake.open("/lobby?name=bob");
    fake.advance(9_000);
    alice.read(1);
    fake.advance(9_000);
    assert_eq!(awake(&fake), 0);
    alice.read_on();
    fake.settle();
    assert_eq!(alice.heard(), [text("one"), text("two")]);
    assert_eq!((awake(&fake), peers.heard()), (0, vec![]));
}

/// SEMANTICS 2, "close already sent"; the reference lets a send pass there.
#[test]
fn that_close_was_sent_is_not_forgotten() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(100));
    let alice = fake.open("/lobby?name=alice");
    let bob = fake.open("/lobby?name=bob");
    alice.text("close 4000 enough");
    fake.advance(100);
    assert_eq!(awake(&fake), 0);
    inside(&mut fake, &bob, |ctx, _| {
        let alice = &ctx.get_web_sockets(None)[1];
        assert_eq!(alice.ready_state(), ReadyState::Closing);
        assert_eq!(alice.send("more").unwrap_err(), dormouse::ApiError::SendAfterClose);
        assert_eq!(alice.close(4_001, "again"), Ok(()));
        assert_eq!(ctx.broadcast("to those who are open").send(), 1);
    });
    assert_eq!(alice.heard(), [closed(4_000, "enough")]);
}

/// SEMANTICS 2, what does not wake.
#[test]
fn pings_pongs_auto_responses_and_a_look_at_the_status_do_not_wake() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    inside(&mut fake, &alice, |ctx, _| {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong")).unwrap();
    });
    fake.advance(10_000);
    log();
    alice.ping("a").text("ping").pong("unasked").ping("b");
    fake.settle();
    assert_eq!(alice.heard(), [Heard::Pong(b"a".into()), text("pong"), Heard::Pong(b"b".into())]);
    assert_eq!(fake.ask(&get("/worker/status?/lobby")).body, "false 1");
    assert_eq!(fake.ask(&get("/worker/status?/nobody")).body, "false 0");
    assert_eq!(log(), [""; 0]);
    assert_eq!(constructions(&fake), 1);
}

/// SEMANTICS 2, what does not postpone.
#[test]
fn pings_pongs_auto_responses_and_a_look_at_the_status_do_not_postpone_sleep() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    inside(&mut fake, &alice, |ctx, _| {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong")).unwrap();
    });
    for _ in 0..9 {
        fake.advance(1_000);
        alice.ping("a").text("ping").pong("unasked");
        fake.ask(&get("/worker/status?/lobby"));
    }
    fake.advance(999);
    assert_eq!(awake(&fake), 1);
    fake.advance(1);
    assert_eq!(awake(&fake), 0);
}

/// SEMANTICS 2, what wakes.
#[test]
fn a_message_a_close_a_loss_a_protocol_error_a_fetch_and_a_call_wake() {
    type Wake = fn(&mut Fake, &support::client::Client);
    let wakes: [(Wake, &str); 8] = [
        (
            |_, alice| {
                alice.text("hello");
            },
            "alice says hello",
        ),
        (
            |_, alice| {
                alice.binary([1, 2]);
            },
            "alice sends 2 bytes",
        ),
        (
            |_, alice| {
                alice.close(1000, "bye");
            },
            "alice closes 1000 \"bye\" true",
        ),
        (
            |_, alice| {
                alice.reset();
            },
            "alice closes 1006 \"WebSocket disconnected without sending Close frame.\" false",
        ),
        (
            |_, alice| {
                alice.fin();
            },
            "alice closes 1006 \"WebSocket disconnected without sending Close frame.\" false",
        ),
        (
            |_, alice| {
                alice.bytes([0xFF, 0xFF]);
            },
            "alice errs 1002",
        ),
        (|fake, _| drop(fake.ask(&post("/lobby", ""))), "fetch /lobby"),
        (|fake, _| drop(fake.ask(&post("/other", "call /lobby"))), "fetch /lobby"),
    ];
    for (wake, line) in wakes {
        let mut fake = fake();
        let alice = fake.open("/lobby?name=alice");
        fake.advance(10_000);
        log();
        wake(&mut fake, &alice);
        fake.settle();
        let log = log();
        let at = log.iter().position(|logged| logged == line).unwrap_or_else(|| panic!("{line}: {log:?}"));
        assert_eq!(log[at - 1], "new", "{line}");
    }
}

/// SEMANTICS 2: one construction per burst, order kept.
#[test]
fn a_burst_of_many_sockets_wakes_once_and_keeps_its_order() {
    let mut fake = fake();
    let clients: Vec<_> = (0..20).map(|n| fake.open(&format!("/lobby?name={n}"))).collect();
    fake.advance(10_000);
    log();
    for round in 0..3 {
        for client in &clients {
            client.text(format!("round {round}"));
        }
    }
    fake.settle();
    let log = log();
    assert_eq!(log.len(), 1 + 60);
    assert_eq!(log.iter().filter(|line| *line == "new").count(), 1);
    for n in 0..20 {
        let own: Vec<_> = log.iter().filter(|line| line.starts_with(&format!("{n} says"))).collect();
        assert_eq!(own, [0, 1, 2].map(|round| format!("{n} says round {round}")).iter().collect::<Vec<_>>());
    }
}

fn listed(fake: &mut Fake, by: &support::client::Client, tag: Option<&'static str>) -> Vec<String> {
    let names = Rc::new(std::cell::RefCell::new(Vec::new()));
    let list = names.clone();
    inside(fake, by, move |ctx, _| {
        for ws in ctx.get_web_sockets(tag) {
            list.borrow_mut().push(ws.deserialize_attachment::<String>().unwrap().unwrap());
        }
        if tag.is_none() {
            assert_eq!(ctx.web_socket_count(), list.borrow().len());
        }
    });
    names.take()
}

/// SEMANTICS 2, order of getWebSockets.
#[test]
fn all_sockets_come_newest_first_those_of_a_tag_oldest_first_also_after_sleep() {
    let mut fake = fake();
    let clients: Vec<_> = (0..6)
        .map(|n| fake.open(&format!("/lobby?name={n}&tag={}", if n % 2 == 0 { "even" } else { "odd" })))
        .collect();
    for sleeps in [false, true] {
        if sleeps {
            fake.advance(10_000);
            assert_eq!(awake(&fake), 0);
        }
        assert_eq!(listed(&mut fake, &clients[0], None), ["5", "4", "3", "2", "1", "0"]);
        assert_eq!(listed(&mut fake, &clients[0], Some("even")), ["0", "2", "4"]);
        assert_eq!(listed(&mut fake, &clients[0], Some("odd")), ["1", "3", "5"]);
        assert_eq!(listed(&mut fake, &clients[0], Some("none")), [""; 0]);
    }
    clients[4].close(1000, "");
    fake.settle();
    assert_eq!(listed(&mut fake, &clients[0], None), ["5", "3", "2", "1", "0"]);
    assert_eq!(listed(&mut fake, &clients[0], Some("even")), ["0", "2"]);
}

/// SEMANTICS 2, membership.
#[test]
fn a_socket_is_listed_until_its_close_handler_has_returned() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    hook(At::Close, move |ctx, ws| {
        assert_eq!(ctx.get_web_sockets(None).len(), 2);
        assert!(ctx.get_web_sockets(None).contains(ws.unwrap()));
        assert_eq!(ws.unwrap().ready_state(), ReadyState::Closing);
        count.set(count.get() + 1);
        Ok(())
    });
    script(At::Close, "sleep 100; log the close handler returns");
    alice.close(1000, "");
    fake.advance(99);
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 2);
    fake.advance(1);
    assert_eq!(seen.get(), 1);
    assert_eq!(listed(&mut fake, &bob, None), ["bob"]);
}

#[test]
fn a_socket_is_listed_until_its_error_handler_has_returned() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    hook(At::Error, |ctx, ws| {
        assert!(ctx.get_web_sockets(None).contains(ws.unwrap()));
        Ok(())
    });
    alice.bytes([0x80 | BINARY, 0]);
    fake.settle();
    assert!(log().contains(&"alice errs 1002".to_owned()));
    assert_eq!(listed(&mut fake, &bob, None), ["bob"]);
}

#[test]
fn after_the_servers_close_it_stays_listed_as_closing_until_the_peer_answers() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    alice.text("close 1000 bye");
    fake.settle();
    inside(&mut fake, &bob, |ctx, _| {
        assert_eq!(ctx.get_web_sockets(None)[1].ready_state(), ReadyState::Closing);
    });
    alice.close(1000, "bye");
    fake.settle();
    assert_eq!(listed(&mut fake, &bob, None), ["bob"]);
    assert_eq!(alice.heard(), [closed(1000, "bye"), Heard::Fin]);
    assert!(log().contains(&"alice closes 1000 \"bye\" true".to_owned()));
}

#[test]
fn after_the_servers_close_it_stays_listed_until_the_deadline_has_passed() {
    let mut fake = fake();
    let [alice, bob] = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
    alice.text("close 1000 bye");
    fake.advance(4_999);
    assert_eq!(listed(&mut fake, &bob, None), ["bob", "alice"]);
    fake.advance(129);
    assert_eq!(listed(&mut fake, &bob, None), ["bob"]);
    assert!(alice.is_closed());
    assert!(log().iter().any(|line| line.starts_with("alice closes 1006")));
}

/// Keeps the end that is the client's, and so gives it to nobody.
struct Keeper {
    ctx: Context,
    kept: Option<WebSocket>,
}

impl DurableObject for Keeper {
    async fn new(ctx: Context, _env: Env) -> Result<Keeper> {
        Ok(Keeper { ctx, kept: None })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let pair = WebSocketPair::new();
        self.ctx.accept_web_socket(&pair.server, &[])?;
        self.kept = Some(pair.client);
        Ok(Response::text("kept"))
    }

    async fn web_socket_close(&mut self, _: &WebSocket, code: u16, _: &str, _: bool) -> Result<()> {
        assert!(code == 1006 && self.kept.is_none());
        note("the socket is lost");
        Ok(())
    }
}

struct ToKeeper;

impl Worker for ToKeeper {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("KEEPER")?.get_by_name("").fetch(request).await
    }
}

/// SEMANTICS 2, where it sleeps at once: what it drops at that moment still has consequences.
#[test]
fn a_client_end_dropped_with_its_instance_ends_its_socket_at_once() {
    let settings = Settings { hibernation_idle_ms: Some(0), ..Settings::default() };
    let builder = WorldBuilder::new(ToKeeper).namespace::<Keeper>("KEEPER").settings(settings);
    let mut fake = Fake::new(builder, 1);
    assert_eq!(fake.ask(&post("/lobby", "")).body, "kept");
    assert_eq!(log(), ["the socket is lost"]);
    assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
}

/// The reference keeps an object awake for ever after this.
#[test]
fn race_two_simultaneous_upgrades_do_not_keep_an_object_awake() {
    for idle in [0, 10_000] {
        let mut fake = Fake::new(rooms(|settings| settings.hibernation_idle_ms = Some(idle)), 1);
        script(At::Fetch, "sleep 10");
        let clients = [(); 2].map(|()| fake.connect());
        for client in &clients {
            client.bytes(upgrade("/lobby", ""));
        }
        fake.advance(20 + idle);
        clients.iter().for_each(|client| fake.opened(client));
        assert_eq!(awake(&fake), 0, "idle {idle}");
    }
}
