//! The result: every cell with the values of each server, their medians and spreads, and ratios to the floor.

use super::Options;
use super::cells::Cell;
use super::machine::Machine;
use super::measure::{Fault, Measured};
use super::peers::{Candidate, ENGINE, FLOOR, Missing};
use super::statistics::{Spread, median_latency};
use crate::latency::Percentiles;
use serde::Serialize;

/// The values of one cell as they come in.
#[derive(Clone, Debug)]
pub struct Samples {
    /// What is measured.
    pub cell: Cell,
    /// By server: the round, and what came of it.
    servers: Vec<Vec<(usize, Result<Measured, Fault>)>>,
}

impl Samples {
    /// None yet, of `servers` servers.
    pub fn new(cell: Cell, servers: usize) -> Self {
        Self { cell, servers: vec![Vec::new(); servers] }
    }

    /// Enters one.
    pub fn enter(&mut self, server: usize, round: usize, result: Result<Measured, Fault>) {
        self.servers[server].push((round, result));
    }

    /// Whether a server has been tried in an earlier round and has failed: it will not be tried again.
    pub fn is_hopeless(&self, server: usize) -> bool {
        let rounds = &self.servers[server];
        !rounds.is_empty() && rounds.iter().all(|(_, result)| result.is_err())
    }

    /// The value of a server in a round.
    fn value(&self, server: usize, round: usize) -> Option<f64> {
        let result = self.servers[server].iter().find(|(of, _)| *of == round)?.1.as_ref();
        Some(result.ok()?.value)
    }

    fn summary(&self, server: usize, name: &str, floor: Option<usize>) -> Summary {
        let rounds = &self.servers[server];
        let measured: Vec<_> = rounds.iter().filter_map(|(_, result)| result.as_ref().ok()).collect();
        let latencies: Vec<_> = measured.iter().filter_map(|measured| measured.latency_ns).collect();
        let ratio = |(round, result): &(usize, Result<Measured, Fault>)| {
            let floor = self.value(floor?, *round).filter(|floor| *floor > 0.0)?;
            Some(result.as_ref().ok()?.value / floor)
        };
        let has_ratio = self.cell.figure.has_ratio();
        Summary {
            name: name.to_owned(),
            value: Spread::of(measured.iter().map(|measured| measured.value)),
            ratio: Spread::of(rounds.iter().filter(|_| has_ratio).filter_map(ratio)),
            latency_ns: median_latency(&latencies),
            rounds: measured.iter().map(|measured| measured.value).collect(),
            faults: rounds
                .iter()
                .filter_map(|(_, result)| Some(result.as_ref().err()?.to_string()))
                .collect(),
            server_command: measured.first().map(|measured| measured.server_command.clone()),
            command: measured.first().map(|measured| measured.command.clone()),
        }
    }
}

/// One server in one cell.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The server.
    pub name: String,
    /// Over the rounds, in the unit of the figure.
    pub value: Option<Spread>,
    /// To the floor's value in the same round, over the rounds.
    pub ratio: Option<Spread>,
    /// Median over the rounds of each percentile.
    pub latency_ns: Option<Percentiles>,
    /// The value of each round that has one.
    pub rounds: Vec<f64>,
    /// Why the others have none.
    pub faults: Vec<String>,
    /// How the server was started (the first time).
    pub server_command: Option<String>,
    /// How it was measured (the first time).
    pub command: Option<String>,
}

/// One cell.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What is measured.
    #[serde(flatten)]
    pub cell: Cell,
    /// In the order of [`Comparison::servers`].
    pub servers: Vec<Summary>,
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Where.
    pub machine: Machine,
    /// Whether it was only to show that everything works.
    pub quick: bool,
    /// Rounds.
    pub rounds: usize,
    /// Processor of the servers.
    pub server_core: usize,
    /// Processor of the generator.
    pub generator_core: usize,
    /// What was measured.
    pub servers: Vec<Candidate>,
    /// What was not there.
    pub missing: Vec<Missing>,
    /// The values.
    pub cells: Vec<Row>,
}

impl Comparison {
    /// Of the values of `servers`.
    pub fn new(
        options: &Options,
        servers: &[Candidate],
        missing: Vec<Missing>,
        samples: Vec<Samples>,
    ) -> Self {
        let floor = servers.iter().position(|server| server.name == FLOOR);
        let row = |samples: &Samples| Row {
            cell: samples.cell,
            servers: servers
                .iter()
                .enumerate()
                .map(|(at, server)| samples.summary(at, &server.name, floor))
                .collect(),
        };
        Self {
            machine: Machine::read(),
            quick: options.quick,
            rounds: options.rounds(),
            server_core: options.server_core,
            generator_core: options.generator_core,
            servers: servers.to_vec(),
            missing,
            cells: samples.iter().map(row).collect(),
        }
    }

