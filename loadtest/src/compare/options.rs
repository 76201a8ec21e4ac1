//! The options of `compare`.

use super::cells::Figure;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// `compare`
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// One round, few sockets, short runs: shows that everything works, not how well
    #[arg(long)]
    pub quick: bool,
    /// Rounds; figures are medians over them [default: 3, quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: Option<u32>,
    /// Begin no round that would not end within this many minutes, as far as can be told; the first always is
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub minutes: Option<u32>,
    /// Sockets in the room of a broadcast [default: 1000,10000,19000, quick: 1000]
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub sockets: Vec<u32>,
    /// Bytes per message of a broadcast; the other figures take the first [default: 64,512, quick: 64]
    #[arg(long, value_delimiter = ',', value_name = "BYTES", value_parser = clap::value_parser!(u32).range(40..=65_000))]
    pub size: Vec<u32>,
    /// What to measure [default: all]
    #[arg(long, value_delimiter = ',', value_enum)]
    pub figures: Vec<Figure>,
    /// Processor of the servers
    #[arg(long, default_value_t = 0, value_name = "CPU")]
    pub server_core: usize,
    /// Processor of the generator
    #[arg(long, default_value_t = 1, value_name = "CPU")]
    pub generator_core: usize,
    /// The engine [default: dormouse, in the folder of this program]
    #[arg(long, value_name = "PATH")]
    pub engine: Option<PathBuf>,
    /// Folder of the other servers: peers.json names them, install.sh installs them
    #[arg(long, default_value = "loadtest/peers", value_name = "DIR")]
    pub peers: PathBuf,
    /// Measure only these
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub only: Vec<String>,
    /// Where the report goes; what is there is overwritten
    #[arg(long, default_value = "target/compare", value_name = "DIR")]
    pub out: PathBuf,
}

impl Options {
    /// `--rounds`
    pub fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 }) as usize
    }

    /// Whether a round as long as the `rounds` that have taken `elapsed` fits in `--minutes`.
    pub fn has_time_for_another(&self, elapsed: Duration, rounds: usize) -> bool {
        let each = elapsed / u32::try_from(rounds.max(1)).unwrap_or(u32::MAX);
        self.minutes.is_none_or(|minutes| elapsed + each <= Duration::from_secs(60) * minutes)
    }

    /// `--sockets`
    pub fn sockets(&self) -> Vec<u32> {
        let default: &[u32] = if self.quick { &[1_000] } else { &[1_000, 10_000, 19_000] };
        if self.sockets.is_empty() { default.to_vec() } else { self.sockets.clone() }
    }

    /// `--size`
    pub fn sizes(&self) -> Vec<u32> {
        let default: &[u32] = if self.quick { &[64] } else { &[64, 512] };
        if self.size.is_empty() { default.to_vec() } else { self.size.clone() }
    }

    /// Whether `figure` is to be measured.
    pub fn wants(&self, figure: Figure) -> bool {
        self.figures.is_empty() || self.figures.contains(&figure)
    }
}

#[cfg(test)]
mod tests {
    use crate::cli::{Cli, Mode};
    use clap::Parser;
    use std::time::Duration;

    #[test]
    fn a_round_begins_only_if_it_is_likely_to_end_in_time() {
        let fits = |arguments: &[&str], seconds, rounds| {
            let cli = Cli::try_parse_from(["loadtest", "compare"].iter().chain(arguments)).unwrap();
            let Mode::Compare(options) = cli.mode else { unreachable!("compare was asked for") };
            options.has_time_for_another(Duration::from_secs(seconds), rounds)
        };
        assert!(fits(&[], 1_000_000, 1));
        assert!(fits(&["--minutes", "35"], 17 * 60, 1) && !fits(&["--minutes", "35"], 18 * 60, 1));
        assert!(fits(&["--minutes", "35"], 23 * 60, 2) && !fits(&["--minutes", "35"], 24 * 60, 2));
    }
}
