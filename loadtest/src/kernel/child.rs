//! Child processes that stay where they are put and do not outlive their parent.

use super::checked;
use super::thread::{pin_to, yield_to_all};
use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Where a child runs, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// On these processors only.
    pub processors: Vec<usize>,
    /// Only while nobody else wants them (sched(7), `SCHED_IDLE`).
    pub yields: bool,
}

impl Placement {
    /// On one processor, like everybody else.
    pub fn on(processor: usize) -> Self {
        Self { processors: vec![processor], yields: false }
    }
}

impl fmt::Display for Placement {
    /// The command that puts another there.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processors: Vec<_> = self.processors.iter().map(usize::to_string).collect();
        let idle = if self.yields { " chrt --idle 0" } else { "" };
        write!(formatter, "taskset -c {}{idle}", processors.join(","))
    }
}

/// Has `command` run where `placement` says, all its threads and children included, and die with the calling
/// thread, whatever ends it: a return, a panic, Ctrl-C, SIGKILL.
///
/// The thread that starts the command must be the one that lives until the end (prctl(2), `PR_SET_PDEATHSIG`).
pub fn confine(command: &mut Command, placement: &Placement) {
    let (parent, placement) = (std::process::id(), placement.clone());
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe { command.pre_exec(move || prepare(&placement, parent)) };
}

fn prepare(placement: &Placement, parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number, no pointers.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) })?;
    // The parent may have died before the request; the signal then never comes.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    if placement.yields {
        yield_to_all()?;
    }
    pin_to(&placement.processors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_child_sees_one_processor() {
        let mut command = Command::new("sh");
        command.args(["-c", "grep Cpus_allowed_list /proc/self/status"]).stdout(Stdio::piped());
        confine(&mut command, &Placement::on(0));
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.split_ascii_whitespace().last(), Some("0"));
    }

    #[test]
    fn a_child_may_yield_to_all() {
        // The 41st field of proc_pid_stat(5) is the policy; SCHED_IDLE is 5.
        let mut command = Command::new("cat");
        command.arg("/proc/self/stat").stdout(Stdio::piped());
        confine(&mut command, &Placement { processors: vec![0], yields: true });
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        assert_eq!(text.split_ascii_whitespace().nth(40), Some("5"), "{text}");
    }

    #[test]
    fn a_placement_is_a_command() {
        assert_eq!(Placement::on(3).to_string(), "taskset -c 3");
        let both = Placement { processors: vec![0, 1], yields: true };
        assert_eq!(both.to_string(), "taskset -c 0,1 chrt --idle 0");
    }
}
