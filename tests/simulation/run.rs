//! A seed, run from its first draw to the drained end. Owns the report of a broken rule, which is one line.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::plan::Plan;
use super::town::Town;
use super::{trace, witness};

thread_local! {
    static IS_SILENT: Cell<bool> = const { Cell::new(false) };
}

/// Panics of a run are its result, or asked for by a script.
fn silence() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_scripted = info.payload_as_str().is_some_and(|text| text == "a scripted panic");
            if !IS_SILENT.get() {
                before(info);
            } else if !is_scripted {
                let place = info.location().map(ToString::to_string).unwrap_or_default();
                trace::note(format_args!("PANIC at {place}: {}", info.payload_as_str().unwrap_or("?")));
            }
        }));
    });
}

/// What came of a run.
pub struct Outcome {
    pub trace_hash: u64,
    /// What each client heard, and what each room was told.
    pub transcripts: Vec<Vec<String>>,
    pub story: Vec<String>,
}

/// Runs a plan.
///
/// # Errors
/// The rule that was broken.
pub fn run(plan: Plan, is_printed: bool) -> Result<Outcome, String> {
    silence();
    trace::begin(is_printed);
    IS_SILENT.set(true);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut town = Town::new(plan);
        town.live();
        town.heal();
        town.everything_has_arrived();
        let transcripts =
            town.clients.iter_mut().map(|client| std::mem::take(&mut client.transcript)).collect();
        let story = witness::with(|witness| std::mem::take(&mut witness.story));
        town.what_may_sleep_sleeps();
        town.everybody_leaves();
        drop(town);
        Outcome { trace_hash: trace::hash(), transcripts, story }
    }));
    IS_SILENT.set(false);
    result.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        // A rule that was broken inside a handler came first.
        let broken = witness::with(|witness| witness.broken.take());
        broken.unwrap_or_else(|| text.lines().collect::<Vec<_>>().join(" "))
    })
}

/// The report of a seed that broke a rule.
pub fn report(seed: u64, rule: &str) -> String {
    format!("seed {seed}: {rule}; DORMOUSE_SEED={seed} cargo test --test simulation one_seed -- --nocapture")
}

/// The plan of a seed, but with objects that sleep at once, or never.
pub fn with_sleep(seed: u64, sleeps: bool) -> Plan {
    let mut plan = Plan::of(seed).timeless();
    plan.settings.hibernation_idle_ms = sleeps.then_some(0);
    if seed.is_multiple_of(2) {
        // Runs of one room can be compared to their ends.
        plan.rooms = 1;
    }
    // Late, so that no turn is due to it in one of the two only.
    plan.settings.evict_idle_ms = 200_000;
    plan
}

/// Runs a seed with objects that sleep at once and with objects that never do.
///
/// # Errors
/// The rule that was broken, or the first difference.
pub fn asleep_as_awake(seed: u64) -> Result<(), String> {
    let [asleep, awake] = [true, false].map(|sleeps| run(with_sleep(seed, sleeps), false));
    let (asleep, awake) = (asleep?, awake?);
    if let Some(at) = first_difference(&asleep.story, &awake.story) {
        let (asleep, awake) = (asleep.story.get(at), awake.story.get(at));
        if room_of(asleep) != room_of(awake) {
            // Who comes first of two objects is promised to nobody, and from there on the runs go their own ways.
            return Ok(());
        }
        return Err(format!("{asleep:?} with hibernation, {awake:?} without"));
    }
    for (client, (asleep, awake)) in asleep.transcripts.iter().zip(&awake.transcripts).enumerate() {
        if let Some(at) = first_difference(asleep, awake) {
            let (asleep, awake) = (asleep.get(at), awake.get(at));
            return Err(format!(
                "client {client} hears {asleep:?} of an object that slept, {awake:?} of one that did not"
            ));
        }
    }
    Ok(())
}

fn first_difference(one: &[String], other: &[String]) -> Option<usize> {
    let at = one.iter().zip(other).position(|(one, other)| one != other);
    at.or((one.len() != other.len()).then(|| one.len().min(other.len())))
}

/// A line of a story begins with the room that it is about.
fn room_of(line: Option<&String>) -> Option<&str> {
    line?.split(' ').next()
}
