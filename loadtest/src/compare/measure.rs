//! One measurement: a fresh server, some messages before, the run, the value.

use super::Options;
use super::cells::{Cell, Figure};
use super::peers::Candidate;
use super::server::{Guard, Server};
use crate::kernel::child::{self, Placement};
use crate::latency::Percentiles;
use serde_json::Value;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The measured phase of a run, in seconds; it then ends by itself and says so.
const PHASE_SECONDS_MAX: u32 = 60;

/// A whole run, connecting and closing included; it is killed then.
const RUN_MAX: Duration = Duration::from_secs(150);

/// Pause between looks. Short, but the looking costs the generator's processor.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Pause after a server has been killed: the kernel takes its sockets apart.
const PAUSE: Duration = Duration::from_millis(200);

/// Where and with what it is measured.
#[derive(Debug)]
pub struct Bench {
    server_core: usize,
    generator_core: usize,
    quick: bool,
    generator: PathBuf,
    logs: PathBuf,
}

/// A value, and how it came about.
#[derive(Clone, Debug)]
pub struct Measured {
    /// In the unit of the figure.
    pub value: f64,
    /// Of the deliveries.
    pub latency_ns: Option<Percentiles>,
    /// By the clock on the wall.
    pub deliveries_per_second: Option<f64>,
    /// By all threads of the server together.
    pub cpu_ns_per_delivery: Option<f64>,
    /// The server's command, for a shell.
    pub server_command: String,
    /// The generator's.
    pub command: String,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server has not come up.
    NotStarted(String),
    /// The server has ended meanwhile.
    Died(String),
    /// The run has failed, as the generator says.
    Failed(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(reason) => write!(formatter, "the server {reason}"),
            Self::Died(status) => write!(formatter, "the server has ended: {status}"),
            Self::Failed(reason) => formatter.write_str(reason),
        }
    }
}

impl Bench {
    /// As `options` say, with this program as the generator.
    pub fn new(options: &Options, logs: PathBuf) -> io::Result<Self> {
        let Options { server_core, generator_core, quick, .. } = *options;
        Ok(Self { server_core, generator_core, quick, generator: std::env::current_exe()?, logs })
    }

    /// Measures `cell` of `candidate`.
    pub fn measure(&self, candidate: &Candidate, cell: &Cell) -> Result<Measured, Fault> {
        let result = self.start(candidate, cell).and_then(|mut server| {
            self.warm_up(&mut server, candidate, cell)?;
            let (report, command) =
                self.generate(&mut server, candidate, cell, &cell.arguments(self.quick))?;
            measured(cell, &report["server"], &report, &server, command)
        });
        sleep(PAUSE);
        result
    }

    /// Measures `cell` of two servers in one run, which speaks to both in turn; the second is the one that may sleep.
    pub fn measure_pair(&self, pair: &[Candidate], cell: &Cell) -> Vec<Result<Measured, Fault>> {
        let [awake, asleep] = pair else { unreachable!("who sleeps is set against who does not") };
        let result = self.measure_both(awake, asleep, cell);
        sleep(PAUSE);
        match result {
            Ok(both) => both.map(Ok).into(),
            Err(fault) => vec![Err(fault.clone()), Err(fault)],
        }
    }

    fn measure_both(
        &self,
        awake: &Candidate,
        asleep: &Candidate,
        cell: &Cell,
    ) -> Result<[Measured; 2], Fault> {
        let mut of_awake = self.start(awake, cell)?;
        let mut of_asleep = self.start(asleep, cell)?;
        self.warm_up(&mut of_awake, awake, cell)?;
        self.warm_up(&mut of_asleep, asleep, cell)?;
        let (port, path, process) = (of_awake.port, cell.path(), of_awake.process());
        let arguments = format!(
            "{} --against ws://127.0.0.1:{port}{path} --against-pid {process}",
            cell.arguments(self.quick)
        );
        let (report, command) = self.generate(&mut of_asleep, asleep, cell, &arguments)?;
        let against = &report["against"];
        Ok([
            measured(cell, against, against, &of_awake, command.clone())?,
            measured(cell, &report["server"], &report, &of_asleep, command)?,
        ])
    }

    /// A fresh server.
    fn start(&self, candidate: &Candidate, cell: &Cell) -> Result<Server, Fault> {
        let log = self.logs.join(format!("{}.log", candidate.name.replace(' ', "-")));
        Server::start(candidate, &self.placement_of_server(cell), &log).map_err(Fault::NotStarted)
    }

