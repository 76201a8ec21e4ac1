//! What the object layer costs without a kernel: a message echoed, a broadcast, messages in a batch, an object woken and
//! put to sleep.
//!
//! A world is driven by hand, as the shard's driver does it, and what it sends is counted and thrown away. Compare
//! with tuning.md, which has the same figures with the kernel's part. Beside the broadcast, tungstenite and
//! fastwebsockets write the same message to as many streams in memory: the frame alone, without an object that hears
//! the message, a roster, a bound or a driver.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dormouse::object::Settings;
use dormouse::{
    Batching, Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair,
};
use fastwebsockets::Frame;
use support::streams::Stream;
use support::{Bench, frame, ready};
use tungstenite::protocol::Role;

mod support;

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

fn broadcast(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("broadcast");
    for sockets in [1_000, 10_000] {
        peers(&mut group, sockets);
        let mut bench = Bench::with_sockets::<Room>(sockets, Settings::default());
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
    let mut bench = Bench::with_sockets::<Room>(1_000, Settings::default());
    let mut frame = frame(2, &[7; 64]);
    group.throughput(Throughput::Elements(16_000));
    group.bench_function("16 in a turn/1000", |bencher| {
        bencher.iter(|| assert_eq!(bench.receive(16, black_box(&mut frame)), 1_000));
    });
    // What is written before the flush leaves in one piece.
    let mut sockets = tungstenite_sockets(1_000);
    let message = tungstenite::Message::binary(vec![7; 64]);
    group.bench_function("tungstenite 16 before a flush/1000", |bencher| {
        bencher.iter(|| {
            for socket in &mut sockets {
                for _ in 0..16 {
                    socket.write(black_box(&message).clone()).unwrap();
                }
                socket.flush().unwrap();
            }
        });
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
    let mut bench = Bench::with_sockets::<Room>(SOCKETS as u32, Settings::default());
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

fn tungstenite_sockets(count: u32) -> Vec<tungstenite::WebSocket<Stream>> {
    let socket = |_| tungstenite::WebSocket::from_raw_socket(Stream::default(), Role::Server, None);
    (0..count).map(socket).collect()
}

/// The same message, written by those who have no broadcast.
fn peers(group: &mut BenchmarkGroup<'_, WallTime>, count: u32) {
    group.throughput(Throughput::Elements(u64::from(count)));
    for bytes in [64, 512] {
        let payload = vec![7; bytes];
        let mut sockets = tungstenite_sockets(count);
        // It is not copied for each of them: a message refers to its bytes.
        let message = tungstenite::Message::binary(payload.clone());
        group.bench_function(BenchmarkId::new(format!("tungstenite {bytes} B"), count), |bencher| {
            bencher.iter(|| {
                for socket in &mut sockets {
                    socket.send(black_box(&message).clone()).unwrap();
                }
            });
        });
        let socket =
            |_| fastwebsockets::WebSocket::after_handshake(Stream::default(), fastwebsockets::Role::Server);
        let mut sockets: Vec<_> = (0..count).map(socket).collect();
        group.bench_function(BenchmarkId::new(format!("fastwebsockets {bytes} B"), count), |bencher| {
            bencher.iter(|| {
                for socket in &mut sockets {
                    let frame = Frame::binary(black_box(&payload[..]).into());
                    ready(socket.write_frame(frame)).unwrap();
                }
            });
        });
    }
}

fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    let mut bench = Bench::with_sockets::<Room>(1_000, Settings::default());
    let mut frame = frame(1, &[b'x'; 64]);
    group.throughput(Throughput::Elements(1_000));
    group.bench_function("1000 sockets", |bencher| {
        bencher.iter(|| assert_eq!(bench.receive(1_000, black_box(&mut frame)), 1_000));
    });
    group.finish();
}

/// From accept to the 101, and the record gone again.
fn handshake(criterion: &mut Criterion) {
    let mut bench = Bench::with_sockets::<Room>(100, Settings::default());
    criterion.bench_function("handshake", |bencher| {
        bencher.iter(|| bench.come_and_go(100));
    });
}

fn hibernate_and_wake(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hibernate_and_wake");
    let mut frame = frame(1, &[b'x'; 64]);
    for (name, idle_ms) in [("awake", None), ("hibernates after each message", Some(0))] {
        let settings = Settings { hibernation_idle_ms: idle_ms, ..Settings::default() };
        let mut bench = Bench::with_sockets::<Room>(100, settings);
        group.bench_function(name, |bencher| {
            bencher.iter(|| assert_eq!(bench.receive(1, black_box(&mut frame)), 1));
        });
    }
    group.finish();
}

criterion_group!(benches, broadcast, batch, echo, handshake, hibernate_and_wake);
criterion_main!(benches);
