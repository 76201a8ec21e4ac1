//! The result: every cell with the values of each server, their medians and spreads, and ratios to the floor.

use super::Options;
use super::cells::{Cell, Figure};
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
    /// Of whom.
    contestants: Vec<Candidate>,
    /// Of each: the rounds, and what came of them.
    results: Vec<Vec<(usize, Result<Measured, Fault>)>>,
}

impl Samples {
    /// None yet; `None` if there is nobody to measure.
    pub fn new(cell: Cell, contestants: Vec<Candidate>) -> Option<Self> {
        let results = vec![Vec::new(); contestants.len()];
        (!contestants.is_empty()).then_some(Self { cell, contestants, results })
    }

    /// Who is measured.
    pub fn contestants(&self) -> &[Candidate] {
        &self.contestants
    }

    /// Enters one.
    pub fn enter(&mut self, at: usize, round: usize, result: Result<Measured, Fault>) {
        self.results[at].push((round, result));
    }

    /// Whether one has been tried in an earlier round and has failed: it will not be tried again.
    pub fn is_hopeless(&self, at: usize) -> bool {
        let rounds = &self.results[at];
        !rounds.is_empty() && rounds.iter().all(|(_, result)| result.is_err())
    }

    /// What came of a round.
    fn measured(&self, at: usize, round: usize) -> Option<&Measured> {
        self.results[at].iter().find(|(of, _)| *of == round)?.1.as_ref().ok()
    }

    /// Whom the others are set against: the floor, or the first variant of the engine.
    fn reference(&self) -> Option<usize> {
        if self.cell.figure.is_of_engine_alone() {
            return Some(0);
        }
        self.contestants.iter().position(|candidate| candidate.name == FLOOR)
    }

    fn row(&self) -> Row {
        let servers = (0..self.contestants.len()).map(|at| self.summary(at)).collect();
        Row { cell: self.cell, servers }
    }

    fn summary(&self, at: usize) -> Summary {
        let Candidate { name, about, .. } = &self.contestants[at];
        let rounds = &self.results[at];
        let measured: Vec<_> = rounds.iter().filter_map(|(_, result)| result.as_ref().ok()).collect();
        let latencies: Vec<_> = measured.iter().filter_map(|measured| measured.latency_ns).collect();
        let pairs = || {
            rounds.iter().filter_map(|(round, result)| {
                Some((result.as_ref().ok()?, self.measured(self.reference()?, *round)?))
            })
        };
        let ratio = |(own, reference): (&Measured, &Measured)| {
            (reference.value > 0.0).then(|| own.value / reference.value)
        };
        let longer = |(own, reference): (&Measured, &Measured)| {
            Some(own.latency_ns?.p50 as f64 - reference.latency_ns?.p50 as f64)
        };
        let Cell { figure, .. } = self.cell;
        Summary {
            name: name.clone(),
            about: about.clone(),
            value: Spread::of(measured.iter().map(|measured| measured.value)),
            ratio: Spread::of(pairs().filter(|_| figure.has_ratio()).filter_map(ratio)),
            latency_ns: median_latency(&latencies),
            longer_ns: Spread::of(pairs().filter(|_| figure == Figure::Wake).filter_map(longer)),
            deliveries_per_second: Spread::of(
                measured.iter().filter_map(|measured| measured.deliveries_per_second),
            ),
            cpu_ns_per_delivery: Spread::of(
                measured.iter().filter_map(|measured| measured.cpu_ns_per_delivery),
            ),
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

/// One server, or variant of the engine, in one cell.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub about: String,
    /// Over the rounds, in the unit of the figure.
    pub value: Option<Spread>,
    /// To the value of the floor, or of the first variant, in the same round, over the rounds.
    pub ratio: Option<Spread>,
    /// Median over the rounds of each percentile.
    pub latency_ns: Option<Percentiles>,
    /// How much longer the median latency is than that of the first variant in the same round; `wake` only.
    pub longer_ns: Option<Spread>,
    /// By the clock on the wall, over the rounds.
    pub deliveries_per_second: Option<Spread>,
    /// By all threads of the server together, over the rounds.
    pub cpu_ns_per_delivery: Option<Spread>,
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
    /// In the order of [`Comparison::servers`], or the variants of the engine.
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
        rounds: usize,
        servers: &[Candidate],
        missing: Vec<Missing>,
        samples: Vec<Samples>,
    ) -> Self {
        Self {
            machine: Machine::read(),
            quick: options.quick,
            rounds,
            server_core: options.server_core,
            generator_core: options.generator_core,
            servers: servers.to_vec(),
            missing,
            cells: samples.iter().map(Samples::row).collect(),
        }
    }

    /// Whether the engine did everything it was asked for; without it, whether anything was measured.
    pub fn passed(&self) -> bool {
        let is_engine =
            |row: &Row, summary: &Summary| row.cell.figure.is_of_engine_alone() || summary.name == ENGINE;
        let summaries =
            || self.cells.iter().flat_map(|row| row.servers.iter().map(move |summary| (row, summary)));
        let mut engine = summaries().filter(|(row, summary)| is_engine(row, summary)).peekable();
        match engine.peek() {
            Some(_) => engine.all(|(_, summary)| summary.faults.is_empty()),
            None => summaries().any(|(_, summary)| summary.value.is_some()),
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
    use crate::compare::peers::tests::candidates;

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
            deliveries_per_second: Some(value * 10.0),
            cpu_ns_per_delivery: Some(1e9 / value),
            server_command: "taskset -c 0 server <&> 8787".to_owned(),
            command: "taskset -c 1 loadtest broadcast --url ws://127.0.0.1:8787/room".to_owned(),
        })
    }

