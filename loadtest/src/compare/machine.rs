//! The machine, in the words of its kernel.

use serde::Serialize;
use std::fmt;
use std::fs::read_to_string;
use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// What a figure depends on and does not tell.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Year, month, day, in UTC.
    pub date: String,
    /// The kernel's release.
    pub kernel: String,
    /// The processor's name.
    pub processor: String,
    /// How many of them there are.
    pub processors: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

impl Machine {
    /// Asks the kernel; what it does not say is "unknown", or 0.
    pub fn read() -> Self {
        let unknown = || "unknown".to_owned();
        let file = |path| read_to_string(path).unwrap_or_default();
        let cpu = file("/proc/cpuinfo");
        let memory_kib = value(&file("/proc/meminfo"), "MemTotal")
            .and_then(|text| text.split_ascii_whitespace().next()?.parse::<u64>().ok());
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            date: date(seconds),
            kernel: Some(file("/proc/sys/kernel/osrelease").trim().to_owned())
                .filter(|release| !release.is_empty())
                .unwrap_or_else(unknown),
            processor: value(&cpu, "model name").unwrap_or_else(unknown),
            processors: cpu.lines().filter(|line| line.starts_with("processor")).count(),
            memory_bytes: memory_kib.unwrap_or(0) * 1_024,
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, kernel, processor, processors, memory_bytes } = self;
        let memory_gib = *memory_bytes as f64 / f64::from(1 << 30);
        write!(formatter, "{date}, Linux {kernel}, {processors} x {processor}, {memory_gib:.0} GiB")
    }
}

/// What follows the first `name` and its colon.
fn value(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim_start().strip_prefix(':')?.trim().to_owned())
}

/// The day of a time after 1970, in the Gregorian calendar. Years begin in March here, so that the day that
/// some have more is their last; 400 of them are 146,097 days.
fn date(seconds: u64) -> String {
    let days = seconds / SECONDS_PER_DAY + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (seconds, day) in [
            (0, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_799, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_735_689_599, "2024-12-31"),
        ] {
            assert_eq!(date(seconds), day);
        }
    }

    #[test]
    fn lines_of_proc() {
        assert_eq!(value("x\nmodel name\t: A CPU\n", "model name").as_deref(), Some("A CPU"));
        assert!(Machine::read().processors > 0);
    }
}
