//! Owns the kinds of values a key can have: for each, what is accepted, what is allowed in words, and how it is
//! printed. It knows no key by name.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Config;
use super::cores::Cores;
use super::literal::{meant_size, parse_count, parse_size, parse_time, seconds, size_text, time_text};
use super::text;

/// The place of a value in the [`Config`]; one accessor serves for reading and writing.
type Field<T> = fn(&mut Config) -> &mut T;

/// A value is refused; what was probably meant, when that can be told.
pub(super) struct Refused(pub(super) Option<String>);

/// A value as it was written, before it is understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// A TOML string.
    Text(String),
    /// A TOML integer.
    Integer(i128),
    /// A TOML float.
    Float(f64),
    /// A TOML boolean.
    Switch(bool),
    /// A TOML array.
    List(Vec<Raw>),
    /// A date or a table: no key takes one.
    Other,
    /// From the environment or a flag, where everything is text: numbers need no type, lists have commas.
    Untyped(String),
}

/// The kind of a key's value, with its range and its place.
pub(super) enum Kind {
    Address(Field<SocketAddr>),
    OptionalAddress(Field<Option<SocketAddr>>),
    Cores(Field<Cores>),
    LogFilter(Field<String>),
    Origins(Field<Vec<String>>),
    Switch(Field<bool>),
    Count(RangeInclusive<usize>, Field<usize>),
    PowerOfTwo(RangeInclusive<usize>, Field<usize>),
    Size(RangeInclusive<usize>, Field<usize>),
    Time(RangeInclusive<Duration>, Field<Duration>),
    /// A time or "off"; zero is a time like others when the range holds it, else it is off.
    TimeOrOff(RangeInclusive<Duration>, Field<Option<Duration>>),
}

impl Kind {
    /// Puts the value in its place, or refuses it and leaves the config as it was.
    pub(super) fn set(&self, config: &mut Config, raw: &Raw) -> Result<(), Refused> {
        match self {
            Self::Address(field) => *field(config) = address(raw)?,
            Self::OptionalAddress(field) => {
                *field(config) = if raw.is_text("") { None } else { Some(address(raw)?) };
            }
            Self::Cores(field) => *field(config) = text::cores(raw).ok_or(Refused(None))?,
            Self::LogFilter(field) => *field(config) = text::log_filter(raw).ok_or(Refused(None))?,
            Self::Origins(field) => *field(config) = text::origins(raw)?,
            Self::Switch(field) => *field(config) = switch(raw)?,
            Self::Count(range, field) => *field(config) = within(range, count(raw))?,
            Self::PowerOfTwo(range, field) => *field(config) = power_of_two(range, raw)?,
            Self::Size(range, field) => *field(config) = size(range, raw)?,
            Self::Time(range, field) => *field(config) = within(range, time(raw))?,
            Self::TimeOrOff(range, field) => *field(config) = time_or_off(range, raw)?,
        }
        Ok(())
    }

    /// What is allowed, to stand after "must be".
    pub(super) fn allowed(&self) -> String {
        const ADDRESS: &str = r#"an IP address and port, e.g. "127.0.0.1:8787" or "[::]:8787""#;
        match self {
            Self::Address(_) => ADDRESS.to_owned(),
            Self::OptionalAddress(_) => format!("{ADDRESS}, or \"\" for none"),
            Self::Cores(_) => format!(
                "a count from 1 to {most}, a list of different CPU numbers below {most}, e.g. [0, 2], or \"all\"",
                most = text::CPUS_MAX
            ),
            Self::LogFilter(_) => {
                r#"off, error, warn, info, debug or trace, alone or by module, e.g. "warn,dormouse=debug""#.to_owned()
            }
            Self::Origins(_) => {
                r#"a list of origins in lower case without a path, e.g. ["https://example.com"]; empty allows any"#
                    .to_owned()
            }
            Self::Switch(_) => "true or false".to_owned(),
            Self::Count(range, _) => format!("a whole number from {} to {}", range.start(), range.end()),
            Self::PowerOfTwo(range, _) => format!("a power of two from {} to {}", range.start(), range.end()),
            Self::Size(range, _) => format!(
                "a size from {} to {}, e.g. {}",
                size_text(*range.start(), " "),
                size_text(*range.end(), " "),
                self.example()
            ),
            Self::Time(range, _) => self.time_allowed(range, ""),
            Self::TimeOrOff(range, _) => self.time_allowed(range, ", or \"off\""),
        }
    }

