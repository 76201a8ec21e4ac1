//! Metrics and health, for whoever watches the engine. Owns a small listener of its own on a thread of its own, so
//! that a look at a busy engine costs its shards nothing; it only reads counters.
//!
//! `GET /metrics` answers in the OpenMetrics text format, `GET /health` with `ok`. One request a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::logging;
use crate::object::{Counter, ShardCounters, WorldPlan};
use crate::shard::ShardStats;

/// Longest request that is read.
const REQUEST_BYTES_MAX: usize = 4_096;
/// Longest wait for a client that asks or reads slowly.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is read.
pub(super) struct Source {
    plan: WorldPlan,
    stats: Vec<Arc<ShardStats>>,
}

impl Source {
    pub(super) fn new(plan: WorldPlan, stats: Vec<Arc<ShardStats>>) -> Source {
        Source { plan, stats }
    }
}

/// Serves on `address` until the process ends.
pub(super) fn listen(address: SocketAddr, source: Source) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(address)?;
    let bound = listener.local_addr()?;
    let mut registry = Registry::with_prefix("dormouse");
    registry.register_collector(Box::new(source));
    thread::Builder::new().name("metrics".into()).spawn(move || {
        for client in listener.incoming() {
            match client {
                // One at a time: a slow one has its time, and no number of them takes memory.
                Ok(client) => drop(answer(client, &registry)),
                Err(_) => thread::sleep(Duration::from_millis(100)),
            }
        }
    })?;
    Ok(bound)
}

fn answer(mut client: TcpStream, registry: &Registry) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut request = [0; REQUEST_BYTES_MAX];
    let mut filled = 0;
    while !request[..filled].windows(4).any(|end| end == b"\r\n\r\n") {
        let read = client.read(&mut request[filled..])?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
    }
    let line = request[..filled].split(|byte| *byte == b'\r').next().unwrap_or_default();
    let (status, kind, body) = match line {
        b"GET /metrics HTTP/1.1" | b"GET /metrics HTTP/1.0" => {
            let mut body = String::new();
            text::encode(&mut body, registry).map_err(io::Error::other)?;
            ("200 OK", "application/openmetrics-text; version=1.0.0; charset=utf-8", body)
        }
        b"GET /health HTTP/1.1" | b"GET /health HTTP/1.0" => ("200 OK", "text/plain", "ok\n".into()),
        _ => ("404 Not Found", "text/plain", "GET /metrics or GET /health\n".into()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    client.write_all(head.as_bytes())?;
    client.write_all(body.as_bytes())
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source").field("shards", &self.stats.len()).finish()
    }
}

type OfShard = fn(&ShardCounters) -> &Counter;

/// Numbers that only grow, by shard.
const COUNTERS: &[(&str, &str, OfShard)] = &[
    ("connections_accepted", "Connections accepted", |shard| &shard.accepted),
    ("addresses_refused", "Connections closed because their address had as many as it may", |shard| {
        &shard.addresses_refused
    }),
    ("requests", "Requests that reached a worker", |shard| &shard.requests),
    ("requests_refused", "Requests refused before they reached a worker", |shard| &shard.requests_refused),
    ("request_timeouts", "Requests that did not arrive or were not answered in time", |shard| {
        &shard.request_timeouts
    }),
    ("messages_received", "WebSocket messages received", |shard| &shard.messages_received),
    ("message_bytes_received", "Bytes of payload received in them", |shard| &shard.bytes_received),
    ("frames_queued", "Frames queued, one for each recipient", |shard| &shard.frames_queued),
    ("frames_encoded", "Frames encoded; a broadcast counts once", |shard| &shard.frames_encoded),
    ("bytes_encoded", "Bytes copied to encode them", |shard| &shard.bytes_encoded),
    ("compressions", "Messages compressed; a broadcast counts once a size of window", |shard| {
        &shard.compressions
    }),
    ("compressed_from_bytes", "Bytes of these before", |shard| &shard.compressed_from_bytes),
    ("compressed_to_bytes", "Bytes of these after", |shard| &shard.compressed_to_bytes),
    ("inflated_from_bytes", "Bytes of compressed payload received", |shard| &shard.inflated_from_bytes),
    ("inflated_to_bytes", "Bytes that came out of them", |shard| &shard.inflated_to_bytes),
    ("deflate_contexts_given_back", "Contexts taken from idle connections for lack of memory", |shard| {
        &shard.deflate_contexts_given_back
    }),
    ("batches_received", "Batches received, each a message", |shard| &shard.batches_received),
    ("batched_messages_received", "Messages in them", |shard| &shard.batched_messages_received),
    ("batches_sent", "Batches that left; one for everybody counts once", |shard| &shard.batches_sent),
    ("batched_messages_sent", "Messages in them", |shard| &shard.batched_messages_sent),
    ("auto_responses", "Messages answered by an auto-response pair", |shard| &shard.auto_responses),
    ("slow_readers_closed", "Sockets closed because they did not read", |shard| &shard.slow_readers_closed),
    ("messages_dropped", "Messages dropped because a socket did not read", |shard| &shard.messages_dropped),
    ("messages_replaced", "Messages replaced under their keys because a socket did not read", |shard| {
        &shard.messages_replaced
    }),
    ("write_timeouts", "Connections that took no byte for timeouts.write_progress", |shard| {
        &shard.write_timeouts
    }),
    ("ping_timeouts", "Connections that did not answer a ping", |shard| &shard.ping_timeouts),
    ("close_timeouts", "Connections that did not answer a Close", |shard| &shard.close_timeouts),
    ("protocol_errors", "Violations of RFC 6455 by clients, and broken batches", |shard| {
        &shard.protocol_errors
    }),
    ("control_pauses", "Times a socket's reading paused for its control frames", |shard| {
        &shard.control_pauses
    }),
    ("mailbox_pauses", "Times a socket's reading paused for its object", |shard| &shard.mailbox_pauses),
    ("panics", "Handlers that panicked", |shard| &shard.panics),
    ("event_timeouts", "Events and constructors cancelled because they took too long", |shard| {
        &shard.event_timeouts
    }),
];

