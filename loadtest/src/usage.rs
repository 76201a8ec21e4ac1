//! What can be wrong with the options beyond what the parser sees. Each names the option, its value, what is
//! allowed.

use crate::payload::Kind;
use crate::target::TargetError;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A wrong option.
#[derive(Debug)]
pub enum UsageError {
    /// `--url`, `--against`
    Url(&'static str, String, TargetError),
    /// `--size`
    SizeTooSmall(Kind, usize),
    /// `--threads`, or `--sockets`
    DescriptorLimit {
        /// Sockets asked for.
        sockets: u32,
        /// Threads they would be spread over.
        threads: usize,
        /// Sockets one thread may open.
        each_max: u32,
    },
    /// `--rooms`
    MoreRoomsThanSockets(u32, u32),
    /// `--senders`
    UnevenSenders(u32, u32),
    /// `--count`
    TooManyMessages(u64),
    /// `--pin`, `--server-core`, `--generator-core`
    NoSuchProcessor(&'static str, usize, io::Error),
    /// `--server-pid`, `--against-pid`
    NoSuchProcess(&'static str, u32, io::Error),
    /// `--from` and `--to`
    EmptyRange(f64, f64),
    /// `--peers`
    Peers(PathBuf, String),
    /// `--only`
    NoSuchServer(String, String),
}

impl fmt::Display for UsageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(option, url, error) => write!(formatter, "{option} {url}: {error}"),
            Self::SizeTooSmall(kind, size) => {
                let (name, least) = (if *kind == Kind::Text { "text" } else { "binary" }, kind.size_min());
                write!(formatter, "--size {size}: a {name} message needs at least {least} bytes")
            }
            Self::DescriptorLimit { sockets, threads, each_max } => write!(
                formatter,
                "--sockets {sockets}: {threads} threads may open {each_max} each (RLIMIT_NOFILE), use more"
            ),
            Self::MoreRoomsThanSockets(rooms, sockets) => {
                write!(formatter, "--rooms {rooms}: at most one for each of the {sockets} sockets")
            }
            Self::UnevenSenders(senders, burst) => {
                write!(formatter, "--senders {senders}: must divide the --burst of {burst}")
            }
            Self::TooManyMessages(messages) => {
                write!(
                    formatter,
                    "--count: {messages} messages are too many, at most {} can be numbered",
                    i32::MAX
                )
            }
            Self::NoSuchProcessor(option, processor, error) => {
                write!(formatter, "{option} {processor}: cannot be used: {error}")
            }
            Self::NoSuchProcess(option, process, error) => {
                write!(formatter, "{option} {process}: cannot be observed: {error}")
            }
            Self::EmptyRange(from, to) => write!(formatter, "--to {to}: must be above --from {from}"),
            Self::Peers(folder, problem) => write!(formatter, "--peers {}: {problem}", folder.display()),
            Self::NoSuchServer(name, known) => {
                write!(formatter, "--only {name}: must be among {known}")
            }
        }
    }
}
