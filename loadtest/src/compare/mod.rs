//! `compare`: the engine beside other servers, measured so that the figures can be set against each other.
//!
//! ```text
//!   peers  --->  servers to measure, and those that are missing
//!   cells  --->  what to measure: a figure, a number of sockets, a size
//!                        |
//!   for each round, for each cell, for each server (the next round begins with the next server):
//!                        |
//!     server             a fresh process on one processor, ready when its port answers
//!     measure            this program, as a process of its own, on the other processor
//!                        |
//!   comparison  <--------+   medians, spreads, ratios to the floor of the same round
//!       |
//!       +--> JSON, tables (Markdown), page (HTML), plots (SVG)
//! ```
//!
//! Each process is killed when its guard is dropped, and by the kernel if this one dies in any other way.

mod cells;
mod comparison;
mod machine;
mod measure;
mod options;
mod page;
mod peers;
mod plots;
mod server;
mod statistics;
mod table;
mod tables;

pub use options::Options;

use crate::kernel::thread::raise_descriptor_limit;
use crate::session::{RunError, check_processor};
use cells::{Cell, Figure};
use comparison::{Comparison, Samples};
use measure::{Bench, Fault, Measured};
use peers::Candidate;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Runs it. Returns whether everything that was tried of the engine (or, without one, anything) was measured.
pub fn run(options: &Options) -> Result<bool, RunError> {
    check_processor("--server-core", options.server_core)?;
    check_processor("--generator-core", options.generator_core)?;
    let (servers, missing) = peers::choose(options)?;
    for server in &missing {
        eprintln!("skipped: {} ({} is not there)", server.name, server.missing);
    }
    let folder = &options.out;
    let logs = folder.join("logs");
    fs::create_dir_all(&logs).map_err(|error| RunError::Output(logs.clone(), error))?;
    // Children inherit it. If it cannot be raised, what is there is what there is.
    let _ = raise_descriptor_limit();
    let bench = Bench::new(options, logs).map_err(|error| RunError::Output("loadtest".into(), error))?;
    let (samples, rounds) = measure_all(options, &bench, &servers);
    let comparison = Comparison::new(options, rounds, &servers, missing, samples);
    write_all(folder, &comparison)?;
    println!("{}", tables::markdown(&comparison));
    eprintln!("report: {}", folder.join(PAGE).display());
    Ok(comparison.passed())
}

/// The report for people.
const PAGE: &str = "comparison.html";

/// Every cell of every round, servers in turn. Returns how many rounds there was time for as well.
fn measure_all(options: &Options, bench: &Bench, servers: &[Candidate]) -> (Vec<Samples>, usize) {
    let cells = Cell::all(options).into_iter();
    let mut samples: Vec<_> =
        cells.filter_map(|cell| Samples::new(cell, cell.contestants(servers))).collect();
    let rounds = options.rounds();
    let steps =
        samples.iter().map(|samples| samples.contestants().len() * samples.cell.figure.rounds(rounds)).sum();
    let mut log = Log { start: Instant::now(), step: 0, steps };
    for round in 0..rounds {
        if round > 0 && !options.has_time_for_another(log.start.elapsed(), round) {
            eprintln!("{round} of {rounds} rounds: another does not fit in the time");
            return (samples, round);
        }
        for samples in samples.iter_mut().filter(|samples| round < samples.cell.figure.rounds(rounds)) {
            measure_cell(bench, samples, round, &mut log);
        }
    }
    (samples, rounds)
}

/// One cell of a round.
fn measure_cell(bench: &Bench, samples: &mut Samples, round: usize, log: &mut Log) {
    if samples.cell.figure == Figure::Wake {
        let results = bench.measure_pair(samples.contestants(), &samples.cell);
        results.into_iter().enumerate().for_each(|(at, result)| log.enter(samples, at, round, result));
        return;
    }
    // Whoever is first may have it colder, or warmer: nobody always is.
    let count = samples.contestants().len();
    for at in (0..count).map(|turn| (turn + round) % count) {
        if samples.is_hopeless(at) {
            log.step += 1;
        } else {
            let result = bench.measure(&samples.contestants()[at], &samples.cell);
            log.enter(samples, at, round, result);
        }
    }
}

/// Tells how far it is.
struct Log {
    start: Instant,
    step: usize,
    steps: usize,
}

impl Log {
    /// Enters a result, and says so.
    fn enter(&mut self, samples: &mut Samples, at: usize, round: usize, result: Result<Measured, Fault>) {
        self.step += 1;
        let told = match &result {
            Ok(measured) => samples.cell.figure.format(measured.value),
            Err(fault) => format!("FAILED: {fault}"),
        };
        let Self { step, steps, .. } = self;
        let (elapsed, cell, name) =
            (self.start.elapsed().as_secs(), samples.cell, &samples.contestants()[at].name);
        eprintln!("[{step}/{steps} {elapsed} s] round {}: {cell}: {name}: {told}", round + 1);
        samples.enter(at, round, result);
    }
}

/// Writes the report in all its forms.
fn write_all(folder: &Path, comparison: &Comparison) -> Result<(), RunError> {
    let write = |name: PathBuf, text: String| {
        let path = folder.join(name);
        fs::write(&path, text).map_err(|error| RunError::Output(path, error))
    };
    let plots = plots::draw(comparison);
    write("comparison.json".into(), comparison.to_json())?;
    write("comparison.md".into(), tables::markdown(comparison))?;
    write(PAGE.into(), page::html(comparison, &plots))?;
    plots.iter().try_for_each(|plot| write(format!("{}.svg", plot.name).into(), plot.standalone()))
}
