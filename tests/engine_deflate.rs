//! permessage-deflate on real sockets: agreed or not as the config says, both ways, through sleep, and beside neighbours
//! that send bombs and garbage. The bytes are checked by flate2 alone.

#[path = "support/deflate.rs"]
#[allow(dead_code, reason = "the tests of the object layer use all of it")]
mod contexts;
mod engine;

use std::net::SocketAddr;
use std::time::Duration;

use contexts::{Agreement, Deflate, FIN, Inflate, OFFER, RSV1, listing, noise, offering};
use dormouse::wire::Session;
use engine::client::{BINARY, CLOSE, Client, PING, PONG, TEXT, frame, text, upgrade_request};
use engine::objects::events;
use engine::{FAR, Served, until, until_equal};

/// A client that has agreed.
struct Deflating {
    client: Client,
    agreement: Agreement,
    deflate: Deflate,
    inflate: Inflate,
    /// Of the last message: whether it was compressed, and its bytes on the wire.
    last: (bool, usize),
}

impl Deflating {
    #[track_caller]
    fn upgraded(address: SocketAddr, path: &str, offer: &str) -> Deflating {
        let mut client = Client::connect(address);
        let agreed = agreed(&mut client, path, offer).expect("an agreement");
        let agreement = Agreement::read(&agreed);
        Deflating {
            client,
            deflate: Deflate::new(agreement.client_bits.unwrap_or(15), agreement.client_forgets),
            inflate: Inflate::new(agreement.server_bits.unwrap_or(15), agreement.server_forgets),
            agreement,
            last: (false, 0),
        }
    }

    fn frame_of(&mut self, opcode: u8, message: &[u8]) -> Vec<u8> {
        frame(FIN | RSV1 | opcode, &self.deflate.deflate(message))
    }

    #[track_caller]
    fn message(&mut self) -> (u8, Vec<u8>) {
        let (first, payload) = self.client.raw_frame();
        assert_eq!(first & 0xb0, FIN, "{first:x}");
        self.last = (first & RSV1 != 0, payload.len());
        let message = if self.last.0 { self.inflate.inflate(&payload) } else { payload };
        (first & 0x0f, message)
    }

    /// Sends a message, compressed, and hears it again.
    #[track_caller]
    fn echo(&mut self, opcode: u8, message: &[u8]) {
        let frame = self.frame_of(opcode, message);
        self.client.send(frame);
        let heard = self.message();
        assert!(
            heard == (opcode, message.to_vec()),
            "{} bytes came back of {}",
            heard.1.len(),
            message.len()
        );
    }
}

/// What the engine answers to an offer.
#[track_caller]
fn agreed(client: &mut Client, path: &str, offer: &str) -> Option<String> {
    let request = upgrade_request(path);
    let (request, end) = request.split_at(request.len() - 2);
    client.send(format!("{request}{}{end}", offering(offer)));
    let answer = client.answer();
    assert_eq!(answer.status, 101);
    answer.header("Sec-WebSocket-Extensions").map(str::to_owned)
}

#[test]
fn messages_of_all_sizes_come_back_whatever_was_agreed() {
    for takeover in [false, true] {
        let served = Served::start(2, |config| config.deflate.context_takeover = takeover);
        for offer in [OFFER, "permessage-deflate; server_max_window_bits=9; client_max_window_bits=9"] {
            let mut client = Deflating::upgraded(served.address, "/o/deflate-sizes", offer);
            assert_eq!(client.agreement.server_forgets, !takeover);
            for (seed, length) in [1, 125, 255, 256, 3_000, 65_536, 1_000_000].into_iter().enumerate() {
                client.echo(TEXT, listing(seed as u64, length).as_bytes());
                assert_eq!(client.last.0, length >= 256, "{length} bytes");
                assert!(length < 1_000 || client.last.1 < length * 6 / 10);
            }
            client.echo(BINARY, &noise(1, 200_000));
            client.echo(BINARY, &vec![0; 4 << 20]);
            client.client.send(frame(FIN | PING, b"there?"));
            let (first, payload) = client.client.raw_frame();
            assert_eq!((first, payload.as_slice()), (FIN | PONG, &b"there?"[..]));
        }
    }
}

