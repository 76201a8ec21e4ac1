//! The probe on this machine, and on one where io_uring is forbidden.

use std::{io, thread};

use super::*;

fn check<'a>(report: &'a Report, name: &str) -> &'a Check {
    report.checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("{name} in {report:#?}"))
}

#[test]
fn this_machine_can_run_the_engine() {
    let report = probe();
    assert_eq!(report.first_fatal(), None, "{report:#?}");
    for name in ["io_uring", "ring flags", "file table", "accept", "receive", "hand-off", "send", "executor"]
    {
        assert_eq!(check(&report, name).status, Status::Ok, "{name}");
    }
}

#[test]
fn a_file_table_above_the_limit_is_found_by_trying() {
    let report = probe_for(&Wanted { slots: 1 << 21, ..Wanted::default() });
    assert_eq!(check(&report, "file table").status, Status::Missing);
    assert!(report.first_fatal().unwrap().contains("limits.connections_per_ring"));
    assert!(report.checks.iter().all(|check| check.name != "accept"), "what needs the table is left out");
}

#[test]
fn a_shortfall_says_what_it_means_and_how_to_lift_it() {
    let report = probe_for(&Wanted { slots: 1 << 21, completion_entries: 1 << 20, ..Wanted::default() });
    for check in &report.checks {
        let complete = !check.consequence.is_empty() && !check.remedy.is_empty();
        assert_eq!(complete, check.status != Status::Ok, "{check:?}");
    }
    assert_eq!(report.status(), Status::Missing);
}

#[test]
fn where_seccomp_forbids_io_uring_one_line_says_so() {
    for (errno, word) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
        // A filter holds for the thread that installs it and for its children only.
        let forbidden = thread::spawn(move || {
            forbid_io_uring(errno).unwrap();
            probe()
        });
        let report = forbidden.join().unwrap();
        let line = report.first_fatal().unwrap();
        assert!(line.starts_with("io_uring: ") && line.contains("seccomp filter"), "{line}");
        assert!(line.contains(word) && line.contains("--security-opt") && !line.contains('\n'), "{line}");
        assert_eq!(check(&report, "seccomp").finding, "a filter is active");
    }
}

#[test]
fn the_report_is_json_for_programs() {
    let report = Report { checks: vec![Check::ok("io_uring", "allowed")] };
    let expected =
        r#"{"checks":[{"name":"io_uring","status":"ok","finding":"allowed","consequence":"","remedy":""}]}"#;
    assert_eq!(serde_json::to_string(&report).unwrap(), expected);
}

/// Makes `io_uring_setup` fail with `errno` on this thread, as Docker's default profile does.
fn forbid_io_uring(errno: i32) -> io::Result<()> {
    const fn statement(code: u32, jump_true: u8, jump_false: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
    }
    // The number of the system call is the first word of what the filter sees.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: takes no pointers.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `program` points to `filter`, both alive; the kernel copies them.
    if unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
