//! What is compressed, and with whose context (RFC 7692). Owns the compressors of a shard and the memory they take.
//!
//! ```text
//!   message for many -------------------------> alone: one context a size of window, which forgets after each message;
//!                                                ^     the bytes are the same for all recipients
//!   message for one --+-- no context takeover ---+
//!                     |                          |  no memory
//!                     +-- context takeover ------+
//!                                |
//!                                +------------> the connection's own context, made with the first such message
//! ```
//!
//! A receiver takes a message that stands alone whenever it comes. Behind one, the connection's own context has to
//! forget, because it does not know of it. So it may forget at any time, and be given back: when the contexts of the
//! shard would exceed their budget, those of connections that have been sent nothing for a while go first, the longest
//! idle before the others; while none is idle, messages stand alone. What a client compresses with is its own
//! affair: the context to inflate that has to stay. There the budget is kept in the handshake: a client is
//! granted a context only while those of all clients stay below half of it, and contexts to compress make room for it.

use std::collections::HashMap;
use std::sync::Arc;

use super::core::Core;
use super::counters::{Counter, ShardCounters};
use super::driver::{Place, ShardId};
use super::forms::WINDOWS;
use super::settings::DeflateSettings;
use crate::wire::{DeflateAgreement, Deflater, Session};

/// A connection that was sent nothing compressed for so long is idle: to take its context and give it to another that
/// is no busier would have both compress worse.
const IDLE_MS: u64 = 1_000;

/// How often idle connections are looked for, at most. Each look passes over all contexts.
const LOOK_EVERY_MS: u64 = 100;

/// Room to compress in that is kept; more is only taken for a message that needs it.
const ROOM_BYTES_KEPT: usize = 256 << 10;

/// What was agreed with a client, as far as sending needs it. Two bytes, because every connection has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// 9 to 15, or 0 when nothing was agreed.
    window_bits: u8,
    takes_over: bool,
}

impl Agreed {
    pub(crate) fn new(agreement: Option<&DeflateAgreement>) -> Agreed {
        agreement.map_or(Agreed::default(), |agreement| Agreed {
            window_bits: agreement.server_window_bits(),
            takes_over: !agreement.server_no_context_takeover,
        })
    }

    pub(crate) fn window_index(self) -> usize {
        debug_assert!((9..=15).contains(&self.window_bits));
        usize::from(self.window_bits.saturating_sub(9)).min(WINDOWS - 1)
    }
}

/// The contexts of one connection.
#[derive(Debug)]
struct Own {
    deflater: Option<Deflater>,
    window_bits: u8,
    /// Something was sent that the deflater does not know of.
    must_forget: bool,
    used_ms: u64,
    /// The session has a context, or will have one.
    inflates: bool,
}

/// The compressors of one shard.
#[derive(Debug)]
pub(crate) struct Compressor {
    settings: DeflateSettings,
    counters: Arc<ShardCounters>,
    alone: [Option<Deflater>; WINDOWS],
    room: Vec<u8>,
    own: HashMap<Place, Own>,
    now_ms: u64,
    look_ms: u64,
}

impl Compressor {
    pub(crate) fn new(settings: DeflateSettings, counters: Arc<ShardCounters>) -> Compressor {
        Compressor {
            settings,
            counters,
            alone: [const { None }; WINDOWS],
            room: Vec::new(),
            own: HashMap::new(),
            now_ms: 0,
            look_ms: 0,
        }
    }

    pub(crate) fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    /// Whether a message is to be compressed for a connection, if it can be.
    #[inline]
    pub(crate) fn is_worth_it(&self, agreed: Agreed, payload: &[u8]) -> bool {
        // RFC 7692 6: each message is compressed or not, as its sender likes; RSV1 says which
        agreed.window_bits != 0 && payload.len() >= self.settings.message_bytes_min
    }

    /// Compresses a message so that it stands alone.
    pub(crate) fn alone(&mut self, agreed: Agreed, payload: &[u8]) -> &[u8] {
        let level = self.settings.level;
        let deflater =
            self.alone[agreed.window_index()].get_or_insert_with(|| Deflater::new(agreed.window_bits, level));
        let deflated = deflater.deflate(payload, &mut self.room);
        // RFC 7692 7.1.1.1: with server_no_context_takeover, no message refers to one before it
        deflater.forget();
        count(&self.counters, payload, deflated);
        deflated
    }

    /// Compresses a message with the connection's own context, which it makes if it may.
    pub(crate) fn with_own_context(&mut self, place: Place, agreed: Agreed, payload: &[u8]) -> Option<&[u8]> {
        // RFC 7692 7.1.1.1: the server MUST NOT use the window of the message before if that was agreed
        if !agreed.takes_over {
            return None;
        }
        let has_one = self.own.get(&place)?.deflater.is_some();
        if !has_one && !self.make_room(Deflater::bytes(agreed.window_bits)) {
            return None;
        }
        let own = self.own.get_mut(&place)?;
        own.used_ms = self.now_ms;
        let deflater = match &mut own.deflater {
            Some(deflater) => {
                if std::mem::take(&mut own.must_forget) {
                    deflater.forget();
                }
                deflater
            }
            none @ None => {
                own.must_forget = false;
                grow(&self.counters.deflate_contexts, 1);
                grow(&self.counters.deflate_context_bytes, Deflater::bytes(agreed.window_bits));
                none.insert(Deflater::new(agreed.window_bits, self.settings.level))
            }
        };
        let deflated = deflater.deflate(payload, &mut self.room);
        count(&self.counters, payload, deflated);
        Some(deflated)
    }