#[test]
fn the_config_decides_what_is_agreed() {
    let ask = |change: fn(&mut dormouse::server::config::Config), offer: &str| {
        let served = Served::start(1, change);
        agreed(&mut Client::connect(served.address), "/o/deflate-config", offer)
    };
    let said = |parameters: &str| Some(format!("permessage-deflate{parameters}"));
    assert_eq!(ask(|config| config.deflate.enabled = false, OFFER), None);
    assert_eq!(ask(|_| {}, OFFER), said("; server_no_context_takeover; client_no_context_takeover"));
    assert_eq!(ask(|config| config.deflate.context_takeover = true, OFFER), said(""));
    assert_eq!(
        ask(
            |config| {
                config.deflate.context_takeover = true;
                config.deflate.window_bits = 10;
            },
            OFFER
        ),
        said("; server_max_window_bits=10; client_max_window_bits=10")
    );
    assert_eq!(ask(|_| {}, "permessage-deflate; server_max_window_bits=8"), None);
    let short = Served::start(1, |config| config.deflate.min_bytes = 0);
    let mut client = Deflating::upgraded(short.address, "/o/deflate-config", OFFER);
    client.echo(TEXT, &[b'a'; 20]);
    assert!(client.last.0 && client.last.1 < 10);
}

/// SEMANTICS 2: what stays.
#[test]
fn contexts_outlive_the_sleep_of_their_object() {
    let served = Served::start(2, |config| {
        config.deflate.context_takeover = true;
        config.hibernation.idle = Some(Duration::from_millis(50));
    });
    let mut client = Deflating::upgraded(served.address, "/o/deflate-sleep", OFFER);
    let said = listing(1, 4_000);
    for round in 0..3 {
        client.echo(TEXT, said.as_bytes());
        assert!(client.last.0 && (round == 0 || client.last.1 < 100), "{:?}", client.last);
        until_equal("awake", 0, || served.of("OBEDIENT", |counters| counters.awake.get()));
    }
    assert_eq!(served.of("OBEDIENT", |counters| counters.constructions.get()), 3);
    assert_eq!(served.count(|counters| counters.deflate_contexts.get()), 1);
    assert_eq!(served.count(|counters| counters.inflate_contexts.get()), 1);
    drop(client);
    until_equal("contexts", 0, || served.count(|counters| counters.deflate_context_bytes.get()));
}

/// SEMANTICS 8 and 9: once for each set of parameters, and once for each shard that has such sockets.
#[test]
fn a_broadcast_is_compressed_once_for_each_set_of_parameters() {
    let served = Served::start(2, |_| {});
    let path = "/o/deflate-broadcast";
    let small = "permessage-deflate; server_max_window_bits=10";
    let mut large: Vec<_> = (0..100).map(|_| Deflating::upgraded(served.address, path, OFFER)).collect();
    let mut small: Vec<_> = (0..100).map(|_| Deflating::upgraded(served.address, path, small)).collect();
    let mut plain: Vec<_> = (0..100).map(|_| Client::upgraded(served.address, path)).collect();
    until_equal("sockets", 300, || served.of("OBEDIENT", |counters| counters.sockets.get()));
    for round in 1..=3 {
        let said = listing(round, 5_000);
        plain[0].send(text(&format!("all:{said}")));
        for client in large.iter_mut().chain(&mut small) {
            assert!(client.message() == (TEXT, said.clone().into_bytes()));
            assert!(client.last.0);
        }
        for client in &mut plain {
            assert!(client.text() == said);
        }
        let shards = served.running().counters().iter().filter(|shard| shard.compressions.get() > 0).count();
        let compressions = served.count(|counters| counters.compressions.get());
        if FAR {
            assert!(compressions <= round * 2 * shards as u64, "{compressions} on {shards} shards");
        } else {
            assert_eq!((compressions, shards), (round * 2, 1));
        }
    }
}

