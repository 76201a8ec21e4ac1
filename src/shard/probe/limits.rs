//! The limits of the process: CPUs, descriptors, locked memory, seccomp. No rings here.

use std::{io, mem, thread};

use super::cause::Sandbox;
use super::{Check, Wanted};
use crate::shard::sys;

/// Ordinary descriptors that the process needs beside its sockets, which live in the rings: listeners, rings,
/// eventfds, glommio's own, the stores of objects.
const DESCRIPTORS_MIN: u64 = 256;

/// What glommio insists on (`MIN_MEMLOCK_LIMIT` in its `sys/uring.rs`); whether that is still so, its own check tells.
const LOCKED_BYTES_MIN: u64 = 512 << 10;

/// The numbers of the CPUs that this process may use, ascending.
///
/// # Errors
///
/// Whatever the kernel says; a machine with more than 1,024 CPUs is one case.
///
/// ```
/// assert!(!dormouse::shard::probe::allowed_cpus()?.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: a cpu_set_t is plain bits, of which all zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `set` is writable and of the size that is passed; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let cpus_max = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: `cpu` is below the number of bits in `set`.
    Ok((0..cpus_max).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// All limits, in the order of the report.
pub(super) fn check(wanted: &Wanted) -> Vec<Check> {
    let cpus_with_time = thread::available_parallelism().map_or(0, usize::from);
    vec![
        descriptors(limit(libc::RLIMIT_NOFILE), wanted.slots),
        locked_memory(limit(libc::RLIMIT_MEMLOCK)),
        cpus(allowed_cpus(), cpus_with_time),
        seccomp(Sandbox::read()),
    ]
}

/// A resource limit; [`libc::RLIM_INFINITY`] is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    soft: u64,
    hard: u64,
}

