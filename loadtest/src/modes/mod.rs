//! The modes: each takes its options, runs a [`crate::session::Session`] and returns the report.

pub mod broadcast;
mod burst;
mod churn;
mod echo;
mod idle;
mod in_rounds;
mod wake;

use crate::cli::Once;
use crate::report::Report;
use crate::session::RunError;

/// Runs a mode to its end.
pub fn run(mode: Once) -> Result<Report, RunError> {
    match mode {
        Once::Broadcast(options) => broadcast::run(options),
        Once::Burst(options) => burst::run(options),
        Once::Echo(options) => echo::run(options),
        Once::Idle(options) => idle::run(options),
        Once::Churn(options) => churn::run(options),
        Once::Wake(options) => wake::run(options),
    }
}
