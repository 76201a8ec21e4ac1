//! `dormouse serve`: from a loaded config to the exit status. Owns the lines at start, and signals.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::banner::{self, Started};
use super::config::Loaded;
use super::doctor;
use super::engine::Engine;
use super::logging;
use super::supervisor::supervise;
use crate::shard::{Shards, bound_free_heap};

/// Serves until a signal, or until a shard fails.
pub(super) fn serve(engine: Engine, loaded: &Loaded) -> ExitCode {
    let _written = match logging::start(&loaded.config.log) {
        Ok(guard) => guard,
        Err(error) => return fail(1, &format!("cannot log: {error}")),
    };
    let cores = match doctor::ready(loaded) {
        Ok(cores) => cores,
        Err(not_ready) => return fail(not_ready.exit_code(), &not_ready.to_string()),
    };
    bound_free_heap();
    // Before the first thread, so that every thread leaves the signals to ours.
    let signals = match Signals::new([SIGINT, SIGTERM]) {
        Ok(signals) => signals,
        Err(error) => return fail(1, &format!("cannot listen for signals: {error}")),
    };
    let running = match engine.start_on(&loaded.config, &cores) {
        Ok(running) => running,
        Err(error) => return fail(1, &error.to_string()),
    };
    let lines = banner::render(&Started {
        config: &loaded.config,
        file: loaded.file.as_deref(),
        listen: running.address(),
        metrics: running.metrics_address(),
        cores: &cores,
        rings_per_shard: running.rings_per_shard(),
    });
    // Whoever started us may not care for what we print.
    let _ = io::stdout().write_all(lines.as_bytes()).and_then(|()| io::stdout().flush());
    let asked = Arc::new(AtomicBool::new(false));
    let shards = running.shards();
    stop_on_signal(signals, shards.clone(), asked.clone(), loaded.config.timeouts.drain);
    match supervise(&shards, &asked, loaded.config.timeouts.drain) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(1, &error.to_string()),
    }
}

/// The first signal asks for a drain, the second for an end.
fn stop_on_signal(mut signals: Signals, shards: Arc<Shards>, asked: Arc<AtomicBool>, drain: Duration) {
    thread::spawn(move || {
        for signal in signals.forever() {
            let again = asked.swap(true, Ordering::Relaxed);
            tracing::info!(signal, again, "shutting down");
            shards.shutdown(if again { Duration::ZERO } else { drain });
        }
    });
}

fn fail(code: u8, line: &str) -> ExitCode {
    let _ = writeln!(io::stderr(), "dormouse: {line}");
    ExitCode::from(code)
}
