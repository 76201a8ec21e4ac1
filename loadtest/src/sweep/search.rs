//! Which rate to try next. Pure: it knows nothing of how a rate is tried.
//!
//! ```text
//!   from  x2  x2  x2            held, held, held, not held
//!    |----|---|---|-------|
//!                     |--||     then the geometric mean of the last two, until they are close
//! ```

/// Rates grow up to this if there is no `--to`.
const RATE_MAX: f64 = 10_000_000.0;

/// The search is over when the rate that does not hold is at most this times the one that does.
const PRECISION: f64 = 1.02;

/// A search under way.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    from: f64,
    to: f64,
    /// The largest rate that has held.
    held: Option<f64>,
    /// The smallest rate that has not.
    missed: Option<f64>,
}

impl Search {
    /// Between `from` and `to`, in rounds per second.
    pub fn new(from: f64, to: Option<f64>) -> Self {
        Self { from, to: to.unwrap_or(RATE_MAX), held: None, missed: None }
    }

    /// The rate to try, `None` when the answer is known.
    pub fn next(&self) -> Option<f64> {
        match (self.held, self.missed) {
            (None, None) => Some(self.from),
            (None, Some(_)) => None,
            (Some(held), None) => (held < self.to).then(|| (held * 2.0).min(self.to)),
            (Some(held), Some(missed)) => (missed > held * PRECISION).then(|| (held * missed).sqrt()),
        }
    }

    /// Enters whether `rate`, which was [`Self::next`], has held.
    pub fn enter(&mut self, rate: f64, has_held: bool) {
        if has_held {
            self.held = Some(rate);
        } else {
            self.missed = Some(rate);
        }
        debug_assert!(self.held.zip(self.missed).is_none_or(|(held, missed)| held < missed));
    }

    /// The largest rate that has held.
    pub fn held(&self) -> Option<f64> {
        self.held
    }

    /// The smallest rate that has not held; `None` if the range ended before the server's capacity.
    pub fn missed(&self) -> Option<f64> {
        self.missed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches with a server that holds up to `capacity`; returns the search and how often it was tried.
    fn search(from: f64, to: Option<f64>, capacity: f64) -> (Search, u32) {
        let mut search = Search::new(from, to);
        let mut tries = 0;
        while let Some(rate) = search.next() {
            search.enter(rate, rate <= capacity);
            tries += 1;
        }
        (search, tries)
    }

    #[test]
    fn the_capacity_is_found_within_the_precision() {
        for capacity in [10.0, 11.0, 123.0, 4_567.8, 1e6] {
            let (search, tries) = search(10.0, None, capacity);
            let (held, missed) = (search.held().unwrap(), search.missed().unwrap());
            assert!(held <= capacity && capacity < missed && missed <= held * PRECISION, "{search:?}");
            assert!(tries < 30, "{tries}");
        }
    }

    #[test]
    fn the_range_is_not_left() {
        let (found, _) = search(10.0, Some(100.0), 1e9);
        assert_eq!((found.held(), found.missed()), (Some(100.0), None));
        let (found, tries) = search(10.0, Some(100.0), 5.0);
        assert_eq!((found.held(), tries), (None, 1));
    }
}
