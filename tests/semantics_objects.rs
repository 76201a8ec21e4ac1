//! SEMANTICS 1, objects: one instance for an id, events one after the other, the constructor before the event.

mod support;

use dormouse::object::WorldBuilder;
use dormouse::{Env, ReadyState, Request, Response, Result, Worker};
use support::fake::Fake;
use support::frames::{Heard, closed, text};
use support::http::{get, post, upgrade};
use support::room::{At, CLOSES, DROPS, Room, fake, fake_with, hook, inside, log, room_on, rooms, script};

/// Answers with what is true of ids.
struct Ids;

impl Worker for Ids {
    async fn fetch(&self, _request: Request, env: &Env) -> Result<Response> {
        let rooms = env.namespace("ROOM")?;
        let named = rooms.id_from_name("lobby");
        let hex = named.to_string();
        let read = rooms.id_from_string(&hex)?;
        let unique = [rooms.new_unique_id(), rooms.new_unique_id()];
        let facts = [
            hex.len() == 64 && hex.bytes().all(|digit| digit.is_ascii_hexdigit()),
            named.equals(&rooms.id_from_name("lobby")),
            !named.equals(&rooms.id_from_name("other")),
            named.name() == Some("lobby"),
            read.equals(&named) && read.name().is_none(),
            !unique[0].equals(&unique[1]) && unique[0].name().is_none(),
            rooms.id_from_string(&unique[0].to_string())?.equals(&unique[0]),
            rooms.get_by_name("lobby").id().equals(&named),
            rooms.get_by_name("lobby").name() == Some("lobby"),
            rooms.get(&unique[0]).id().equals(&unique[0]),
            env.namespace("LATEST")?.id_from_string(&hex).is_err(),
            rooms.id_from_string("not an id").is_err(),
            env.namespace("NONE").is_err(),
            env.var("GREETING") == Some("hello") && env.var("greeting").is_none(),
        ];
        Ok(Response::text(format!("{facts:?}")))
    }
}

/// SEMANTICS 1, identity.
#[test]
fn an_object_is_named_by_its_class_and_its_id() {
    let builder = WorldBuilder::new(Ids)
        .namespace::<Room<CLOSES>>("ROOM")
        .namespace::<Room<DROPS>>("LATEST")
        .var("GREETING", "hello");
    let mut fake = Fake::new(builder, 1);
    assert_eq!(fake.ask(&get("/")).body, format!("{:?}", [true; 14]));
}

#[test]
fn an_object_reads_its_own_id_and_name() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |ctx, _| assert_eq!(ctx.id().name(), Some("/lobby")));
}

/// SEMANTICS 1, single instance, home shard.
#[test]
fn all_clients_of_an_id_meet_in_one_instance_on_its_home_shard() {
    let mut fake = Fake::new(rooms(|_| {}), 2);
    let room = room_on(&mut fake, 1);
    let clients = [0, 1, 0, 1].map(|shard| fake.open_at(shard, &room));
    clients[0].text("shout hello");
    fake.settle();
    for client in &clients {
        assert_eq!(client.heard(), [text("hello")]);
    }
    assert_eq!(log().iter().filter(|line| *line == "new").count(), 1);
    let constructions = |shard: usize| fake.shards[shard].counters.namespaces[0].constructions.get();
    assert_eq!([constructions(0), constructions(1)], [0, 1]);
}

#[test]
fn the_same_name_in_another_namespace_is_another_object() {
    let mut fake = fake();
    fake.open("/latest/lobby");
    fake.open("/lobby");
    assert_eq!(log(), ["new", "fetch /latest/lobby", "new", "fetch /lobby"]);
}

/// SEMANTICS 1, serial events.
#[test]
fn a_handler_runs_to_its_end_before_the_next_begins() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    let bob = fake.open("/lobby?name=bob");
    log();
    alice.text("sleep 100; log first is done");
    fake.settle();
    bob.text("log second is done");
    fake.settle();
    assert_eq!(log(), ["alice says sleep 100; log first is done"]);
    fake.advance(99);
    assert_eq!(log(), [""; 0]);
    fake.advance(1);
    assert_eq!(log(), ["first is done", "bob says log second is done", "second is done"]);
}

