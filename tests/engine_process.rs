//! The program as an operator sees it: signals and exit statuses, what is in the way at start, and descriptors. It
//! serves its demo.

mod engine;
#[path = "../src/shard/probe/tests/seccomp.rs"]
mod seccomp;

use std::io::{self, BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use engine::client::{Client, close, frame, text};
use engine::{PATIENCE, until};
use seccomp::forbid_io_uring;

/// The program, ended with the test.
struct Program {
    child: Child,
    address: SocketAddr,
}

fn dormouse(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dormouse"));
    command.args(arguments.split_whitespace()).env_clear().current_dir(std::env::temp_dir());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

impl Program {
    fn start(arguments: &str) -> Program {
        Program::spawn(&mut dormouse(&format!("--cores 1 --log error {arguments}")))
    }

    fn spawn(command: &mut Command) -> Program {
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("ws://")));
        let Some(Ok(line)) = line else {
            let output = child.wait_with_output().unwrap();
            panic!("it did not start: {}", String::from_utf8_lossy(&output.stderr));
        };
        let address = line.split_once("ws://").unwrap().1.trim().parse().unwrap();
        // The rest must not fill the pipe.
        thread::spawn(move || lines.count());
        Program { child, address }
    }

    fn signal(&self, signal: i32) {
        // SAFETY: the call takes no pointers; the child is ours and not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Its exit status and what it wrote to stderr.
    #[track_caller]
    fn end(&mut self) -> (Option<i32>, String) {
        let mut status = None;
        until("its end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        let mut errors = String::new();
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_string(&mut errors).unwrap();
        }
        (status.unwrap().code(), errors)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Status, and the one line on stderr.
#[track_caller]
fn refusal(output: &Output) -> (Option<i32>, String) {
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), errors)
}

#[test]
fn a_signal_to_stop_closes_all_sockets_and_exits_0() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut program = Program::start("--listen 127.0.0.1:0");
        let mut clients: Vec<_> =
            (0..50).map(|_| Client::upgraded(program.address, "/room/signals")).collect();
        clients[0].send(text("the last message"));
        assert_eq!(clients[0].text(), "the last message");
        program.signal(signal);
        for (index, client) in clients.iter_mut().enumerate() {
            if index > 0 {
                assert_eq!(client.text(), "the last message");
            }
            assert_eq!(client.frame().close_code(), 1001);
            client.send(close(1001, ""));
            client.end();
        }
        assert_eq!(program.end(), (Some(0), String::new()));
    }
}

/// The line that tells of the signal could not be written, and whoever waited for signals panicked: none was heard again.
#[test]
fn a_signal_is_heard_though_nobody_reads_the_log() {
    let mut program = Program::spawn(&mut dormouse("--cores 1 --log info --listen 127.0.0.1:0"));
    drop(program.child.stderr.take());
    program.signal(libc::SIGTERM);
    assert_eq!(program.end().0, Some(0));
}

/// Each client has a line written, and the pipe is full after some hundred.
#[test]
fn a_log_that_nobody_reads_holds_up_no_shard() {
    let mut command = dormouse("--cores 1 --log debug --listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0");
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = |line: String| line.split_once("://")?.1.trim().trim_end_matches("/metrics").parse().ok();
    let addresses = lines.filter_map(address);
    let addresses: Vec<SocketAddr> = addresses.take(2).collect();
    let mut program = Program { child, address: addresses[0] };
    // With what may wait, and what a pipe holds.
    for _ in 0..6_000 {
        let mut client = Client::upgraded(program.address, "/echo");
        client.send([0xFF, 0xFF]);
        assert_eq!(client.frame().close_code(), 1002);
    }
    assert_eq!(Client::upgraded(program.address, "/echo").ask("awake?"), "awake?");
    let mut metrics = Client::connect(addresses[1]);
    metrics.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = metrics.answer();
    let dropped =
        answer.text().lines().find_map(|line| line.strip_prefix("dormouse_log_lines_dropped_total "));
    assert_ne!(dropped, Some("0"), "{}", answer.text());
    program.signal(libc::SIGTERM);
    assert_eq!(program.end().0, Some(0));
}

