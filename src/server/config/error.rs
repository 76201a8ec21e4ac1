//! Owns the operator's error: what was wrong in the config, where it stands, and what is allowed instead. Formatting
//! only; it decides nothing and reads nothing.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from. Later ones win: the environment overrides the file, a flag overrides both.
///
/// ```
/// use dormouse::server::config::{Layers, Source, load};
///
/// let environment = vec![("DORMOUSE_LOG".into(), "warn".into())];
/// let loaded = load(Layers { environment, ..Layers::default() })?;
/// assert_eq!(loaded.source("log"), Source::Environment("DORMOUSE_LOG".into()));
/// assert_eq!(loaded.source("listen"), Source::Default);
/// assert!(Source::Flag("--set".into()) > loaded.source("log"));
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A place in a config file; line and column count from 1, the column in characters.
    File {
        /// The path as the operator gave it.
        path: PathBuf,
        /// The line of the value.
        line: u32,
        /// The column of the value.
        column: u32,
    },
    /// An environment variable, by its full name.
    Environment(String),
    /// A command line flag, as it was written: `--listen`, `--set`.
    Flag(String),
}

/// What kind of mistake it is.
///
/// ```
/// use dormouse::server::config::{Layers, Problem, load};
///
/// let file = Some(("dormouse.toml".into(), "listen = 8787\nlisten = 8788".to_owned()));
/// let refused = load(Layers { file, ..Layers::default() }).unwrap_err();
/// assert_eq!(refused.0[0].problem, Problem::Syntax);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Problem {
    /// No such key.
    UnknownKey,
    /// The type, the form or the range is wrong, or it contradicts another key or this machine.
    Impossible,
    /// The file is not TOML.
    Syntax,
    /// The file cannot be read.
    Unreadable,
}

/// One mistake of the operator. Its `Display` is one line that names all of it.
///
/// The texts are boxed so that a `Result` that may hold it stays small.
///
/// `dormouse.toml:7: limits.message_bytes = "lots": must be a size from 125 B to 1 GiB, e.g. "32MiB"`
///
/// ```
/// use dormouse::server::config::{Layers, Problem, load};
///
/// let file = Some(("dormouse.toml".into(), "[limits]\nmesage_bytes = '1MiB'".to_owned()));
/// let error = load(Layers { file, ..Layers::default() }).unwrap_err().0.remove(0);
/// assert_eq!((error.key.as_str(), error.problem), ("limits.mesage_bytes", Problem::UnknownKey));
/// assert_eq!(error.hint.as_deref(), Some("limits.message_bytes"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it stands.
    pub source: Source,
    /// The full key, `limits.message_bytes`; empty when the file as a whole is meant.
    pub key: String,
    /// The value as it was written; `None` where there is none, or where it could be a secret.
    pub value: Option<Box<str>>,
    /// What kind of mistake it is.
    pub problem: Problem,
    /// What is allowed, to stand after "must be" or, for an unknown key, on its own; for a file that cannot be read
    /// or is not TOML, what the system or the parser said.
    pub allowed: Box<str>,
    /// What was probably meant.
    pub hint: Option<Box<str>>,
}

/// All mistakes of one config, in the order file, environment, flags. Never empty. `Display` is a line each.
///
/// ```
/// use dormouse::server::config::{Layers, load};
///
/// let file = Some(("dormouse.toml".into(), "cores = 0\nlog = 1".to_owned()));
/// let errors = load(Layers { file, ..Layers::default() }).unwrap_err();
/// assert_eq!(errors.0.len(), 2);
/// assert_eq!(errors.to_string().lines().count(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.source, self.problem) {
            (Source::File { path, .. }, Problem::Unreadable) => write!(out, "{}: ", path.display())?,
            (source, _) => write!(out, "{source}: ")?,
        }
        match &self.value {
            Some(value) => write!(out, "{} = {value}: ", self.key)?,
            None if self.key.is_empty() => {}
            None => write!(out, "{}: ", self.key)?,
        }
        match self.problem {
            Problem::UnknownKey => out.write_str("unknown key")?,
            Problem::Impossible => write!(out, "must be {}", self.allowed)?,
            Problem::Syntax => write!(out, "not TOML: {}", self.allowed)?,
            Problem::Unreadable => write!(out, "cannot be read: {}", self.allowed)?,
        }
        if let Some(hint) = &self.hint {
            write!(out, "; did you mean {hint}?")?;
        }
        if self.problem == Problem::UnknownKey {
            let gap = if self.hint.is_some() { " " } else { "; " };
            write!(out, "{gap}{}", self.allowed)?;
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => out.write_str("default"),
            Self::File { path, line, .. } => write!(out, "{}:{line}", path.display()),
            Self::Environment(name) => write!(out, "environment variable {name}"),
            Self::Flag(name) => out.write_str(name),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(out, "{line_break}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl std::error::Error for ConfigErrors {}
