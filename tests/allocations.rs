//! What a message costs in memory: nothing new for an echo, nothing for each recipient of a broadcast, nothing for
//! an auto-response, nothing for each message of a batch; and what a sleeping object gives back.
//!
//! A file of its own, because the allocator that counts is that of the whole test program.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dormouse::object::driver::{Effects, Outgoing, Place, Shortfall, Transmit};
use dormouse::object::{Settings, World, WorldBuilder};
use dormouse::{
    Batch, Batching, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket,
    WebSocketPair, WebSocketRequestResponsePair, Worker,
};
use support::deflate::{Deflate, listing};
use support::deflating::Deflating;
use support::fake::Fake;
use support::frames::{CONTINUATION, Heard, TEXT, client_frame};
use support::http::{post, upgrade};

/// Counts what the current thread does, so that tests beside this one do not disturb it.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<i64> = const { Cell::new(0) };
    static PEAK_BYTES: Cell<i64> = const { Cell::new(0) };
}

fn count(allocations: u64, bytes: i64) {
    ALLOCATIONS.with(|counted| counted.set(counted.get() + allocations));
    let live = LIVE_BYTES.with(|live| {
        live.set(live.get() + bytes);
        live.get()
    });
    PEAK_BYTES.with(|peak| peak.set(peak.get().max(live)));
}

// SAFETY: every call goes to the system's allocator unchanged. Counting neither allocates nor unwinds: the cells are
// initialised at compile time and need no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(1, layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, -(layout.size() as i64));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(1, size as i64 - layout.size() as i64);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(memory, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    work();
    ALLOCATIONS.with(Cell::get) - before
}

fn live_bytes() -> i64 {
    LIVE_BYTES.with(Cell::get)
}

/// The most bytes that were alive at once during `work`, beyond those before.
fn peak_of(work: impl FnOnce()) -> i64 {
    let before = live_bytes();
    PEAK_BYTES.with(|peak| peak.set(before));
    work();
    PEAK_BYTES.with(Cell::get) - before
}

/// Echoes text, broadcasts binary, batches what comes in batches; heavy in memory.
struct Parrot {
    ctx: Context,
    ballast: Vec<u8>,
}

const BALLAST_BYTES: usize = 16 << 10;

impl DurableObject for Parrot {
    const BATCHING: Option<Batching> = Some(Batching::json().messages(64));

    async fn new(ctx: Context, _env: Env) -> Result<Parrot> {
        ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong"))?;
        Ok(Parrot { ctx, ballast: vec![7; BALLAST_BYTES] })
    }

