//! What a measured phase has seen.

use crate::failures::Failures;
use crate::latency::Latencies;
use crate::ledger::Tally;

/// Counts and times of a measured phase, of one thread or of all together.
#[derive(Debug)]
pub struct Seen {
    /// Messages sent.
    pub sent: u64,
    /// Deliveries they should have led to.
    pub expected: u64,
    /// Deliveries, whole or not.
    pub tally: Tally,
    /// From intended sending to arrival.
    pub latencies: Latencies,
    /// From intended sending to the last arrival of a round.
    pub spans: Latencies,
    /// Connections that ended.
    pub failures: Failures,
    /// When the last delivery came.
    pub last_arrival_ns: u64,
}

impl Seen {
    /// All threads together.
    pub fn sum(parts: impl IntoIterator<Item = Self>) -> Option<Self> {
        parts.into_iter().reduce(|mut sum, part| {
            sum.sent += part.sent;
            sum.expected += part.expected;
            sum.tally.add(&part.tally);
            sum.latencies.add(&part.latencies);
            sum.spans.add(&part.spans);
            sum.failures.add(&part.failures);
            sum.last_arrival_ns = sum.last_arrival_ns.max(part.last_arrival_ns);
            sum
        })
    }
}
