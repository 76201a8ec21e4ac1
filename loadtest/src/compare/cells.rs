//! What is measured: the figures, each at some numbers of sockets and sizes, of whom, and the run that yields it.

use super::Options;
use super::peers::{Candidate, ENGINE};
use clap::ValueEnum;
use serde::Serialize;
use std::fmt;

/// Sockets for burst and echo.
const SOCKETS_FEW: u32 = 1_000;

/// Sockets for handshake and idle: the most that a server with two descriptors each (workerd) can hold under
/// an `RLIMIT_NOFILE` of 20,000.
const SOCKETS_HELD: u32 = 9_500;

/// And the most that one with a descriptor each can: what a server needs once weighs less.
const SOCKETS_HELD_MOST: u32 = 19_000;

/// Messages at most, however few sockets there are.
const ROUNDS_MAX: u32 = 2_000;

/// Messages of a burst.
const BURST: u32 = 16;

/// Idle sockets in the company of the one that wakes the object.
const SOCKETS_ASLEEP: u32 = 10_000;

/// Pause before each message to an object that may sleep at once: long enough that the processor sleeps as well.
const WAKE_PAUSE: &str = "20ms";

/// Sockets of the crowd: the most that an object may have.
const SOCKETS_CROWD: u32 = 32_768;

/// `crowd.sockets` that no object of this comparison reaches before every core has its part.
const CROWD_AT_ONCE: &str = "crowd.sockets=0";

/// A figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Figure {
    /// CPU of the server per delivery, and latency, of one broadcast after the other
    Broadcast,
    /// CPU per delivery of 16 broadcasts that arrive together
    Burst,
    /// CPU per echoed message
    Echo,
    /// CPU per opening handshake
    Handshake,
    /// Resident memory per idle connection
    Idle,
    /// The engine alone: latency, and CPU per message, of an object that slept against one that did not
    Wake,
    /// The engine alone: one crowded object on two cores against one
    Cores,
}

impl Figure {
    /// A value with its unit.
    pub fn format(self, value: f64) -> String {
        match self {
            Self::Idle => format!("{} B", thousands(value)),
            Self::Handshake | Self::Wake => duration(value),
            Self::Cores => format!("{} /s", thousands(value)),
            _ => format!("{} ns", thousands(value)),
        }
    }

    /// The path in the server.
    fn path(self) -> &'static str {
        if matches!(self, Self::Echo | Self::Wake) { "/echo" } else { "/room" }
    }

    /// The key of the value in the generator's report, under `server`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Broadcast | Self::Burst | Self::Echo | Self::Wake => "cpu_ns_per_delivery",
            Self::Handshake => "cpu_ns_per_handshake",
            Self::Idle => "resident_bytes_per_connection",
            Self::Cores => "capacity_per_second",
        }
    }

    /// In how many of `rounds` it is measured. Memory is about the same each time, and takes long: it is waited for
    /// whoever lets objects sleep.
    pub fn rounds(self, rounds: usize) -> usize {
        if self == Self::Idle { rounds.min(1) } else { rounds }
    }

    /// Whether the floor's value is one to be set against: it keeps nothing for a connection.
    pub fn has_ratio(self) -> bool {
        self != Self::Idle
    }

    /// Whether some messages go before, so that what compiles at run time has done so. Not for memory: what
    /// they leave behind would hide what the connections take.
    pub fn warms_up(self) -> bool {
        self != Self::Idle
    }

    /// Whether the engine is set against itself, and the others are not asked.
    pub fn is_of_engine_alone(self) -> bool {
        matches!(self, Self::Wake | Self::Cores)
    }
}

/// Variants of the engine that a figure sets against each other: name, what it is, arguments. The first is what the
/// others are set against.
type Variants = &'static [(&'static str, &'static str, &'static [&'static str])];

const WAKE: Variants = &[
    ("awake", "one shard, objects never sleep", &["--cores", "1", "--hibernation-idle", "off"]),
    ("asleep", "one shard, objects sleep at once", &["--cores", "1", "--hibernation-idle", "0"]),
];

const CORES: Variants = &[
    ("1 core", "one shard", &["--cores", "1"]),
    ("2 cores", "two shards, as they are by default", &["--cores", "2"]),
    (
        "2 cores, crowd at 0",
        "two shards, every socket stays where it was accepted",
        &["--cores", "2", "--set", CROWD_AT_ONCE],
    ),
];

/// One figure under one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// The figure.
    pub figure: Figure,
    /// Sockets.
    pub sockets: u32,
    /// Bytes per message.
    pub size_bytes: u32,
}

