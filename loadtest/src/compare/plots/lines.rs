//! A line for each server over a few places, with whiskers from the smallest to the largest value; names stand
//! at the right end, in the order of the lines there.

use super::axis::Axis;
use super::canvas::{Canvas, Colour, Side};
use crate::compare::statistics::Spread;

const SIZE: (u32, u32) = (800, 440);
const LEFT: i32 = 90;
const RIGHT: i32 = 620;
const TOP: i32 = 50;
const BOTTOM: i32 = 380;

/// Distance of ticks.
const TICK_HEIGHT: u32 = 40;

/// Distance of names.
const NAME_HEIGHT: i32 = 17;

/// A server.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its name.
    pub name: String,
    /// Its colour.
    pub colour: Colour,
    /// Whether it is to be seen first.
    pub is_strong: bool,
    /// A value for each place, or none.
    pub points: Vec<Option<Spread>>,
}

/// The plot.
pub struct Lines<'a> {
    /// What stands over it.
    pub title: &'a str,
    /// What the places are.
    pub across: &'a str,
    /// What each place is.
    pub ticks: Vec<String>,
    /// The servers.
    pub lines: Vec<Line>,
    /// How values are written.
    pub format: &'a dyn Fn(f64) -> String,
}

impl Lines<'_> {
    /// As SVG; `None` if there is no value.
    pub fn draw(&self) -> Option<String> {
        let spreads = self.lines.iter().flat_map(|line| line.points.iter().flatten());
        let axis = Axis::over(spreads.flat_map(|spread| [spread.min, spread.max]), BOTTOM, TOP)?;
        Some(Canvas::paint(SIZE, |canvas| {
            canvas.strong(self.title, (LEFT, TOP / 2), Side::Right);
            self.draw_frame(canvas, &axis);
            // The strong ones last, on top of the others.
            for is_strong in [false, true] {
                let lines = self.lines.iter().filter(|line| line.is_strong == is_strong);
                lines.for_each(|line| self.draw_line(canvas, &axis, line));
            }
            self.draw_names(canvas, &axis);
        }))
    }

    /// The middle of place `at`.
    fn across(&self, at: usize) -> i32 {
        let width = (RIGHT - LEFT) / self.ticks.len().max(1) as i32;
        LEFT + width / 2 + at as i32 * width
    }

    fn draw_frame(&self, canvas: &mut Canvas<'_>, axis: &Axis) {
        for tick in axis.ticks(TICK_HEIGHT) {
            let y = axis.pixel(tick);
            canvas.rule((LEFT, y), (RIGHT, y), 0.15);
            canvas.text(&(self.format)(tick), (LEFT - 8, y), Side::Left);
        }
        canvas.rule((LEFT, BOTTOM), (RIGHT, BOTTOM), 0.6);
        for (at, tick) in self.ticks.iter().enumerate() {
            canvas.text(tick, (self.across(at), BOTTOM + 16), Side::Middle);
        }
        canvas.text(self.across, (LEFT.midpoint(RIGHT), BOTTOM + 40), Side::Middle);
    }

    fn draw_line(&self, canvas: &mut Canvas<'_>, axis: &Axis, line: &Line) {
        let mut path = Vec::new();
        for (at, spread) in line.points.iter().enumerate() {
            let Some(Spread { median, min, max }) = *spread else { continue };
            let x = self.across(at);
            canvas.path(&[(x, axis.pixel(min)), (x, axis.pixel(max))], line.colour, 1);
            canvas.dot((x, axis.pixel(median)), line.colour);
            path.push((x, axis.pixel(median)));
        }
        canvas.path(&path, line.colour, if line.is_strong { 4 } else { 2 });
    }

    /// Names beside the ends of the lines, moved apart where they would overlap.
    fn draw_names(&self, canvas: &mut Canvas<'_>, axis: &Axis) {
        let end = |line: &&Line| line.points.iter().flatten().last().map(|spread| axis.pixel(spread.median));
        let mut ends: Vec<_> = self.lines.iter().filter_map(|line| Some((end(&line)?, line))).collect();
        ends.sort_by_key(|(y, _)| *y);
        let heights = apart(&ends.iter().map(|(y, _)| *y).collect::<Vec<_>>());
        for ((y, line), height) in ends.into_iter().zip(heights) {
            let last = line.points.iter().rposition(Option::is_some).unwrap_or(0);
            canvas.path(
                &[(self.across(last) + 6, y), (RIGHT + 4, height), (RIGHT + 18, height)],
                line.colour,
                1,
            );
            let write = if line.is_strong { Canvas::strong } else { Canvas::text };
            write(canvas, &line.name, (RIGHT + 23, height), Side::Right);
        }
    }
}

/// Moves ascending heights apart, and back up as far as they would leave the plot.
fn apart(heights: &[i32]) -> Vec<i32> {
    let mut moved = heights.to_vec();
    for at in 1..moved.len() {
        moved[at] = moved[at].max(moved[at - 1] + NAME_HEIGHT);
    }
    let mut limit = BOTTOM;
    for height in moved.iter_mut().rev() {
        *height = (*height).min(limit);
        limit = *height - NAME_HEIGHT;
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_do_not_overlap() {
        assert_eq!(apart(&[50, 52, 200]), [50, 67, 200]);
        assert_eq!(apart(&[BOTTOM - 1, BOTTOM]), [BOTTOM - NAME_HEIGHT, BOTTOM]);
        assert_eq!(apart(&[]), [0; 0]);
    }
}
