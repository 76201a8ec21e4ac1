//! A point in time that a connection keeps, in 4 bytes: whole units of 64 ms since the driver's clock began, which is
//! the wheel's own grain. Owns the rounding: a deadline is never early.

/// Milliseconds of one unit; also the width of a bucket of the wheel.
pub(crate) const UNIT_MS: u64 = 64;

/// A point in time within 8 years of the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u32);

impl Moment {
    /// Later than all others: no deadline.
    pub(crate) const NEVER: Moment = Moment(u32::MAX);

    /// The first moment that is not before `ms`.
    pub(crate) fn not_before(ms: u64) -> Moment {
        Moment(u32::try_from(ms.div_ceil(UNIT_MS)).unwrap_or(u32::MAX))
    }

    /// In milliseconds of the driver's clock; `u64::MAX` for never.
    pub(crate) fn ms(self) -> u64 {
        if self == Moment::NEVER { u64::MAX } else { u64::from(self.0) * UNIT_MS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_at_most_a_unit_late_and_never_early() {
        for ms in [0, 1, 63, 64, 65, 10_000, 604_800_000] {
            let kept = Moment::not_before(ms).ms();
            assert!(kept >= ms && kept < ms + UNIT_MS, "{ms} became {kept}");
        }
        assert_eq!(Moment::not_before(u64::MAX), Moment::NEVER);
        assert_eq!(Moment::NEVER.ms(), u64::MAX);
    }
}