impl Cell {
    /// All that `options` ask for, in the order of the report.
    pub fn all(options: &Options) -> Vec<Self> {
        let (sockets, sizes) = (options.sockets(), options.sizes());
        let most = sockets.iter().copied().max().unwrap_or(SOCKETS_FEW);
        let size_bytes = sizes.first().copied().unwrap_or(64);
        let mut cells = Vec::new();
        for size_bytes in sizes {
            let of_sockets =
                |sockets: &u32| Self { figure: Figure::Broadcast, sockets: *sockets, size_bytes };
            cells.extend(sockets.iter().map(of_sockets));
        }
        for (figure, sockets) in [
            (Figure::Burst, SOCKETS_FEW),
            (Figure::Echo, SOCKETS_FEW),
            (Figure::Handshake, SOCKETS_HELD),
            (Figure::Idle, SOCKETS_HELD),
            (Figure::Idle, SOCKETS_HELD_MOST),
        ] {
            let cell = Self { figure, sockets: sockets.min(most), size_bytes };
            if cells.last() != Some(&cell) {
                cells.push(cell);
            }
        }
        // Not bounded by what the others can hold; but a small comparison has a small crowd.
        let crowd = if most < SOCKETS_HELD { most } else { SOCKETS_CROWD };
        let wake = [1, SOCKETS_ASLEEP.min(most)].map(|sockets| (Figure::Wake, sockets));
        for (figure, sockets) in wake.into_iter().chain([(Figure::Cores, crowd)]) {
            cells.push(Self { figure, sockets, size_bytes });
        }
        cells.retain(|cell| options.wants(cell.figure));
        cells
    }

    /// The generator's arguments that say what is to be done, without the server.
    pub fn arguments(&self, quick: bool) -> String {
        let Self { figure, sockets, size_bytes } = *self;
        let scale = if quick { 10 } else { 1 };
        let rounds =
            |deliveries: u32, least: u32| (deliveries / scale / sockets).clamp(least, ROUNDS_MAX / scale);
        let what = match figure {
            Figure::Broadcast => format!("broadcast --count {}", rounds(500_000, 20)),
            Figure::Burst => {
                format!("burst --burst {BURST} --count {}", rounds(1_600_000, 10 * BURST) / BURST)
            }
            Figure::Echo => format!("echo --count {}", rounds(200_000, 20)),
            Figure::Handshake => "idle --hold 100ms".to_owned(),
            // Longer than servers usually take to let an object sleep.
            Figure::Idle => format!("idle --hold {}", if quick { "1s" } else { "12s" }),
            Figure::Wake => format!("wake --pause {WAKE_PAUSE} --count {}", if quick { 20 } else { 300 }),
            Figure::Cores => format!("broadcast --count {}", rounds(1_000_000, 20)),
        };
        format!("{what} --sockets {sockets} --size {size_bytes}")
    }

    /// The same for the messages that go before.
    pub fn warm_up(&self) -> Option<String> {
        let Self { figure, sockets, size_bytes } = *self;
        let mode = if matches!(figure, Figure::Echo | Figure::Wake) { "echo" } else { "broadcast" };
        let few = sockets.min(100);
        figure.warms_up().then(|| format!("{mode} --count 100 --sockets {few} --size {size_bytes}"))
    }

