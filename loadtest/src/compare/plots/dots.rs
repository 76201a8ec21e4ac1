//! A row for each server, a dot for each group with whiskers from the smallest to the largest value.

use super::axis::Axis;
use super::canvas::{Canvas, Colour, Side};
use crate::compare::statistics::Spread;

const WIDTH: u32 = 800;
const LEFT: i32 = 190;
const RIGHT: i32 = 755;
const TOP: i32 = 50;

/// Distance of ticks.
const TICK_WIDTH: u32 = 72;

/// Height of a row besides its groups.
const ROW_HEIGHT: i32 = 14;

/// Height of a group in a row.
const GROUP_HEIGHT: i32 = 9;

/// Height of a line of the legend.
const LEGEND_HEIGHT: i32 = 18;

/// A value.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The server.
    pub line: usize,
    /// The group.
    pub group: usize,
    /// The value.
    pub spread: Spread,
}

/// The plot.
pub struct Dots<'a> {
    /// What stands over it.
    pub title: &'a str,
    /// The servers.
    pub names: Vec<String>,
    /// The one that is to be seen first.
    pub strong: Option<usize>,
    /// The groups; their names are shown if there are several.
    pub groups: Vec<String>,
    /// The values.
    pub marks: Vec<Mark>,
    /// How values are written.
    pub format: &'a dyn Fn(f64) -> String,
    /// A value to set the others against.
    pub reference: Option<f64>,
}

impl Dots<'_> {
    /// As SVG; `None` if there is no value.
    pub fn draw(&self) -> Option<String> {
        let values = self.marks.iter().flat_map(|mark| [mark.spread.min, mark.spread.max]);
        let axis = Axis::over(values.chain(self.reference.filter(|_| !self.marks.is_empty())), LEFT, RIGHT)?;
        let legend = if self.groups.len() > 1 { self.groups.len() as i32 * LEGEND_HEIGHT } else { 0 };
        let height = (self.bottom() + 40 + legend) as u32;
        Some(Canvas::paint((WIDTH, height), |canvas| {
            canvas.strong(self.title, (20, TOP / 2), Side::Right);
            self.draw_frame(canvas, &axis);
            for mark in &self.marks {
                self.draw_mark(canvas, &axis, mark);
            }
            if legend > 0 {
                self.draw_legend(canvas);
            }
        }))
    }

    fn row(&self) -> i32 {
        ROW_HEIGHT + GROUP_HEIGHT * self.groups.len() as i32
    }

    fn bottom(&self) -> i32 {
        TOP + self.row() * self.names.len() as i32
    }

    fn draw_frame(&self, canvas: &mut Canvas<'_>, axis: &Axis) {
        let bottom = self.bottom();
        for tick in axis.ticks(TICK_WIDTH) {
            let x = axis.pixel(tick);
            canvas.rule((x, TOP), (x, bottom), 0.15);
            canvas.text(&(self.format)(tick), (x, bottom + 16), Side::Middle);
        }
        if let Some(reference) = self.reference {
            let x = axis.pixel(reference);
            canvas.rule((x, TOP), (x, bottom), 0.7);
        }
        for (line, name) in self.names.iter().enumerate() {
            let top = TOP + self.row() * line as i32;
            canvas.rule((20, top), (RIGHT, top), 0.15);
            let write = if self.strong == Some(line) { Canvas::strong } else { Canvas::text };
            write(canvas, name, (LEFT - 10, top + self.row() / 2), Side::Left);
        }
        canvas.rule((20, bottom), (RIGHT, bottom), 0.6);
    }

    fn draw_mark(&self, canvas: &mut Canvas<'_>, axis: &Axis, mark: &Mark) {
        let Spread { median, min, max } = mark.spread;
        let inside = ROW_HEIGHT / 2 + GROUP_HEIGHT / 2 + GROUP_HEIGHT * mark.group as i32;
        let y = TOP + self.row() * mark.line as i32 + inside;
        canvas.path(&[(axis.pixel(min), y), (axis.pixel(max), y)], Colour::nth(mark.group), 2);
        canvas.dot((axis.pixel(median), y), Colour::nth(mark.group));
    }

    fn draw_legend(&self, canvas: &mut Canvas<'_>) {
        for (group, name) in self.groups.iter().enumerate() {
            let y = self.bottom() + 40 + LEGEND_HEIGHT * group as i32;
            canvas.dot((LEFT, y), Colour::nth(group));
            canvas.text(name, (LEFT + 12, y), Side::Right);
        }
    }
}
