//! The frame of every run: check the options, start the threads, connect, measure, close, report.

use crate::cli::{Common, Message};
use crate::clock::{Clock, SECOND_NS, nanoseconds};
use crate::close::Close;
use crate::connect::{Connect, Connected};
use crate::failures::Failures;
use crate::fanout::shared::Outcome;
use crate::fleet::{Fleet, FleetError, Setup};
use crate::handshake::Keys;
use crate::kernel::thread::{pin_to, raise_descriptor_limit};
use crate::latency::Latencies;
use crate::payload::Format;
use crate::progress::Progress;
use crate::random;
use crate::report::{Handshake, Report, Server};
use crate::seen::Seen;
use crate::server_stats::{CpuTime, Memory, Spent};
use crate::sources;
use crate::target::Target;
use crate::usage::UsageError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// Descriptors of a thread that are no sockets: the standard streams, epoll, the wakeups, a file in /proc.
const DESCRIPTORS_RESERVED: u32 = 300;

/// Sockets of one thread at most, whatever the limit: beyond it more threads are quicker.
const SOCKETS_PER_THREAD_MAX: u32 = 65_536;

/// From here on two threads are worth their coordination.
const SOCKETS_OF_ONE_THREAD: u32 = 15_000;

/// Why there is no report.
#[derive(Debug)]
pub enum RunError {
    /// The options do not go together.
    Usage(UsageError),
    /// The generator itself failed.
    Fleet(FleetError),
    /// A file could not be written.
    Output(PathBuf, io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(formatter),
            Self::Fleet(error) => error.fmt(formatter),
            Self::Output(path, error) => write!(formatter, "{}: {error}", path.display()),
        }
    }
}

impl From<UsageError> for RunError {
    fn from(error: UsageError) -> Self {
        Self::Usage(error)
    }
}

impl From<FleetError> for RunError {
    fn from(error: FleetError) -> Self {
        Self::Fleet(error)
    }
}

/// A run under way.
pub struct Session {
    /// The threads.
    pub fleet: Fleet,
    /// What messages look like.
    pub format: Format,
    /// What is known so far.
    pub report: Report,
    common: Common,
    failures: Failures,
    memory_before: Option<Memory>,
}

impl Session {
    /// Checks the options and starts the threads. `path` is that of the default URL.
    pub fn start(
        mode: &'static str,
        path: &str,
        common: Common,
        message: Message,
        rooms: u32,
    ) -> Result<Self, RunError> {
        if rooms > common.sockets {
            return Err(UsageError::MoreRoomsThanSockets(rooms, common.sockets).into());
        }
        let url = common.url.clone().unwrap_or_else(|| format!("ws://127.0.0.1:8787{path}"));
        let target = parse("--url", &url, rooms)?;
        Self::start_at(mode, url, target, common, message)
    }

    /// The same with the rooms of `target`, whose first server is at `url`.
    pub fn start_at(
        mode: &'static str,
        url: String,
        target: Target,
        common: Common,
        message: Message,
    ) -> Result<Self, RunError> {
        let (kind, size) = (message.kind(), message.size as usize);
        if size < kind.size_min() {
            return Err(UsageError::SizeTooSmall(kind, size).into());
        }
        let rooms = target.rooms.len() as u32;
        let threads = threads(&common)?;
        common.pin.iter().try_for_each(|processor| check_processor("--pin", *processor))?;
        let memory_before = common.server_pid.map(read_memory).transpose()?;
        let seed = random::seed();
        let fleet = Fleet::start(Setup {
            threads,
            sockets: common.sockets,
            processors: common.pin.clone(),
            sources: sources::choose(target.addresses(), common.sockets, common.sources),
            target,
            keys: if common.sample_key { Keys::Sample } else { Keys::Random(seed) },
            clock: Clock::start(),
            progress: Progress::new(common.progress),
        })?;
        let report = Report {
            mode,
            url,
            sockets: common.sockets,
            rooms,
            threads,
            size_bytes: message.size,
            kind,
            burst: None,
            hold_seconds: None,
            pause_seconds: None,
            rate: None,
            passed: false,
            outcome: Outcome::Finished,
            handshake: Handshake::default(),
            refused: Default::default(),
            expected_refused: common.expect_refused,
            failed: Default::default(),
            rounds: None,
            messages: 0,
            expected: 0,
            deliveries: 0,
            lost: 0,
            doubled: 0,
            reordered: 0,
            corrupt: 0,
            seconds: 0.0,
            deliveries_per_second: 0.0,
            latency_ns: None,
            last_delivery_ns: None,
            against: None,
            server: common.server_pid.map(|_| Server::default()),
        };
        let format = Format::new(kind, size, random::seed() as u16);
        Ok(Self { fleet, format, report, common, failures: Failures::default(), memory_before })
    }

