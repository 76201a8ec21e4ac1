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
//! The parts that know the protocol (`frame`, `handshake`, `client`) and the parts that judge deliveries
//! (`payload`, `schedule`, `ledger`) touch no socket and read no clock. It shares no code with the engine it
//! was made to test.

mod cli;
mod client;
mod clock;
mod close;
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
mod target;
mod usage;
mod worker;

use clap::{CommandFactory, Parser};
use cli::Cli;
use session::RunError;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json_only = cli.mode.common().json;
    match modes::run(cli.mode) {
        Ok(report) => {
            if !json_only {
                println!("{report}");
            }
            println!("{}", report.to_json());
            if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
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
