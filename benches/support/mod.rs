//! What several benches share: a world driven by hand, and a poll of what never waits.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context as TaskContext, Poll, Waker};

use dormouse::object::driver::{Effects, Now, Outgoing, Place, ShardId, Shortfall, Transmit};
use dormouse::object::{Settings, World, WorldBuilder};
use dormouse::{DurableObject, Env, Request, Response, Result, Worker};

pub mod streams;

struct Router;

impl Worker for Router {
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
        env.namespace("ROOM")?.get_by_name("room").fetch(request).await
    }
}

/// A kernel in memory: counts what would be sent, and forgets it.
#[derive(Default)]
pub struct Sink {
    pub sockets: usize,
    pub bytes: usize,
    /// What each socket still takes; `None` is everything.
    pub room: Option<usize>,
}

impl Transmit for Sink {
    fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>) {
        self.sockets += batch.len();
        for (index, outgoing) in batch.iter().enumerate() {
            let bytes: usize = outgoing.parts.iter().map(|part| part.len()).sum();
            match self.room {
                Some(room) if room < bytes => {
                    shortfalls.push((index, Shortfall::Full(room)));
                    self.bytes += room;
                }
                _ => self.bytes += bytes,
            }
        }
    }
}

const HANDSHAKE: &[u8] =
    b"GET /room HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A masked frame, its mask zero so that it can be received again and again.
pub fn frame(opcode: u8, payload: &[u8]) -> Vec<u8> {
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

/// One object with its sockets, in a world that is driven as a shard's driver does it.
pub struct Bench {
    world: World,
    effects: Effects,
    pub sink: Sink,
    now: Now,
    head: Vec<u8>,
}

impl Bench {
    pub fn with_sockets<Object: DurableObject>(count: u32, settings: Settings) -> Bench {
        let plan = WorldBuilder::new(Router).namespace::<Object>("ROOM").settings(settings).build(1);
        let now = Now { monotonic_ms: 1, wall_ms: 1 };
        let mut bench = Bench {
            world: plan.world(ShardId(0), 1),
            effects: Effects::default(),
            sink: Sink::default(),
            now,
            head: HANDSHAKE.to_vec(),
        };
        for place in 0..count {
            bench.world.set_now(now);
            bench.world.handle_accepted(Place(place));
            bench.world.handle_received(Place(place), &mut bench.head);
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
    pub fn receive(&mut self, count: u32, frame: &mut [u8]) -> usize {
        (self.sink.sockets, self.sink.bytes) = (0, 0);
        self.world.set_now(self.now);
        for place in 0..count {
            self.world.handle_received(Place(place), frame);
        }
        self.turn();
        self.sink.sockets
    }

    /// A client that connects, is answered, and is gone; at a place that nobody has.
    pub fn come_and_go(&mut self, place: u32) {
        let place = Place(place);
        self.sink.sockets = 0;
        self.world.handle_accepted(place);
        self.world.handle_received(place, &mut self.head);
        self.turn();
        assert_eq!(self.sink.sockets, 1);
        self.world.handle_lost(place);
        self.turn();
        self.world.handle_closed(place);
        self.turn();
    }

    /// One turn in which the kernel takes bytes of `count` sockets again; the number of sockets that are sent to.
    pub fn writable(&mut self, count: u32) -> usize {
        (self.sink.sockets, self.sink.bytes) = (0, 0);
        self.world.set_now(self.now);
        for place in 0..count {
            self.world.handle_writable(Place(place));
        }
        self.turn();
        self.sink.sockets
    }
}

/// The output of a future that has nothing to wait for.
pub fn ready<Output>(future: impl Future<Output = Output>) -> Output {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a stream in memory makes nobody wait"),
    }
}
