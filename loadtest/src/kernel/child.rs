//! Child processes that stay where they are put and do not outlive their parent.

use super::checked;
use super::thread::pin_to;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Has `command` run on one processor, all its threads and children included, and die with the calling
/// thread, whatever ends it: a return, a panic, Ctrl-C, SIGKILL.
///
/// The thread that starts the command must be the one that lives until the end (prctl(2), `PR_SET_PDEATHSIG`).
pub fn confine(command: &mut Command, processor: usize) {
    let parent = std::process::id();
    // SAFETY: between fork and exec only system calls are made: no allocation, no lock.
    unsafe { command.pre_exec(move || prepare(processor, parent)) };
}

fn prepare(processor: usize, parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number, no pointers.
    checked(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong, 0, 0, 0) })?;
    // The parent may have died before the request; the signal then never comes.
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    pin_to(processor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    #[test]
    fn a_child_sees_one_processor() {
        let mut command = Command::new("sh");
        command.args(["-c", "grep Cpus_allowed_list /proc/self/status"]).stdout(Stdio::piped());
        confine(&mut command, 0);
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.split_ascii_whitespace().last(), Some("0"));
    }
}
