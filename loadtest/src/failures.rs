//! Counts of connections that did not work out, by reason.

use crate::client::ClientError;
use crate::script::Ending;
use std::collections::BTreeMap;

/// Different reasons kept apart; beyond it they count as [`OTHER`].
const REASONS_MAX: usize = 32;

/// The reason of whatever comes after [`REASONS_MAX`].
const OTHER: &str = "other";

/// Refusals are kept apart from failures: to refuse is a server's right, and may even be what is tested.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    /// Handshakes answered with another status than 101, by status.
    pub refused: BTreeMap<u16, u64>,
    /// Connections that failed or ended although they should not, by reason.
    pub failed: BTreeMap<String, u64>,
}

impl Failures {
    /// Counts one connection.
    pub fn count(&mut self, ending: &Ending) {
        match ending {
            Ending::Protocol(ClientError::Refused(status)) => *self.refused.entry(*status).or_default() += 1,
            other => self.count_failed(&other.to_string(), 1),
        }
    }

    /// Counts failures with a reason in words.
    pub fn count_failed(&mut self, reason: &str, count: u64) {
        if count == 0 {
            return;
        }
        let full = self.failed.len() >= REASONS_MAX && !self.failed.contains_key(reason);
        let reason = if full { OTHER } else { reason };
        *self.failed.entry(reason.to_owned()).or_default() += count;
    }

    /// Adds another thread's counts.
    pub fn add(&mut self, other: &Self) {
        for (status, count) in &other.refused {
            *self.refused.entry(*status).or_default() += count;
        }
        for (reason, count) in &other.failed {
            self.count_failed(reason, *count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_no_failures() {
        let mut failures = Failures::default();
        failures.count(&Ending::Protocol(ClientError::Refused(503)));
        failures.count(&Ending::Vanished);
        let mut sum = failures.clone();
        sum.add(&failures);
        assert_eq!(sum.refused, BTreeMap::from([(503, 2)]));
        assert_eq!(sum.failed.values().sum::<u64>(), 2);
    }

    #[test]
    fn reasons_do_not_pile_up() {
        let mut failures = Failures::default();
        for reason in 0..100 {
            failures.count_failed(&reason.to_string(), 1);
        }
        assert_eq!(failures.failed.len(), REASONS_MAX + 1);
        assert_eq!(failures.failed.values().sum::<u64>(), 100);
    }
}