/// Numbers of what is there now, by shard.
const GAUGES: &[(&str, &str, OfShard)] = &[
    ("connections", "Connections open now", |shard| &shard.connections),
    ("deflate_contexts", "Contexts to compress for one connection each", |shard| &shard.deflate_contexts),
    ("inflate_contexts", "Connections with a context to inflate what they send", |shard| {
        &shard.inflate_contexts
    }),
    ("deflate_context_bytes", "Memory of both", |shard| &shard.deflate_context_bytes),
];

type OfNamespace = fn(&crate::object::NamespaceCounters) -> &Counter;

/// Numbers that only grow, by shard and namespace.
const NAMESPACE_COUNTERS: &[(&str, &str, OfNamespace)] = &[
    ("object_constructions", "Instances constructed", |namespace| &namespace.constructions),
    ("object_hibernations", "Instances dropped because nothing happened", |namespace| {
        &namespace.hibernations
    }),
    ("object_failures", "Instances dropped because they failed", |namespace| &namespace.failures),
    ("object_messages", "Messages delivered to handlers", |namespace| &namespace.messages),
];

type OfDriver = fn(&ShardStats) -> u64;

/// What the drivers count.
const DRIVER_COUNTERS: &[(&str, &str, OfDriver)] = &[
    ("shard_turns", "Turns of the shard's loop", |stats| stats.turns.get()),
    ("shard_wakes", "Times the shard woke from sleep", |stats| stats.wakes.get()),
    ("shard_enters", "Calls of io_uring_enter", |stats| stats.enters.get()),
    ("receives", "Receives that brought bytes", |stats| stats.receives.get()),
    ("receives_starved", "Receives that found no buffer and were armed again", |stats| {
        stats.receives_starved.get()
    }),
    ("sends", "Sends, one a socket and turn", |stats| stats.sends.get()),
    ("send_shortfalls", "Sends that the kernel did not wholly take", |stats| stats.send_shortfalls.get()),
    ("accept_errors", "Accepts that failed", |stats| stats.accept_errors.get()),
    ("hand_offs", "Sockets handed to another shard", |stats| stats.hand_offs_sent.get()),
    ("hand_offs_failed", "Sockets that could not be handed over", |stats| stats.hand_offs_failed.get()),
    ("completion_overflows", "Times a completion queue overflowed", |stats| stats.completion_overflows.get()),
];

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let shards = || self.plan.counters().iter().enumerate();
        for (name, help, counter) in COUNTERS {
            self.family(
                &mut encoder,
                name,
                help,
                Kind::Counter,
                shards().map(|(at, s)| (at, None, counter(s).get())),
            )?;
        }
        let dropped = ConstCounter::new(logging::lines_dropped());
        let help = "Lines of the log dropped because whoever reads it is too slow";
        let line = encoder.encode_descriptor("log_lines_dropped", help, None, dropped.metric_type())?;
        dropped.encode(line)?;
        let stuck = self.plan.watches().iter().enumerate();
        let stuck = stuck.map(|(at, watch)| (at, None, watch.stuck_handlers.get()));
        self.family(
            &mut encoder,
            "stuck_handlers",
            "Handlers that did not yield for a second",
            Kind::Counter,
            stuck,
        )?;
        for (name, help, counter) in DRIVER_COUNTERS {
            let values = self.stats.iter().enumerate().map(|(at, stats)| (at, None, counter(stats)));
            self.family(&mut encoder, name, help, Kind::Counter, values)?;
        }
        for (name, help, counter) in NAMESPACE_COUNTERS {
            let values = shards().flat_map(|(at, shard)| self.by_namespace(at, shard, *counter));
            self.family(&mut encoder, name, help, Kind::Counter, values)?;
        }
        for (name, help, gauge) in GAUGES {
            let values = shards().map(|(at, shard)| (at, None, gauge(shard).get()));
            self.family(&mut encoder, name, help, Kind::Gauge, values)?;
        }
        let awake =
            shards().flat_map(|(at, shard)| self.by_namespace(at, shard, |namespace| &namespace.awake));
        self.family(&mut encoder, "objects_awake", "Instances in memory now", Kind::Gauge, awake)?;
        let sockets =
            shards().flat_map(|(at, shard)| self.by_namespace(at, shard, |namespace| &namespace.sockets));
        self.family(&mut encoder, "object_sockets", "Sockets accepted by objects now", Kind::Gauge, sockets)
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

