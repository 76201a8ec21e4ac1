//! The plots of a comparison, as SVG. Ink is `currentColor`, so that a page may be light or dark.

mod axis;
mod canvas;
mod dots;
mod lines;

use super::cells::{Cell, Figure, duration, thousands};
use super::comparison::{Comparison, Row, Summary};
use super::peers::{ENGINE, FLOOR};
use super::statistics::Spread;
use super::tables::digits;
use canvas::Colour;
use dots::{Dots, Mark};
use lines::{Line, Lines};

/// What a plot of its own needs beyond the inline one: a paper, and ink that can be read on it.
const PAPER: &str = "<style>svg{color:#1f2328;background:#fff}@media(prefers-color-scheme:dark)\
    {svg{color:#e6edf3;background:#0d1117}}</style>";

/// How a standalone SVG begins.
const NAMESPACE: &str = " xmlns=\"http://www.w3.org/2000/svg\"";

/// One picture.
#[derive(Clone, Debug)]
pub struct Plot {
    /// File name without its extension.
    pub name: &'static str,
    /// What it shows.
    pub title: String,
    /// For a page that has ink and paper already.
    pub inline: String,
}

impl Plot {
    /// For a file.
    pub fn standalone(&self) -> String {
        let begin = self.inline.find("<svg").map_or(0, |at| at + "<svg".len());
        let rest = &self.inline[begin..];
        let (attributes, content) = rest.split_at(rest.find('>').map_or(0, |at| at + 1));
        format!("<svg{NAMESPACE}{attributes}{PAPER}{content}")
    }
}

/// All that there is something for.
pub fn draw(comparison: &Comparison) -> Vec<Plot> {
    let mut plots = Vec::new();
    let broadcasts: Vec<&Row> = of(comparison, |cell| cell.figure == Figure::Broadcast);
    let sizes = sizes(&broadcasts);
    for (at, size) in sizes.iter().enumerate() {
        let rows: Vec<_> = broadcasts.iter().copied().filter(|row| row.cell.size_bytes == *size).collect();
        // Names of files are constants; more sizes than these have their numbers in the table.
        let Some((cpu, latency)) =
            [("cpu", "latency"), ("cpu-2", "latency-2"), ("cpu-3", "latency-3")].get(at)
        else {
            break;
        };
        let title = format!("CPU of the server per delivery, {size} B");
        plots.push(plot(cpu, title, |title| cpu_against_sockets(&rows, title)));
        let Some(row) = rows.first() else { continue };
        let title = format!("Latency of a delivery: {}", row.cell.column());
        plots.push(plot(latency, title, |title| latencies(row, title)));
    }
    let ratios = |rows: &[&Row], title: &str| dots(rows, title, ratio, digits, Some(1.0));
    let title = "Broadcast: ratio to the floor of the same round".to_owned();
    plots.push(plot("ratios", title, |title| ratios(&broadcasts, title)));
    let others =
        of(comparison, |cell| matches!(cell.figure, Figure::Burst | Figure::Echo | Figure::Handshake));
    let title = "Burst, echo, handshake: ratio to the floor of the same round".to_owned();
    plots.push(plot("other-ratios", title, |title| ratios(&others, title)));
    let idle = of(comparison, |cell| cell.figure == Figure::Idle);
    let title = "Memory per idle connection".to_owned();
    let bytes = |value| Figure::Idle.format(value);
    plots.push(plot("memory", title, |title| dots(&idle, title, |summary| summary.value, bytes, None)));
    if let Some(row) = of(comparison, |cell| cell.figure == Figure::Wake).first() {
        let title = format!("Latency of a message after a pause: {}", row.cell.column());
        plots.push(plot("wake", title, |title| latencies(row, title)));
    }
    let cores = of(comparison, |cell| cell.figure == Figure::Cores);
    let title = "One crowded object: what the busiest core delivers, as a ratio to one core".to_owned();
    plots.push(plot("cores", title, |title| ratios(&cores, title)));
    plots.into_iter().flatten().collect()
}

fn plot(name: &'static str, title: String, draw: impl FnOnce(&str) -> Option<String>) -> Option<Plot> {
    let inline = draw(&title)?;
    Some(Plot { name, title, inline })
}