    async fn fetch(&mut self, request: Request) -> Result<Response> {
        if !request.is_upgrade() {
            return Ok(Response::text("here"));
        }
        let pair = WebSocketPair::new();
        self.ctx.accept_web_socket(&pair.server, &["all"])?;
        Ok(Response::web_socket(pair.client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        assert_eq!(self.ballast.len(), BALLAST_BYTES);
        match message {
            Message::Text(text) => ws.send(text)?,
            Message::Binary(bytes) => drop(self.ctx.broadcast(bytes).tag("all").send()),
        }
        Ok(())
    }

    async fn web_socket_batch(&mut self, _ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
        for item in batch {
            self.ctx.batch(None).push(item.read::<&str>()?)?;
        }
        Ok(())
    }
}

struct ToParrots;

impl Worker for ToParrots {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        let name = request.path().to_owned();
        env.namespace("PARROT")?.get_by_name(&name).fetch(request).await
    }
}

fn parrots(shards: u16, change: impl FnOnce(&mut Settings)) -> Fake {
    let mut settings = Settings { ping_ms: None, ..Settings::default() };
    change(&mut settings);
    let builder = WorldBuilder::new(ToParrots).namespace::<Parrot>("PARROT").settings(settings);
    Fake::new(builder, shards)
}

/// Takes everything and keeps nothing.
#[derive(Default)]
struct Abyss {
    bytes: usize,
    sends: usize,
}

impl Transmit for Abyss {
    fn transmit(&mut self, batch: &[Outgoing<'_>], _shortfalls: &mut Vec<(usize, Shortfall)>) {
        self.sends += batch.len();
        self.bytes += batch.iter().flat_map(|out| out.parts).map(|part| part.len()).sum::<usize>();
    }
}

/// Turns in which a frame arrives at the first place; what leaves is counted and forgotten.
fn turns(world: &World, abyss: &mut Abyss, frames: &[&[u8]], times: usize) {
    let mut buffer = vec![0; frames.iter().map(|frame| frame.len()).max().unwrap_or(0)];
    let mut effects = Effects::default();
    for _ in 0..times {
        for frame in frames {
            let buffer = &mut buffer[..frame.len()];
            buffer.copy_from_slice(frame);
            world.handle_received(Place(0), buffer);
        }
        world.run();
        world.flush(abyss);
        world.take_effects(&mut effects);
    }
}

/// The allocations of 1,000 turns once all is warm, and how many bytes they sent.
fn cost(fake: &Fake, frames: &[&[u8]]) -> (u64, usize, usize) {
    let world = fake.world();
    turns(world, &mut Abyss::default(), frames, 100);
    let mut abyss = Abyss::default();
    let allocations = allocations_of(|| turns(world, &mut abyss, frames, 1_000));
    // The buffer that the turns bring along.
    (allocations - 1, abyss.sends, abyss.bytes)
}

#[test]
fn an_echo_allocates_nothing() {
    for bytes in [1, 125, 1_000, 30_000] {
        let mut fake = parrots(1, |_| {});
        let _alice = fake.open("/parrot");
        let frame = client_frame(0x80 | TEXT, &vec![b'x'; bytes]);
        let head = if bytes > 125 { 4 } else { 2 };
        assert_eq!(cost(&fake, &[&frame]), (0, 1_000, 1_000 * (head + bytes)), "{bytes} bytes");
    }
}

#[test]
fn twenty_echoes_in_a_turn_allocate_nothing() {
    let mut fake = parrots(1, |_| {});
    let _alice = fake.open("/parrot");
    let frame = client_frame(0x80 | TEXT, b"hello").repeat(20);
    assert_eq!(cost(&fake, &[&frame]), (0, 1_000, 1_000 * 20 * 7));
}

#[test]
fn a_broadcast_allocates_nothing_for_its_recipients() {
    for recipients in [1, 10, 1_000] {
        let mut fake = parrots(1, |_| {});
        let _clients: Vec<_> = (0..recipients).map(|_| fake.open("/parrot")).collect();
        let frame = client_frame(0x82, &[1; 100]);
        assert_eq!(cost(&fake, &[&frame]), (0, 1_000 * recipients, 1_000 * recipients * 102), "{recipients}");
    }
}

#[test]
fn a_batch_allocates_nothing_for_itself_its_messages_and_its_recipients() {
    for (messages, recipients) in [(64, 1), (64, 100), (16, 10)] {
        let mut fake = parrots(1, |_| {});
        let _clients: Vec<_> = (0..recipients).map(|_| fake.open("/parrot")).collect();
        let envelope = format!("[\"batch/1\"{}]", ",\"hello\"".repeat(messages));
        let frame = client_frame(0x80 | TEXT, envelope.as_bytes());
        let frames: Vec<&[u8]> = (0..64 / messages).map(|_| frame.as_slice()).collect();
        let (allocations, sends, bytes) = cost(&fake, &frames);
        assert_eq!((allocations, sends), (0, 1_000 * recipients), "{messages} in each");
        assert_eq!(bytes, sends * (4 + 11 + 64 * 8), "64 in each that leaves");
    }
}

/// SEMANTICS 8, permessage-deflate: compressed once, and the bytes are shared like those of any other.
#[test]
fn a_compressed_broadcast_allocates_nothing_for_its_recipients() {
    let message = listing(1, 2_000);
    for recipients in [1, 10, 1_000] {
        let mut fake = parrots(1, |_| {});
        let _clients: Vec<_> = (0..recipients).map(|_| Deflating::open(&mut fake, "/parrot")).collect();
        let before = fake.counters().compressions.get();
        let (allocations, sends, bytes) = cost(&fake, &[&client_frame(0x82, message.as_bytes())]);
        assert_eq!((allocations, sends), (0, 1_000 * recipients), "{recipients}");
        assert!(bytes < sends * message.len() * 6 / 10);
        assert_eq!(fake.counters().compressions.get() - before, 1_100, "one for each turn, warm or not");
    }
}

/// With and without contexts of its own, a connection is compressed for in memory that is there.
#[test]
fn a_compressed_echo_allocates_nothing_but_the_message_that_it_inflates() {
    let message = listing(1, 2_000);
    for takeover in [false, true] {
        let mut fake = parrots(1, |settings| settings.deflate.terms.context_takeover = takeover);
        let _alice = Deflating::open(&mut fake, "/parrot");
        let plain = client_frame(0x80 | TEXT, message.as_bytes());
        assert_eq!(cost(&fake, &[&plain]).0, 0, "{takeover}");
        let compressed = client_frame(0xC0 | TEXT, &Deflate::new(15, true).deflate(message.as_bytes()));
        let (allocations, ..) = cost(&fake, &[&compressed]);
        // The record of a message that is incomplete, its buffer, and the step beyond.
        assert!(allocations <= 3_000, "{allocations} for 1,000 messages");
    }
}

/// RELIABILITY: inflate to the cap only.
#[test]
fn a_bomb_takes_no_more_memory_than_the_largest_message() {
    for takeover in [false, true] {
        let mut fake = parrots(1, |settings| {
            settings.deflate.terms.context_takeover = takeover;
            settings.session.message_bytes_max = 1 << 20;
        });
        let mut alice = Deflating::open(&mut fake, "/parrot");
        alice.text("warm");
        fake.settle();
        let bomb = client_frame(0xC2, &Deflate::new(15, true).deflate(&vec![0; 200 << 20]));
        fake.receive_bytes_max = 512;
        let peak = peak_of(|| {
            alice.client.bytes(&bomb);
            fake.settle();
        });
        // The message twice, while its buffer moves to a larger one; the bomb itself, in the client's memory; a context.
        let allowed = (2 << 20) + 2 * bomb.len() as i64 + (128 << 10);
        assert!(peak < allowed, "{peak} bytes for a bomb of {} bytes", bomb.len());
        assert!(matches!(alice.heard()[1], Heard::Close(1009, _)));
    }
}

/// SEMANTICS 6, cost.
#[test]
fn an_auto_response_allocates_nothing_and_constructs_nothing() {
    let mut fake = parrots(1, |_| {});
    let _alice = fake.open("/parrot");
    fake.advance(10_000);
    let frame = client_frame(0x80 | TEXT, b"ping");
    assert_eq!(cost(&fake, &[&frame]), (0, 1_000, 1_000 * 6));
    assert_eq!(fake.counters().namespaces[0].constructions.get(), 1);
}

/// A message in pieces costs the buffer in which it is put together, and no more for more pieces.
#[test]
fn a_fragmented_message_costs_its_buffer() {
    let mut fake = parrots(1, |_| {});
    let _alice = fake.open("/parrot");
    let pieces: Vec<Vec<u8>> = [client_frame(TEXT, &[b'x'; 10])]
        .into_iter()
        .chain((0..50).map(|_| client_frame(CONTINUATION, &[b'x'; 10])))
        .chain([client_frame(0x80 | CONTINUATION, &[b'x'; 10])])
        .collect();
    let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
    let (allocations, _, bytes) = cost(&fake, &pieces);
    assert_eq!(bytes, 1_000 * 524);
    assert!(allocations <= 1_000 * 10, "{allocations} for 1,000 messages of 52 pieces");
}

/// RELIABILITY: memory is not taken for an announced length.
#[test]
fn a_frame_that_announces_much_takes_memory_only_as_its_bytes_come() {
    let mut fake = parrots(1, |_| {});
    let alice = fake.open("/parrot");
    let before = live_bytes();
    let frame = client_frame(0x82, &vec![0; 30 << 20]);
    alice.bytes(&frame[..100]);
    let with_frame = live_bytes();
    fake.settle();
    assert!(live_bytes() - with_frame < 100_000, "{} for 100 bytes of 30 MiB", live_bytes() - with_frame);
    alice.bytes(&frame[100..200_000]);
    fake.settle();
    drop(frame);
    assert!(live_bytes() - before < 2_000_000);
    alice.reset();
    fake.advance(10_000);
    assert!(live_bytes() - before < 200_000, "{}", live_bytes() - before);
}

/// SEMANTICS 2, what goes: the instance and all that it owns.
#[test]
fn a_thousand_sleeping_objects_give_their_memory_back() {
    const OBJECTS: usize = 1_000;
    let mut fake = parrots(1, |_| {});
    let clients: Vec<_> = (0..OBJECTS).map(|n| fake.open(&format!("/parrot{n}"))).collect();
    let mut asleep = Vec::new();
    for _ in 0..3 {
        fake.advance(10_000);
        assert_eq!(fake.counters().namespaces[0].awake.get(), 0);
        asleep.push(live_bytes());
        for client in &clients {
            client.text("wake");
        }
        fake.settle();
        assert_eq!(fake.counters().namespaces[0].awake.get(), OBJECTS as u64);
        assert!(clients.iter().all(|client| client.texts() == ["wake"]));
        let awake = live_bytes() - asleep[0];
        assert!(awake >= (OBJECTS * BALLAST_BYTES) as i64, "{awake}");
    }
    // Buffers of the driver and of the clients grow once; then nothing does.
    let kept = asleep[2] - asleep[1];
    assert!(kept.abs() < 64 * OBJECTS as i64, "{kept} bytes more after each waking: {asleep:?}");
    let each = asleep[2] / OBJECTS as i64;
    assert!(each < 4_096, "{each} bytes for a sleeping object with its client");
}

#[test]
fn an_object_without_sockets_leaves_nothing_behind() {
    const OBJECTS: usize = 1_000;
    let mut fake = parrots(1, |_| {});
    let asking = fake.connect();
    let mut rounds = Vec::new();
    for round in 0..3 {
        for n in 0..OBJECTS {
            asking.bytes(post(&format!("/{round}/{n}"), ""));
            fake.settle();
            assert_eq!(asking.reply().status, 200);
        }
        fake.advance(10_000);
        rounds.push(live_bytes());
    }
    let kept = rounds[2] - rounds[1];
    assert!(kept.abs() < 10_000, "{kept} bytes more for {OBJECTS} objects that nobody uses: {rounds:?}");
}

/// Those that a client costs that connects, is accepted and answered, and is gone again: the request with its fields, its way
/// through worker and object, the pair of sockets at either end of it, the event of the loss.
#[test]
fn a_connection_that_comes_and_goes_takes_fourteen_allocations() {
    // Beside another, who keeps the object there; a crowd, but on the one shard that there is.
    let mut fake = parrots(1, |settings| settings.crowd_sockets = 0);
    let another = fake.connect();
    another.bytes(upgrade("/parrot", ""));
    fake.settle();
    fake.opened(&another);
    let (world, mut abyss, mut effects) = (fake.world(), Abyss::default(), Effects::default());
    let head = upgrade("/parrot", "").into_bytes();
    let mut received = head.clone();
    let mut come_and_go = |times: u32| {
        for _ in 0..times {
            received.copy_from_slice(&head);
            world.handle_accepted(Place(7));
            world.handle_received(Place(7), &mut received);
            for part in [World::handle_lost, World::handle_closed] {
                world.run();
                world.flush(&mut abyss);
                part(world, Place(7));
                world.take_effects(&mut effects);
            }
        }
    };
    come_and_go(200);
    let allocations = allocations_of(|| come_and_go(1_000));
    assert_eq!(abyss.sends, 1_200, "each is answered");
    // And a table that grows meanwhile.
    assert!(allocations < 14_100, "{allocations} allocations of 1,000 connections");
}

#[test]
fn connections_that_came_and_went_leave_nothing_behind() {
    let mut fake = parrots(2, |settings| settings.crowd_sockets = 10);
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let clients: Vec<_> = (0..200).map(|n| fake.connect_to(n % 2)).collect();
        for client in &clients {
            client.bytes(upgrade("/parrot", "")).text("hello");
        }
        fake.settle();
        for (n, client) in clients.iter().enumerate() {
            fake.opened(client);
            assert_eq!(client.texts(), ["hello"]);
            if n % 3 == 0 {
                client.reset()
            } else {
                client.close(1000, "")
            };
        }
        fake.advance(60_000);
        assert_eq!(fake.plan.directory().open(), 0);
        drop(clients);
        rounds.push(live_bytes());
    }
    let kept = rounds[2] - rounds[1];
    assert!(kept.abs() < 20_000, "{kept} bytes more after 200 connections: {rounds:?}");
}

/// RELIABILITY: whoever sends half a request, and there may be many, holds little until its time is over.
#[test]
fn a_half_sent_request_costs_at_most_2_kib() {
    const COUNT: u32 = 1_000;
    let fake = parrots(1, |_| {});
    let world = fake.world();
    let head = upgrade(
        "/lobby",
        "User-Agent: one as long as those of browsers, which tell a lot about themselves\r\n",
    );
    let half = &head.as_bytes()[..head.len() - 3];
    let connect = |places: std::ops::Range<u32>| {
        for place in places.map(Place) {
            world.handle_accepted(place);
            world.handle_received(place, &mut half[..100].to_vec());
            world.handle_received(place, &mut half[100..].to_vec());
        }
        world.run();
        world.take_effects(&mut Effects::default());
    };
    let before = live_bytes();
    connect(0..COUNT);
    let each = (live_bytes() - before) / i64::from(COUNT);
    assert!((half.len() as i64..=2_048).contains(&each), "{each} B for {} B of request", half.len());
}
