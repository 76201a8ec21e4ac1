//! The command line.

use crate::payload::Kind;
use crate::progress::When;
use clap::{Args, Parser, Subcommand};
use std::time::Duration;

const EXAMPLES: &str = "\
Examples:
  loadtest broadcast --sockets 10000 --count 100 --server-pid 4242
  loadtest broadcast --sockets 1000 --rate 200 --duration 30s --size 512 --binary
  loadtest burst --sockets 1000 --burst 16 --senders 4
  loadtest echo --sockets 1000 --pipeline 4 --duration 10s
  loadtest idle --sockets 32768 --hold 60s --then-message --server-pid 4242
  loadtest churn --connect-rate 2000 --duration 10s
  loadtest wake --sockets 1 --pause 50ms --count 500 --against ws://127.0.0.1:8788/echo
  loadtest broadcast --sockets 32769 --expect-refused 1 --count 1
  loadtest sweep --sockets 1000 --p99 50ms
  loadtest compare --quick

Every delivery is checked: lost, doubled, reordered (within one sender) and corrupt ones are counted.
Exit status: 0 all is well, 1 a delivery or a connection was not, 2 bad usage.";

/// Load generator for WebSocket rooms.
///
/// It expects of the server: a message on /room, or on any path below it, goes unchanged to every client of
/// that path, the sender included; a message on /echo comes back.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub mode: Mode,
}

/// What there is to do.
#[derive(Debug, Subcommand)]
pub enum Mode {
    #[command(flatten)]
    Once(Once),
    /// Looks for the largest rate of broadcasts whose 99th percentile stays under a bound, with nothing lost.
    ///
    /// An open loop: latency counts from when a message was due, so a server that falls behind is seen. The
    /// rate grows until it does not hold any more, then the interval is halved.
    #[command(after_help = EXAMPLES)]
    Sweep(crate::sweep::Options),
    /// Measures the engine beside other servers: a table, and a report with plots.
    ///
    /// Servers are started one after the other, in turn within each round, on one processor, the generator on
    /// another. Servers that are not installed are named and skipped.
    #[command(after_help = EXAMPLES)]
    Compare(crate::compare::Options),
}

/// The modes: one run against one server.
#[derive(Debug, Subcommand)]
pub enum Once {
    /// One message at a time to everybody in a room; the sender changes every time, so every socket sends.
    ///
    /// Closed loop: the next message of a room follows when the last one has reached everybody. With --rate
    /// it is an open loop: messages are due at fixed times, and latency counts from then even if sending was
    /// late.
    #[command(after_help = EXAMPLES)]
    Broadcast(Broadcast),
    /// Several messages back to back per round; the next round follows when all have reached everybody.
    #[command(after_help = EXAMPLES)]
    Burst(Burst),
    /// Each socket sends a message and gets it back, closed loop.
    #[command(after_help = EXAMPLES)]
    Echo(Echo),
    /// Connects and holds still: the server's memory per connection and its CPU meanwhile.
    #[command(after_help = EXAMPLES)]
    Idle(Idle),
    /// Connects, has one message echoed, closes with a closing handshake, and again.
    #[command(after_help = EXAMPLES)]
    Churn(Churn),
    /// One socket sends a message after each pause and gets it back, so that what it goes to sleeps meanwhile.
    ///
    /// With --against the same goes, in turn, to a second server, one that does not let objects sleep: after
    /// a pause everything is cold, so only the difference is what waking costs. The pause must be longer than
    /// the first server waits before it lets an object sleep. The other sockets are idle.
    #[command(after_help = EXAMPLES)]
    Wake(Wake),
}

impl Once {
    /// What every mode has.
    pub fn common(&self) -> &Common {
        match self {
            Self::Broadcast(options) => &options.common,
            Self::Burst(options) => &options.common,
            Self::Echo(options) => &options.common,
            Self::Idle(options) => &options.common,
            Self::Churn(options) => &options.common,
            Self::Wake(options) => &options.common,
        }
    }
}

/// Options of every mode.
#[derive(Args, Clone, Debug)]
pub struct Common {
    /// Where to connect [default: ws://127.0.0.1:8787/room, or /echo for echo, churn and wake]
    #[arg(long)]
    pub url: Option<String>,
    /// Sockets, all rooms together (churn: at the same time; wake: to each server)
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub sockets: u32,
    /// New connections per second, all threads together
    #[arg(long, default_value_t = 20_000.0, value_parser = positive, value_name = "PER SECOND")]
    pub connect_rate: f64,
    /// Generator threads, each with a descriptor table of its own [default: 1, from 15,001 sockets 2, and as
    /// many as RLIMIT_NOFILE demands]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub threads: Option<u32>,
    /// Source addresses 127.0.0.1, 127.0.0.2, ... when the target is on loopback [default: one for each
    /// 14,000 sockets]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(crate::sources::SOURCES_MAX)))]
    pub sources: Option<u32>,
    /// Processors to pin the generator's threads to, in turn, separated by commas
    #[arg(long, value_name = "CPU", value_delimiter = ',')]
    pub pin: Vec<usize>,
    /// Process of the server: reports its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub server_pid: Option<u32>,
    /// Give up when nothing has arrived for this long
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub wait: Duration,
    /// Give up the measured phase after this long
    #[arg(long, default_value = "600s", value_parser = duration, value_name = "TIME")]
    pub timeout: Duration,
    /// Exactly this many handshakes must be refused (answered with another status than 101)
    #[arg(long, default_value_t = 0, value_name = "K")]
    pub expect_refused: u64,
    /// Send the key of RFC 6455 1.3 instead of random ones, for servers with a canned answer
    #[arg(long)]
    pub sample_key: bool,
    /// End without closing handshakes, as when the server is going to be killed anyway
    #[arg(long)]
    pub no_goodbye: bool,
    /// Print only the JSON line
    #[arg(long)]
    pub json: bool,
    /// Progress bars on stderr
    #[arg(long, value_enum, default_value_t = When::Auto)]
    pub progress: When,
}

