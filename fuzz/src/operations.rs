//! Sequences of whatever clients, applications and time can do to a world, over the fake driver of the tests, which
//! panics where a world breaks its contract. Small limits, so that all of them are met.
//!
//! `[shards] [idle] [chaos] [operation [arguments]]...`

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Once;

use dormouse::object::Settings;

use super::input::Choices;
use super::mail::{Correspondent, Ledger};
use super::support::fake::{Chaos, Fake};
use super::support::http::{get, post, upgrade};
use super::support::random::Random;
use super::support::room::{At, hook, log, rooms, script, unhook};

mod api;

/// Clients of one run: an input has a few hundred bytes, and the world is to be crowded rather than large.
const CLIENTS_MAX: usize = 16;
const OPERATIONS_MAX: usize = 200;
const SOCKETS_PER_OBJECT_MAX: usize = 6;

/// Longer than every patience and every script together.
const ALL_IS_OVER_MS: u64 = 400_000;

/// How long a batch waits.
const BATCH_DELAY_MS: u64 = 50;

const TIMES_MS: [u64; 8] = [1, 60, 100, 1_000, 5_000, 10_000, 26_000, 90_000];
const ROOMS: [&str; 4] = ["/a", "/b", "/latest/a", "/kept/a"];

thread_local! {
    static UNEXPECTED_PANICS: Cell<u32> = const { Cell::new(0) };
}

/// Tells panics that scripts ask for from others: the engine catches both, and only the former are its duty.
fn watch_panics() {
    static WATCH: Once = Once::new();
    WATCH.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str().is_some_and(|text| text.starts_with("a scripted panic")) {
                return;
            }
            UNEXPECTED_PANICS.set(UNEXPECTED_PANICS.get() + 1);
            before(info);
        }));
    });
}

pub fn run(bytes: &[u8]) {
    watch_panics();
    UNEXPECTED_PANICS.set(0);
    let mut choices = Choices::new(bytes);
    let mut town = Town::new(&mut choices);
    for _ in 0..OPERATIONS_MAX {
        if choices.is_empty() {
            break;
        }
        town.step(&mut choices);
    }
    town.end();
    assert_eq!(UNEXPECTED_PANICS.get(), 0, "a panic that no script asked for was caught");
}

fn limits(choices: &mut Choices<'_>) -> impl FnOnce(&mut Settings) + use<> {
    let idle_ms = choices.pick(&[Some(0), Some(10_000), None]);
    move |settings| {
        settings.hibernation_idle_ms = idle_ms;
        settings.session.message_bytes_max = 2_000;
        settings.session.frames_per_message_max = 5;
        settings.reassembly_bytes_max = 5_000;
        settings.output_socket_bytes_max = 500;
        settings.kept_messages_max = 4;
        settings.output_shard_bytes_max = 3_000;
        settings.control_frames_per_second_max = 3;
        settings.mailbox_events_max = 4;
        settings.mailbox_bytes_max = 3_000;
        settings.attachment_bytes_max = 100;
        settings.sockets_per_object_max = SOCKETS_PER_OBJECT_MAX;
        settings.body_bytes_max = 500;
    }
}

/// A driver, its clients, and what is known of them.
struct Town {
    fake: Fake,
    people: Vec<Correspondent>,
    ledger: Ledger,
    /// What objects are to do at their next hook.
    todo: Rc<RefCell<VecDeque<api::Call>>>,
    number: u64,
    ticks: bool,
}

impl Town {
    fn new(choices: &mut Choices<'_>) -> Town {
        let shards = 1 + choices.below(2) as u16;
        let mut fake = Fake::new(rooms(limits(choices)), shards);
        let seed = choices.byte();
        if seed != 0 {
            fake.chaos = Some(Chaos {
                random: Random::new(u64::from(seed)),
                deferred: 30,
                segmented: 50,
                short: 30,
                slow_mesh: 40,
                hand_off_fails: 10,
            });
        }
        let todo: Rc<RefCell<VecDeque<api::Call>>> = Rc::default();
        for at in [At::Fetch, At::Close, At::Error, At::Tick] {
            script(at, "");
            let todo = todo.clone();
            hook(at, move |ctx, ws| {
                api::check(ctx, SOCKETS_PER_OBJECT_MAX);
                let call = todo.borrow_mut().pop_front();
                if let Some(call) = call {
                    api::perform(call, ctx, ws);
                }
                Ok(())
            });
        }
        unhook(At::New);
        script(At::New, "");
        drop((log(), api::pushed()));
        Town { fake, people: Vec::new(), ledger: Ledger::default(), todo, number: 0, ticks: false }
    }