fn limit(resource: libc::__rlimit_resource_t) -> io::Result<Limit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit.
    match unsafe { libc::getrlimit(resource, &raw mut limit) } {
        0 => Ok(Limit { soft: limit.rlim_cur, hard: limit.rlim_max }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A ring's file table may not be larger than the limit, although its sockets are no descriptors.
fn descriptors(limit: io::Result<Limit>, slots: u32) -> Check {
    const NAME: &str = "descriptors";
    const RAISE: &str = "raise it: ulimit -Hn, LimitNOFILE= in systemd, --ulimit nofile= in Docker";
    let hard = match limit {
        Ok(limit) => limit.hard,
        Err(error) => return unknown(NAME, &error),
    };
    let finding = format!("RLIMIT_NOFILE is {} (hard; the engine raises the soft limit to it)", amount(hard));
    if hard < u64::from(slots) {
        let finding = format!("{finding}, below limits.connections_per_ring = {slots}");
        let remedy =
            format!("set limits.connections_per_ring = {hard} (a shard then opens more rings), or {RAISE}");
        Check::missing(NAME, finding, "the file table of a ring cannot be that large", remedy)
    } else if hard < DESCRIPTORS_MIN {
        let consequence = "listeners, rings and stores of objects may find no descriptor";
        Check::limited(NAME, finding, consequence, RAISE.to_owned())
    } else {
        Check::ok(NAME, finding)
    }
}

/// Kernels since 5.12 do not charge rings to it, but glommio looks at it all the same.
fn locked_memory(limit: io::Result<Limit>) -> Check {
    const NAME: &str = "locked memory";
    let limit = match limit {
        Ok(limit) => limit.soft,
        Err(error) => return unknown(NAME, &error),
    };
    let finding = format!("RLIMIT_MEMLOCK is {}", bytes(limit));
    if limit >= LOCKED_BYTES_MIN {
        return Check::ok(NAME, finding);
    }
    let finding = format!("{finding}, below {}", bytes(LOCKED_BYTES_MIN));
    let remedy = "raise it: ulimit -Hl, LimitMEMLOCK= in systemd, --ulimit memlock= in Docker".to_owned();
    Check::missing(NAME, finding, "the shards' executor refuses to start", remedy)
}

/// `cpus_with_time` is the part of the CPUs that a control group leaves, rounded down.
fn cpus(allowed: io::Result<Vec<usize>>, cpus_with_time: usize) -> Check {
    const NAME: &str = "CPUs";
    let allowed = match allowed {
        Ok(allowed) => allowed,
        Err(error) => return unknown(NAME, &error),
    };
    let list: Vec<_> = allowed.iter().map(usize::to_string).collect();
    let finding = format!("{} allowed: {}", allowed.len(), list.join(","));
    if (1..allowed.len()).contains(&cpus_with_time) {
        let finding = format!("{finding}; the control group gives the time of {cpus_with_time}");
        let consequence = "a shard on each CPU would be stopped for part of each period";
        let remedy = format!(
            "set cores = {cpus_with_time}, or raise the quota: --cpus in Docker, CPUQuota= in systemd"
        );
        return Check::limited(NAME, finding, consequence, remedy);
    }
    Check::ok(NAME, finding)
}

/// Only told: whether a filter is in the way is found by doing.
fn seccomp(sandbox: Sandbox) -> Check {
    let finding = match sandbox.seccomp_filter {
        Some(true) => "a filter is active",
        Some(false) => "no filter",
        None => "not known: /proc is not readable",
    };
    Check::ok("seccomp", finding)
}

fn unknown(name: &'static str, error: &io::Error) -> Check {
    let remedy = "allow sched_getaffinity and getrlimit in the seccomp profile".to_owned();
    Check::limited(name, format!("cannot be read: {error}"), "a shortfall will only show under load", remedy)
}

fn amount(limit: u64) -> String {
    if limit == libc::RLIM_INFINITY { "unlimited".to_owned() } else { limit.to_string() }
}

fn bytes(limit: u64) -> String {
    if limit == libc::RLIM_INFINITY { "unlimited".to_owned() } else { format!("{} KiB", limit >> 10) }
}

/// Raises the soft limits of descriptors and of locked memory to the hard ones; that is what the engine runs with.
pub(super) fn raise() {
    // A process may always raise a soft limit; should a filter forbid it, the checks of rings tell.
    let _ = sys::raise_descriptor_limit();
    let Ok(Limit { hard, .. }) = limit(libc::RLIMIT_MEMLOCK) else { return };
    let raised = libc::rlimit { rlim_cur: hard, rlim_max: hard };
    // SAFETY: `raised` is a readable rlimit.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const raised) };
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn a_file_table_above_the_descriptor_limit_is_fatal_and_both_ways_out_are_named() {
        let check = descriptors(Ok(Limit { soft: 1_024, hard: 4_096 }), 16_384);
        assert_eq!(check.status, Status::Missing);
        assert!(check.finding.contains("4096") && check.finding.contains("16384"));
        assert!(
            check.remedy.contains("limits.connections_per_ring = 4096")
                && check.remedy.contains("LimitNOFILE")
        );
    }

    #[test]
    fn the_hard_limit_counts_because_the_engine_raises_the_soft_one() {
        assert_eq!(descriptors(Ok(Limit { soft: 1_024, hard: 16_384 }), 16_384).status, Status::Ok);
        let unlimited = descriptors(Ok(Limit { soft: 1_024, hard: libc::RLIM_INFINITY }), 16_384);
        assert!(unlimited.finding.contains("unlimited"));
    }

    #[test]
    fn few_descriptors_limit_even_small_tables() {
        assert_eq!(descriptors(Ok(Limit { soft: 100, hard: 100 }), 64).status, Status::Limited);
    }

    #[test]
    fn a_quota_below_the_number_of_cpus_is_told() {
        let check = cpus(Ok(vec![0, 1, 2, 3]), 2);
        assert_eq!(check.status, Status::Limited);
        assert!(check.remedy.contains("cores = 2"));
        assert_eq!(cpus(Ok(vec![0, 1]), 2).status, Status::Ok);
        assert_eq!(cpus(Ok(vec![0, 1]), 0).status, Status::Ok, "the quota is not known");
    }

    #[test]
    fn little_lockable_memory_stops_the_executor() {
        let check = locked_memory(Ok(Limit { soft: 64 << 10, hard: 64 << 10 }));
        assert_eq!(check.status, Status::Missing);
        assert_eq!(check.finding, "RLIMIT_MEMLOCK is 64 KiB, below 512 KiB");
        let unlimited = Limit { soft: libc::RLIM_INFINITY, hard: libc::RLIM_INFINITY };
        assert_eq!(locked_memory(Ok(unlimited)).status, Status::Ok);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_not_fatal() {
        let denied = || io::Error::from_raw_os_error(libc::EPERM);
        assert_eq!(cpus(Err(denied()), 2).status, Status::Limited);
        assert_eq!(descriptors(Err(denied()), 1).status, Status::Limited);
        assert_eq!(locked_memory(Err(denied())).status, Status::Limited);
    }
}
