//! What the integration tests share: a small server with faults on demand, and a way to run the generator.

#![allow(dead_code, reason = "each test file uses its own part")]

pub mod server;
pub mod wire;

use serde_json::Value;
use std::process::{Command, Output};

/// What a run of the generator left behind.
pub struct Run {
    /// Its exit status.
    pub status: i32,
    /// The JSON line.
    pub report: Value,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

impl Run {
    /// A number in the report.
    pub fn number(&self, key: &str) -> u64 {
        self.report[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {}", self.stdout))
    }

    /// Fails the test unless all is well.
    pub fn assert_clean(&self, deliveries: u64) {
        assert_eq!(self.status, 0, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.number("deliveries"), deliveries);
        assert_eq!(self.number("expected"), deliveries);
        assert_eq!(self.wrong(), [0; 4]);
        assert_eq!(self.report["passed"], true);
    }

    /// Lost, doubled, reordered, corrupt.
    pub fn wrong(&self) -> [u64; 4] {
        ["lost", "doubled", "reordered", "corrupt"].map(|key| self.number(key))
    }

    /// Fails the test unless exactly these are wrong.
    pub fn assert_wrong(&self, wrong: [u64; 4]) {
        assert_eq!(self.status, 1, "{}{}", self.stdout, self.stderr);
        assert_eq!(self.wrong(), wrong, "{}", self.stdout);
        assert_eq!(self.report["passed"], false);
    }
}

/// Runs `loadtest` with `arguments`, separated by blanks.
pub fn loadtest(arguments: &str) -> Run {
    let program = env!("CARGO_BIN_EXE_loadtest");
    let output: Output = Command::new(program).args(arguments.split_ascii_whitespace()).output().unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let report =
        stdout.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or(Value::Null);
    Run {
        status: output.status.code().unwrap(),
        report,
        stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
