//! The probe on this machine, and on one where io_uring is forbidden.

use std::thread;

use super::*;
use seccomp::forbid_io_uring;

mod seccomp;

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
