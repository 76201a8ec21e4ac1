//! The result: one JSON line for programs, a table for people. Times are nanoseconds, memory is bytes.

use crate::fanout::shared::Outcome;
use crate::latency::Percentiles;
use crate::payload::Kind;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// Everything that is reported. What a mode does not measure is `None` and left out.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The mode.
    pub mode: &'static str,
    /// Where it connected.
    pub url: String,
    /// Sockets asked for.
    pub sockets: u32,
    /// Rooms they were spread over.
    pub rooms: u32,
    /// Generator threads.
    pub threads: usize,
    /// Bytes per message.
    pub size_bytes: u32,
    /// Text or binary.
    pub kind: Kind,
    /// Messages sent together, burst mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// The rate of an open loop, rounds per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// Time the sockets were held still, idle mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<f64>,
    /// Time before each message, wake mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause_seconds: Option<f64>,
    /// Whether all is well: the exit status.
    pub passed: bool,
    /// How the measured phase ended.
    pub outcome: Outcome,
    /// Handshakes.
    pub handshake: Handshake,
    /// Handshakes answered with another status than 101, by status.
    pub refused: BTreeMap<u16, u64>,
    /// How many of those were asked for.
    pub expected_refused: u64,
    /// Connections that failed, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Rounds that reached everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rounds: Option<u64>,
    /// Messages sent.
    pub messages: u64,
    /// Deliveries they should lead to.
    pub expected: u64,
    /// Deliveries, each counted once, unchanged.
    pub deliveries: u64,
    /// Never arrived.
    pub lost: u64,
    /// Arrived again.
    pub doubled: u64,
    /// Arrived after a later message of the same sender.
    pub reordered: u64,
    /// Arrived changed, or in the wrong place.
    pub corrupt: u64,
    /// From the first sending to the last delivery.
    pub seconds: f64,
    /// Deliveries in each of them.
    pub deliveries_per_second: f64,
    /// From intended sending to each delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ns: Option<Percentiles>,
    /// From the intended sending of a round to its last delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_delivery_ns: Option<Percentiles>,
    /// The second server, wake mode; the counts above are of both, latency and CPU of the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    /// With `--server-pid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
}

/// The opening handshakes.
#[derive(Debug, Default, Serialize)]
pub struct Handshake {
    /// That succeeded.
    pub count: u64,
    /// Time they took together.
    pub seconds: f64,
    /// How many in a second.
    pub per_second: f64,
    /// From the (churn: intended) connect to the 101.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ns: Option<Percentiles>,
}

/// The server that the first one is set against, wake mode.
#[derive(Debug, Serialize)]
pub struct Against {
    /// Where it is.
    pub url: String,
    /// From sending to each delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ns: Option<Percentiles>,
    /// How much longer the first server's median is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_difference_ns: Option<i64>,
    /// With `--against-pid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ns_per_delivery: Option<f64>,
}

/// What the server spent.
#[derive(Debug, Default, Serialize)]
pub struct Server {
    /// Processor time in the measured phase (idle: in the hold time).
    pub cpu_ns: u64,
    /// Of that, what the thread spent that spent most.
    pub busiest_thread_cpu_ns: u64,
    /// Deliveries in a second of that thread's processor time: what the server could do if each of its threads
    /// had a processor to itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_per_second: Option<f64>,
    /// All of it as a share of one processor, in percent.
    pub cpu_percent: f64,
    /// Per delivery, where deliveries are what is measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ns_per_delivery: Option<f64>,
    /// Per connection opened (churn: opened, echoed and closed).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ns_per_handshake: Option<f64>,
    /// Resident memory before the first connection.
    pub resident_before_bytes: u64,
    /// Resident memory with all connections (idle: after the hold time; churn: when all are gone).
    pub resident_after_bytes: u64,
    /// Growth per connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resident_bytes_per_connection: Option<f64>,
    /// Growth of anonymous memory per connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anonymous_bytes_per_connection: Option<f64>,
}