    /// Whether the engine did everything it was asked for; without it, whether anything was measured.
    pub fn passed(&self) -> bool {
        let summaries = || self.cells.iter().flat_map(|row| &row.servers);
        let mut engine = summaries().filter(|summary| summary.name == ENGINE).peekable();
        match engine.peek() {
            Some(_) => engine.all(|summary| summary.faults.is_empty()),
            None => summaries().any(|summary| summary.value.is_some()),
        }
    }

    /// What could not be measured: the server, why, and the cells of which that is so.
    pub fn faults(&self) -> Vec<(&str, &str, Vec<Cell>)> {
        let mut faults: Vec<(&str, &str, Vec<Cell>)> = Vec::new();
        for row in &self.cells {
            for summary in &row.servers {
                let Some(fault) = summary.faults.first() else { continue };
                let is_same =
                    |(name, why, _): &&mut (&str, &str, Vec<Cell>)| *name == summary.name && *why == fault;
                match faults.iter_mut().find(is_same) {
                    Some((_, _, cells)) => cells.push(row.cell),
                    None => faults.push((&summary.name, fault, vec![row.cell])),
                }
            }
        }
        faults
    }

    /// For programs.
    pub fn to_json(&self) -> String {
        // Plain values only: nothing that JSON cannot say.
        let mut text = serde_json::to_string_pretty(self).expect("a comparison is plain values");
        text.push('\n');
        text
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::compare::cells::Figure;

    fn measured(value: f64) -> Result<Measured, Fault> {
        let latency = |factor: f64| (value * factor) as u64;
        Ok(Measured {
            value,
            latency_ns: Some(Percentiles {
                p50: latency(50.0),
                p90: latency(90.0),
                p99: latency(99.0),
                p999: latency(120.0),
                max: latency(200.0),
            }),
            server_command: "taskset -c 0 server <&> 8787".to_owned(),
            command: "taskset -c 1 loadtest broadcast --url ws://127.0.0.1:8787/room".to_owned(),
        })
    }

    /// Two rounds of three servers in some cells; the last server fails in the last cell.
    pub fn example() -> Comparison {
        let summaries = |cell: Cell, scale: f64| {
            let mut samples = Samples::new(cell, 3);
            for (server, values) in
                [[900.0, 950.0], [1_000.0, 1_000.0], [20_000.0, 21_000.0]].iter().enumerate()
            {
                for (round, value) in values.iter().enumerate() {
                    let is_broken = server == 2 && cell.figure == Figure::Idle;
                    let fault = || Err(Fault::Failed("9 x closed <early>".to_owned()));
                    let result = if is_broken { fault() } else { measured(value * scale) };
                    samples.enter(server, round, result);
                }
            }
            let names = ["dormouse", "floor", "<slow>"];
            let servers =
                names.iter().enumerate().map(|(at, name)| samples.summary(at, name, Some(1))).collect();
            Row { cell, servers }
        };
        let cell = |figure, sockets| Cell { figure, sockets, size_bytes: 64 };
        Comparison {
            machine: Machine::read(),
            quick: false,
            rounds: 2,
            server_core: 0,
            generator_core: 1,
            servers: Vec::new(),
            missing: vec![Missing { name: "bun".to_owned(), missing: "node_modules/bun".to_owned() }],
            cells: vec![
                summaries(cell(Figure::Broadcast, 1_000), 2.0),
                summaries(cell(Figure::Broadcast, 10_000), 3.0),
                summaries(cell(Figure::Burst, 1_000), 1.0),
                summaries(cell(Figure::Idle, 1_000), 1.0),
            ],
        }
    }

    #[test]
    fn ratios_are_to_the_floor_of_the_same_round() {
        let comparison = example();
        let ratio = comparison.cells[0].servers[0].ratio.unwrap();
        assert!((ratio.median - 0.925).abs() < 1e-9 && (ratio.min, ratio.max) == (0.9, 0.95), "{ratio:?}");
        let idle = &comparison.cells[3].servers;
        assert_eq!((idle[0].ratio, idle[2].value), (None, None));
        assert_eq!(comparison.faults().len(), 1);
        assert!(comparison.passed(), "a peer that fails is no failure of the comparison");
    }

    #[test]
    fn a_server_that_has_never_done_it_is_not_tried_again() {
        let mut samples = Samples::new(Cell { figure: Figure::Echo, sockets: 1, size_bytes: 64 }, 2);
        assert!(!samples.is_hopeless(0));
        samples.enter(0, 0, Err(Fault::Failed(String::new())));
        samples.enter(1, 0, measured(1.0));
        samples.enter(1, 1, Err(Fault::Failed(String::new())));
        assert!(samples.is_hopeless(0) && !samples.is_hopeless(1));
    }
}