fn of(comparison: &Comparison, wanted: impl Fn(&Cell) -> bool) -> Vec<&Row> {
    comparison.cells.iter().filter(|row| wanted(&row.cell)).collect()
}

fn sizes(rows: &[&Row]) -> Vec<u32> {
    let mut sizes: Vec<_> = rows.iter().map(|row| row.cell.size_bytes).collect();
    sizes.dedup();
    sizes
}

/// The colour of a server, the same in all plots.
fn colour(at: usize, name: &str) -> Colour {
    match name {
        ENGINE => Colour::ENGINE,
        FLOOR => Colour::INK,
        _ => Colour::nth(at),
    }
}

fn ratio(summary: &Summary) -> Option<Spread> {
    summary.ratio
}

fn cpu_against_sockets(rows: &[&Row], title: &str) -> Option<String> {
    let ticks = rows.iter().map(|row| thousands(f64::from(row.cell.sockets))).collect();
    let value = |row: &&Row, at: usize| row.servers[at].value;
    let lines = lines(rows.first()?, |at| rows.iter().map(|row| value(row, at)).collect());
    let format = |value| Figure::Broadcast.format(value);
    Lines { title, across: "sockets in the room", ticks, lines, format: &format }.draw()
}

fn latencies(row: &Row, title: &str) -> Option<String> {
    let ticks = ["p50", "p90", "p99", "p99.9", "max"].map(str::to_owned).to_vec();
    let lines = lines(row, |at| match row.servers[at].latency_ns {
        None => vec![None; 5],
        Some(latency) => [latency.p50, latency.p90, latency.p99, latency.p999, latency.max]
            .map(|value| Spread::of([value as f64]))
            .to_vec(),
    });
    Lines { title, across: "percentile", ticks, lines, format: &duration }.draw()
}

/// A line for each server of `row`.
fn lines(row: &Row, points: impl Fn(usize) -> Vec<Option<Spread>>) -> Vec<Line> {
    let line = |(at, summary): (usize, &Summary)| Line {
        name: summary.name.clone(),
        colour: colour(at, &summary.name),
        is_strong: summary.name == ENGINE,
        points: points(at),
    };
    row.servers.iter().enumerate().map(line).collect()
}

fn dots(
    rows: &[&Row],
    title: &str,
    value: impl Fn(&Summary) -> Option<Spread>,
    format: impl Fn(f64) -> String,
    reference: Option<f64>,
) -> Option<String> {
    let names: Vec<_> = rows.first()?.servers.iter().map(|summary| summary.name.clone()).collect();
    let strong = names.iter().position(|name| name == ENGINE);
    let groups = rows.iter().map(|row| row.cell.column()).collect();
    let mut marks = Vec::new();
    for (group, row) in rows.iter().enumerate() {
        for (line, summary) in row.servers.iter().enumerate() {
            marks.extend(value(summary).map(|spread| Mark { line, group, spread }));
        }
    }
    Dots { title, names, strong, groups, marks, format: &format, reference }.draw()
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::example;
    use super::*;

    #[test]
    fn plots_name_servers_and_need_no_other_file() {
        let plots = draw(&example());
        let names: Vec<_> = plots.iter().map(|plot| plot.name).collect();
        assert_eq!(names, ["cpu", "latency", "ratios", "other-ratios", "memory", "wake", "cores"]);
        for (at, plot) in plots.iter().enumerate() {
            let last = ["&lt;slow&gt;", "asleep", "2 cores"][at.saturating_sub(4)];
            assert!(plot.inline.starts_with("<svg ") && plot.inline.contains(last), "{}", plot.inline);
            assert!(plot.inline.contains("currentColor"));
            assert!(!plot.inline.contains("http"), "{}", plot.inline);
            assert!(!plot.inline.contains("NaN") && !plot.inline.contains("inf"));
            assert_eq!(plot.standalone().matches("http").count(), 1, "only the namespace");
        }
    }

    #[test]
    fn nothing_measured_is_no_plot() {
        let mut comparison = example();
        comparison.cells.clear();
        assert!(draw(&comparison).is_empty());
    }
}
