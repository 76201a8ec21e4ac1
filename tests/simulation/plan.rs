//! What a seed decides before its run begins: the engine's settings and how likely each fault is. Owns these
//! draws; a fault that is off in one run and frequent in another meets more corners than one that is rare in all.

use dormouse::object::Settings;
use dormouse::{BatchFormat, SlowReader};

use super::squeeze;
use crate::support::random::Random;

/// How likely each unkindness is, in percent of its occasions.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// A completion comes in a later turn.
    pub deferred: u32,
    /// A receive brings only some of the bytes.
    pub segmented: u32,
    /// A send takes only some of the bytes though there is room.
    pub short: u32,
    /// A message to another shard arrives in a later turn.
    pub slow_mesh: u32,
    /// A descriptor cannot be passed.
    pub hand_off_fails: u32,
    /// A shard is left out of a round.
    pub slow_shard: u32,
    /// Bytes arrive behind a pause: the kernel had them already.
    pub late_bytes: u32,
}

/// How often a script does each thing; weights.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    pub connect: u32,
    pub request: u32,
    pub say: u32,
    pub ping: u32,
    pub auto: u32,
    pub close: u32,
    pub fin: u32,
    pub reset: u32,
    pub vanish: u32,
    pub stall: u32,
    pub resume: u32,
    pub nonsense: u32,
    pub wait: u32,
    pub jump: u32,
    pub wall_jump: u32,
}

/// How often a message asks for each thing; weights.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub echo: u32,
    pub all: u32,
    pub others: u32,
    pub about: u32,
    pub aside: u32,
    pub tagged: u32,
    pub each: u32,
    pub large: u32,
    pub close: u32,
    pub panic: u32,
    pub fail: u32,
    pub bomb: u32,
    pub sleep: u32,
    pub linger: u32,
    pub tick: u32,
    pub put: u32,
    pub get: u32,
    pub call: u32,
    pub pair: u32,
    pub retag: u32,
    pub push: u32,
    pub push_tag: u32,
    pub push_own: u32,
    pub push_late: u32,
    pub flush: u32,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub shards: u16,
    pub settings: Settings,
    pub connections_max: usize,
    pub rooms: usize,
    pub clients_max: usize,
    pub steps: usize,
    pub faults: Faults,
    pub habits: Habits,
    pub wishes: Wishes,
    /// Most messages that a client sends at once.
    pub burst: usize,
    /// Percent of messages that come in fragments.
    pub fragmented: u32,
    /// Percent of upgrades whose `fetch` waits before it answers.
    pub slow_upgrade: u32,
    /// Percent of upgrades whose `fetch` fails behind the acceptance.
    pub failing_upgrade: u32,
    /// Percent of close handlers that do something of their own.
    pub busy_close: u32,
    /// Percent of constructions that fail, and that wait.
    pub failing_constructor: u32,
    pub slow_constructor: u32,
    /// What becomes of what a slow reader cannot take.
    pub slow_reader: SlowReader,
    /// Rooms batch, in this format.
    pub batching: Option<BatchFormat>,
    /// Percent of what a client says at once that comes in one envelope.
    pub enveloped: u32,
    /// The server shuts down before everybody has left.
    pub ends_with_drain: bool,
    /// Event timeout that objects set.
    pub event_timeout_ms: Option<u64>,
    /// Messages so large that they do not fit small limits.
    pub has_large_messages: bool,
}

/// Never, or up to `most`.
fn chance(random: &mut Random, most: usize) -> u32 {
    if random.percent(50) { 0 } else { 1 + random.below(most) as u32 }
}

impl Plan {
    pub fn of(seed: u64) -> Plan {
        // Neighbours begin far apart.
        let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)).split();
        let random = &mut random;
        let mut settings = settings(random);
        let mut clients_max = 2 + random.below(7);
        if random.percent(25) {
            clients_max = 2 + random.below(2);
            tighten_reassembly(&mut settings, clients_max);
        }
        let slow_reader = match random.below(100) {
            0..25 => SlowReader::DropNewest,
            25..55 => SlowReader::KeepLatest,
            _ => SlowReader::Close,
        };
        let (mut habits, mut wishes) = (habits(random), wishes(random));
        if slow_reader == SlowReader::KeepLatest && random.percent(60) {
            // Readers at their bounds, and mostly keys that meet them there: what has none would close them.
            settings.output_socket_bytes_max = *random.pick(&[1, 40, 100]);
            settings.kept_messages_max = *random.pick(&[3, 1_024, 1_024]);
            wishes = Wishes { about: 30, aside: 10, echo: 1, put: 1, all: 1, close: 1, ..Wishes::default() };
            (habits.stall, habits.resume, habits.auto) = (20, 5, 0);
        }
        let plan = Plan {
            seed,
            shards: 1 + random.below(3) as u16,
            connections_max: if random.percent(10) { 3 } else { 1_000 },
            rooms: 1 + random.below(3),
            clients_max,
            steps: 20 + random.below(100),
            faults: faults(random),
            habits,
            wishes,
            burst: *random.pick(&[2, 3, 3, 12]),
            fragmented: *random.pick(&[0, 30, 60, 95]),
            slow_upgrade: chance(random, 60),
            failing_upgrade: chance(random, 15),
            busy_close: chance(random, 80),
            failing_constructor: if random.percent(80) { 0 } else { 1 + random.below(20) as u32 },
            slow_constructor: chance(random, 30),
            slow_reader,
            batching: None,
            enveloped: 0,
            ends_with_drain: random.percent(20),
            event_timeout_ms: random.percent(40).then(|| 10 + random.below(200) as u64),
            has_large_messages: random.percent(40),
            settings,
        };
        plan.with_batches(random)
    }

    /// Has the rooms of some runs batch, and of some of these do little else.
    fn with_batches(mut self, random: &mut Random) -> Plan {
        self.batching = match random.below(100) {
            0..15 => Some(BatchFormat::Json),
            15..30 => Some(BatchFormat::MessagePack),
            _ => return self,
        };
        self.enveloped = chance(random, 80);
        let before = std::mem::take(&mut self.wishes);
        let others = if random.percent(40) {
            Wishes { echo: 2, all: 3, tagged: 3, close: 1, retag: 1, sleep: 1, ..Wishes::default() }
        } else {
            before
        };
        self.wishes = Wishes {
            push: 10 + random.below(20) as u32,
            push_tag: chance(random, 15),
            push_own: chance(random, 15),
            push_late: chance(random, 5),
            flush: chance(random, 8),
            ..others
        };
        self
    }

    /// The same run without what depends on when an object was constructed.
    pub fn timeless(mut self) -> Plan {
        (self.failing_constructor, self.slow_constructor) = (0, 0);
        self
    }
}