#[test]
fn clients_that_do_not_answer_hold_a_stop_up_for_the_drain_time_at_most() {
    let mut program =
        Program::start("--listen 127.0.0.1:0 --set timeouts.drain=1s --set timeouts.close=600s");
    let mut silent = Client::upgraded(program.address, "/room/silent");
    program.signal(libc::SIGTERM);
    assert_eq!(program.end(), (Some(0), String::new()));
    assert_eq!(silent.frame().close_code(), 1001);
    assert!(silent.ends());
}

#[test]
fn a_second_signal_ends_the_wait() {
    let mut program =
        Program::start("--listen 127.0.0.1:0 --set timeouts.drain=1h --set timeouts.close=600s");
    let mut silent = Client::upgraded(program.address, "/room/silent");
    program.signal(libc::SIGTERM);
    assert_eq!(silent.frame().close_code(), 1001);
    assert_eq!(program.child.try_wait().unwrap(), None);
    program.signal(libc::SIGINT);
    assert_eq!(program.end(), (Some(0), String::new()));
}

#[test]
fn an_address_in_use_is_one_line_and_status_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let output = dormouse(&format!("--cores 1 --listen {address}")).output().unwrap();
    let (status, line) = refusal(&output);
    assert_eq!(status, Some(1));
    assert!(line.contains(&address.to_string()) && line.contains("in use"), "{line}");

    let metrics = dormouse(&format!("--cores 1 --listen 127.0.0.1:0 --metrics-listen {address}"));
    let (status, line) = refusal(&{ metrics }.output().unwrap());
    assert_eq!(status, Some(1));
    assert!(line.contains(&address.to_string()), "{line}");
}

/// Sockets of one user may share a port, so nothing but care keeps a second engine from taking half of the first one's
/// clients.
#[test]
fn a_second_engine_on_the_same_address_does_not_start() {
    let program = Program::start("--listen 127.0.0.1:0");
    let output = output_within(&mut dormouse(&format!("--cores 1 --listen {}", program.address)));
    let (status, line) = refusal(&output);
    assert_eq!(status, Some(1));
    assert!(line.contains(&program.address.to_string()) && line.contains("in use"), "{line}");
    let mut client = Client::upgraded(program.address, "/echo");
    assert_eq!(client.ask("hello"), "hello");
}