impl Source {
    fn by_namespace(
        &self,
        at: usize,
        shard: &ShardCounters,
        counter: OfNamespace,
    ) -> Vec<(usize, Option<String>, u64)> {
        let namespaces = self.plan.bindings().zip(&shard.namespaces);
        namespaces
            .map(|(binding, counters)| (at, Some(binding.to_owned()), counter(counters).get()))
            .collect()
    }

    /// One metric with a value for each shard, and namespace where there is one.
    fn family(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        kind: Kind,
        values: impl Iterator<Item = (usize, Option<String>, u64)>,
    ) -> Result<(), std::fmt::Error> {
        let counter = ConstCounter::new(0u64);
        let gauge = ConstGauge::new(0i64);
        let metric_type = match kind {
            Kind::Counter => counter.metric_type(),
            Kind::Gauge => gauge.metric_type(),
        };
        let mut family = encoder.encode_descriptor(name, help, None, metric_type)?;
        for (shard, namespace, value) in values {
            let mut labels = vec![("shard".to_owned(), shard.to_string())];
            labels.extend(namespace.map(|namespace| ("namespace".to_owned(), namespace)));
            let encoder = family.encode_family(&labels)?;
            match kind {
                Kind::Counter => ConstCounter::new(value).encode(encoder)?,
                Kind::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(encoder)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::object::NamespaceCounters;

    /// How many counters a record of them has: each prints itself.
    fn count(record: &impl std::fmt::Debug) -> usize {
        format!("{record:?}").matches("Counter(").count()
    }

    /// SEMANTICS 9: what is dropped is counted and visible. A counter that nobody can read is none.
    #[test]
    fn every_counter_is_told_once_under_a_name_of_its_own() {
        let shard = ShardCounters::new(0);
        let told: BTreeSet<*const Counter> = COUNTERS
            .iter()
            .chain(GAUGES)
            .map(|(_, _, counter)| std::ptr::from_ref(counter(&shard)))
            .collect();
        assert_eq!(told.len(), COUNTERS.len() + GAUGES.len(), "one is told twice");
        assert_eq!(told.len(), count(&shard), "one is not told");
        let namespace = NamespaceCounters::default();
        let told: BTreeSet<*const Counter> = NAMESPACE_COUNTERS
            .iter()
            .map(|(_, _, counter)| std::ptr::from_ref(counter(&namespace)))
            .collect();
        // Those for what is there now stand with the collector.
        assert_eq!(told.len() + 2, count(&namespace));
        let names = COUNTERS.iter().chain(GAUGES).map(|(name, ..)| *name);
        let names: Vec<&str> = names
            .chain(NAMESPACE_COUNTERS.iter().map(|(name, ..)| *name))
            .chain(DRIVER_COUNTERS.iter().map(|(name, ..)| *name))
            .collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}