    /// The connection was sent a compressed message that its own context does not know of.
    pub(crate) fn another_was_sent(&mut self, place: Place, agreed: Agreed) {
        if agreed.takes_over
            && let Some(own) = self.own.get_mut(&place)
        {
            own.must_forget = true;
        }
    }

    /// The end of a turn's flush: a large message was the last for now.
    pub(crate) fn trim_room(&mut self) {
        if self.room.len() > ROOM_BYTES_KEPT {
            self.room = Vec::new();
        }
    }

    fn held_bytes(&self) -> usize {
        self.counters.deflate_context_bytes.get() as usize
    }

    /// Whether a context of so many bytes may be made. Takes those of idle connections back for it.
    fn make_room(&mut self, bytes: usize) -> bool {
        let max = self.settings.context_bytes_max;
        if self.held_bytes() + bytes <= max {
            return true;
        }
        if bytes > max || self.now_ms < self.look_ms {
            return false;
        }
        let Some(idle_since_ms) = self.now_ms.checked_sub(IDLE_MS) else { return false };
        self.look_ms = self.now_ms + LOOK_EVERY_MS;
        self.take_back(max - bytes, idle_since_ms);
        self.held_bytes() + bytes <= max
    }

    /// Takes contexts to compress back until all hold so many bytes at most: of connections that have not used them
    /// since then, the longest idle first.
    fn take_back(&mut self, goal: usize, idle_since_ms: u64) {
        let is_idle = |own: &Own| own.deflater.is_some() && own.used_ms <= idle_since_ms;
        let mut idle: Vec<(u64, Place)> = self
            .own
            .iter()
            .filter(|(_, own)| is_idle(own))
            .map(|(place, own)| (own.used_ms, *place))
            .collect();
        idle.sort_unstable();
        // An eighth more than asked for, so that the next look is not for one context.
        let max = self.settings.context_bytes_max;
        let goal = goal.min(max - max / 8);
        for (_, place) in idle {
            if self.held_bytes() <= goal {
                break;
            }
            if let Some(own) = self.own.get_mut(&place) {
                give_back(&self.counters, own);
                self.counters.deflate_contexts_given_back.add(1);
            }
        }
    }

    /// A connection carries frames from now on.
    pub(crate) fn opened(&mut self, place: Place, agreement: &DeflateAgreement) {
        let (deflates, inflates) =
            (!agreement.server_no_context_takeover, !agreement.client_no_context_takeover);
        if !deflates && !inflates {
            return;
        }
        if inflates {
            grow(&self.counters.inflate_contexts, 1);
            grow(&self.counters.deflate_context_bytes, Session::CONTEXT_BYTES);
        }
        let window_bits = agreement.server_window_bits();
        let own = Own { deflater: None, window_bits, must_forget: false, used_ms: 0, inflates };
        let before = self.own.insert(place, own);
        debug_assert!(before.is_none(), "a place is free before it is used again");
        if self.held_bytes() > self.settings.context_bytes_max {
            // What was granted has to stay; the others may forget at any time.
            self.take_back(self.settings.context_bytes_max, u64::MAX);
        }
    }

    /// The connection is gone.
    pub(crate) fn closed(&mut self, place: Place) {
        // Most shards have none.
        if self.own.is_empty() {
            return;
        }
        let Some(mut own) = self.own.remove(&place) else { return };
        give_back(&self.counters, &mut own);
        if own.inflates {
            shrink(&self.counters.inflate_contexts, 1);
            shrink(&self.counters.deflate_context_bytes, Session::CONTEXT_BYTES);
        }
    }
}

fn give_back(counters: &ShardCounters, own: &mut Own) {
    if own.deflater.take().is_some() {
        shrink(&counters.deflate_contexts, 1);
        shrink(&counters.deflate_context_bytes, Deflater::bytes(own.window_bits));
    }
}

fn count(counters: &ShardCounters, plain: &[u8], deflated: &[u8]) {
    counters.compressions.add(1);
    counters.compressed_from_bytes.add(plain.len() as u64);
    counters.compressed_to_bytes.add(deflated.len() as u64);
}

fn grow(gauge: &Counter, by: usize) {
    gauge.set(gauge.get() + by as u64);
}

fn shrink(gauge: &Counter, by: usize) {
    debug_assert!(gauge.get() >= by as u64);
    gauge.set(gauge.get() - by as u64);
}

impl Core {
    /// What is said to a client whose connection will be on `shard`: contexts only while there is memory for them.
    pub(crate) fn agreement_on(&self, shard: ShardId, agreement: DeflateAgreement) -> DeflateAgreement {
        let Some(counters) = self.shared.counters.get(usize::from(shard.0)) else { return agreement };
        // RFC 7692 7.1.1.2: the server may ask for client_no_context_takeover to save memory, whatever was offered
        let held = counters.inflate_contexts.get() as usize * Session::CONTEXT_BYTES;
        let may_hold = self.settings().deflate.context_bytes_max / 2;
        if held + Session::CONTEXT_BYTES <= may_hold { agreement } else { agreement.without_takeover() }
    }
}
