//! A paper to draw on: plotters, with the little of it that these plots need. Pixels, from the upper left.

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontStyle, RGBColor, ShapeStyle, TextStyle};

/// Stands for ink until the drawing is done.
const INK: RGBColor = RGBColor(1, 2, 3);

/// The same as it stands in SVG.
const INK_TEXT: &str = "#010203";

/// Legible on white and on black; neighbours differ.
const COLOURS: [RGBColor; 9] = [
    RGBColor(46, 134, 222),
    RGBColor(20, 160, 140),
    RGBColor(150, 110, 220),
    RGBColor(196, 140, 0),
    RGBColor(214, 80, 150),
    RGBColor(110, 155, 60),
    RGBColor(125, 135, 150),
    RGBColor(175, 100, 50),
    RGBColor(0, 165, 205),
];

/// Height of text, as plotters counts it: about a quarter more than the font's size.
const TEXT: i32 = 17;

/// A colour of a server or a group.
#[derive(Clone, Copy, Debug)]
pub struct Colour(RGBColor);

impl Colour {
    /// That of the text.
    pub const INK: Self = Self(INK);
    /// Reserved for the engine.
    pub const ENGINE: Self = Self(RGBColor(226, 80, 40));

    /// One of several.
    pub fn nth(at: usize) -> Self {
        Self(COLOURS[at % COLOURS.len()])
    }
}

/// Where text is, seen from its point.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// It begins there.
    Right,
    /// It ends there.
    Left,
    /// It is above and below alike, and to both sides.
    Middle,
}

/// A paper.
pub struct Canvas<'a> {
    svg: SVGBackend<'a>,
}

impl Canvas<'_> {
    /// Draws on a paper of this size and returns the SVG, without a namespace: it is for a page.
    pub fn paint(size: (u32, u32), draw: impl FnOnce(&mut Canvas<'_>)) -> String {
        let mut text = String::new();
        let mut canvas = Canvas { svg: SVGBackend::with_string(&mut text, size) };
        draw(&mut canvas);
        // Nothing is written but a string, which does not fail; so below.
        let _ = canvas.svg.present();
        drop(canvas);
        text.replace(INK_TEXT, "currentColor").replace(" xmlns=\"http://www.w3.org/2000/svg\"", "")
    }

    /// A line of ink, `opacity` from 0 to 1.
    pub fn rule(&mut self, from: (i32, i32), to: (i32, i32), opacity: f64) {
        let _ = self.svg.draw_line(from, to, &INK.mix(opacity));
    }

    /// A line through `points`.
    pub fn path(&mut self, points: &[(i32, i32)], colour: Colour, width: u32) {
        let style = ShapeStyle::from(&colour.0).stroke_width(width);
        let _ = self.svg.draw_path(points.iter().copied(), &style);
    }

    /// A point.
    pub fn dot(&mut self, centre: (i32, i32), colour: Colour) {
        let _ = self.svg.draw_circle(centre, 4, &colour.0, true);
    }

    /// Text in ink.
    pub fn text(&mut self, text: &str, point: (i32, i32), side: Side) {
        self.write(text, point, side, FontStyle::Normal);
    }

    /// Text that is seen first.
    pub fn strong(&mut self, text: &str, point: (i32, i32), side: Side) {
        self.write(text, point, side, FontStyle::Bold);
    }

    fn write(&mut self, text: &str, point: (i32, i32), side: Side, style: FontStyle) {
        let horizontal = match side {
            Side::Right => HPos::Left,
            Side::Left => HPos::Right,
            Side::Middle => HPos::Center,
        };
        let style = TextStyle::from(("sans-serif", TEXT, style));
        let style = style.color(&INK).pos(Pos::new(horizontal, VPos::Center));
        let _ = self.svg.draw_text(text, &style, point);
    }
}
