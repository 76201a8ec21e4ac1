//! What this kernel, this container and these limits let the engine do.
//!
//! Owns the report and its order; `probe/` holds the checks. It checks by doing and not by version, because what
//! distributions backport and containers forbid is not in a version. It makes rings and sockets of its own, on the
//! loopback, and leaves nothing behind but raised soft limits. Reads no config.

use serde::Serialize;

mod cause;
mod limits;
mod rings;
#[cfg(test)]
mod tests;

pub use limits::allowed_cpus;

/// What the engine is going to ask of the kernel.
///
/// ```
/// # use dormouse::shard::probe::Wanted;
/// let wanted = Wanted { slots: 1_024, ..Wanted::default() };
/// assert_eq!(wanted.receive_count, 2_048);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Entries of a ring's submission queue.
    pub submission_entries: u32,
    /// Entries of a ring's completion queue.
    pub completion_entries: u32,
    /// Receive buffers of a ring; a power of two up to 32,768.
    pub receive_count: u16,
    /// Size of a receive buffer, in bytes.
    pub receive_bytes: usize,
    /// Slots of a ring's file table.
    pub slots: u32,
}

/// The defaults of the config.
impl Default for Wanted {
    fn default() -> Self {
        Self {
            submission_entries: 2_048,
            completion_entries: 16_384,
            receive_count: 2_048,
            receive_bytes: 512,
            slots: 16_384,
        }
    }
}

/// How a check ended.
///
/// ```
/// use dormouse::shard::probe::{Report, Status};
///
/// // Nothing was found wrong where nothing was looked at.
/// assert_eq!(Report { checks: Vec::new() }.status(), Status::Ok);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As the engine wants it.
    Ok,
    /// The engine runs, with less.
    Limited,
    /// The engine cannot start.
    Missing,
}

/// One thing that was looked at.
///
/// ```
/// use dormouse::shard::probe::{Check, Status};
///
/// let check = Check {
///     name: "io_uring",
///     status: Status::Missing,
///     finding: "not in this kernel (ENOSYS)".to_owned(),
///     consequence: "no shard can start".to_owned(),
///     remedy: "run Linux 6.1 or later".to_owned(),
/// };
/// assert!(check.status != Status::Ok && !check.remedy.is_empty());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, in a word or two.
    pub name: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was found.
    pub finding: String,
    /// What a shortfall means for the engine; empty when all is well.
    pub consequence: String,
    /// How to lift the shortfall; empty when all is well.
    pub remedy: String,
}

/// All checks, the most basic first. Those that need one which failed are left out.
///
/// ```
/// use dormouse::shard::probe::{Check, Report, Status};
///
/// # let check = Check {
/// #     name: "io_uring",
/// #     status: Status::Missing,
/// #     finding: "not in this kernel (ENOSYS)".to_owned(),
/// #     consequence: "no shard can start".to_owned(),
/// #     remedy: "run Linux 6.1 or later".to_owned(),
/// # };
/// let report = Report { checks: vec![check] };
/// assert_eq!(report.status(), Status::Missing);
/// assert_eq!(
///     report.first_fatal().unwrap(),
///     "io_uring: not in this kernel (ENOSYS); run Linux 6.1 or later"
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// The first reason why the engine cannot start: one line with what was found and how to lift it.
    pub fn first_fatal(&self) -> Option<String> {
        let fatal = self.checks.iter().find(|check| check.status == Status::Missing)?;
        Some(format!("{}: {}; {}", fatal.name, fatal.finding, fatal.remedy))
    }

    /// The worst status of all checks.
    pub fn status(&self) -> Status {
        let any = |status| self.checks.iter().any(|check| check.status == status);
        match (any(Status::Missing), any(Status::Limited)) {
            (true, _) => Status::Missing,
            (false, true) => Status::Limited,
            (false, false) => Status::Ok,
        }
    }
}

impl Check {
    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        let (consequence, remedy) = (String::new(), String::new());
        Self { name, status: Status::Ok, finding: finding.into(), consequence, remedy }
    }

    fn limited(name: &'static str, finding: String, consequence: &str, remedy: String) -> Self {
        Self { name, status: Status::Limited, finding, consequence: consequence.to_owned(), remedy }
    }

    fn missing(name: &'static str, finding: String, consequence: &str, remedy: String) -> Self {
        Self { name, status: Status::Missing, finding, consequence: consequence.to_owned(), remedy }
    }
}

/// Checks everything for an engine with default buffers and limits.
///
/// ```no_run
/// if let Some(line) = dormouse::shard::probe::probe().first_fatal() {
///     eprintln!("dormouse: {line}");
/// }
/// ```
pub fn probe() -> Report {
    probe_for(&Wanted::default())
}

/// Checks everything. Takes some milliseconds; a kernel that does not answer takes a second a check.
///
/// It raises the soft limits of descriptors and of locked memory to the hard ones, because the engine, which is
/// checked for, runs with those: they bound the file tables and the executor's rings.
///
/// ```no_run
/// use dormouse::shard::probe::{Wanted, probe_for};
///
/// for check in probe_for(&Wanted { slots: 1_024, ..Wanted::default() }).checks {
///     println!("{:?}  {}: {}", check.status, check.name, check.finding);
/// }
/// ```
pub fn probe_for(wanted: &Wanted) -> Report {
    let mut checks = rings::check(wanted);
    // Right behind io_uring itself: a limit explains the failures of the checks that need it, and says it better.
    checks.splice(1..1, limits::check(wanted));
    Report { checks }
}