    /// The value as it would be written in `dormouse.toml`.
    pub(super) fn show(&self, config: &mut Config) -> String {
        match self {
            Self::Address(field) => format!("\"{}\"", field(config)),
            Self::OptionalAddress(field) => match field(config) {
                Some(address) => format!("\"{address}\""),
                None => "\"\"".to_owned(),
            },
            Self::Cores(field) => text::show_cores(field(config)),
            Self::LogFilter(field) => text::quoted(field(config)),
            Self::Origins(field) => {
                let origins: Vec<_> = field(config).iter().map(|origin| text::quoted(origin)).collect();
                format!("[{}]", origins.join(", "))
            }
            Self::Switch(field) => field(config).to_string(),
            Self::Count(_, field) | Self::PowerOfTwo(_, field) => field(config).to_string(),
            // Plain bytes need no unit, and a bare number can be changed without quotes.
            Self::Size(_, field) => match size_text(*field(config), "") {
                bytes if !bytes.ends_with("iB") => field(config).to_string(),
                text => format!("\"{text}\""),
            },
            Self::Time(_, field) => format!("\"{}\"", time_text(*field(config))),
            Self::TimeOrOff(_, field) => match *field(config) {
                Some(time) => format!("\"{}\"", time_text(time)),
                None => "\"off\"".to_owned(),
            },
        }
    }

    /// Number and size values, to compare one key with another; `None` for the other kinds.
    pub(super) fn amount(&self, config: &mut Config) -> Option<usize> {
        match self {
            Self::Count(_, field) | Self::PowerOfTwo(_, field) | Self::Size(_, field) => Some(*field(config)),
            _ => None,
        }
    }

    fn time_allowed(&self, range: &RangeInclusive<Duration>, or_off: &str) -> String {
        let (least, most) = (time_text(*range.start()), time_text(*range.end()));
        format!("a time from {least} to {most}, e.g. {} (a bare number is seconds){or_off}", self.example())
    }

    /// The default.
    fn example(&self) -> String {
        self.show(&mut Config::default())
    }
}

impl Raw {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Untyped(text) => Some(text.trim()),
            _ => None,
        }
    }

    fn is_text(&self, expected: &str) -> bool {
        self.text().is_some_and(|text| text.eq_ignore_ascii_case(expected))
    }
}

/// An unsigned number, where one stands and not text that looks like one.
pub(super) fn count(raw: &Raw) -> Option<usize> {
    match raw {
        Raw::Integer(number) => usize::try_from(*number).ok(),
        Raw::Untyped(text) => parse_count(text.trim()),
        _ => None,
    }
}

fn switch(raw: &Raw) -> Result<bool, Refused> {
    match raw {
        Raw::Switch(value) => Ok(*value),
        Raw::Untyped(text) if text.trim() == "true" => Ok(true),
        Raw::Untyped(text) if text.trim() == "false" => Ok(false),
        raw => {
            let text = raw.text().unwrap_or_default().to_ascii_lowercase();
            let meant = match text.as_str() {
                "true" | "on" | "yes" | "1" => Some("true"),
                "false" | "off" | "no" | "0" => Some("false"),
                _ => None,
            };
            Err(Refused(meant.map(str::to_owned)))
        }
    }
}

fn within<T: PartialOrd>(range: &RangeInclusive<T>, value: Option<T>) -> Result<T, Refused> {
    value.filter(|value| range.contains(value)).ok_or(Refused(None))
}

fn power_of_two(range: &RangeInclusive<usize>, raw: &Raw) -> Result<usize, Refused> {
    let value = within(range, count(raw))?;
    if value.is_power_of_two() {
        return Ok(value);
    }
    let next = value.next_power_of_two();
    Err(Refused(range.contains(&next).then(|| next.to_string())))
}

fn size(range: &RangeInclusive<usize>, raw: &Raw) -> Result<usize, Refused> {
    let value = count(raw).or_else(|| raw.text().and_then(parse_size));
    within(range, value).map_err(|_| Refused(raw.text().and_then(meant_size)))
}

fn time(raw: &Raw) -> Option<Duration> {
    match raw {
        Raw::Integer(number) => u64::try_from(*number).ok().map(Duration::from_secs),
        Raw::Float(number) => seconds(*number),
        raw => parse_time(raw.text()?),
    }
}

fn time_or_off(range: &RangeInclusive<Duration>, raw: &Raw) -> Result<Option<Duration>, Refused> {
    if raw.is_text("off") {
        return Ok(None);
    }
    match time(raw) {
        Some(Duration::ZERO) if !range.start().is_zero() => Ok(None),
        time => within(range, time).map(Some),
    }
}

fn address(raw: &Raw) -> Result<SocketAddr, Refused> {
    let text = raw.text().unwrap_or_default();
    text.parse().map_err(|_| Refused(text::meant_address(text)))
}
