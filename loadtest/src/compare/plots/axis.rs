//! A logarithmic axis: from values to pixels, and where its ticks are.

/// Empty room beyond the values, as a factor.
const MARGIN: f64 = 1.12;

/// Steps within a decade, those first that are there even if the axis has many decades.
const STEPS: [f64; 9] = [1.0, 2.0, 5.0, 3.0, 1.5, 7.0, 4.0, 6.0, 8.0];

/// From a value to a place between two pixels.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    first: i32,
    last: i32,
}

impl Axis {
    /// Over `values`, between the pixels `first` and `last`. `None` if there is no value above 0.
    pub fn over(values: impl Iterator<Item = f64>, first: i32, last: i32) -> Option<Self> {
        let values = values.filter(|value| *value > 0.0 && value.is_finite());
        let (low, high) =
            values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        (high > 0.0).then_some(Self { low: low / MARGIN, high: high * MARGIN, first, last })
    }

    /// The pixel of `value`; what is below the axis is at its end.
    pub fn pixel(&self, value: f64) -> i32 {
        let share = (value.max(self.low) / self.low).ln() / (self.high / self.low).ln();
        self.first + (share.min(1.0) * f64::from(self.last - self.first)).round() as i32
    }

    /// Round values on the axis, at least `apart` pixels from each other.
    pub fn ticks(&self, apart: u32) -> Vec<f64> {
        let mut ticks: Vec<f64> = Vec::new();
        let decades = self.low.log10().floor() as i32..=self.high.log10().ceil() as i32;
        let steps = STEPS.into_iter().flat_map(|step| decades.clone().map(move |decade| (step, decade)));
        for tick in steps.map(|(step, decade)| step * 10.0_f64.powi(decade)) {
            let distance = |other: &f64| self.pixel(*other).abs_diff(self.pixel(tick));
            if self.holds(tick) && ticks.iter().all(|other| distance(other) >= apart) {
                ticks.push(tick);
            }
        }
        ticks.sort_by(f64::total_cmp);
        ticks
    }

    fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_inside_and_ticks_are_round() {
        let axis = Axis::over([2_000.0, 30_000.0].into_iter(), 400, 40).unwrap();
        assert!(axis.pixel(2_000.0) < 400 && axis.pixel(30_000.0) > 40);
        assert_eq!((axis.pixel(0.0), axis.pixel(1e9)), (400, 40));
        assert_eq!(axis.ticks(60), [2_000.0, 5_000.0, 10_000.0, 20_000.0]);
        assert_eq!(axis.ticks(48), [2_000.0, 3_000.0, 5_000.0, 10_000.0, 20_000.0, 30_000.0]);
    }

    #[test]
    fn many_decades_and_none() {
        let axis = Axis::over([1.0, 1e6].into_iter(), 0, 100).unwrap();
        assert_eq!(axis.ticks(10), [1.0, 10.0, 100.0, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!(axis.ticks(20), [1.0, 100.0, 1e4, 1e6]);
        assert!(Axis::over([0.0, -1.0].into_iter(), 0, 1).is_none());
        let narrow = Axis::over([1.0].into_iter(), 0, 1).unwrap();
        assert!(narrow.ticks(60).contains(&1.0));
    }
}
