//! Frames: taken apart and put together beside tungstenite and fastwebsockets, unmasked beside memcpy, proved to be text
//! beside the standard library.
//!
//! `cargo bench --bench wire_frames`

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dormouse::wire::{Input, OpCode, Session, SessionLimits, encode_frame, frame_head, unmask};
use fastwebsockets::FragmentCollector;
use support::ready;
use support::streams::Stream;
use tungstenite::protocol::frame::FrameSocket;
use tungstenite::protocol::frame::{Frame, FrameHeader, coding};
use tungstenite::protocol::{Role, WebSocket};

mod support;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// Frames in one input: a burst as a busy game client sends it.
const BURST: usize = 16;

fn client_frames(payload_len: usize, kind: coding::Data) -> Vec<u8> {
    let mut stream = Vec::new();
    for _ in 0..BURST {
        let header =
            FrameHeader { opcode: coding::OpCode::Data(kind), mask: Some(KEY), ..FrameHeader::default() };
        Frame::from_payload(header, vec![b'a'; payload_len].into()).format(&mut stream).unwrap();
    }
    stream
}

/// Polls everything that is in `received`.
fn poll_all(session: &mut Session, received: &mut [u8]) -> usize {
    let limits = SessionLimits::default();
    let mut input = Input::new(received);
    let mut events = 0;
    while let Some(event) = session.poll(&mut input, &limits).unwrap() {
        black_box(&event);
        events += 1;
    }
    events
}

fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("decode_{BURST}_frames"));
    for payload_len in [16, 64, 512, 4096] {
        for (kind, name) in [(coding::Data::Binary, "binary"), (coding::Data::Text, "text")] {
            let stream = client_frames(payload_len, kind);
            group.throughput(Throughput::Elements(BURST as u64));
            group.bench_function(BenchmarkId::new(format!("session_{name}"), payload_len), |bencher| {
                let mut session = Session::new();
                bencher.iter_batched_ref(
                    || stream.clone(),
                    |received| assert_eq!(poll_all(&mut session, received), BURST),
                    BatchSize::SmallInput,
                );
            });
            // As a server has it that receives into memory of its own: what the peers' readers do with their stream.
            group.bench_function(
                BenchmarkId::new(format!("copy_and_session_{name}"), payload_len),
                |bencher| {
                    let mut session = Session::new();
                    let mut received = vec![0; stream.len()];
                    bencher.iter(|| {
                        received.copy_from_slice(black_box(&stream));
                        assert_eq!(poll_all(&mut session, &mut received), BURST);
                    });
                },
            );
            group.bench_function(BenchmarkId::new(format!("tungstenite_{name}"), payload_len), |bencher| {
                let mut socket = WebSocket::from_raw_socket(Stream::repeating(&stream), Role::Server, None);
                bencher.iter(|| {
                    for _ in 0..BURST {
                        black_box(socket.read().unwrap());
                    }
                });
            });
            group.bench_function(
                BenchmarkId::new(format!("fastwebsockets_{name}"), payload_len),
                |bencher| {
                    let role = fastwebsockets::Role::Server;
                    let socket = fastwebsockets::WebSocket::after_handshake(Stream::repeating(&stream), role);
                    // It refuses and joins what ours does.
                    let mut socket = FragmentCollector::new(socket);
                    bencher.iter(|| {
                        for _ in 0..BURST {
                            black_box(ready(socket.read_frame()).unwrap());
                        }
                    });
                },
            );
        }
        // In the buffers of the receive ring, so that frames straddle them.
        let stream = client_frames(payload_len, coding::Data::Binary);
        group.bench_function(BenchmarkId::new("session_in_512_byte_buffers", payload_len), |bencher| {
            let mut session = Session::new();
            bencher.iter_batched_ref(
                || stream.clone(),
                |received| {
                    let events: usize =
                        received.chunks_mut(512).map(|piece| poll_all(&mut session, piece)).sum();
                    assert_eq!(events, BURST);
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(
            BenchmarkId::new("tungstenite_frame_socket_no_unmask", payload_len),
            |bencher| {
                let mut socket = FrameSocket::new(Stream::repeating(&stream));
                bencher.iter(|| {
                    for _ in 0..BURST {
                        black_box(socket.read(None).unwrap());
                    }
                });
            },
        );
    }
    group.finish();
}

fn mask(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unmask");
    for length in [16, 100, 1024, 16 << 10, 1 << 20] {
        group.throughput(Throughput::Bytes(length as u64));
        let mut payload = vec![1u8; length];
        group.bench_function(BenchmarkId::new("unmask", length), |bencher| {
            bencher.iter(|| unmask(black_box(&mut payload), black_box(KEY), 0));
        });
        group.bench_function(BenchmarkId::new("fastwebsockets", length), |bencher| {
            bencher.iter(|| fastwebsockets::unmask(black_box(&mut payload), black_box(KEY)));
        });
        let source = vec![1u8; length];
        group.bench_function(BenchmarkId::new("memcpy", length), |bencher| {
            bencher.iter(|| black_box(&mut payload[..]).copy_from_slice(black_box(&source)));
        });
    }
    group.finish();
}

fn utf8(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("utf8");
    for (name, sample) in [("ascii", "abcdefgh"), ("mixed", "aß水🍉 κόσμε ")] {
        for length in [32, 1024, 64 << 10] {
            let mut text = sample.repeat(length / sample.len() + 1);
            text.truncate(text.floor_char_boundary(length));
            group.throughput(Throughput::Bytes(text.len() as u64));
            group.bench_function(BenchmarkId::new(format!("simdutf8_{name}"), length), |bencher| {
                bencher.iter(|| simdutf8::basic::from_utf8(black_box(text.as_bytes())).is_ok());
            });
            group.bench_function(BenchmarkId::new(format!("simdutf8_compat_{name}"), length), |bencher| {
                bencher.iter(|| simdutf8::compat::from_utf8(black_box(text.as_bytes())).is_ok());
            });
            group.bench_function(BenchmarkId::new(format!("std_{name}"), length), |bencher| {
                bencher.iter(|| std::str::from_utf8(black_box(text.as_bytes())).is_ok());
            });
        }
    }
    group.finish();
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.bench_function("frame_head", |bencher| {
        bencher.iter(|| frame_head(OpCode::Binary, black_box(512)));
    });
    for length in [64, 512, 4096] {
        let payload = vec![1u8; length];
        let mut out = Vec::new();
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("encode_frame", length), |bencher| {
            bencher.iter(|| {
                out.clear();
                encode_frame(&mut out, OpCode::Binary, black_box(&payload));
            });
        });
        group.bench_function(BenchmarkId::new("fastwebsockets_write", length), |bencher| {
            bencher.iter(|| {
                let mut frame = fastwebsockets::Frame::binary(black_box(&payload[..]).into());
                black_box(frame.write(&mut out));
            });
        });
        group.bench_function(BenchmarkId::new("tungstenite_format", length), |bencher| {
            let payload: tungstenite::Bytes = payload.clone().into();
            bencher.iter(|| {
                out.clear();
                let header = FrameHeader {
                    opcode: coding::OpCode::Data(coding::Data::Binary),
                    ..FrameHeader::default()
                };
                Frame::from_payload(header, payload.clone()).format(&mut out).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config =
        Criterion::default().warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_millis(500));
    targets = decode, mask, utf8, encode
}
criterion_main!(benches);