    fn step(&mut self, choices: &mut Choices<'_>) {
        match choices.below(16) {
            0 | 1 => self.connect(choices),
            2 => self.fake.settle(),
            3 => {
                let shard = choices.below(self.fake.shards.len());
                self.fake.turn(shard);
            }
            4 => self.fake.advance(choices.pick(&TIMES_MS)),
            5 | 6 => self.say(choices),
            7 => self.frame(choices),
            8 => self.raw(choices),
            9 => self.network(choices),
            10 => self.call(choices),
            11 => self.request(choices),
            12 => self.program(choices),
            13 => self.todo.borrow_mut().push_back(api::Call::choose(choices)),
            14 => self.close(choices),
            _ => match choices.below(8) {
                7 => self.fake.shards.iter().for_each(|shard| shard.world.begin_drain()),
                4..=6 => self.say_batch(choices),
                3 => self.nearly_batch(choices),
                _ => self.fake.advance(BATCH_DELAY_MS),
            },
        }
        self.look();
    }

    /// Reads everything that was said and holds it against what may be said.
    fn look(&mut self) {
        self.ledger.note(log());
        self.people.iter_mut().for_each(Correspondent::hear);
        for shard in &self.fake.shards {
            let held = shard.held_places();
            let counted = shard.counters.connections.get();
            assert!(counted <= (held + CLIENTS_MAX) as u64, "{counted} connections counted, {held} held");
        }
    }

    fn connect(&mut self, choices: &mut Choices<'_>) {
        if self.people.len() == CLIENTS_MAX {
            return self.fake.settle();
        }
        let client = self.fake.connect_to(choices.below(self.fake.shards.len()));
        let name = format!("c{}", self.people.len());
        let (room, tag) = (choices.pick(&ROOMS), choices.below(4));
        client.bytes(upgrade(&format!("{room}?name={name}&tag=all&tag=t{tag}"), ""));
        self.people.push(Correspondent::new(client, name, room.starts_with("/latest/")));
    }

    fn person(&self, choices: &mut Choices<'_>) -> Option<&Correspondent> {
        let at = choices.below(CLIENTS_MAX);
        self.people.get(at % self.people.len().max(1))
    }

    /// A numbered text, which is a script for the room.
    fn say(&mut self, choices: &mut Choices<'_>) {
        self.number += 1;
        let Some(person) = self.person(choices) else { return };
        let (name, number) = (&person.name, self.number);
        let tail = match choices.below(16) {
            0..=4 => format!("say {name}:{number}"),
            5..=8 => format!("shout {name}:{number}"),
            9 => format!("sleep {}; say {name}:{number}", choices.pick(&TIMES_MS)),
            10 => format!("shout {}; log {name}:{number}", "x".repeat(10 * choices.below(256))),
            11 => format!("fail; log {name}:{number}"),
            12 => format!("panic; log {name}:{number}"),
            13 => format!("bomb; log {name}:{number}"),
            14 => format!("linger {}; say {name}:{number}", choices.pick(&TIMES_MS)),
            _ => format!("say {name}:{number}; close {}; log {name}:{number}", 3000 + choices.below(256)),
        };
        person.client.text(tail);
    }

    /// Numbered texts in one envelope.
    fn say_batch(&mut self, choices: &mut Choices<'_>) {
        let first = self.number + 1;
        self.number += 1 + choices.below(6) as u64;
        let verb = choices.pick(&["say", "shout", "panic; log", "sleep 60; say"]);
        let Some(person) = self.person(choices) else { return };
        let texts = (first..=self.number).map(|number| format!("{verb} {}:{number}", person.name));
        person.send_batch(&texts.collect::<Vec<_>>());
    }

    /// An envelope that may or may not be right.
    fn nearly_batch(&mut self, choices: &mut Choices<'_>) {
        let count = choices.below(32);
        let rest = choices.take(count);
        if let Some(person) = self.person(choices) {
            person.send_nearly_batch(rest);
        }
    }

    /// A frame that may or may not be right.
    fn frame(&mut self, choices: &mut Choices<'_>) {
        let first = choices.byte();
        let size = choices.pick(&[0, 1, 2, 125, 126, 700, 1_990, 2_100]);
        let byte = choices.byte();
        if let Some(person) = self.person(choices) {
            person.client.frame(first, vec![byte; size]);
        }
    }