// RELIABILITY: inflate to the cap only. RFC 7692 7.2.2
#[test]
fn bombs_and_garbage_end_their_own_connection_alone() {
    let served = Served::start(1, |config| config.limits.message_bytes = 1 << 20);
    let path = "/o/deflate-bombs";
    let mut neighbour = Deflating::upgraded(served.address, path, OFFER);
    for (message, code) in [
        (Deflate::new(15, true).deflate(&vec![0; 64 << 20]), 1009),
        (vec![0xff; 30], 1007),
        (vec![0x00, 0x05, 0x00, 0x05, 0x00], 1007),
    ] {
        let mut client = Deflating::upgraded(served.address, path, OFFER);
        client.client.try_send(frame(FIN | RSV1 | BINARY, &message));
        let (first, payload) = client.client.raw_frame();
        assert_eq!((first, &payload[..2]), (FIN | CLOSE, &u16::to_be_bytes(code)[..]));
        neighbour.echo(TEXT, listing(1, 2_000).as_bytes());
    }
    until("three errors", || {
        events("deflate-bombs").iter().filter(|event| event.starts_with("error")).count() == 3
    });
    assert!(
        !events("deflate-bombs").iter().any(|event| event.starts_with("close")),
        "an error, and no close"
    );
    assert!(served.count(|counters| counters.inflated_to_bytes.get()) < 2 << 20);
}

/// A client that does not read has its bound in what was compressed for it; those beside it miss nothing.
#[test]
fn one_who_never_reads_is_closed_and_those_beside_it_miss_nothing() {
    for takeover in [false, true] {
        let served = Served::start(1, |config| config.deflate.context_takeover = takeover);
        let path = format!("/o/deflate-deaf-{takeover}");
        let mut deaf = Deflating::upgraded(served.address, &path, OFFER);
        let mut others: Vec<_> = (0..10).map(|_| Deflating::upgraded(served.address, &path, OFFER)).collect();
        let said = String::from_utf8(noise(1, 50_000).iter().map(|byte| b'0' + byte % 64).collect()).unwrap();
        let mut sent = 0;
        while served.count(|counters| counters.slow_readers_closed.get()) == 0 {
            let frame = others[0].frame_of(TEXT, format!("all:{said}").as_bytes());
            others[0].client.send(frame);
            for client in &mut others {
                assert!(client.message() == (TEXT, said.clone().into_bytes()));
            }
            sent += 1;
            assert!(sent < 2_000, "it is never closed");
        }
        let mut heard = 0;
        loop {
            let (opcode, message) = deaf.message();
            if opcode == CLOSE {
                assert_eq!(message[..2], 1013u16.to_be_bytes());
                break;
            }
            assert!(message == said.as_bytes());
            heard += 1;
        }
        assert!(heard < sent && heard * others[1].last.1 > 1 << 20, "{heard} of {sent}");
    }
}

#[test]
fn contexts_are_refused_and_taken_back_when_memory_is_short() {
    const INFLATER: usize = Session::CONTEXT_BYTES;
    let served = Served::start(1, |config| {
        config.deflate.context_takeover = true;
        config.deflate.context_bytes_per_shard = 16 * INFLATER;
    });
    let path = "/o/deflate-memory";
    let mut clients: Vec<_> = (0..20).map(|_| Deflating::upgraded(served.address, path, OFFER)).collect();
    let granted = clients.iter().filter(|client| !client.agreement.client_forgets).count();
    if FAR {
        assert!((8..=16).contains(&granted), "{granted}: half of the budget, on each of two shards");
    } else {
        assert_eq!(granted, 8);
    }
    for seed in 0..3 {
        for client in &mut clients {
            client.echo(TEXT, listing(seed, 3_000).as_bytes());
        }
    }
    for shard in served.running().counters() {
        assert!(shard.deflate_context_bytes.get() as usize <= 16 * INFLATER);
    }
    drop(clients);
    until_equal("bytes", 0, || served.count(|counters| counters.deflate_context_bytes.get()));
}
