//! One run: clients who do what a script says, turns of the driver between, and at the end everything healed and
//! over. Owns the script; what is right is said by `client`, `witness` and `ending`.

use std::rc::Rc;

use dormouse::object::WorldBuilder;

use super::client::Client;
use super::driver::Driver;
use super::pipe::Pipe;
use super::plan::Plan;
use super::room::{self, Router};
use super::rules::Rules;
use super::speech;
use super::witness::{self, Witness};
use super::{inspect, squeeze, trace};
use crate::support::http::upgrade;
use crate::support::random::Random;

pub struct Town {
    pub plan: Plan,
    pub driver: Driver,
    pub clients: Vec<Client>,
    pub rules: Rc<Rules>,
    pub random: Random,
}

impl Drop for Town {
    fn drop(&mut self) {
        // Objects that go with their worlds are not put to sleep.
        witness::with(|witness| witness.is_over = true);
    }
}

/// What a client does, or what happens to all.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Connect,
    Request,
    Say,
    Ping,
    Auto,
    Close,
    Fin,
    Reset,
    Vanish,
    Stall,
    Resume,
    Nonsense,
    Wait,
    Jump,
    WallJump,
}

impl Town {
    pub fn new(plan: Plan) -> Town {
        let settings = &plan.settings;
        witness::with(|witness| {
            *witness = Witness {
                idle_ms: settings.hibernation_idle_ms,
                evict_idle_ms: settings.evict_idle_ms,
                event_timeout_ms: plan.event_timeout_ms,
                fetch_ms: settings.fetch_ms,
                sockets_max: settings.sockets_per_object_max,
                failing_constructor: plan.failing_constructor,
                slow_constructor: plan.slow_constructor,
                batching: plan.batching,
                ..Witness::default()
            }
        });
        inspect::set_output_bytes_max(settings.output_socket_bytes_max);
        let builder = room::bind(WorldBuilder::new(Router), plan.slow_reader, plan.batching);
        let builder = builder.connections_max(plan.connections_max).settings(settings.clone());
        let mut random = Random::new(plan.seed);
        let driver = Driver::new(builder, plan.shards, plan.faults.clone(), random.split());
        let rules = Rc::new(Rules::of(&plan));
        Town { driver, clients: Vec::new(), rules, random, plan }
    }

    /// The script.
    pub fn live(&mut self) {
        for _ in 0..self.plan.steps {
            let deed = self.choose();
            self.perform(deed);
            for _ in 0..self.random.below(4) {
                self.driver.round();
            }
            self.look();
        }
    }

    /// Has every client read what has come, and stops at the first broken rule.
    ///
    /// # Panics
    /// When a rule is broken.
    pub fn look(&mut self) {
        for client in &mut self.clients {
            let wants_answer = client.hear();
            if wants_answer && client.is_polite && client.is_speaking() {
                let code = client.heard_close;
                speech::close(client, code);
            }
        }
        let (broken, scripted) = witness::with(|witness| (witness.broken.take(), witness.scripted_panics));
        if let Some(rule) = broken {
            panic!("{rule}");
        }
        let panics: u64 = self.driver.shards.iter().map(|shard| shard.counters.panics.get()).sum();
        assert!(panics <= scripted, "the engine caught a panic that no script asked for");
        let open = self.driver.plan.directory().open();
        assert!(open <= self.plan.connections_max, "a budget is not kept: {open} connections");
    }

    fn choose(&mut self) -> Deed {
        let habits = &self.plan.habits;
        let weights = [
            (Deed::Connect, habits.connect),
            (Deed::Request, habits.request),
            (Deed::Say, habits.say),
            (Deed::Ping, habits.ping),
            (Deed::Auto, habits.auto),
            (Deed::Close, habits.close),
            (Deed::Fin, habits.fin),
            (Deed::Reset, habits.reset),
            (Deed::Vanish, habits.vanish),
            (Deed::Stall, habits.stall),
            (Deed::Resume, habits.resume),
            (Deed::Nonsense, habits.nonsense),
            (Deed::Wait, habits.wait),
            (Deed::Jump, habits.jump),
            (Deed::WallJump, habits.wall_jump),
        ];
        weighted(&mut self.random, &weights)
    }

    fn perform(&mut self, deed: Deed) {
        trace::note(format_args!("{deed:?}"));
        match deed {
            Deed::Connect => self.connect(),
            Deed::Request => self.request(),
            Deed::Wait => {
                let ms = *self.random.pick(&[1, 3, 10, 50, 200]);
                self.driver.move_clock(ms);
            }
            // A machine that was suspended wakes up long behind every deadline.
            Deed::Jump => {
                let ms = *self.random.pick(&[2_500, 6_000, 30_000, 100_000]);
                self.driver.move_clock(ms);
            }
            Deed::WallJump => {
                let ms = self.random.below(10_000_000) as u64;
                let wall_ms = &mut self.driver.now.wall_ms;
                *wall_ms = if self.random.percent(50) { *wall_ms + ms } else { *wall_ms - ms };
            }
            of_client => self.client_does(of_client),
        }
    }

