//! The tables of a comparison: a line for each server.

use super::cells::{Cell, Figure, duration, thousands};
use super::comparison::{Comparison, Row, Summary};
use super::statistics::Spread;
use super::table::Table;
use crate::latency::Percentiles;

/// What stands where nothing was measured.
const NOTHING: &str = "-";

const WAKE: &str =
    "The engine alone: a message after a pause, to an object that slept and to one that did not (spread)";

const CORES: &str = "The engine alone: one crowded object; ratio to one core (spread)";

/// A column: what it shows, of what.
type Column = (&'static str, fn(&Summary) -> String);

const WAKE_COLUMNS: &[Column] = &[
    ("p50 / p99 / p99.9", percentiles),
    ("p50 longer by", |summary| {
        let longer = summary.longer_ns.filter(|longer| *longer != ZERO);
        longer.map_or_else(nothing, |longer| with_spread(longer, duration))
    }),
    ("CPU per message", |summary| summary.value.map_or_else(nothing, |cpu| with_spread(cpu, duration))),
];

const CORES_COLUMNS: &[Column] = &[
    ("deliveries per CPU second of the busiest shard", |summary| {
        let ratio =
            summary.ratio.map_or_else(String::new, |ratio| format!(", {}", with_spread(ratio, times)));
        summary.value.map_or_else(nothing, |rate| format!("{}{ratio}", thousands(rate.median)))
    }),
    ("CPU per delivery, all shards", |summary| {
        let format = |cpu| Figure::Broadcast.format(cpu);
        summary.cpu_ns_per_delivery.map_or_else(nothing, |cpu| with_spread(cpu, format))
    }),
    ("deliveries per second by the clock", |summary| {
        summary.deliveries_per_second.map_or_else(nothing, |rate| with_spread(rate, thousands))
    }),
];

/// The difference to oneself.
const ZERO: Spread = Spread { median: 0.0, min: 0.0, max: 0.0 };

/// All of them that have columns.
pub fn all(comparison: &Comparison) -> Vec<Table> {
    let is_broadcast = |cell: &Cell| cell.figure == Figure::Broadcast;
    let is_other = |cell: &Cell| !is_broadcast(cell) && !cell.figure.is_of_engine_alone();
    let broadcast =
        "CPU of the server per delivery, one broadcast after the other; ratio to the floor (spread)";
    let others = "Other figures: CPU per delivery, echo or handshake, memory; ratio to the floor (spread)";
    let latency = "Latency of a delivery, one broadcast after the other: p50 / p99 / p99.9";
    let tables = [
        table(comparison, broadcast, is_broadcast, value),
        table(comparison, others, is_other, value),
        table(comparison, latency, is_broadcast, |_, summary| percentiles(summary)),
        variants(comparison, Figure::Wake, WAKE, WAKE_COLUMNS),
        variants(comparison, Figure::Cores, CORES, CORES_COLUMNS),
    ];
    tables.into_iter().flatten().collect()
}

/// The tables with what has to be said beside them.
pub fn markdown(comparison: &Comparison) -> String {
    let mut parts = vec![format!("{}\n", conditions(comparison))];
    parts.extend(all(comparison).iter().map(|table| format!("{}:\n\n{}", table.title, table.markdown())));
    parts.push(notes(comparison).iter().map(|note| format!("- {note}\n")).collect());
    parts.join("\n")
}

/// Where and how it was measured.
pub fn conditions(comparison: &Comparison) -> String {
    let Comparison { machine, rounds, server_core, generator_core, .. } = comparison;
    format!(
        "{machine}. Server on processor {server_core}, generator on {generator_core}, loopback; medians of {rounds} \
         interleaved round(s)."
    )
}

/// What has to be known of figures that need it.
const REMARKS: &[(Figure, &str)] = &[
    (
        Figure::Idle,
        "Memory: growth of the resident memory in one round, with what a server takes once in it.",
    ),
    (
        Figure::Wake,
        "After a pause: an engine whose objects sleep at once and one whose objects never do get the same messages \
         in turn; CPU per message includes the falling asleep.",
    ),
    (
        Figure::Cores,
        "One crowded object: the generator takes what the shards leave of both processors. What counts is the \
         processor time of the busiest shard, as if each had a core to itself; the clock has the generator in it.",
    ),
];

/// What is not in the tables, and why, and what has to be known of what is.
pub fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    if comparison.quick {
        notes.push("A quick comparison: it shows that everything works, not how well.".to_owned());
    }
    let is_there = |figure: Figure| comparison.cells.iter().any(|row| row.cell.figure == figure);
    notes.extend(
        REMARKS.iter().filter(|(figure, _)| is_there(*figure)).map(|(_, remark)| (*remark).to_owned()),
    );
    notes.extend(
        comparison.missing.iter().map(|server| format!("{} was skipped: no {}", server.name, server.missing)),
    );
    for (name, fault, cells) in comparison.faults() {
        let cells: Vec<_> = cells.iter().map(|cell| format!("\"{cell}\"")).collect();
        notes.push(format!("{name} failed in {}: {fault}", cells.join(", ")));
    }
    notes
}