impl Report {
    /// Decides [`Self::passed`] from everything else.
    pub fn judge(&mut self) {
        let refused: u64 = self.refused.values().sum();
        self.passed = self.outcome == Outcome::Finished
            && self.lost + self.doubled + self.reordered + self.corrupt == 0
            && self.failed.is_empty()
            && refused == self.expected_refused;
    }

    /// One line.
    pub fn to_json(&self) -> String {
        // Only numbers, strings and maps with printable keys: nothing that JSON cannot say.
        serde_json::to_string(self).expect("a report is plain values")
    }

    /// The rows of the table: a name and what is to be said.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("mode", self.describe()), ("result", self.verdict())];
        rows.push((
            "handshakes",
            rate(self.handshake.count, self.handshake.seconds, self.handshake.per_second),
        ));
        rows.extend(self.handshake.latency_ns.map(|times| ("  latency", percentiles(times))));
        if !self.refused.is_empty() || self.expected_refused > 0 {
            rows.push(("refused", format!("{} (expected {})", counts(&self.refused), self.expected_refused)));
        }
        rows.extend((!self.failed.is_empty()).then(|| ("failed", counts(&self.failed))));
        if self.expected > 0 {
            rows.push(("deliveries", rate(self.deliveries, self.seconds, self.deliveries_per_second)));
            rows.push(("  expected", format!("{} of {} messages", self.expected, self.messages)));
        }
        let Self { lost, doubled, reordered, corrupt, .. } = self;
        rows.push((
            "  wrong",
            format!("lost {lost}  doubled {doubled}  reordered {reordered}  corrupt {corrupt}"),
        ));
        rows.extend(self.latency_ns.map(|times| ("  latency", percentiles(times))));
        rows.extend(self.last_delivery_ns.map(|times| ("  to the last", percentiles(times))));
        if let Some(server) = &self.server {
            rows.extend(server.rows());
        }
        if let Some(against) = &self.against {
            rows.extend(against.rows());
        }
        rows
    }

    fn describe(&self) -> String {
        let kind = if self.kind == Kind::Text { "text" } else { "binary" };
        let mut line = format!(
            "{}, {} sockets in {} room(s), {} bytes {kind}, {} thread(s)",
            self.mode, self.sockets, self.rooms, self.size_bytes, self.threads
        );
        if let Some(burst) = self.burst {
            let _ = write!(line, ", bursts of {burst}");
        }
        if let Some(seconds) = self.hold_seconds {
            let _ = write!(line, ", held {seconds:.1} s");
        }
        if let Some(seconds) = self.pause_seconds {
            let _ = write!(line, ", pauses of {seconds} s");
        }
        if let Some(rate) = self.rate {
            let _ = write!(line, ", {rate} per second");
        }
        line
    }

    fn verdict(&self) -> String {
        format!("{} ({})", if self.passed { "passed" } else { "FAILED" }, self.outcome)
    }
}

impl Against {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![("against", self.url.clone())];
        rows.extend(self.latency_ns.map(|times| ("  latency", percentiles(times))));
        rows.extend(self.cpu_ns_per_delivery.map(|cost| ("  CPU per delivery", time(cost))));
        if let Some(difference_ns) = self.median_difference_ns {
            let (sign, length) = (if difference_ns < 0 { "-" } else { "" }, difference_ns.unsigned_abs());
            rows.push(("median longer by", format!("{sign}{}", time(length as f64))));
        }
        rows
    }
}

impl Server {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let mut rows = vec![(
            "server CPU",
            format!("{} ({:.2} % of one processor)", time(self.cpu_ns as f64), self.cpu_percent),
        )];
        rows.extend(self.cpu_ns_per_delivery.map(|cost| ("  per delivery", time(cost))));
        rows.extend(self.capacity_per_second.map(|capacity| {
            let busiest = time(self.busiest_thread_cpu_ns as f64);
            ("  busiest thread", format!("{busiest}, {capacity:.0} deliveries in a second of it"))
        }));
        rows.extend(self.cpu_ns_per_handshake.map(|cost| ("  per handshake", time(cost))));
        let (before, after) = (self.resident_before_bytes >> 10, self.resident_after_bytes >> 10);
        rows.push(("server memory", format!("{before} KiB before, {after} KiB after")));
        if let (Some(resident), Some(anonymous)) =
            (self.resident_bytes_per_connection, self.anonymous_bytes_per_connection)
        {
            rows.push((
                "  per connection",
                format!("{resident:.0} bytes resident, {anonymous:.0} anonymous"),
            ));
        }
        rows
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rows().iter().try_for_each(|(name, text)| writeln!(formatter, "{name:<16} {text}"))
    }
}