    fn raw(&mut self, choices: &mut Choices<'_>) {
        let count = choices.below(32);
        let bytes = choices.take(count);
        if let Some(person) = self.person(choices) {
            person.client.bytes(bytes);
        }
    }

    fn network(&mut self, choices: &mut Choices<'_>) {
        let kind = choices.below(6);
        let bytes = 4 * choices.below(256);
        let Some(person) = self.person(choices) else { return };
        match kind {
            0 => person.client.fin(),
            1 => person.client.reset(),
            2 => person.client.stop_reading(bytes),
            3 => person.client.read(bytes),
            4 => person.client.read_on(),
            _ => person.client.text("ping"),
        };
    }

    /// A request to a room, with a script in its body.
    fn call(&mut self, choices: &mut Choices<'_>) {
        self.number += 1;
        let (room, other) = (choices.pick(&ROOMS), choices.pick(&ROOMS));
        let number = self.number;
        let body = match choices.below(8) {
            0 => format!("shout p{number}:{number}"),
            1 => format!("call {other} shout p{number}:{number}"),
            2 => format!("call {other} call {room} say nothing"),
            3 => format!("sleep {}", choices.pick(&TIMES_MS)),
            4 => "fail".to_owned(),
            5 => "panic".to_owned(),
            6 => {
                self.ticks = true;
                "tick 5000".to_owned()
            }
            _ => String::new(),
        };
        let shard = choices.below(self.fake.shards.len());
        self.fake.connect_to(shard).bytes(post(room, &body));
    }

    /// A request that the worker answers, or that is none.
    fn request(&mut self, choices: &mut Choices<'_>) {
        let client = self.fake.connect_to(choices.below(self.fake.shards.len()));
        match choices.below(8) {
            0 => client.bytes(get("/worker/fail")),
            1 => client.bytes(get("/worker/panic")),
            2 => client.bytes(get("/worker/hang")),
            3 => client.bytes(get("/worker/status?/a")),
            4 => client.bytes(upgrade("/worker/drop?/a", "")),
            5 => client.bytes(post("/worker/echo", &"e".repeat(choices.below(256)))),
            6 => client.bytes(upgrade("/worker/echo", "")),
            _ => {
                let count = choices.below(64);
                client.bytes(choices.take(count))
            }
        };
        if choices.is() {
            client.fin();
        }
    }

    /// From now on objects do something at some moment.
    fn program(&mut self, choices: &mut Choices<'_>) {
        let at = choices.pick(&[At::New, At::Fetch, At::Close, At::Error, At::Tick]);
        let what = choices.pick(&[
            "",
            "",
            "fail",
            "panic",
            "sleep 60",
            "sleep 60; fail",
            "shout x",
            "bomb",
            "close 3000 bye",
        ]);
        script(at, what);
    }

    fn close(&mut self, choices: &mut Choices<'_>) {
        let code =
            choices.pick(&[None, Some(1000), Some(1001), Some(3000), Some(4999), Some(1005), Some(999)]);
        if let Some(person) = self.person(choices) {
            person.client.close(code, "bye");
        }
    }

    /// Everybody goes, and nothing is left of them.
    fn end(&mut self) {
        for at in [At::New, At::Fetch, At::Close, At::Error, At::Tick] {
            script(at, "");
        }
        self.todo.borrow_mut().clear();
        for person in &self.people {
            person.client.read_on();
        }
        self.fake.settle();
        self.look();
        for person in &self.people {
            person.client.reset();
        }
        self.fake.advance(ALL_IS_OVER_MS);
        self.ledger.note(log());
        let sent = self.fake.shards.iter().map(|shard| shard.counters.batched_messages_sent.get());
        assert_eq!(sent.sum::<u64>(), api::pushed(), "what was put into batches has left in batches");
        for (at, shard) in self.fake.shards.iter().enumerate() {
            assert_eq!(shard.held_places(), 0, "shard {at} holds descriptors of clients that are gone");
            assert_eq!(shard.counters.connections.get(), 0, "shard {at} counts connections that are gone");
            for namespace in &shard.counters.namespaces {
                assert_eq!(namespace.sockets.get(), 0, "shard {at} counts sockets that are gone");
                assert!(self.ticks || namespace.awake.get() == 0, "an object without anything is awake");
            }
        }
        assert_eq!(self.fake.plan.directory().open(), 0, "the directory knows connections that are gone");
    }
}
