//! What queueing a message and taking it out again costs, without a kernel: many for one socket, one for many, and for
//! sockets that take nothing, or half.
//!
//! Outboxes are the world's own, so that they are reached through an object that sends. Beside them tungstenite, whose
//! `write` queues until `flush`; fastwebsockets has no queue.
//!
//! `cargo bench --bench object_outbox`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dormouse::object::Settings;
use dormouse::{Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair};
use support::streams::Stream;
use support::{Bench, frame};
use tungstenite::protocol::Role;

mod support;

const PAYLOAD: &[u8] = &[7; 64];
/// A payload behind its head.
const FRAME_BYTES: usize = 2 + PAYLOAD.len();
const SOCKETS: u32 = 1_000;

/// Sends as often as a binary message is long to who sent it, and once to everybody for a text.
struct Talker {
    ctx: Context,
}

impl DurableObject for Talker {
    async fn new(ctx: Context, _env: Env) -> Result<Talker> {
        Ok(Talker { ctx })
    }

    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        let pair = WebSocketPair::new();
        self.ctx.accept_web_socket(&pair.server, &[])?;
        Ok(Response::web_socket(pair.client))
    }

    async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
        match message {
            Message::Binary(times) => times.iter().try_for_each(|_| ws.send(PAYLOAD))?,
            Message::Text(_) => self.ctx.get_web_sockets(None).iter().try_for_each(|ws| ws.send(PAYLOAD))?,
        }
        Ok(())
    }
}

fn tungstenite_socket() -> tungstenite::WebSocket<Stream> {
    tungstenite::WebSocket::from_raw_socket(Stream::default(), Role::Server, None)
}

fn one_socket(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox_of_one_socket");
    for times in [1, 16, 256] {
        group.throughput(Throughput::Elements(times as u64));
        let mut bench = Bench::with_sockets::<Talker>(1, Settings::default());
        let mut order = frame(2, &vec![0; times]);
        group.bench_function(BenchmarkId::new("messages in a turn", times), |bencher| {
            bencher.iter(|| {
                assert_eq!(bench.receive(1, black_box(&mut order)), 1);
                assert_eq!(bench.sink.bytes, times * FRAME_BYTES);
            });
        });
        let mut socket = tungstenite_socket();
        let message = tungstenite::Message::binary(PAYLOAD);
        group.bench_function(BenchmarkId::new("tungstenite messages before a flush", times), |bencher| {
            bencher.iter(|| {
                for _ in 0..times {
                    socket.write(black_box(&message).clone()).unwrap();
                }
                socket.flush().unwrap();
            });
        });
    }
    group.finish();
}

fn many_sockets(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("outboxes_of_{SOCKETS}_sockets"));
    group.throughput(Throughput::Elements(u64::from(SOCKETS)));
    let mut order = frame(1, b"");
    let mut bench = Bench::with_sockets::<Talker>(SOCKETS, Settings::default());
    group.bench_function("a message each", |bencher| {
        bencher.iter(|| assert_eq!(bench.receive(1, black_box(&mut order)), SOCKETS as usize));
    });
    for (name, room) in [("each takes nothing, then all", 0), ("each takes half, then the rest", 33)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                bench.sink.room = Some(room);
                assert_eq!(bench.receive(1, black_box(&mut order)), SOCKETS as usize);
                bench.sink.room = None;
                assert_eq!(bench.writable(SOCKETS), SOCKETS as usize);
                assert_eq!(bench.sink.bytes, SOCKETS as usize * (FRAME_BYTES - room));
            });
        });
    }
    let mut sockets: Vec<_> = (0..SOCKETS).map(|_| tungstenite_socket()).collect();
    let message = tungstenite::Message::binary(PAYLOAD);
    group.bench_function("tungstenite, a message each", |bencher| {
        bencher.iter(|| {
            for socket in &mut sockets {
                socket.send(black_box(&message).clone()).unwrap();
            }
        });
    });
    group.bench_function("tungstenite, each takes nothing, then all", |bencher| {
        bencher.iter(|| {
            for socket in &mut sockets {
                socket.get_mut().is_full = true;
                assert!(socket.send(black_box(&message).clone()).is_err());
            }
            for socket in &mut sockets {
                socket.get_mut().is_full = false;
                socket.flush().unwrap();
            }
        });
    });
    group.finish();
}

criterion_group!(benches, one_socket, many_sockets);
criterion_main!(benches);
