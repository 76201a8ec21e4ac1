//! The way from a request head to its answer, beside httparse for the part that it does, and beside tungstenite for all
//! of it.
//!
//! `cargo bench --bench wire_upgrade`

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dormouse::wire::{HeadKind, HeadLimits, HeadScanner, encode_switching_protocols, parse_head};
use sha1::Digest;
use support::streams::Stream;

mod support;

/// What Chrome sends to open a WebSocket.
const BROWSER: &[u8] = b"GET /room/kitchen?user=42 HTTP/1.1\r\n\
    Host: chat.example.org\r\n\
    Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: https://chat.example.org\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n";

/// The least that is a handshake: what a load generator sends.
const SHORT: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const ORDINARY: &[u8] = b"GET /room/kitchen/history?before=1700000000 HTTP/1.1\r\nHost: chat.example.org\r\n\
    User-Agent: curl/8.7.1\r\nAccept: */*\r\nCookie: session=0123456789abcdef0123456789abcdef\r\n\r\n";

fn upgrade(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    for (name, head) in [("browser", BROWSER), ("short", SHORT), ("ordinary", ORDINARY)] {
        let mut group = criterion.benchmark_group(format!("head_{name}_{}_bytes", head.len()));
        group.throughput(Throughput::Bytes(head.len() as u64));
        group.bench_function("scan", |bencher| {
            bencher.iter(|| HeadScanner::default().scan(black_box(head), &limits).unwrap());
        });
        let mut fields = Vec::new();
        group.bench_function("parse", |bencher| {
            bencher.iter(|| parse_head(black_box(head), &limits, &mut fields).unwrap());
        });
        // Finds the fields, but checks none of them and has no answer to the key.
        group.bench_function("httparse", |bencher| {
            bencher.iter(|| {
                let mut headers = [httparse::EMPTY_HEADER; 32];
                let mut request = httparse::Request::new(&mut headers);
                request.parse(black_box(head)).unwrap();
                request.headers.len()
            });
        });
        group.finish();
    }
}

/// From the bytes of a stream to those of the 101.
fn handshake(criterion: &mut Criterion) {
    let limits = HeadLimits::default();
    for (name, head) in [("browser", BROWSER), ("short", SHORT)] {
        let mut group = criterion.benchmark_group(format!("handshake_{name}_{}_bytes", head.len()));
        let (mut fields, mut out) = (Vec::new(), Vec::new());
        group.bench_function("ours", |bencher| {
            bencher.iter(|| {
                out.clear();
                let head = black_box(head);
                HeadScanner::default().scan(head, &limits).unwrap();
                let parsed = parse_head(head, &limits, &mut fields).unwrap();
                let HeadKind::Upgrade(upgrade) = parsed.kind else { panic!("it asks for an upgrade") };
                encode_switching_protocols(&mut out, &upgrade.accept, std::iter::empty());
                out.len()
            });
        });
        group.bench_function("tungstenite", |bencher| {
            bencher.iter_with_large_drop(|| {
                tungstenite::accept(Stream::repeating(black_box(head)))
                    .unwrap_or_else(|_| panic!("it is right"))
            });
        });
        group.finish();
    }
}

fn hash(criterion: &mut Criterion) {
    // The part of `parse` that no parser can save.
    criterion.bench_function("accept_sha1_alone", |bencher| {
        bencher.iter(|| {
            sha1::Sha1::new()
                .chain_update(black_box(b"dGhlIHNhbXBsZSBub25jZQ=="))
                .chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
                .finalize()
        });
    });
}

fn answer(criterion: &mut Criterion) {
    let mut out = Vec::new();
    criterion.bench_function("encode_switching_protocols", |bencher| {
        bencher.iter(|| {
            out.clear();
            let protocol = [("Sec-WebSocket-Protocol", "chat")];
            encode_switching_protocols(
                &mut out,
                black_box(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                protocol.into_iter(),
            );
            out.len()
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_millis(800));
    targets = upgrade, handshake, hash, answer
}
criterion_main!(benches);