fn rate(count: u64, seconds: f64, per_second: f64) -> String {
    format!("{count} in {seconds:.3} s, {per_second:.0} per second")
}

fn counts<K: fmt::Display>(counts: &BTreeMap<K, u64>) -> String {
    let all: Vec<_> = counts.iter().map(|(name, count)| format!("{count} x {name}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

fn percentiles(times: Percentiles) -> String {
    let Percentiles { p50, p90, p99, p999, max } = times;
    [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)]
        .map(|(name, value)| format!("{name} {}", time(value as f64)))
        .join("  ")
}

/// Three or four significant digits and a unit.
pub fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        short if short < 10_000.0 => format!("{short:.0} ns"),
        medium if medium < 1e7 => format!("{:.1} us", medium / 1e3),
        long if long < 1e10 => format!("{:.1} ms", long / 1e6),
        longest => format!("{:.1} s", longest / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        Report {
            mode: "broadcast",
            url: "ws://127.0.0.1:8787/room".to_owned(),
            sockets: 2,
            rooms: 1,
            threads: 1,
            size_bytes: 64,
            kind: Kind::Text,
            burst: None,
            hold_seconds: None,
            pause_seconds: None,
            rate: None,
            passed: false,
            outcome: Outcome::Finished,
            handshake: Handshake::default(),
            refused: BTreeMap::new(),
            expected_refused: 0,
            failed: BTreeMap::new(),
            rounds: Some(1),
            messages: 1,
            expected: 2,
            deliveries: 2,
            lost: 0,
            doubled: 0,
            reordered: 0,
            corrupt: 0,
            seconds: 0.5,
            deliveries_per_second: 4.0,
            latency_ns: Some(Percentiles {
                p50: 1_500,
                p90: 25_000,
                p99: 1,
                p999: 12_000_000,
                max: 20_000_000_000,
            }),
            last_delivery_ns: None,
            against: None,
            server: None,
        }
    }

    fn passes(change: impl Fn(&mut Report)) -> bool {
        let mut report = report();
        change(&mut report);
        report.judge();
        report.passed
    }

    #[test]
    fn only_a_clean_run_passes() {
        assert!(passes(|_| {}));
        assert!(!passes(|report| report.lost = 1));
        assert!(!passes(|report| report.doubled = 1));
        assert!(!passes(|report| report.reordered = 1));
        assert!(!passes(|report| report.corrupt = 1));
        assert!(!passes(|report| report.outcome = Outcome::TimedOut));
        assert!(!passes(|report| report.failed = BTreeMap::from([("reset".to_owned(), 1)])));
        assert!(!passes(|report| report.refused = BTreeMap::from([(503, 1)])));
        assert!(!passes(|report| report.expected_refused = 1));
        assert!(passes(|report| {
            report.expected_refused = 1;
            report.refused.insert(503, 1);
        }));
    }

    #[test]
    fn the_json_is_one_line_of_plain_values() {
        let line = report().to_json();
        assert!(!line.contains('\n'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["latency_ns"]["p50"], 1_500);
        assert_eq!(value["outcome"], "finished");
        assert!(value.get("server").is_none());
    }

    #[test]
    fn the_table_names_units() {
        let table = report().to_string();
        assert!(table.contains("p50 1500 ns  p90 25.0 us  p99 1 ns  p99.9 12.0 ms  max 20.0 s"), "{table}");
        assert!(table.contains("lost 0"), "{table}");
    }
}