#[test]
fn a_handler_that_waits_holds_up_no_other_object() {
    let mut fake = fake();
    let alice = fake.open("/slow?name=alice");
    let bob = fake.open("/quick?name=bob");
    alice.text("sleep 60000");
    bob.text("say here");
    fake.settle();
    assert_eq!(bob.heard(), [text("here")]);
}

/// SEMANTICS 1: in order of arrival per socket.
#[test]
fn messages_arrive_in_order_however_they_are_cut() {
    for bytes in [1, 2, 7, 100, 4_096] {
        let mut fake = fake();
        let alice = fake.open("/lobby?name=alice");
        fake.receive_bytes_max = bytes;
        for n in 0..300 {
            alice.text(format!("say {n}"));
        }
        fake.settle();
        assert_eq!(alice.texts(), (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
    }
}

/// SEMANTICS 1, constructor.
#[test]
fn the_constructor_runs_before_the_first_event_and_again_at_each_wake() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice");
    for _ in 0..3 {
        assert_eq!(log()[0], "new");
        fake.advance(10_000);
        assert_eq!(log(), ["drop"]);
        alice.text("hello");
        fake.settle();
    }
    assert_eq!(log(), ["new", "alice says hello"]);
}

#[test]
fn in_the_constructor_sockets_tags_attachments_send_and_close_work() {
    let mut fake = fake();
    let alice = fake.open("/lobby?name=alice&tag=red&tag=round");
    let bob = fake.open("/lobby?name=bob");
    fake.advance(10_000);
    log();
    hook(At::New, |ctx, _| {
        let sockets = ctx.get_web_sockets(None);
        assert_eq!(sockets.len(), 2);
        assert_eq!(sockets[0].deserialize_attachment::<String>()?.as_deref(), Some("bob"));
        assert_eq!(ctx.get_tags(&sockets[1])?, ["red", "round"]);
        assert_eq!(ctx.get_web_sockets(Some("red")), [sockets[1].clone()]);
        assert_eq!(sockets[1].ready_state(), ReadyState::Open);
        sockets[1].send("welcome back")?;
        sockets[0].close(4_001, "not you")?;
        Ok(())
    });
    alice.text("say and hello");
    fake.settle();
    assert_eq!(log(), ["new", "alice says say and hello"]);
    assert_eq!(alice.heard(), [text("welcome back"), text("and hello")]);
    assert_eq!(bob.heard(), [closed(4_001, "not you")]);
}

#[test]
fn events_wait_in_order_for_a_constructor_that_waits() {
    let mut fake = fake();
    script(At::New, "sleep 50");
    let alice = fake.connect();
    alice.bytes(upgrade("/lobby?name=alice", ""));
    fake.settle();
    assert_eq!(log(), ["new"]);
    fake.advance(50);
    fake.opened(&alice);
    fake.advance(10_000);
    log();
    alice.text("say one").text("say two");
    fake.advance(49);
    assert_eq!(alice.heard(), []);
    fake.advance(1);
    assert_eq!(alice.heard(), [text("one"), text("two")]);
    assert_eq!(log(), ["new", "alice says say one", "alice says say two"]);
}

/// A constructor has no caller whose deadline would end it.
#[test]
fn a_constructor_that_does_not_return_in_time_has_failed() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    fake.advance(10_000);
    script(At::New, "sleep 29999");
    alice.text("say as slow as may be");
    fake.advance(29_999);
    assert_eq!(alice.heard(), [text("as slow as may be")]);
    fake.advance(10_000);
    script(At::New, "sleep 1000000");
    alice.text("say never");
    let asking = fake.connect();
    asking.bytes(get("/lobby"));
    fake.advance(29_999);
    assert_eq!(alice.heard(), []);
    assert_eq!(fake.counters().event_timeouts.get(), 0);
    log();
    fake.advance(1);
    assert!(matches!(alice.heard()[0], Heard::Close(1011, _)));
    assert_eq!(asking.reply().status, 500);
    assert_eq!(fake.counters().event_timeouts.get(), 1);
    assert_eq!(fake.counters().namespaces[0].failures.get(), 1);
    script(At::New, "");
    let again = fake.open("/lobby?name=again");
    again.text("say it can be made");
    fake.settle();
    assert_eq!(again.heard(), [text("it can be made")]);
}

