//! Why the kernel refused: from an error number and what `/proc` tells to a sentence and a remedy. Pure, but for
//! [`Sandbox::read`].

use std::{fs, io};

/// What may stand between the process and io_uring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sandbox {
    /// `kernel.io_uring_disabled`: 0 allows all, 1 the privileged and a group, 2 nobody. Since Linux 6.6.
    pub(super) io_uring_disabled: Option<u32>,
    /// Whether a seccomp filter is active.
    pub(super) seccomp_filter: Option<bool>,
}

impl Sandbox {
    /// As it is for this thread: filters are per thread.
    pub(super) fn read() -> Self {
        let number = |text: &str| text.trim().parse::<u32>().ok();
        let sysctl = fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        let seccomp = status.lines().find_map(|line| line.strip_prefix("Seccomp:"));
        Self {
            io_uring_disabled: sysctl.ok().as_deref().and_then(number),
            seccomp_filter: seccomp.and_then(number).map(|mode| mode == 2),
        }
    }
}

/// What was found, and how to lift it.
pub(super) struct Cause {
    pub(super) finding: String,
    pub(super) remedy: String,
}

/// Why a system call of io_uring failed.
pub(super) fn of(error: &io::Error, sandbox: Sandbox) -> Cause {
    let filtered = sandbox.seccomp_filter == Some(true);
    let (finding, remedy) = match (error.raw_os_error(), sandbox.io_uring_disabled) {
        (Some(libc::EPERM), Some(2)) => (
            "forbidden by the sysctl kernel.io_uring_disabled = 2 (EPERM)".to_owned(),
            "as root on the host: sysctl -w kernel.io_uring_disabled=0".to_owned(),
        ),
        (Some(libc::EPERM), Some(1)) => (
            "forbidden to this user by the sysctl kernel.io_uring_disabled = 1 (EPERM)".to_owned(),
            "as root on the host: sysctl -w kernel.io_uring_disabled=0, or put the user in the group that \
             kernel.io_uring_group names"
                .to_owned(),
        ),
        (Some(libc::EPERM), _) if filtered => (
            "forbidden by a seccomp filter (EPERM), as Docker's default profile does".to_owned(),
            SECCOMP_REMEDY.to_owned(),
        ),
        (Some(libc::EPERM | libc::EACCES), _) => (
            format!("forbidden ({error}), and neither by the sysctl kernel.io_uring_disabled nor by seccomp"),
            "look for a denial in the kernel's audit log (SELinux, AppArmor, BPF) and allow io_uring there"
                .to_owned(),
        ),
        (Some(libc::ENOSYS), _) if filtered => (
            "hidden by a seccomp filter, or not in this kernel (ENOSYS)".to_owned(),
            format!("{SECCOMP_REMEDY}; outside of a container: Linux 6.1 or later with CONFIG_IO_URING"),
        ),
        (Some(libc::ENOSYS), _) => (
            "not in this kernel (ENOSYS)".to_owned(),
            "run Linux 6.1 or later with CONFIG_IO_URING; gVisor and WSL 1 have none".to_owned(),
        ),
        (Some(libc::ENOMEM), _) => (
            "no memory, or RLIMIT_MEMLOCK reached (ENOMEM)".to_owned(),
            "raise the limit: ulimit -l, LimitMEMLOCK= in systemd, --ulimit memlock= in Docker".to_owned(),
        ),
        (Some(libc::EMFILE | libc::ENFILE), _) => (
            format!("no descriptor left ({error})"),
            "raise the limit: ulimit -n, LimitNOFILE= in systemd, --ulimit nofile= in Docker".to_owned(),
        ),
        _ => (error.to_string(), "run Linux 6.1 or later".to_owned()),
    };
    Cause { finding, remedy }
}

const SECCOMP_REMEDY: &str = "run the container with a seccomp profile that allows io_uring_setup, io_uring_enter and \
                              io_uring_register, e.g. --security-opt seccomp=unconfined";

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Sandbox = Sandbox { io_uring_disabled: Some(0), seccomp_filter: Some(false) };

    fn cause(errno: i32, sandbox: Sandbox) -> Cause {
        of(&io::Error::from_raw_os_error(errno), sandbox)
    }

    #[test]
    fn the_sysctl_is_named_when_it_forbids() {
        let everybody = cause(libc::EPERM, Sandbox { io_uring_disabled: Some(2), ..OPEN });
        assert!(everybody.finding.contains("kernel.io_uring_disabled = 2"));
        assert!(everybody.remedy.contains("sysctl -w kernel.io_uring_disabled=0"));
        let unprivileged = cause(libc::EPERM, Sandbox { io_uring_disabled: Some(1), ..OPEN });
        assert!(unprivileged.remedy.contains("kernel.io_uring_group"));
    }

    #[test]
    fn seccomp_is_named_when_the_sysctl_allows() {
        for io_uring_disabled in [None, Some(0)] {
            let filtered = cause(libc::EPERM, Sandbox { io_uring_disabled, seccomp_filter: Some(true) });
            assert!(filtered.finding.contains("seccomp"));
            assert!(filtered.remedy.contains("--security-opt"));
        }
        assert!(
            cause(libc::ENOSYS, Sandbox { seccomp_filter: Some(true), ..OPEN }).finding.contains("seccomp")
        );
    }

    #[test]
    fn nothing_is_blamed_that_did_not_do_it() {
        let neither = cause(libc::EPERM, OPEN);
        assert!(neither.finding.contains("neither") && neither.remedy.contains("audit log"));
        assert!(cause(libc::ENOSYS, OPEN).finding.contains("not in this kernel"));
        assert!(cause(libc::ENOMEM, OPEN).remedy.contains("LimitMEMLOCK"));
        assert!(cause(libc::EMFILE, OPEN).remedy.contains("LimitNOFILE"));
        assert!(cause(libc::EINVAL, OPEN).remedy.contains("Linux 6.1"));
    }
}
