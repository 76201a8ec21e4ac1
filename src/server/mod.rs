//! `server`: the public face of the engine.
//!
//! Owns the builder, the config, the command line, the probe's report, metrics and health, signals and shutdown. It
//! starts shards and gives each its world; it touches no socket of a client.

pub mod banner;
pub mod cli;
pub mod config;
pub mod doctor;
mod engine;
mod logging;
mod metrics;
mod plan;
mod serve;
mod supervisor;
mod watchdog;

pub use engine::{Engine, Running};
