//! What the object layer costs without a kernel: a message echoed, a broadcast, messages in a batch, an object woken and
//! put to sleep.
//!
//! A world is driven by hand, as the shard's driver does it, and what it sends is counted and thrown away. Compare
//! with tuning.md, which has the same figures with the kernel's part.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dormouse::object::driver::{Effects, Now, Outgoing, Place, ShardId, Shortfall, Transmit};
use dormouse::object::{Settings, World, WorldBuilder};
use dormouse::{
    Batching, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair,
    Worker,
};

struct Room {
    ctx: Context,
    encoded: Vec<u8>,
}

/// Who, and where: 8 bytes of MessagePack.
const POSITION: (u8, u16, u16) = (7, 800, 450);

impl DurableObject for Room {
    const BATCHING: Option<Batching> = Some(Batching::message_pack().messages(64));

    async fn new(ctx: Context, _env: Env) -> Result<Room> {
        Ok(Room { ctx, encoded: Vec::new() })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let pair = WebSocketPair::new();
        self.ctx.accept_web_socket(&pair.server, &["player"])?;
        Ok(Response::web_socket(pair.client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        match message {
            Message::Text("push") => self.ctx.batch(None).push(&POSITION)?,
            Message::Text("tell") => {
                self.encoded.clear();
                rmp_serde::encode::write(&mut self.encoded, &POSITION)?;
                self.ctx.broadcast(&self.encoded).send();
            }
            Message::Text(_) => ws.send(message)?,
            Message::Binary(_) => {
                self.ctx.broadcast(message).send();
            }
        }
        Ok(())
    }
}

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("ROOM")?.get_by_name("room").fetch(request).await
    }
}

/// Counts what would be sent.
#[derive(Default)]
struct Sink {
    sockets: usize,
    bytes: usize,
}

impl Transmit for Sink {
    fn transmit(&mut self, batch: &[Outgoing<'_>], _shortfalls: &mut Vec<(usize, Shortfall)>) {
        self.sockets += batch.len();
        self.bytes += batch.iter().flat_map(|outgoing| outgoing.parts).map(|part| part.len()).sum::<usize>();
    }
}

const HANDSHAKE: &[u8] =
    b"GET /room HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked frame, its mask zero so that it can be received again and again.
fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}

struct Bench {
    world: World,
    effects: Effects,
    sink: Sink,
    now: Now,
}

impl Bench {
    fn with_sockets(count: u32, settings: Settings) -> Bench {
        let plan = WorldBuilder::new(Router).namespace::<Room>("ROOM").settings(settings).build(1);
        let now = Now { monotonic_ms: 1, wall_ms: 1 };
        let mut bench = Bench {
            world: plan.world(ShardId(0), 1),
            effects: Effects::default(),
            sink: Sink::default(),
            now,
        };
        for place in 0..count {
            bench.world.set_now(now);
            bench.world.handle_accepted(Place(place));
            bench.world.handle_received(Place(place), &mut HANDSHAKE.to_vec());
            bench.turn();
        }
        assert_eq!(bench.sink.sockets, count as usize, "every handshake is answered");
        bench
    }

    fn turn(&mut self) {
        self.world.run();
        self.world.flush(&mut self.sink);
        self.world.take_effects(&mut self.effects);
        self.effects.sockets.clear();
    }

    /// One turn in which `count` sockets have sent this frame each; the number of sockets that are sent to.
    fn receive(&mut self, count: u32, frame: &mut [u8]) -> usize {
        self.sink = Sink::default();
        self.world.set_now(self.now);
        for place in 0..count {
            self.world.handle_received(Place(place), frame);
        }
        self.turn();
        self.sink.sockets
    }
}

fn broadcast(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast");
    for sockets in [1_000, 10_000] {
        let mut bench = Bench::with_sockets(sockets, Settings::default());
        for bytes in [64, 512] {
            let mut frame = frame(2, &vec![7; bytes]);
            group.throughput(Throughput::Elements(u64::from(sockets)));
            group.bench_function(BenchmarkId::new(format!("{bytes} B"), sockets), |bencher| {
                bencher.iter(|| {
                    let sent = bench.receive(1, black_box(&mut frame));
                    assert_eq!(sent, sockets as usize);
                });
            });
        }
    }
    let mut bench = Bench::with_sockets(1_000, Settings::default());
    let mut frame = frame(2, &[7; 64]);
    group.throughput(Throughput::Elements(16_000));
    group.bench_function("16 in a turn/1000", |bencher| {
        bencher.iter(|| assert_eq!(bench.receive(16, black_box(&mut frame)), 1_000));
    });
    group.finish();
}

/// 64 messages of 8 bytes to 1,000 sockets: each a broadcast, or together a batch. Both spread over 64 turns, as they come
/// in a game, and in one.
fn batch(criterion: &mut Criterion) {
    const MESSAGES: u32 = 64;
    const SOCKETS: usize = 1_000;
    let mut group = criterion.benchmark_group("64 messages to 1000 sockets");
    group.throughput(Throughput::Elements(u64::from(MESSAGES) * SOCKETS as u64));
    let mut bench = Bench::with_sockets(SOCKETS as u32, Settings::default());
    for (name, word, sends) in [("broadcasts", "tell", MESSAGES as usize), ("a batch", "push", 1)] {
        let mut frame = frame(1, word.as_bytes());
        group.bench_function(BenchmarkId::new(name, "64 turns"), |bencher| {
            bencher.iter(|| {
                let sent: usize = (0..MESSAGES).map(|_| bench.receive(1, black_box(&mut frame))).sum();
                assert_eq!(sent, sends * SOCKETS);
            });
        });
        group.bench_function(BenchmarkId::new(name, "1 turn"), |bencher| {
            bencher.iter(|| assert_eq!(bench.receive(MESSAGES, black_box(&mut frame)), SOCKETS));
        });
    }
    group.finish();
}

fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    let mut bench = Bench::with_sockets(1_000, Settings::default());
    let mut frame = frame(1, &[b'x'; 64]);
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 sockets", |bencher| {
        bencher.iter(|| assert_eq!(bench.receive(1_000, black_box(&mut frame)), 1_000));
    });
    group.finish();
}

/// From accept to the 101, and the record gone again.
fn handshake(criterion: &mut Criterion) {
    let mut bench = Bench::with_sockets(100, Settings::default());
    let mut head = HANDSHAKE.to_vec();
    let place = Place(100);
    criterion.bench_function("handshake", |bencher| {
        bencher.iter(|| {
            bench.sink = Sink::default();
            bench.world.handle_accepted(place);
            bench.world.handle_received(place, black_box(&mut head));
            bench.turn();
            assert_eq!(bench.sink.sockets, 1);
            bench.world.handle_lost(place);
            bench.turn();
            bench.world.handle_closed(place);
            bench.turn();
        });
    });
}

fn hibernate_and_wake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hibernate_and_wake");
    let mut frame = frame(1, &[b'x'; 64]);
    for (name, idle_ms) in [("awake", None), ("hibernates after each message", Some(0))] {
        let settings = Settings { hibernation_idle_ms: idle_ms, ..Settings::default() };
        let mut bench = Bench::with_sockets(100, settings);
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(bench.receive(1, black_box(&mut frame)), 1));
        });
    }
    group.finish();
}

criterion_group!(benches, broadcast, batch, echo, handshake, hibernate_and_wake);
criterion_main!(benches);
