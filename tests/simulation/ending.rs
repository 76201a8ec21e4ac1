//! The end of a run: everything is healed, then everybody leaves. Owns what must hold when nothing is under way: all
//! that was said has arrived, what may sleep sleeps, each socket had one end, and nothing is left.

use dormouse::object::{Counter, ShardCounters};

use super::client::Client;
use super::speech;
use super::town::Town;
use super::witness::{self, RoomRecord};
use crate::support::random::Random;

/// Longer than every patience and every sleep together, and the times over which failing objects back off.
const ALL_IS_OVER_MS: u64 = 400_000;

/// A moment in which something may happen.
const CALM_MS: u64 = 250;

impl Town {
    /// From here on nothing goes wrong any more.
    pub fn heal(&mut self) {
        self.driver.faults = super::plan::Faults::default();
        for client in &mut self.clients {
            if !client.has_vanished {
                client.pipe.borrow_mut().room = None;
            }
            if client.is_speaking() {
                speech::finish(client);
            }
        }
        self.calm(CALM_MS);
    }

    /// Lets time pass, in steps short enough for clients to answer pings.
    fn calm(&mut self, ms: u64) {
        let step = (self.plan.settings.pong_ms / 2).min(1_000);
        for _ in 0..ms.div_ceil(step) {
            self.driver.advance(step);
            self.look();
        }
    }

    pub fn everything_has_arrived(&mut self) {
        // Handlers that sleep one behind the other take their time; whoever has a message under way is waited for.
        for _ in 0..400 {
            if !self.is_busy() {
                break;
            }
            self.calm(CALM_MS);
        }
        let may_drop = self.rules.may_drop();
        let may_replace = self.rules.may_replace();
        let mut missed = 0;
        for client in &self.clients {
            let (number, is_waiting) = (client.number, client.waits_for_1007());
            assert!(!is_waiting, "lost: a broken envelope of client {number} is answered by nothing");
            if is_well(client) {
                let said = witness::with(|w| w.sockets.get(&client.number).map_or(0, |s| s.said.len()));
                let heard_of = witness::with(|w| w.sockets.get(&client.number).map_or(0, |s| s.last_message));
                let (heard, sent) = (client.said_heard, client.sent);
                missed += client.missed + said - heard;
                assert!(
                    heard == said || may_drop || may_replace,
                    "lost: client {number} has heard {heard} of {said} texts"
                );
                if may_replace {
                    let missing =
                        witness::with(|w| client.latest.missing(&w.sockets.get(&number)?.said).cloned());
                    assert!(missing.is_none(), "lost: {missing:?} never comes to client {number}");
                }
                assert!(heard_of == sent, "lost: {heard_of} of {sent} messages of client {number} have come");
                assert!(
                    client.due.is_empty() || may_drop,
                    "lost: client {number} waits for {:?}",
                    client.due
                );
                let (pong, ping) = (client.last_pong, client.pings_sent);
                let may_miss = self.rules.output_is_tight;
                assert!(
                    pong == ping || may_miss,
                    "lost: pong {ping} of client {number}, who has heard {pong}"
                );
            }
        }
        // SEMANTICS 9: what is dropped is counted, never a silent gap.
        let dropped = self.count(|counters| &counters.messages_dropped)
            + self.count(|counters| &counters.messages_replaced);
        assert!(
            missed as u64 <= dropped,
            "lost: {missed} texts are missing, and {dropped} are counted as dropped or replaced"
        );
    }

    fn count(&self, counter: impl Fn(&ShardCounters) -> &Counter) -> u64 {
        self.driver.shards.iter().map(|shard| counter(&shard.counters).get()).sum()
    }

    fn is_busy(&self) -> bool {
        let waits = |client: &Client| {
            let heard_of = witness::with(|w| w.sockets.get(&client.number).map_or(0, |s| s.last_message));
            let waits_for_pong = client.last_pong < client.pings_sent && !self.rules.output_is_tight;
            let waits_for_answer = !client.due.is_empty() && !self.rules.may_drop();
            is_well(client) && (heard_of < client.sent || waits_for_answer || waits_for_pong)
                || !client.is_over && client.refused.is_none() && !client.is_open && !client.is_rude
                || client.waits_for_1007()
        };
        let has_work = |room: &RoomRecord| room.is_running || !room.waiting.is_empty();
        self.clients.iter().any(waits) || witness::with(|w| w.rooms.values().any(has_work))
    }