    /// Opens all sockets and returns the room of each, `None` for those that failed.
    pub fn connect(&mut self) -> Result<Vec<Option<u32>>, RunError> {
        let (rooms, wait_ns) = (self.report.rooms, self.wait_ns());
        let rate = self.common.connect_rate / self.fleet.threads() as f64;
        let start_ns = self.fleet.clock().now_ns();
        let cpu = self.read_cpu()?;
        let sockets = u64::from(self.common.sockets);
        let parts = self.fleet.on_each(
            "connecting",
            sockets,
            vec![(); self.fleet.threads()],
            move |worker, ()| {
                let mut script = Connect::new(worker, rooms, rate, wait_ns);
                worker.run(&mut script)?;
                Ok(script.into_connected(worker))
            },
        )?;
        let seconds = seconds(self.fleet.clock().now_ns() - start_ns);
        let opened: u64 = parts.iter().map(|part| u64::from(part.opened)).sum();
        let mut latencies = Latencies::new();
        for part in &parts {
            latencies.add(&part.latencies);
            self.failures.add(&part.failures);
        }
        self.set_handshakes(opened, seconds, &latencies);
        let spent = self.cpu_since(cpu)?;
        if let Some(server) = &mut self.report.server {
            server.cpu_ns_per_handshake = per(spent.all_ns, opened);
        }
        self.note_memory(opened)?;
        Ok(interleave(&parts, self.common.sockets))
    }

    /// Enters the handshakes into the report.
    pub fn set_handshakes(&mut self, count: u64, seconds: f64, latencies: &Latencies) {
        let per_second = if seconds > 0.0 { count as f64 / seconds } else { 0.0 };
        self.report.handshake = Handshake { count, seconds, per_second, latency_ns: latencies.percentiles() };
    }

    /// Enters the server's memory, now that it holds `connections`, into the report; the last call counts.
    pub fn note_memory(&mut self, connections: u64) -> Result<(), RunError> {
        let after = self.common.server_pid.map(read_memory).transpose()?;
        let connections = connections as f64;
        if let (Some(server), Some(before), Some(after)) =
            (&mut self.report.server, self.memory_before, after)
        {
            let each = |after: u64, before: u64| {
                (connections > 0.0).then(|| (after as f64 - before as f64) / connections)
            };
            server.resident_before_bytes = before.resident_bytes;
            server.resident_after_bytes = after.resident_bytes;
            server.resident_bytes_per_connection = each(after.resident_bytes, before.resident_bytes);
            server.anonymous_bytes_per_connection = each(after.anonymous_bytes, before.anonymous_bytes);
        }
        Ok(())
    }

    /// The server's processor time so far.
    pub fn read_cpu(&self) -> Result<Option<CpuTime>, RunError> {
        Ok(self.common.server_pid.map(|process| read_cpu("--server-pid", process)).transpose()?)
    }

    fn cpu_since(&self, earlier: Option<CpuTime>) -> Result<Spent, RunError> {
        Ok(self.read_cpu()?.zip(earlier).map(|(now, earlier)| now.since(&earlier)).unwrap_or_default())
    }

    /// Enters the server's processor time since `earlier`, in a phase of `phase_ns`, into the report.
    pub fn note_cpu(&mut self, earlier: Option<CpuTime>, phase_ns: u64) -> Result<(), RunError> {
        let Spent { all_ns, busiest_ns } = self.cpu_since(earlier)?;
        if let Some(server) = &mut self.report.server {
            server.cpu_ns = all_ns;
            server.busiest_thread_cpu_ns = busiest_ns;
            server.cpu_percent = all_ns as f64 * 100.0 / phase_ns.max(1) as f64;
        }
        Ok(())
    }

    /// Divides the processor time that was entered last by the `deliveries` of its phase.
    pub fn note_cpu_per_delivery(&mut self, deliveries: u64) {
        if let Some(server) = &mut self.report.server {
            server.cpu_ns_per_delivery = per(server.cpu_ns, deliveries);
            let busiest = seconds(server.busiest_thread_cpu_ns);
            server.capacity_per_second = (busiest > 0.0).then(|| deliveries as f64 / busiest);
        }
    }

