//! `sweep`: the largest open-loop rate whose 99th percentile stays under a bound, with nothing wrong.

mod report;
mod search;

use crate::cli::{Bounds, Broadcast, Common, Message, Rooms, duration, positive};
use crate::clock::nanoseconds;
use crate::fanout::shared::Outcome;
use crate::modes::broadcast;
use crate::report::Report;
use crate::session::RunError;
use crate::usage::UsageError;
use clap::Args;
use report::{Probe, SweepReport};
use search::Search;
use std::time::Duration;

/// Time for stragglers after the last message was due, on top of ten times the bound.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// Pause between probes: an overloaded server gets rid of what is left.
const PAUSE: Duration = Duration::from_millis(200);

/// `sweep`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The 99th percentile of the latency, from when a message was due to each delivery, must stay under this
    #[arg(long, default_value = "50ms", value_parser = duration, value_name = "TIME")]
    pub p99: Duration,
    /// The rate to begin with, rounds per second over all rooms
    #[arg(long, default_value_t = 10.0, value_parser = positive, value_name = "PER SECOND")]
    pub from: f64,
    /// The largest rate to try [default: until one does not hold]
    #[arg(long, value_parser = positive, value_name = "PER SECOND")]
    pub to: Option<f64>,
    /// How long each rate is held
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub duration: Duration,
    /// A rate does not hold if this many attempts fail: one hiccup of the machine is no limit of the server
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub tries: u32,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
    #[command(flatten)]
    pub rooms: Rooms,
}

impl Options {
    /// The run that tries `rate`.
    fn attempt(&self, rate: f64) -> Broadcast {
        let patience = self.duration + 10 * self.p99 + STRAGGLERS;
        let common = Common { timeout: self.common.timeout.min(patience), ..self.common.clone() };
        let bounds = Bounds { count: None, duration: Some(self.duration), rate: Some(rate) };
        Broadcast { common, message: self.message, rooms: self.rooms, bounds }
    }

    /// Whether the bound was kept.
    fn holds(&self, report: &Report) -> bool {
        report.passed && report.latency_ns.is_some_and(|latency| latency.p99 < nanoseconds(self.p99))
    }
}

/// Runs it.
pub fn run(options: &Options) -> Result<SweepReport, RunError> {
    if let Some(to) = options.to.filter(|to| *to <= options.from) {
        return Err(UsageError::EmptyRange(options.from, to).into());
    }
    let mut search = Search::new(options.from, options.to);
    let mut probes: Vec<Probe> = Vec::new();
    let mut url = String::new();
    while let Some(rate) = search.next() {
        let mut has_held = false;
        for _ in 0..options.tries {
            if !probes.is_empty() {
                std::thread::sleep(PAUSE);
            }
            let report = broadcast::run(options.attempt(rate))?;
            has_held = options.holds(&report);
            probes.push(Probe::new(rate, has_held, &report));
            let is_hopeless = report.handshake.count == 0;
            url = report.url;
            // Far beyond its capacity, or nobody there: there is nothing to repeat.
            if has_held || is_hopeless || report.outcome == Outcome::TimedOut {
                break;
            }
        }
        search.enter(rate, has_held);
    }
    Ok(SweepReport::new(options, url, &search, probes))
}