    /// The path in the server.
    pub fn path(&self) -> &'static str {
        self.figure.path()
    }

    /// Who is measured: the servers, or variants of the engine; nobody if that is needed and not among them.
    pub fn contestants(&self, servers: &[Candidate]) -> Vec<Candidate> {
        let variants = match self.figure {
            Figure::Wake => WAKE,
            Figure::Cores => CORES,
            _ => return servers.to_vec(),
        };
        let engine = servers.iter().find(|server| server.name == ENGINE);
        let variant = |engine: &Candidate| {
            variants.iter().map(|(name, about, arguments)| engine.variant(name, about, arguments)).collect()
        };
        engine.map(variant).unwrap_or_default()
    }

    /// What stands over its column, beside others of the same figure.
    pub fn column(&self) -> String {
        let sockets = thousands(f64::from(self.sockets));
        match self.figure {
            Figure::Broadcast => format!("{sockets} sockets, {} B", self.size_bytes),
            Figure::Burst => format!("burst of {BURST}, {sockets} sockets"),
            Figure::Echo => format!("echo, {sockets} sockets"),
            Figure::Handshake => "handshake".to_owned(),
            Figure::Idle => format!("memory per idle connection, {sockets} sockets"),
            Figure::Wake if self.sockets == 1 => "1 socket".to_owned(),
            Figure::Wake | Figure::Cores => format!("{sockets} sockets"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name =
            self.figure.to_possible_value().map_or_else(String::new, |name| name.get_name().to_owned());
        write!(formatter, "{name}, {} sockets, {} B", thousands(f64::from(self.sockets)), self.size_bytes)
    }
}

/// Rounded to a whole number, with commas.
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

/// Three significant digits and a unit.
pub fn duration(nanoseconds: f64) -> String {
    if nanoseconds < 0.0 {
        return format!("-{}", duration(-nanoseconds));
    }
    let (value, unit) = match nanoseconds {
        short if short < 999.5 => (short, "ns"),
        medium if medium < 999.5e3 => (medium / 1e3, "us"),
        long if long < 999.5e6 => (long / 1e6, "ms"),
        longest => (longest / 1e9, "s"),
    };
    match value {
        small if small < 9.995 && unit != "ns" => format!("{small:.2} {unit}"),
        middling if middling < 99.95 && unit != "ns" => format!("{middling:.1} {unit}"),
        large => format!("{large:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Mode};
    use crate::compare::peers::tests::candidates;
    use clap::Parser;

    fn cells(arguments: &str) -> Vec<Cell> {
        let cli = Cli::try_parse_from(
            ["loadtest", "compare"].into_iter().chain(arguments.split_ascii_whitespace()),
        );
        let Mode::Compare(options) = cli.unwrap().mode else { unreachable!("compare was asked for") };
        Cell::all(&options)
    }

    #[test]
    fn every_figure_by_default() {
        let cells = cells("");
        assert_eq!(cells.len(), 3 * 2 + 5 + 3);
        assert_eq!(cells[0].to_string(), "broadcast, 1,000 sockets, 64 B");
        assert_eq!(cells[9], Cell { figure: Figure::Idle, sockets: 9_500, size_bytes: 64 });
        assert_eq!(cells[13], Cell { figure: Figure::Cores, sockets: 32_768, size_bytes: 64 });
    }

    #[test]
    fn the_engine_alone_is_measured_in_variants() {
        let servers = candidates(&["dormouse", "floor"]);
        let names = |cell: &Cell, servers: &[Candidate]| -> Vec<String> {
            cell.contestants(servers).into_iter().map(|candidate| candidate.name).collect()
        };
        let cells = cells("");
        assert_eq!(names(&cells[0], &servers), ["dormouse", "floor"]);
        assert_eq!(names(&cells[11], &servers), ["awake", "asleep"]);
        assert_eq!(names(&cells[13], &servers)[0], "1 core");
        assert_eq!(names(&cells[13], &servers[1..]), [""; 0], "no engine, no variants");
    }

    #[test]
    fn figures_are_chosen_and_sockets_are_a_limit_for_all() {
        let cells = cells("--figures echo,idle --sockets 10,20 --size 100");
        assert_eq!(
            cells.iter().map(|cell| (cell.figure, cell.sockets)).collect::<Vec<_>>(),
            [(Figure::Echo, 20), (Figure::Idle, 20)]
        );
    }

    #[test]
    fn runs_are_accepted_by_the_command_line() {
        for cell in cells("").into_iter().chain(cells("--quick")) {
            for arguments in [Some(cell.arguments(true)), Some(cell.arguments(false)), cell.warm_up()] {
                let line = format!("loadtest {}", arguments.unwrap_or_else(|| "churn".to_owned()));
                Cli::try_parse_from(line.split_ascii_whitespace()).unwrap();
            }
        }
    }

    #[test]
    fn durations_have_three_digits() {
        let texts = [7.0, 999.4, 1_000.0, 14_900.0, 7_409_700.0, 42.4e6, 268_800.0, 1.5e9].map(duration);
        assert_eq!(texts, ["7 ns", "999 ns", "1.00 us", "14.9 us", "7.41 ms", "42.4 ms", "269 us", "1.50 s"]);
        assert_eq!(duration(-1_500.0), "-1.50 us");
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!([0.4, 999.6, 1_234_567.0, -1_234.0].map(thousands), ["0", "1,000", "1,234,567", "-1,234"]);
    }
}
