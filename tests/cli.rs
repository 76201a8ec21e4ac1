//! The binary as the operator meets it: help, exit statuses, and the one line where io_uring is forbidden.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

fn dormouse(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    command.args(arguments.split_whitespace()).env_clear().current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(arguments: &str) -> Output {
    dormouse(arguments).output().unwrap()
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn help_goes_to_stdout_and_is_no_failure() {
    for (arguments, expected) in [
        ("--help", "--listen <ADDR>"),
        ("--help", "./dormouse.toml"),
        ("serve --help", "--cores <N|LIST>"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments}");
        assert!(text(output.stdout).contains(expected), "{arguments}");
        assert!(output.stderr.is_empty(), "{arguments}");
    }
}

#[test]
fn wrong_usage_goes_to_stderr_and_exits_2() {
    for arguments in
        ["--frob", "frob", "--listen", "--cores few", "serve --set listen", "config check", "doctor --frob"]
    {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments}");
    }
}

#[test]
fn the_doctor_reports_for_people_and_for_programs() {
    let table = run("doctor");
    assert_eq!(table.status.code(), Some(0));
    let table = text(table.stdout);
    assert!(table.starts_with("ok ") && table.contains("Dormouse can run here"), "{table}");
    let json: serde_json::Value = serde_json::from_slice(&run("doctor --json").stdout).unwrap();
    assert_eq!(json["checks"][0]["name"], "io_uring");
    assert_ne!(json["status"], "missing");
}

#[test]
fn cores_that_are_not_there_exit_2_and_name_those_that_are() {
    let output = run("--cores 1023, --listen 127.0.0.1:0");
    assert_eq!(output.status.code(), Some(2));
    let line = text(output.stderr);
    assert!(line.contains("--cores: cores = \"1023,\": must be at most "), "{line}");
}

#[test]
fn where_io_uring_is_forbidden_serve_says_so_in_one_line_and_exits_1() {
    let output = forbidden("serve --listen 127.0.0.1:0");
    assert_eq!(output.status.code(), Some(1));
    let line = text(output.stderr);
    assert_eq!(line.trim_end().lines().count(), 1, "{line}");
    assert!(line.contains("io_uring: forbidden by a seccomp filter (EPERM)"), "{line}");
    assert!(line.contains("--security-opt"), "the remedy: {line}");
}

#[test]
fn where_io_uring_is_forbidden_the_doctor_still_reports_and_exits_1() {
    let output = forbidden("doctor");
    assert_eq!(output.status.code(), Some(1));
    let report = text(output.stdout);
    assert!(report.starts_with("MISSING  io_uring"), "{report}");
    assert!(report.contains("seccomp        a filter is active"), "{report}");
    assert!(report.contains("cannot start here"), "{report}");
}

/// Runs the binary where `io_uring_setup` fails with EPERM, as under Docker's default seccomp profile.
fn forbidden(arguments: &str) -> Output {
    let mut command = dormouse(arguments);
    // SAFETY: between fork and exec, `forbid_io_uring` only makes system calls; it takes no lock and no memory.
    unsafe { command.pre_exec(forbid_io_uring) };
    command.output().unwrap()
}

fn forbid_io_uring() -> io::Result<()> {
    const fn statement(code: u32, jump_true: u8, jump_false: u8, k: u32) -> libc::sock_filter {
        libc::sock_filter { code: code as u16, jt: jump_true, jf: jump_false, k }
    }
    // The number of the system call is the first word of what the filter sees.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
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