    fn warm_up(&self, server: &mut Server, candidate: &Candidate, cell: &Cell) -> Result<(), Fault> {
        cell.warm_up()
            .map_or(Ok(()), |arguments| self.generate(server, candidate, cell, &arguments).map(|_| ()))
    }

    fn placement_of_server(&self, cell: &Cell) -> Placement {
        let processors = match cell.figure {
            Figure::Cores => self.both(),
            _ => vec![self.server_core],
        };
        Placement { processors, yields: false }
    }

    /// Where the server needs all processors, the generator has what is left of them.
    fn placement_of_generator(&self, cell: &Cell) -> Placement {
        match cell.figure {
            Figure::Cores => Placement { processors: self.both(), yields: true },
            _ => Placement::on(self.generator_core),
        }
    }

    fn both(&self) -> Vec<usize> {
        vec![self.server_core, self.generator_core]
    }

    /// Runs the generator; returns its report if all was well, and its command.
    fn generate(
        &self,
        server: &mut Server,
        candidate: &Candidate,
        cell: &Cell,
        arguments: &str,
    ) -> Result<(Value, String), Fault> {
        let (port, path, process) = (server.port, cell.path(), server.process());
        let mut arguments = format!(
            "{arguments} --url ws://127.0.0.1:{port}{path} --server-pid {process} \
             --timeout {PHASE_SECONDS_MAX}s --no-goodbye --json"
        );
        if candidate.sample_key {
            arguments.push_str(" --sample-key");
        }
        let placement = self.placement_of_generator(cell);
        let output =
            self.execute(&arguments, &placement).map_err(|error| Fault::Failed(error.to_string()))?;
        let report = output.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        match report {
            Some(report) if report["passed"] == true => {
                Ok((report, format!("{placement} loadtest {arguments}")))
            }
            report => Err(match (server.ending(), report) {
                (Some(status), _) => Fault::Died(status),
                (None, Some(report)) => Fault::Failed(complaint(&report)),
                (None, None) => Fault::Failed(output.trim().to_owned()),
            }),
        }
    }

    /// Runs the generator to its end, or to the end of its time; returns what it said.
    fn execute(&self, arguments: &str, placement: &Placement) -> io::Result<String> {
        let mut command = Command::new(&self.generator);
        command.args(arguments.split_ascii_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        child::confine(&mut command, placement);
        let mut child = Guard(command.spawn()?);
        let start = Instant::now();
        // It says a line or two at its end, which a pipe holds.
        while child.0.try_wait()?.is_none() {
            if start.elapsed() > RUN_MAX {
                return Err(io::Error::other(format!("no end after {} s", RUN_MAX.as_secs())));
            }
            sleep(LOOK_INTERVAL);
        }
        let mut text = String::new();
        if let Some(mut errors) = child.0.stderr.take() {
            errors.read_to_string(&mut text)?;
        }
        if let Some(mut output) = child.0.stdout.take() {
            output.read_to_string(&mut text)?;
        }
        Ok(text)
    }
}

/// The value of `cell`, which stands in `costs`, and the times in `times`.
fn measured(
    cell: &Cell,
    costs: &Value,
    times: &Value,
    server: &Server,
    command: String,
) -> Result<Measured, Fault> {
    let key = cell.figure.key();
    let value = costs[key].as_f64();
    Ok(Measured {
        value: value.ok_or_else(|| Fault::Failed(format!("the generator does not say {key}")))?,
        latency_ns: serde_json::from_value(times["latency_ns"].clone()).ok(),
        cpu_ns_per_delivery: costs["cpu_ns_per_delivery"].as_f64(),
        deliveries_per_second: times["deliveries_per_second"].as_f64().filter(|rate| *rate > 0.0),
        server_command: server.command.clone(),
        command,
    })
}

/// What is wrong in a report that has not passed.
fn complaint(report: &Value) -> String {
    let mut parts = Vec::new();
    if let Some(outcome) = report["outcome"].as_str().filter(|outcome| *outcome != "finished") {
        parts.push(outcome.replace('_', " "));
    }
    for counts in [&report["failed"], &report["refused"]] {
        for (name, count) in counts.as_object().into_iter().flatten() {
            parts.push(format!("{count} x {name}"));
        }
    }
    for key in ["lost", "doubled", "reordered", "corrupt"] {
        if let Some(count) = report[key].as_u64().filter(|count| *count > 0) {
            parts.push(format!("{count} {key}"));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_complaint_names_what_is_not_zero() {
        let report = json!({
            "outcome": "connection_ended", "failed": {"reset": 3}, "refused": {}, "lost": 7, "doubled": 0,
        });
        assert_eq!(complaint(&report), "connection ended, 3 x reset, 7 lost");
    }
}
