//! Objects that failed and of which nothing else is left. Owns the memory of their failures, so that the back-off of an
//! object that can never be made holds though it is made anew for each request; and its bound.

use std::collections::BTreeMap;

use super::id::IdBytes;

/// Objects remembered. Beyond it the one goes whose back-off ends first: it loses least.
const OBJECTS_MAX: usize = 1_024;

/// For how long an object is remembered that nobody asks for any more, behind the end of its back-off.
const REMEMBERED_MS: u64 = 60_000;

/// How an object has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failures {
    /// In a row.
    pub(crate) count: u32,
    /// When the next instance may be made.
    pub(crate) retry_ms: u64,
}

/// Class and id of an object.
type Name = (u16, IdBytes);

/// The objects of a shard that failed and are gone.
#[derive(Debug, Default)]
pub(crate) struct Failing {
    // In an order of its own, so that what is forgotten is the same in each run.
    objects: BTreeMap<Name, Failures>,
}

impl Failing {
    pub(crate) fn remember(&mut self, name: Name, failures: Failures, now_ms: u64) {
        if self.objects.len() >= OBJECTS_MAX {
            self.objects.retain(|_, failures| now_ms < failures.retry_ms.saturating_add(REMEMBERED_MS));
        }
        if self.objects.len() >= OBJECTS_MAX
            && let Some((first, _)) = self.objects.iter().min_by_key(|(_, failures)| failures.retry_ms)
        {
            let first = *first;
            self.objects.remove(&first);
        }
        self.objects.insert(name, failures);
        debug_assert!(self.objects.len() <= OBJECTS_MAX);
    }

    /// What is known of an object that comes to life again.
    pub(crate) fn take(&mut self, name: &Name, now_ms: u64) -> Option<Failures> {
        let failures = self.objects.remove(name)?;
        Some(failures).filter(|failures| now_ms < failures.retry_ms.saturating_add(REMEMBERED_MS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: usize) -> Name {
        let mut id = IdBytes::default();
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        (0, id)
    }

    fn until(retry_ms: u64) -> Failures {
        Failures { count: 2, retry_ms }
    }

    #[test]
    fn an_object_is_remembered_once_and_for_a_minute() {
        let mut failing = Failing::default();
        failing.remember(name(1), until(100), 0);
        assert_eq!(failing.take(&name(2), 0), None);
        assert_eq!(failing.take(&name(1), 0), Some(until(100)));
        assert_eq!(failing.take(&name(1), 0), None);
        failing.remember(name(1), until(100), 0);
        assert_eq!(failing.take(&name(1), 60_100), None);
    }

    #[test]
    fn so_many_are_remembered_and_no_more() {
        let mut failing = Failing::default();
        for number in 0..OBJECTS_MAX + 10 {
            failing.remember(name(number), until(1_000 + number as u64), 0);
        }
        assert_eq!(failing.objects.len(), OBJECTS_MAX);
        assert_eq!(failing.take(&name(9), 0), None, "its back-off ends first");
        assert!(failing.take(&name(10), 0).is_some());
        // Those that nobody asks for go before one that is waited for.
        failing.remember(name(10), until(1_010), 0);
        failing.remember(name(0), until(200_000), 100_000);
        assert_eq!(failing.objects.len(), 1);
    }
}
