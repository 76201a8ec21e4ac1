//! One shard's world under the test's hand: it sends bytes, moves the clock, and reads what was queued. No socket.

use std::collections::HashMap;

use dormouse::object::driver::{Effect, Effects, Now, Outgoing, Place, ShardId, Shortfall, Transmit};
use dormouse::object::{Settings, World, WorldBuilder};

use crate::demo::{Arena, Chat, Demo, Echo, Room, WebSocketHibernationServer, binding};

/// The default, 10 s, as the tests pass it.
pub(super) const IDLE_MS: u64 = 10_000;

pub(super) struct Engine {
    world: World,
    now_ms: u64,
    next_place: u32,
    sent: Sent,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Client(Place);

#[derive(Default)]
struct Sent(HashMap<Place, Vec<u8>>);

impl Transmit for Sent {
    fn transmit(&mut self, batch: &[Outgoing<'_>], _shortfalls: &mut Vec<(usize, Shortfall)>) {
        for outgoing in batch {
            self.0.entry(outgoing.place).or_default().extend(outgoing.parts.concat());
        }
    }
}

/// A message as a client sees it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Close(u16),
}

impl Seen {
    pub(super) fn text(self) -> String {
        let Seen::Text(text) = self else { panic!("{self:?} is no text") };
        text
    }
}

impl Engine {
    pub(super) fn new() -> Engine {
        let settings = Settings { hibernation_idle_ms: Some(IDLE_MS), ..Settings::default() };
        let plan = WorldBuilder::new(Demo::default())
            .namespace::<Arena>(binding::ARENA)
            .namespace::<Chat>(binding::CHAT)
            .namespace::<Echo>(binding::ECHO)
            .namespace::<Room>(binding::ROOM)
            .namespace::<WebSocketHibernationServer>(binding::WEBSOCKET_HIBERNATION_SERVER)
            .settings(settings)
            .build(1);
        let world = plan.world(ShardId(0), 1);
        Engine { world, now_ms: 1_000, next_place: 0, sent: Sent::default() }
    }

    fn turn(&mut self) {
        self.world.run();
        self.world.flush(&mut self.sent);
        let mut effects = Effects::default();
        self.world.take_effects(&mut effects);
        for effect in effects.sockets {
            if let Effect::Close(place) = effect {
                self.world.handle_closed(place);
            }
        }
    }

    /// Lets time pass, with every deadline on the way kept.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while let Some(next) = self.world.next_deadline_ms().filter(|next| *next <= end) {
            self.set_now(next.max(self.now_ms + 1).min(end));
        }
        self.set_now(end);
    }

    fn set_now(&mut self, ms: u64) {
        self.now_ms = ms;
        self.world.set_now(Now { monotonic_ms: ms, wall_ms: 1_700_000_000_000 + ms });
        self.turn();
    }

    fn open(&mut self) -> Client {
        let place = Place(self.next_place);
        self.next_place += 1;
        self.world.handle_accepted(place);
        Client(place)
    }

    fn receive(&mut self, client: Client, mut bytes: Vec<u8>) {
        self.world.handle_received(client.0, &mut bytes);
        self.turn();
    }

    /// The whole response to a request.
    pub(super) fn request(&mut self, head: &str) -> String {
        let client = self.open();
        self.receive(client, format!("{head}\r\nHost: example.com\r\n\r\n").into_bytes());
        String::from_utf8(self.take(client)).unwrap()
    }

    pub(super) fn upgrade(&mut self, path: &str) -> Client {
        let client = self.open();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        self.receive(client, head.into_bytes());
        let response = String::from_utf8(self.take(client)).unwrap();
        assert!(response.starts_with("HTTP/1.1 101 ") && response.ends_with("\r\n\r\n"), "{response}");
        client
    }

    pub(super) fn say(&mut self, client: Client, text: &str) {
        self.send(client, 0x1, text.as_bytes());
    }

    pub(super) fn send_bytes(&mut self, client: Client, bytes: &[u8]) {
        self.send(client, 0x2, bytes);
    }

    pub(super) fn close(&mut self, client: Client, code: u16) {
        self.send(client, 0x8, &code.to_be_bytes());
    }

    /// RFC 6455 5.2: a whole frame, with a mask of zeros.
    fn send(&mut self, client: Client, opcode: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).ok().filter(|length| *length < 126).unwrap();
        let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
        frame.extend_from_slice(payload);
        self.receive(client, frame);
    }

    fn take(&mut self, client: Client) -> Vec<u8> {
        self.sent.0.remove(&client.0).unwrap_or_default()
    }

    /// The messages that a client got since it was last asked.
    pub(super) fn seen(&mut self, client: Client) -> Vec<Seen> {
        let bytes = self.take(client);
        let mut rest = bytes.as_slice();
        let mut seen = Vec::new();
        while let [head, length, behind @ ..] = rest {
            let (length, behind) = match length {
                126 => (usize::from(u16::from_be_bytes([behind[0], behind[1]])), &behind[2..]),
                127 => panic!("no message of the demo is that long"),
                _ => (usize::from(*length), behind),
            };
            let (payload, behind) = behind.split_at(length);
            match head {
                0x81 => seen.push(Seen::Text(String::from_utf8(payload.to_vec()).unwrap())),
                0x82 => seen.push(Seen::Binary(payload.to_vec())),
                0x88 => seen.push(Seen::Close(u16::from_be_bytes([payload[0], payload[1]]))),
                _ => {} // Pings.
            }
            rest = behind;
        }
        assert!(rest.is_empty(), "half a frame");
        seen
    }

    pub(super) fn texts(&mut self, client: Client) -> Vec<String> {
        self.seen(client).into_iter().map(Seen::text).collect()
    }

    /// What `/status/...` says of a path.
    pub(super) fn status(&mut self, path: &str) -> String {
        let response = self.request(&format!("GET /status{path} HTTP/1.1"));
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        response.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}
