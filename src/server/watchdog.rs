//! Finds handlers that never yield. Owns a thread that looks at what each shard runs and says so, once, when it is
//! the same for too long; it cannot stop it, for nothing can stop a thread from outside. While no shard runs anything
//! it sleeps, so that an idle engine stays idle.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::object::{Watch, WorldPlan};

/// Between two looks. What runs at two looks in a row has held up its shard for at least that long.
const INTERVAL: Duration = Duration::from_secs(1);

/// Longest time without a look.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Watches the shards of `plan` until the process ends.
pub(super) fn start(plan: &WorldPlan) -> std::io::Result<()> {
    let watches: Vec<Arc<Watch>> = plan.watches().to_vec();
    let bindings: Vec<String> = plan.bindings().map(String::from).collect();
    let thread = thread::Builder::new().name("watchdog".into()).spawn({
        let watches = watches.clone();
        move || watch(&watches, &bindings)
    })?;
    for watch in &watches {
        let thread = thread.thread().clone();
        watch.set_call(Arc::new(move || thread.unpark()));
    }
    Ok(())
}

/// What one shard did at the last look.
#[derive(Clone, Default)]
struct Seen {
    polls: u64,
    told: bool,
}

fn watch(watches: &[Arc<Watch>], bindings: &[String]) {
    let mut seen = vec![Seen::default(); watches.len()];
    loop {
        let mut is_quiet = true;
        for (shard, (watch, seen)) in watches.iter().zip(&mut seen).enumerate() {
            let (polls, polled) = watch.look();
            let is_same = polls == seen.polls;
            is_quiet &= is_same && polled.is_none();
            if let Some(polled) = polled
                && is_same
                && !seen.told
            {
                seen.told = true;
                watch.stuck_handlers.add(1);
                let binding = polled.class.and_then(|class| bindings.get(usize::from(class)));
                let namespace = binding.map_or("worker", String::as_str);
                tracing::error!(
                    shard,
                    namespace,
                    object = polled.id,
                    "a handler holds up its shard: it does not yield"
                );
            }
            if !is_same {
                *seen = Seen { polls, told: false };
            }
        }
        if is_quiet {
            watches.iter().for_each(|watch| watch.fall_asleep());
            // What begins at this very moment may not have seen us fall asleep: a look a minute finds it.
            thread::park_timeout(LONGEST_SLEEP);
        }
        thread::sleep(INTERVAL);
    }
}
