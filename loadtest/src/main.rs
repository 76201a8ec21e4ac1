//! `loadtest`: opens many WebSocket connections to a server, sends messages, checks every single delivery,
//! and says what it took.
//!
//! The server is expected to send each message that arrives on `/room` or `/room/<anything>` to every client
//! of that path, the sender included, and each message on `/echo` back; unchanged, text as text and binary as
//! binary.
//!
//! ```text
//!   modes/*  --->  session  --->  fleet  ===>  worker (one per thread, own descriptor table)
//!   what to do     the frame      threads       epoll loop, runs a Script (connect, fan out, echo, close)
//!                  of a run                       |
//!                                                 +-- client: one connection's protocol, bytes only
//! ```
//!
//! `sweep` repeats a run at other rates; `compare` runs this program against one server after the other.
//!
//! The parts that know the protocol (`frame`, `handshake`, `client`) and the parts that judge deliveries
//! (`payload`, `schedule`, `ledger`) touch no socket and read no clock. It shares no code with the engine it
//! was made to test.

mod cli;
mod client;
mod clock;
mod close;
mod compare;
mod connect;
mod failures;
mod fanout;
mod fleet;
mod frame;
mod handshake;
mod kernel;
mod latency;
mod ledger;
mod modes;
mod payload;
mod progress;
mod random;
mod report;
mod schedule;
mod script;
mod seen;
mod server_stats;
mod session;
mod settle;
mod sources;
mod sweep;
mod target;
mod usage;
mod worker;

use clap::{CommandFactory, Parser};
use cli::{Cli, Mode};
use session::RunError;
use std::fmt::Display;
use std::process::ExitCode;

fn main() -> ExitCode {
    let finished = match Cli::parse().mode {
        Mode::Once(mode) => {
            let json_only = mode.common().json;
            modes::run(mode).map(|report| show(&report, &report.to_json(), json_only, report.passed))
        }
        Mode::Sweep(options) => {
            let json_only = options.common.json;
            sweep::run(&options).map(|report| show(&report, &report.to_json(), json_only, report.passed()))
        }
        Mode::Compare(options) => compare::run(&options),
    };
    match finished {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Exits with 2, as for everything else that is wrong on the command line.
        Err(RunError::Usage(error)) => {
            Cli::command().error(clap::error::ErrorKind::ValueValidation, error).exit()
        }
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a result: the table for people, unless only the line for programs is asked for. Returns `passed`.
fn show(report: &impl Display, json: &str, json_only: bool, passed: bool) -> bool {
    if !json_only {
        println!("{report}");
    }
    println!("{json}");
    passed
}
