//! Settings of a thread and of the process: descriptor tables, the descriptor limit, the processor it runs
//! on.

use super::checked;
use std::io;
use std::mem::size_of;

/// Gives the calling thread a descriptor table of its own (unshare(2), `CLONE_FILES`).
///
/// `RLIMIT_NOFILE` counts per table, so each thread may then open as many sockets as the limit says. From
/// here on a descriptor number opened by this thread means nothing in another.
pub fn own_descriptor_table() -> io::Result<()> {
    // SAFETY: no pointers are passed. Descriptors shared so far stay valid: the table is copied.
    checked(unsafe { libc::unshare(libc::CLONE_FILES) })?;
    Ok(())
}

/// Raises the soft limit of open descriptors to the hard one and returns it.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` outlives the call.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    Ok(limit.rlim_cur)
}

/// Keeps the calling thread on these processors.
pub fn pin_to(processors: &[usize]) -> io::Result<()> {
    if processors.iter().any(|processor| *processor >= libc::CPU_SETSIZE as usize) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a cpu_set_t is a plain bit field; all zeroes is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for processor in processors {
        // SAFETY: `processor` is below CPU_SETSIZE, so the bit lies inside `set`.
        unsafe { libc::CPU_SET(*processor, &mut set) };
    }
    // SAFETY: `set` outlives the call and its size is what is passed; 0 names the calling thread.
    checked(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// Lets the calling thread run only while nobody else wants its processor (sched(7), `SCHED_IDLE`).
pub fn yield_to_all() -> io::Result<()> {
    // SAFETY: a sched_param is plain integers, and zero is the only priority this policy has.
    let parameter: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: `parameter` outlives the call; 0 names the calling thread.
    checked(unsafe { libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameter) })?;
    Ok(())
}

/// Lets the calling thread's timed waits end on time; by default the kernel may add 50 us to each, which an
/// open loop would report as latency of the server.
pub fn wait_precisely() -> io::Result<()> {
    // SAFETY: PR_SET_TIMERSLACK takes an integer, no pointers.
    checked(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1 as libc::c_ulong, 0, 0, 0) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_the_hard_one() {
        let first = raise_descriptor_limit().unwrap();
        assert!(first > 0);
        assert_eq!(raise_descriptor_limit().unwrap(), first);
    }

    #[test]
    fn a_processor_that_cannot_exist_is_an_error() {
        assert!(pin_to(&[1_000_000]).is_err());
    }
}
