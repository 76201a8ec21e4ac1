//! The seeded simulation: `wire` and `object` under a driver that does everything a real one may do, with clients that
//! do everything real ones do. A seed is the whole bug report.
//!
//! `DORMOUSE_SEEDS=10000` runs that many; `DORMOUSE_SEED=123 ... one_seed -- --nocapture` prints the trace of one.

mod support;

#[path = "simulation/batches.rs"]
mod batches;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/driver.rs"]
mod driver;
#[path = "simulation/ending.rs"]
mod ending;
#[path = "simulation/envelope.rs"]
mod envelope;
#[path = "simulation/inspect.rs"]
mod inspect;
#[path = "simulation/kernel.rs"]
mod kernel;
#[path = "simulation/latest.rs"]
mod latest;
#[path = "simulation/pipe.rs"]
mod pipe;
#[path = "simulation/plan.rs"]
mod plan;
#[cfg(feature = "planted-bugs")]
#[path = "simulation/planted.rs"]
mod planted;
#[path = "simulation/room.rs"]
mod room;
#[path = "simulation/rules.rs"]
mod rules;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/running.rs"]
mod running;
#[path = "simulation/shard.rs"]
mod shard;
#[path = "simulation/speech.rs"]
mod speech;
#[path = "simulation/squeeze.rs"]
mod squeeze;
#[path = "simulation/town.rs"]
mod town;
#[path = "simulation/trace.rs"]
mod trace;
#[path = "simulation/verbs.rs"]
mod verbs;
#[path = "simulation/witness.rs"]
mod witness;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use plan::Plan;
use run::{report, run};

/// Seeds of an ordinary test run; CI asks for more.
const SEEDS: u64 = 1_000;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs `check` for each of the first `count` seeds, on all cores; the report of the smallest seed that fails.
fn for_each_seed(count: u64, check: impl Fn(u64) -> Result<(), String> + Sync) -> Result<(), String> {
    let (next, end) = (AtomicU64::new(0), AtomicU64::new(count));
    let work = || {
        let mut failed = None;
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                return failed;
            }
            if let Err(rule) = check(seed) {
                end.fetch_min(seed, Ordering::Relaxed);
                failed = Some((seed, report(seed, &rule)));
            }
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let failed = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a run ends by itself")).min()
    });
    failed.map_or(Ok(()), |(_, report)| Err(report))
}

#[test]
fn every_seed_keeps_the_rules() {
    let count = variable("DORMOUSE_SEEDS").unwrap_or(SEEDS);
    let begun = std::time::Instant::now();
    let result = for_each_seed(count, |seed| run(Plan::of(seed), false).map(drop));
    println!("{count} seeds in {:.1} s", begun.elapsed().as_secs_f64());
    if let Err(report) = result {
        panic!("{report}");
    }
}

#[test]
fn the_same_seed_has_the_same_trace() {
    let result = for_each_seed(300, |seed| {
        let hash = move || run(Plan::of(seed), false).map(|outcome| outcome.trace_hash);
        // On a thread of its own: what a thread has run before is none of a seed's affair.
        let (first, second) = (hash(), thread::spawn(hash).join().expect("a run ends by itself"));
        if first? == second? { Ok(()) } else { Err("another trace at the second time".to_owned()) }
    });
    if let Err(report) = result {
        panic!("{report}");
    }
}

/// Prints the trace of the seed in `DORMOUSE_SEED`; with `DORMOUSE_SLEEP=1`, or 0, that of its run in which objects
/// sleep at once, or never.
#[test]
fn one_seed() {
    let Some(seed) = variable("DORMOUSE_SEED") else { return };
    let plan = match variable("DORMOUSE_SLEEP") {
        Some(sleeps) => run::with_sleep(seed, sleeps != 0),
        None => Plan::of(seed),
    };
    println!("{plan:#?}");
    match run(plan, true).and_then(|outcome| run::asleep_as_awake(seed).map(|()| outcome.trace_hash)) {
        Ok(hash) => println!("seed {seed} keeps the rules; trace {hash:016x}"),
        Err(rule) => panic!("{}", report(seed, &rule)),
    }
}

/// SEMANTICS 2: sleeping or not, an object does the same, and its clients hear the same.
#[test]
fn a_run_with_hibernation_is_as_one_without() {
    let count = variable("DORMOUSE_SEEDS").unwrap_or(SEEDS);
    if let Err(report) = for_each_seed(count, run::asleep_as_awake) {
        panic!("{report}");
    }
}

/// A simulation that finds nothing may be one that looks nowhere.
#[cfg(feature = "planted-bugs")]
#[test]
fn each_planted_bug_is_found() {
    let missed: Vec<_> = planted::BUGS
        .iter()
        .filter(|bug| {
            let found = planted::find(**bug, 10_000);
            match &found {
                Some((seed, rule)) => println!("{bug:?} is found by seed {seed}: {rule}"),
                None => println!("{bug:?} is not found"),
            }
            found.is_none()
        })
        .collect();
    assert!(missed.is_empty(), "the simulation misses {missed:?}");
}