    /// Who may sleep sleeps, with its sockets.
    pub fn what_may_sleep_sleeps(&mut self) {
        let Some(idle_ms) = self.plan.settings.hibernation_idle_ms else { return };
        self.calm(idle_ms.min(CALM_MS));
        self.driver.advance(idle_ms);
        self.look();
        witness::with(|witness| {
            for (name, room) in &witness.rooms {
                let may_stay = room.tick_ms.is_some()
                    || !room.waiting.is_empty()
                    || room.lingering > 0
                    || room.is_running
                    || room.last_event_ms + idle_ms > witness.now.monotonic_ms;
                let (stays, members) = (room.life.is_some(), &room.members);
                assert!(!stays || may_stay, "{name} is kept awake for ever, with the sockets {members:?}");
            }
        });
    }

    /// Everybody goes, each in its way, and nothing is left of them.
    pub fn everybody_leaves(&mut self) {
        let mut random: Random = self.random.split();
        if self.plan.ends_with_drain {
            self.drain();
        }
        for client in &mut self.clients {
            if client.is_speaking() && random.percent(60) {
                speech::close(client, Some(1_000));
            } else if !client.has_vanished || self.plan.settings.ping_ms.is_none() {
                client.is_rude = true;
                client.pipe.borrow_mut().reset();
            }
        }
        self.calm(CALM_MS);
        self.driver.advance(ALL_IS_OVER_MS);
        self.look();
        self.everything_is_gone();
        self.every_socket_has_ended();
    }

    /// The server shuts down, and clients that are well hear what was said and what waits in batches, are told so and
    /// answer.
    fn drain(&mut self) {
        if !self.rules.output_is_tight {
            self.leave_batches_waiting();
        }
        self.rules.is_draining.set(true);
        for (at, shard) in self.driver.shards.iter().enumerate() {
            witness::with(|witness| witness.drains(at));
            shard.world.begin_drain();
        }
        let well: Vec<(usize, usize)> = (0..self.clients.len())
            .filter(|at| is_well(&self.clients[*at]))
            .map(|at| (at, witness::with(|w| w.sockets.get(&(at as u32)).map_or(0, |s| s.said.len()))))
            .collect();
        self.calm(CALM_MS);
        for (at, said) in well {
            let client = &self.clients[at];
            let (number, close, heard) = (client.number, client.heard_close, client.said_heard);
            assert!(close == Some(1_001), "client {number} hears {close:?} when the server shuts down");
            assert!(
                heard >= said || self.rules.output_is_tight,
                "lost: client {number} has heard {heard} of {said} texts when the server shuts down"
            );
        }
    }

    /// Has something wait that is not due yet.
    fn leave_batches_waiting(&mut self) {
        let Town { clients, random, plan, rules, driver, .. } = self;
        if plan.batching.is_some() {
            clients
                .iter_mut()
                .filter(|client| is_well(client))
                .for_each(|client| speech::push(client, plan, rules, random));
            driver.settle();
            self.look();
        }
    }

    fn everything_is_gone(&self) {
        for (at, shard) in self.driver.shards.iter().enumerate() {
            let held = shard.held_places();
            assert!(held == 0, "not drained: shard {at} holds {held} descriptors of clients that are gone");
            let connections = shard.counters.connections.get();
            assert!(connections == 0, "not drained: shard {at} counts {connections} connections");
            for namespace in &shard.counters.namespaces {
                let sockets = namespace.sockets.get();
                assert!(sockets == 0, "not drained: shard {at} counts {sockets} sockets");
                let awake = namespace.awake.get();
                assert!(awake == 0, "not drained: {awake} objects of shard {at} are awake");
            }
        }
        let open = self.driver.plan.directory().open();
        assert!(open == 0, "not drained: the directory knows {open} connections");
    }

    fn every_socket_has_ended(&self) {
        let time_ran_out = self.count(|counters| &counters.close_timeouts)
            + self.count(|counters| &counters.write_timeouts)
            + self.count(|counters| &counters.ping_timeouts)
            > 0
            || self.rules.shard_output_is_tight;
        witness::with(|witness| {
            for (client, record) in &witness.sockets {
                let has_ended = record.end.is_some() || record.was_dismissed;
                assert!(has_ended, "the end of client {client} was never told to {}", record.room);
                let client = self.clients.get(*client as usize).filter(|client| !client.is_rude);
                let Some((client, (code, _, was_clean))) = client.zip(record.end) else { continue };
                let (number, sent, heard) = (client.number, client.sent_close, client.heard_close);
                if was_clean || sent.is_some() && heard.is_some() && !time_ran_out {
                    assert!(
                        was_clean && sent == Some(code),
                        "client {number} sent Close {sent:?}, and its object was told {code}, clean: {was_clean}"
                    );
                }
            }
        });
    }
}

/// Nothing has happened that would excuse a loss.
fn is_well(client: &Client) -> bool {
    let has_closed = client.sent_close.is_some() || client.heard_close.is_some();
    client.is_open && !client.is_rude && !client.is_over && !has_closed
}
