//! A server process: started on a free port, ready when it answers there, killed when this is dropped.

use super::peers::Candidate;
use crate::kernel::child::{self, Placement};
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time to answer on the port.
const START_MAX: Duration = Duration::from_secs(15);

/// Pause between looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// Time after which a server that has just answered has done what it does at its start.
const WARM: Duration = Duration::from_millis(200);

/// Ports tried: one may be taken by somebody else between the kernel's answer and the server's start.
const PORTS_MAX: u32 = 3;

/// A child that does not outlive its guard.
#[derive(Debug)]
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        // Both fail only if the child has ended and been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    child: Guard,
    /// Where it listens on 127.0.0.1.
    pub port: u16,
    /// The command, for a shell.
    pub command: String,
}

impl Server {
    /// Starts `candidate` where `placement` says; what it says goes to the file `log`. The error says what happened.
    pub fn start(candidate: &Candidate, placement: &Placement, log: &Path) -> Result<Self, String> {
        let mut attempt = 1;
        loop {
            match Self::try_start(candidate, placement, log) {
                Err(Ended(reason)) if attempt == PORTS_MAX => return Err(reason),
                Err(Ended(_)) => attempt += 1,
                Ok(result) => return result,
            }
        }
    }

    fn try_start(
        candidate: &Candidate,
        placement: &Placement,
        log: &Path,
    ) -> Result<Result<Self, String>, Ended> {
        let (mut command, port, text) = match prepare(candidate, placement, log) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let mut child = match command.spawn() {
            Ok(child) => Guard(child),
            Err(error) => return Ok(Err(format!("not started: {error}"))),
        };
        let start = Instant::now();
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Ok(Some(status)) = child.0.try_wait() {
                return Err(Ended(format!("ended at its start ({status}), see {}", log.display())));
            }
            if start.elapsed() > START_MAX {
                return Ok(Err(format!(
                    "does not listen after {} s, see {}",
                    START_MAX.as_secs(),
                    log.display()
                )));
            }
            sleep(LOOK_INTERVAL);
        }
        sleep(WARM);
        Ok(Ok(Self { child, port, command: text }))
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.0.id()
    }

    /// How it has ended, if it has.
    pub fn ending(&mut self) -> Option<String> {
        self.child.0.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

/// The server has ended before it answered.
struct Ended(String);

fn prepare(candidate: &Candidate, placement: &Placement, log: &Path) -> io::Result<(Command, u16, String)> {
    let log = File::create(log)?;
    let port = free_port()?;
    let mut command = Command::new(&candidate.path);
    command.args(candidate.arguments(port)).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    if let Some(folder) = &candidate.folder {
        command.current_dir(folder);
    }
    child::confine(&mut command, placement);
    Ok((command, port, candidate.command(port, placement)))
}

/// A port nobody listens on.
fn free_port() -> io::Result<u16> {
    let listener = TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}