    /// Two rounds of three servers in some cells, and of the engine alone; the last server fails in the memory's cell.
    pub fn example() -> Comparison {
        let names = ["dormouse", "floor", "<slow>"];
        let servers: &[[f64; 2]] = &[[900.0, 950.0], [1_000.0, 1_000.0], [20_000.0, 21_000.0]];
        let variants: &[[f64; 2]] = &[[1_000.0, 1_000.0], [1_900.0, 1_800.0]];
        let row = |cell: Cell, names: &[&str], values: &[[f64; 2]], scale: f64| {
            let mut samples = Samples::new(cell, candidates(names)).unwrap();
            for (at, values) in values.iter().enumerate() {
                for (round, value) in values.iter().enumerate() {
                    let is_broken = at == 2 && cell.figure == Figure::Idle;
                    let fault = || Err(Fault::Failed("9 x closed <early>".to_owned()));
                    let result = if is_broken { fault() } else { measured(value * scale) };
                    samples.enter(at, round, result);
                }
            }
            samples.row()
        };
        let summaries = |cell, scale| row(cell, &names, servers, scale);
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
                row(cell(Figure::Wake, 1), &["awake", "asleep"], variants, 10.0),
                row(cell(Figure::Cores, 32_768), &["1 core", "2 cores"], variants, 100.0),
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
    fn the_engine_alone_is_set_against_its_first_variant() {
        let comparison = example();
        let [wake, cores] = [&comparison.cells[4].servers, &comparison.cells[5].servers];
        // Of the example, a latency's median is 50 times the value.
        let longer = wake[1].longer_ns.unwrap();
        assert_eq!((longer.min, longer.median, longer.max), (400_000.0, 425_000.0, 450_000.0));
        assert_eq!(cores[1].ratio, Some(Spread { median: 1.85, min: 1.8, max: 1.9 }));
        assert_eq!((cores[1].longer_ns, cores[1].deliveries_per_second.unwrap().max), (None, 1_900_000.0));
    }

    #[test]
    fn what_fails_of_the_engine_alone_is_a_failure() {
        let mut comparison = example();
        comparison.cells[5].servers[1].faults.push("lost".to_owned());
        assert!(!comparison.passed());
    }

    #[test]
    fn a_server_that_has_never_done_it_is_not_tried_again() {
        let cell = Cell { figure: Figure::Echo, sockets: 1, size_bytes: 64 };
        let mut samples = Samples::new(cell, candidates(&["one", "two"])).unwrap();
        assert!(!samples.is_hopeless(0));
        samples.enter(0, 0, Err(Fault::Failed(String::new())));
        samples.enter(1, 0, measured(1.0));
        samples.enter(1, 1, Err(Fault::Failed(String::new())));
        assert!(samples.is_hopeless(0) && !samples.is_hopeless(1));
        assert!(Samples::new(cell, Vec::new()).is_none());
    }
}