/// The deadline of one that has returned is none of the next one's.
#[test]
fn each_constructor_has_a_time_of_its_own() {
    let mut fake = fake_with(|settings| {
        (settings.ping_ms, settings.hibernation_idle_ms) = (None, Some(0));
    });
    let alice = fake.open("/lobby?name=alice");
    script(At::New, "sleep 20000");
    for said in ["one", "two", "three"] {
        alice.text(format!("say {said}"));
        fake.advance(20_000);
        assert_eq!(alice.heard(), [text(said)]);
        fake.advance(1_000);
    }
    assert_eq!(fake.counters().namespaces[0].constructions.get(), 4);
}

/// The shard was busy, or the machine suspended; found by the simulation.
#[test]
fn a_constructor_has_not_failed_because_the_shard_looks_late() {
    let mut fake = fake_with(|settings| settings.ping_ms = None);
    let alice = fake.open("/lobby?name=alice");
    fake.advance(10_000);
    script(At::New, "sleep 100");
    alice.text("say I am here");
    fake.settle();
    fake.move_clock(60_000);
    fake.settle();
    assert_eq!(alice.heard(), [text("I am here")]);
    assert_eq!(fake.counters().event_timeouts.get(), 0);
    // But that is no way to go on for ever.
    fake.advance(10_000);
    script(At::New, &["sleep 500"; 10].join("; "));
    alice.text("say never");
    fake.settle();
    for heard in [0, 2] {
        fake.move_clock(60_000);
        fake.settle();
        // A Close with 1011, and FIN.
        assert_eq!(alice.heard().len(), heard);
    }
}

/// SEMANTICS 1, constructor fails.
#[test]
fn a_constructor_that_fails_gives_the_caller_a_500_without_detail() {
    for failure in ["fail", "panic", "sleep 10; fail", "sleep 10; panic"] {
        let mut fake = fake();
        script(At::New, failure);
        let alice = fake.connect();
        alice.bytes(upgrade("/lobby", ""));
        fake.advance(10);
        let reply = alice.reply();
        assert_eq!(reply.status, 500, "{failure}");
        assert_eq!(reply.body, "Internal Server Error\n");
        script(At::New, "");
        assert_eq!(fake.ask(&post("/lobby", "")).status, 200, "the next event constructs anew");
    }
}

/// SEMANTICS 1, constructor fails: what the reference does not do.
#[test]
fn a_constructor_that_fails_at_a_wake_closes_its_sockets_with_1011() {
    for failure in ["fail", "panic"] {
        let mut fake = fake();
        let clients = ["alice", "bob"].map(|name| fake.open(&format!("/lobby?name={name}")));
        fake.advance(10_000);
        log();
        script(At::New, failure);
        clients[0].text("hello");
        fake.settle();
        for client in &clients {
            let heard = client.heard();
            assert!(
                matches!(&heard[0], Heard::Close(1011, reason) if !reason.contains("script")),
                "{heard:?}"
            );
            client.close(1011, "").fin();
        }
        fake.settle();
        assert!(clients.iter().all(|client| client.is_closed()));
        assert!(!log().iter().any(|line| line.contains("closes")), "nobody is there to be told");
        assert_eq!(fake.counters().namespaces[0].sockets.get(), 0);
        script(At::New, "");
        assert_eq!(fake.ask(&post("/lobby", "")).status, 200);
    }
}

#[test]
fn an_instance_is_dropped_when_its_world_ends() {
    let mut fake = fake();
    let _alice = fake.open("/lobby");
    log();
    drop(fake);
    assert_eq!(log(), ["drop"]);
}

#[test]
fn objects_that_panic_in_drop_do_not_disturb_the_end_of_their_world() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = None);
    let alice = fake.open("/lobby");
    alice.text("bomb");
    fake.settle();
    log();
    drop(fake);
    assert_eq!(log(), ["drop"]);
}