    fn client_does(&mut self, deed: Deed) {
        if self.clients.is_empty() {
            return self.connect();
        }
        let at = self.random.below(self.clients.len());
        let Town { clients, random, plan, rules, .. } = self;
        let client = &mut clients[at];
        trace::note(format_args!("client {at} {deed:?}"));
        match deed {
            Deed::Stall => {
                client.has_stalled = true;
                let room = random.below(200);
                client.pipe.borrow_mut().room.get_or_insert(room);
            }
            Deed::Resume => client.pipe.borrow_mut().room = None,
            Deed::Reset => {
                client.is_rude = true;
                client.pipe.borrow_mut().reset();
            }
            _ if !client.is_speaking() => {}
            Deed::Say => {
                speech::say_all(1 + random.below(plan.burst), client, plan, rules, random);
            }
            Deed::Auto => speech::auto(client),
            Deed::Ping => speech::ping(client),
            Deed::Close => {
                client.is_polite = random.percent(80);
                let code = random.percent(80).then(|| super::client::CLIENT_CODE + at as u16);
                speech::close(client, code);
            }
            Deed::Fin => {
                client.is_rude = true;
                speech::finish(client);
                client.pipe.borrow_mut().client_fin = true;
            }
            // Half open: the machine is gone, and nobody says so.
            Deed::Vanish => {
                (client.is_rude, client.has_vanished) = (true, true);
                client.pipe.borrow_mut().room = Some(random.below(100));
            }
            Deed::Nonsense => {
                client.is_rude = true;
                match plan.batching {
                    Some(format) if random.percent(50) => speech::broken_envelope(client, format, random),
                    _ => speech::nonsense(client, random),
                }
            }
            _ => {}
        }
    }

    /// A client connects, asks for an upgrade, and may say more at once.
    fn connect(&mut self) {
        if self.clients.len() >= self.plan.clients_max {
            return;
        }
        let number = self.clients.len() as u32;
        let room = format!("/r{}", self.random.below(self.plan.rooms));
        let pipe = Pipe::new(number as usize, self.driver.now.monotonic_ms);
        let mut client = Client::new(number, room, pipe.clone(), self.rules.clone());
        let target = self.target(&client);
        if self.random.percent(20) {
            // Pipelined before the upgrade.
            client.requests_due = 1;
            pipe.borrow_mut().send(speech::visit(&client.room, &format!("visit {number}:0")).as_bytes());
        }
        let offer = squeeze::offer(&mut self.random);
        pipe.borrow_mut().send(upgrade(&target, offer).as_bytes());
        client.is_polite = self.random.percent(85);
        let shard = self.random.below(self.driver.shards.len());
        self.driver.connect(shard, pipe);
        if self.random.percent(30) {
            speech::say(&mut client, &self.plan, &self.rules, &mut self.random);
        }
        self.clients.push(client);
    }

    fn target(&mut self, client: &Client) -> String {
        let (plan, random) = (&self.plan, &mut self.random);
        let mut target = format!("{}?c={}&tag=all&tag=t{}", client.room, client.number, client.number % 2);
        if random.percent(plan.busy_close) {
            let mood = random.pick(&["answers", "sleeps", "tells", "fails", "panics"]);
            target.push_str(&format!("&tag=end-{mood}"));
        }
        if random.percent(plan.slow_upgrade) {
            let when = random.pick(&["early", "late"]);
            target.push_str(&format!("&{when}={}", 1 + random.below(30)));
        }
        if random.percent(plan.failing_upgrade) {
            target.push_str(&format!("&fails={}", 1 + random.below(2)));
        }
        if random.percent(30) {
            target.push_str("&greet=1");
        }
        target
    }

    /// Somebody asks once over HTTP and is not heard of again.
    fn request(&mut self) {
        let room = format!("/r{}", self.random.below(self.plan.rooms));
        let pipe = Pipe::new(1_000, self.driver.now.monotonic_ms);
        let request = speech::visit(&room, "visit 1000:0");
        let length = if self.random.percent(80) { request.len() } else { self.random.below(request.len()) };
        let mut open = pipe.borrow_mut();
        open.send(&request.as_bytes()[..length]);
        open.client_fin = true;
        drop(open);
        let shard = self.random.below(self.driver.shards.len());
        self.driver.connect(shard, pipe);
    }
}

pub fn weighted<T: Copy>(random: &mut Random, weights: &[(T, u32)]) -> T {
    let total: u32 = weights.iter().map(|(_, weight)| weight).sum();
    let mut at = random.below(total as usize) as u32;
    for (choice, weight) in weights {
        if at < *weight {
            return *choice;
        }
        at -= weight;
    }
    unreachable!("the weights add up to their total")
}