/// Runs a program that is expected to end by itself; one that serves is ended, so that the test fails and not hangs.
fn output_within(command: &mut Command) -> Output {
    let child = command.spawn().unwrap();
    let id = child.id() as i32;
    let (over, is_over) = std::sync::mpsc::channel::<()>();
    let guard = thread::spawn(move || {
        if is_over.recv_timeout(PATIENCE / 3).is_err() {
            // SAFETY: the call takes no pointers; the child is not waited for before `over` is told.
            unsafe { libc::kill(id, libc::SIGKILL) };
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = over.send(());
    guard.join().unwrap();
    output
}

#[test]
fn a_wrong_config_names_file_and_line_with_status_2() {
    let path = std::env::temp_dir().join(format!("dormouse-process-{}.toml", std::process::id()));
    std::fs::write(&path, "[limits]\nmessage_bytes = 'many'\n").unwrap();
    let output = dormouse(&format!("--config {}", path.display())).output().unwrap();
    std::fs::remove_file(&path).unwrap();
    let (status, line) = refusal(&output);
    assert_eq!(status, Some(2));
    assert!(line.contains(".toml:2: limits.message_bytes"), "{line}");
}

#[test]
fn killed_under_load_it_starts_again_on_the_same_port() {
    let mut program = Program::start("--listen 127.0.0.1:0");
    let address = program.address;
    for _ in 0..3 {
        let mut clients: Vec<_> = (0..200).map(|_| Client::upgraded(address, "/echo")).collect();
        let load = thread::spawn(move || {
            let load = text("load").repeat(50);
            while clients.iter_mut().all(|client| client.try_send(&load)) {}
        });
        thread::sleep(Duration::from_millis(50));
        program.child.kill().unwrap();
        assert_eq!(program.child.wait().unwrap().signal(), Some(libc::SIGKILL));
        // At once: ports of dead connections linger, and the kernel ends a killed process's rings in its own time.
        program = start_again(address);
        load.join().unwrap();
        let mut client = Client::upgraded(address, "/echo");
        assert_eq!(client.ask("hello"), "hello");
    }
}

fn start_again(address: SocketAddr) -> Program {
    let program = Program::start(&format!("--listen {address}"));
    assert_eq!(program.address, address);
    program
}

#[test]
fn where_io_uring_is_forbidden_one_line_says_so() {
    for (errno, word) in [(libc::EPERM, "EPERM"), (libc::ENOSYS, "ENOSYS")] {
        let mut command = dormouse("--cores 1 --listen 127.0.0.1:0");
        // SAFETY: between fork and exec, `forbid_io_uring` does nothing but two system calls on its own stack.
        unsafe { command.pre_exec(move || forbid_io_uring(errno)) };
        let (status, line) = refusal(&output_within(&mut command));
        assert_eq!(status, Some(1));
        assert!(line.starts_with("dormouse: io_uring: ") && line.contains(word), "{line}");
        assert!(line.contains("seccomp"), "{line}");
    }
}

/// Found by the soak: an allocator that has learnt of large blocks kept 64 MiB a shard, for ever.
#[test]
fn memory_of_large_messages_is_given_back() {
    let program = Program::start("--listen 127.0.0.1:0");
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", program.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
    };
    let before = resident();
    let half = vec![b'x'; 12 << 20];
    for round in 0..3 {
        let mut clients: Vec<_> = (0..4).map(|_| Client::upgraded(program.address, "/echo")).collect();
        // Unfinished, so that the engine holds it.
        clients.iter_mut().for_each(|client| client.send(frame(0x02, &half)));
        until("all is here", || resident() >= before + 40);
        drop(clients);
        until("it is given back", || resident() <= before + 12);
        println!("{round}: {} MiB, {before} before", resident());
    }
}

#[test]
fn sockets_do_not_count_as_descriptors() {
    const SOCKETS: usize = 5_000;
    raise_own_limit(SOCKETS as u64 + 500);
    let limits = "--set limits.connections=8192 --set limits.connections_per_ring=1024";
    let mut command = dormouse(&format!("--cores 1 --log error --listen 127.0.0.1:0 {limits}"));
    // SAFETY: between fork and exec, one system call with a pointer to a local.
    unsafe { command.pre_exec(|| set_limit(1_024, 1_024)) };
    let mut program = Program::spawn(&mut command);
    let mut clients: Vec<_> =
        (0..SOCKETS).map(|_| Client::upgraded(program.address, "/room/descriptors")).collect();
    clients[0].send(text("for all"));
    for client in &mut clients {
        assert_eq!(client.text(), "for all");
    }
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", program.child.id())).unwrap().count();
    assert!(descriptors < 1_024, "{descriptors} descriptors");
    let begun = Instant::now();
    program.signal(libc::SIGTERM);
    for client in &mut clients {
        assert_eq!(client.frame().close_code(), 1001);
        client.send(close(1001, ""));
    }
    assert_eq!(program.end(), (Some(0), String::new()));
    assert!(begun.elapsed() < PATIENCE);
}

fn set_limit(soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is a readable rlimit.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The clients are this process's, and count.
fn raise_own_limit(wanted: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    if limit.rlim_cur < wanted {
        set_limit(wanted, limit.rlim_max.max(wanted)).expect("too low a hard limit of descriptors");
    }
}