fn settings(random: &mut Random) -> Settings {
    let mut settings = Settings {
        hibernation_idle_ms: *random.pick(&[Some(0), Some(0), Some(1), Some(40), Some(2_000), None]),
        crowd_sockets: *random.pick(&[0, 1, 2, 1 << 20, 1 << 20]),
        evict_idle_ms: *random.pick(&[50, 90_000]),
        ..Settings::default()
    };
    settings.deflate = squeeze::settings(random);
    settings.fetch_ms = *random.pick(&[2_000, 30_000]);
    if random.percent(30) {
        settings.session.message_bytes_max = 1_500;
        settings.session.frames_per_message_max = 6;
    }
    if random.percent(30) {
        settings.output_socket_bytes_max = *random.pick(&[40, 400]);
        settings.kept_messages_max = *random.pick(&[1, 3, 1_024]);
    }
    if random.percent(15) {
        settings.output_shard_bytes_max = *random.pick(&[400, 3_000]);
    }
    if random.percent(30) {
        settings.control_frames_per_second_max = 3;
    }
    if random.percent(30) {
        settings.mailbox_events_max = 1 + random.below(4);
    }
    if random.percent(20) {
        settings.mailbox_bytes_max = *random.pick(&[50, 500]);
    }
    if random.percent(20) {
        settings.sockets_per_object_max = 1 + random.below(3);
    }
    match random.below(4) {
        0 => settings.ping_ms = None,
        1 => (settings.ping_ms, settings.pong_ms, settings.fetch_ms) = (Some(300), 200, 2_000),
        _ => {}
    }
    if random.percent(30) {
        (settings.close_ms, settings.write_progress_ms) = (300, 500);
    }
    settings
}

/// What an unfinished message of a run with a tight budget holds at most, with the room that its buffer has to grow.
const REASSEMBLY_BYTES_EACH: usize = 700;

/// Enough memory for one unfinished message of every client, and no more.
fn tighten_reassembly(settings: &mut Settings, clients: usize) {
    settings.reassembly_bytes_max = clients * REASSEMBLY_BYTES_EACH;
    settings.session.message_bytes_max = 300;
    // A context to inflate with is charged as well, and is larger than that.
    settings.deflate.is_enabled = false;
}

fn faults(random: &mut Random) -> Faults {
    Faults {
        deferred: chance(random, 60),
        segmented: chance(random, 90),
        short: chance(random, 60),
        slow_mesh: chance(random, 80),
        hand_off_fails: chance(random, 20),
        slow_shard: chance(random, 70),
        late_bytes: chance(random, 80),
    }
}

fn habits(random: &mut Random) -> Habits {
    Habits {
        connect: 8 + random.below(10) as u32,
        request: chance(random, 5),
        say: 30,
        ping: chance(random, 8),
        auto: chance(random, 15),
        close: chance(random, 8),
        fin: chance(random, 3),
        reset: chance(random, 5),
        vanish: chance(random, 3),
        stall: chance(random, 8),
        resume: 6,
        nonsense: chance(random, 3),
        wait: 5 + chance(random, 20),
        jump: chance(random, 3),
        wall_jump: chance(random, 3),
    }
}

fn wishes(random: &mut Random) -> Wishes {
    Wishes {
        echo: 10,
        all: 3 + chance(random, 15),
        others: chance(random, 8),
        tagged: chance(random, 8),
        each: chance(random, 5),
        large: chance(random, 5),
        close: chance(random, 5),
        panic: chance(random, 3),
        fail: chance(random, 2),
        bomb: chance(random, 2),
        sleep: chance(random, 10),
        linger: chance(random, 5),
        tick: chance(random, 3),
        put: chance(random, 8),
        get: chance(random, 8),
        call: chance(random, 8),
        pair: chance(random, 4),
        retag: chance(random, 5),
        about: chance(random, 15),
        aside: chance(random, 8),
        ..Wishes::default()
    }
}
