//! What a sweep has found: a table of the rates tried, and one line of JSON.

use super::Options;
use super::search::Search;
use crate::clock::nanoseconds;
use crate::fanout::shared::Outcome;
use crate::latency::Percentiles;
use crate::payload::Kind;
use crate::report::{Report, time};
use serde::Serialize;
use std::fmt;

/// One attempt.
#[derive(Clone, Debug, Serialize)]
pub struct Probe {
    /// Rounds per second over all rooms.
    pub rate: f64,
    /// Whether it was under the bound with nothing wrong.
    pub held: bool,
    /// Whether nothing was wrong, whatever the latency.
    pub passed: bool,
    /// How it ended.
    pub outcome: Outcome,
    /// Deliveries each second.
    pub deliveries_per_second: f64,
    /// Deliveries that never arrived.
    pub lost: u64,
    /// From when a message was due to each delivery.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ns: Option<Percentiles>,
    /// With `--server-pid`: the share of one processor the server used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cpu_percent: Option<f64>,
}

impl Probe {
    /// Of the attempt that `report` is about.
    pub fn new(rate: f64, held: bool, report: &Report) -> Self {
        Self {
            rate,
            held,
            passed: report.passed,
            outcome: report.outcome,
            deliveries_per_second: report.deliveries_per_second,
            lost: report.lost,
            latency_ns: report.latency_ns,
            server_cpu_percent: report.server.as_ref().map(|server| server.cpu_percent),
        }
    }

    fn verdict(&self) -> String {
        match (self.held, self.passed) {
            (true, _) => "holds".to_owned(),
            (false, true) => "too late".to_owned(),
            (false, false) if self.outcome == Outcome::Finished => "wrong or refused".to_owned(),
            (false, false) => self.outcome.to_string(),
        }
    }
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
pub struct SweepReport {
    mode: &'static str,
    url: String,
    sockets: u32,
    rooms: u32,
    size_bytes: u32,
    kind: Kind,
    duration_seconds: f64,
    p99_max_ns: u64,
    /// The largest rate that has held.
    rate: Option<f64>,
    /// The smallest that has not; none if the range ended before.
    rate_missed: Option<f64>,
    /// Deliveries each second at `rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    deliveries_per_second: Option<f64>,
    /// Latency at `rate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ns: Option<Percentiles>,
    probes: Vec<Probe>,
}

impl SweepReport {
    /// Of the attempts that `search` has led to.
    pub fn new(options: &Options, url: String, search: &Search, probes: Vec<Probe>) -> Self {
        let best = probes.iter().find(|probe| probe.held && Some(probe.rate) == search.held());
        Self {
            mode: "sweep",
            url,
            sockets: options.common.sockets,
            rooms: options.rooms.rooms,
            size_bytes: options.message.size,
            kind: options.message.kind(),
            duration_seconds: options.duration.as_secs_f64(),
            p99_max_ns: nanoseconds(options.p99),
            rate: search.held(),
            rate_missed: search.missed(),
            deliveries_per_second: best.map(|probe| probe.deliveries_per_second),
            latency_ns: best.and_then(|probe| probe.latency_ns),
            probes,
        }
    }

    /// Whether any rate has held.
    pub fn passed(&self) -> bool {
        self.rate.is_some()
    }

    /// One line.
    pub fn to_json(&self) -> String {
        // Plain values only: nothing that JSON cannot say.
        serde_json::to_string(self).expect("a report is plain values")
    }

    fn answer(&self) -> String {
        let bound = time(self.p99_max_ns as f64);
        match (self.rate, self.rate_missed) {
            (None, _) => format!("no rate holds p99 < {bound}: not even the first"),
            (Some(rate), None) => format!("at least {rate:.1} per second with p99 < {bound}"),
            (Some(rate), Some(missed)) => {
                format!("{rate:.1} per second with p99 < {bound}; {missed:.1} does not hold")
            }
        }
    }
}

impl fmt::Display for SweepReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["rate/s", "deliveries/s", "lost", "p50", "p99", "p99.9"];
        let [rate, deliveries, lost, p50, p99, p999] = header;
        writeln!(formatter, "{rate:>10} {deliveries:>13} {lost:>8} {p50:>10} {p99:>10} {p999:>10}  result")?;
        for probe in &self.probes {
            let at = |pick: fn(Percentiles) -> u64| {
                probe.latency_ns.map_or_else(|| "-".to_owned(), |latency| time(pick(latency) as f64))
            };
            writeln!(
                formatter,
                "{:>10.1} {:>13.0} {:>8} {:>10} {:>10} {:>10}  {}",
                probe.rate,
                probe.deliveries_per_second,
                probe.lost,
                at(|latency| latency.p50),
                at(|latency| latency.p99),
                at(|latency| latency.p999),
                probe.verdict()
            )?;
        }
        let Self { sockets, rooms, size_bytes, .. } = self;
        writeln!(formatter, "{sockets} sockets in {rooms} room(s), {size_bytes} bytes: {}", self.answer())
    }
}