/// What messages look like.
#[derive(Args, Clone, Copy, Debug)]
pub struct Message {
    /// Bytes per message (at least 40 for text, 30 for binary)
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=16_777_216))]
    pub size: u32,
    /// Binary messages instead of text
    #[arg(long)]
    pub binary: bool,
}

impl Message {
    /// Text or binary.
    pub fn kind(&self) -> Kind {
        if self.binary { Kind::Binary } else { Kind::Text }
    }
}

/// How many rooms.
#[derive(Args, Clone, Copy, Debug)]
pub struct Rooms {
    /// Rooms the sockets are spread over, each with its own loop; more than one are at URL/0, URL/1, ...
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    pub rooms: u32,
}

/// How much is sent in rounds.
#[derive(Args, Clone, Copy, Debug)]
pub struct Bounds {
    /// Rounds, all rooms together [default: 100 unless there is a duration]
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=16_777_216))]
    pub count: Option<u64>,
    /// Begin no round after this long (open loop: none that is due later)
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Rounds per second over all rooms (open loop) instead of one after the other (closed loop)
    #[arg(long, value_parser = positive, value_name = "PER SECOND")]
    pub rate: Option<f64>,
}

/// `broadcast`
#[derive(Args, Debug)]
pub struct Broadcast {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
    #[command(flatten)]
    pub rooms: Rooms,
    #[command(flatten)]
    pub bounds: Bounds,
}

/// `burst`
#[derive(Args, Debug)]
pub struct Burst {
    /// Messages per round
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub burst: u32,
    /// Sockets that send a round together, each its share in one write; must divide the burst
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub senders: u32,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
    #[command(flatten)]
    pub rooms: Rooms,
    #[command(flatten)]
    pub bounds: Bounds,
}

/// `echo`
#[derive(Args, Debug)]
pub struct Echo {
    /// Messages under way per socket
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_024))]
    pub pipeline: u32,
    /// Messages per socket [default: unlimited]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    /// Send nothing after this long [default: 10s unless there is a count]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
}

/// `idle`
#[derive(Args, Debug)]
pub struct Idle {
    /// How long to hold still
    #[arg(long, default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub hold: Duration,
    /// Afterwards send one message in each room, which must reach everybody
    #[arg(long)]
    pub then_message: bool,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
    #[command(flatten)]
    pub rooms: Rooms,
}

/// `churn`
#[derive(Args, Debug)]
pub struct Churn {
    /// Begin no connection after this long [default: 10s unless there is a count]
    #[arg(long, value_parser = duration, value_name = "TIME")]
    pub duration: Option<Duration>,
    /// Connections
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub count: Option<u32>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
}

/// `wake`
#[derive(Args, Debug)]
pub struct Wake {
    /// Time before each message
    #[arg(long, default_value = "12s", value_parser = duration, value_name = "TIME")]
    pub pause: Duration,
    /// Messages to each server
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000_000_000))]
    pub count: u32,
    /// A second server, whose objects stay awake; it gets as many sockets and messages, in turn
    #[arg(long, value_name = "URL")]
    pub against: Option<String>,
    /// Its process: reports its CPU time
    #[arg(long, value_name = "PID", requires = "against")]
    pub against_pid: Option<u32>,
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub message: Message,
}

/// "10s", "250ms", "2m"; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits =
        text.find(|character: char| !character.is_ascii_digit() && character != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit_seconds = match unit {
        "" | "s" => 1.0,
        "ms" => 0.001,
        "m" => 60.0,
        _ => return Err("the unit must be ms, s or m".to_owned()),
    };
    let number: f64 = number.parse().map_err(|_| "a number and a unit, like 10s, 250ms or 2m".to_owned())?;
    Duration::try_from_secs_f64(number * unit_seconds).map_err(|error| error.to_string())
}

/// A rate.
pub fn positive(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|rate: &f64| *rate > 0.0 && rate.is_finite())
        .ok_or_else(|| "must be above 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("2h").is_err() && duration("s").is_err() && duration("-1s").is_err());
    }

    #[test]
    fn the_examples_parse() {
        for example in EXAMPLES.lines().filter(|line| line.starts_with("  loadtest ")) {
            Cli::try_parse_from(example.split_ascii_whitespace()).unwrap();
        }
        assert!(Cli::try_parse_from(["loadtest", "broadcast", "--sockets", "0"]).is_err());
        assert!(Cli::try_parse_from(["loadtest", "broadcast", "--rate", "0"]).is_err());
    }
}
