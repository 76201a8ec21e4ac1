//! The modes: each takes its options, runs a [`crate::session::Session`] and returns the report.

mod broadcast;
mod burst;
mod churn;
mod echo;
mod idle;
mod in_rounds;

use crate::cli::Mode;
use crate::report::Report;
use crate::session::RunError;

/// Runs a mode to its end.
pub fn run(mode: Mode) -> Result<Report, RunError> {
    match mode {
        Mode::Broadcast(options) => broadcast::run(options),
        Mode::Burst(options) => burst::run(options),
        Mode::Echo(options) => echo::run(options),
        Mode::Idle(options) => idle::run(options),
        Mode::Churn(options) => churn::run(options),
    }
}