    /// Enters what a phase that began at `start_ns` has seen into the report.
    pub fn note_seen(&mut self, seen: &Seen, start_ns: u64) {
        let report = &mut self.report;
        report.messages = seen.sent;
        report.expected = seen.expected;
        report.deliveries = seen.tally.deliveries;
        report.lost = seen.tally.lost(seen.expected);
        report.doubled = seen.tally.doubled;
        report.reordered = seen.tally.reordered;
        report.corrupt = seen.tally.corrupt;
        report.seconds = seconds(seen.last_arrival_ns.saturating_sub(start_ns));
        if report.seconds > 0.0 {
            report.deliveries_per_second = report.deliveries as f64 / report.seconds;
        }
        report.latency_ns = seen.latencies.percentiles();
        report.last_delivery_ns = seen.spans.percentiles();
        self.failures.add(&seen.failures);
    }

    /// Counts connections that ended where nothing else is seen.
    pub fn note_failures(&mut self, failures: &Failures) {
        self.failures.add(failures);
    }

    /// `--wait`
    pub fn wait_ns(&self) -> u64 {
        nanoseconds(self.common.wait)
    }

    /// `--timeout`
    pub fn timeout_ns(&self) -> u64 {
        nanoseconds(self.common.timeout)
    }

    /// Closes everything and hands out the report.
    pub fn finish(mut self) -> Result<Report, RunError> {
        if !self.common.no_goodbye {
            self.fleet.on_each("closing", 0, vec![(); self.fleet.threads()], |worker, ()| {
                let mut script = Close::new(worker.clock().now_ns());
                worker.run(&mut script)
            })?;
        }
        self.fleet.stop();
        self.report.refused = self.failures.refused;
        self.report.failed = self.failures.failed;
        self.report.judge();
        Ok(self.report)
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / SECOND_NS as f64
}

/// `total` for each of `count`; `None` if there are none.
pub fn per(total: u64, count: u64) -> Option<f64> {
    (count > 0).then(|| total as f64 / count as f64)
}

/// How many threads it takes.
fn threads(common: &Common) -> Result<usize, UsageError> {
    // If the limit cannot be raised, what is there is what there is; opening sockets will tell.
    let limit = raise_descriptor_limit().unwrap_or(1_024);
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let each_max = limit.saturating_sub(DESCRIPTORS_RESERVED).clamp(1, SOCKETS_PER_THREAD_MAX);
    let needed = common.sockets.div_ceil(each_max);
    let usual = if common.sockets > SOCKETS_OF_ONE_THREAD { 2 } else { 1 };
    let threads = common.threads.unwrap_or(needed.max(usual));
    if threads < needed {
        let threads = threads as usize;
        return Err(UsageError::DescriptorLimit { sockets: common.sockets, threads, each_max });
    }
    Ok(threads as usize)
}

/// Tries to run on the `processor` that `option` names, on a thread that does nothing else.
pub fn check_processor(option: &'static str, processor: usize) -> Result<(), UsageError> {
    let attempt = std::thread::spawn(move || pin_to(&[processor])).join();
    // The thread cannot panic: it makes one system call.
    attempt.unwrap_or(Ok(())).map_err(|error| UsageError::NoSuchProcessor(option, processor, error))
}

/// The processor time so far of the process that `option` names.
pub fn read_cpu(option: &'static str, process: u32) -> Result<CpuTime, UsageError> {
    CpuTime::read(process).map_err(|error| UsageError::NoSuchProcess(option, process, error))
}

/// Takes the URL of `option` apart.
pub fn parse(option: &'static str, url: &str, rooms: u32) -> Result<Target, UsageError> {
    Target::parse(url, rooms).map_err(|error| UsageError::Url(option, url.to_owned(), error))
}

fn read_memory(process: u32) -> Result<Memory, UsageError> {
    Memory::read(process).map_err(|error| UsageError::NoSuchProcess("--server-pid", process, error))
}

/// Socket `s` is slot `s / threads` of thread `s % threads`.
fn interleave(parts: &[Connected], sockets: u32) -> Vec<Option<u32>> {
    let threads = parts.len();
    (0..sockets as usize).map(|socket| parts[socket % threads].rooms[socket / threads]).collect()
}