fn table(
    comparison: &Comparison,
    title: &str,
    wanted: impl Fn(&Cell) -> bool,
    text: impl Fn(&Cell, &Summary) -> String,
) -> Option<Table> {
    let columns: Vec<&Row> = comparison.cells.iter().filter(|row| wanted(&row.cell)).collect();
    let names: Vec<_> = columns.first()?.servers.iter().map(|summary| summary.name.clone()).collect();
    let header =
        ["server".to_owned()].into_iter().chain(columns.iter().map(|row| row.cell.column())).collect();
    let line = |(at, name): (usize, String)| {
        [name].into_iter().chain(columns.iter().map(|row| text(&row.cell, &row.servers[at]))).collect()
    };
    let rows = names.into_iter().enumerate().map(line).collect();
    Some(Table { title: title.to_owned(), header, rows })
}

/// A line for each variant of the engine in each cell of `figure`.
fn variants(comparison: &Comparison, figure: Figure, title: &str, columns: &[Column]) -> Option<Table> {
    let cells = comparison.cells.iter().filter(|row| row.cell.figure == figure);
    let names = ["engine", "sockets"].into_iter().chain(columns.iter().map(|(name, _)| *name));
    let line = |cell: &Cell, summary: &Summary| {
        let sockets = thousands(f64::from(cell.sockets));
        let values = columns.iter().map(|(_, text)| text(summary));
        [summary.name.clone(), sockets].into_iter().chain(values).collect()
    };
    let rows: Vec<_> =
        cells.flat_map(|row| row.servers.iter().map(move |summary| line(&row.cell, summary))).collect();
    let header = names.map(str::to_owned).collect();
    (!rows.is_empty()).then(|| Table { title: title.to_owned(), header, rows })
}

/// "2,443 ns, 1.12 x (1.08-1.15)"
fn value(cell: &Cell, summary: &Summary) -> String {
    let Some(value) = summary.value else {
        return if summary.faults.is_empty() { NOTHING } else { "failed" }.to_owned();
    };
    let text = cell.figure.format(value.median);
    match summary.ratio {
        Some(ratio) => format!("{text}, {} ×{}", digits(ratio.median), spread(ratio, digits)),
        None => format!("{text}{}", spread(value, |end| cell.figure.format(end))),
    }
}

/// The median, and the ends if there are two.
fn with_spread(value: Spread, format: impl Fn(f64) -> String) -> String {
    format!("{}{}", format(value.median), spread(value, format))
}

/// "1.87 x"
fn times(ratio: f64) -> String {
    format!("{} ×", digits(ratio))
}

fn nothing() -> String {
    NOTHING.to_owned()
}

/// The ends, if there are two.
fn spread(spread: Spread, format: impl Fn(f64) -> String) -> String {
    if spread.min == spread.max {
        return String::new();
    }
    format!(" ({}–{})", format(spread.min), format(spread.max))
}

/// A ratio.
pub fn digits(ratio: f64) -> String {
    if ratio < 9.995 { format!("{ratio:.2}") } else { format!("{ratio:.1}") }
}

fn percentiles(summary: &Summary) -> String {
    let text = |latency: Percentiles| {
        [latency.p50, latency.p99, latency.p999].map(|percentile| duration(percentile as f64)).join(" / ")
    };
    summary.latency_ns.map_or_else(nothing, text)
}

#[cfg(test)]
mod tests {
    use super::super::comparison::tests::example;
    use super::*;

    #[test]
    fn tables_show_medians_ratios_and_spreads() {
        let text = markdown(&example());
        for part in [
            "1,000 sockets, 64 B",
            "1,850 ns, 0.93 × (0.90–0.95)",
            "| floor ",
            "2,000 ns, 1.00 × |",
            "41,000 ns, 20.5 × (20.0–21.0)",
            "925 B (900 B–950 B)",
            "failed",
            "bun was skipped: no node_modules/bun",
            "| asleep |       1 |",
            "425 us (400 us–450 us)",
            "185,000, 1.85 × (1.80 ×–1.90 ×)",
            "<slow> failed in \"idle, 1,000 sockets, 64 B\": 9 x closed <early>",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let width = |line: &str| line.matches('|').count();
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 3 * (2 + 3) + 2 * (2 + 2));
        assert_eq!(
            lines.iter().map(|line| width(line)).collect::<Vec<_>>(),
            [vec![4; 3 * 5], vec![6; 4], vec![6; 4]].concat()
        );
    }
}
