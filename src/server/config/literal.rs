//! Owns how sizes and times are written: `"16KiB"`, `"250us"`. Text in, number out, and back; no keys, no ranges.
//!
//! Ours rather than a crate for each: one number-and-unit reader serves both, takes `1.5s`, prints `75s` as `75s`
//! (and not as `1m 15s`), and knows which unit was meant where a decimal one was written.

use std::time::Duration;

/// Units of sizes, largest first. Powers of two only: "MB" means two things, so it is refused with a hint.
const SIZE_UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Units of times in nanoseconds, largest first.
const TIME_UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", NS_PER_S),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const NS_PER_S: u64 = 1_000_000_000;

/// A whole number; `_` may group its digits, as in TOML.
pub(super) fn parse_count(text: &str) -> Option<usize> {
    let digits = text.replace('_', "");
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Bytes, with a unit or without.
pub(super) fn parse_size(text: &str) -> Option<usize> {
    let (number, unit) = split_unit(text);
    let unit_bytes = match unit {
        "" => 1,
        unit => SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?.1,
    };
    parse_count(number)?.checked_mul(unit_bytes)
}

/// The size that was probably meant by one with a decimal or shortened unit: `32MB` or `32M` is `32MiB`.
pub(super) fn meant_size(text: &str) -> Option<String> {
    let (number, unit) = split_unit(text);
    parse_count(number)?;
    let meant = match unit.to_ascii_lowercase().as_str() {
        "k" | "kb" => "KiB",
        "m" | "mb" => "MiB",
        "g" | "gb" => "GiB",
        _ => return None,
    };
    Some(format!("\"{number}{meant}\""))
}

/// A size in the largest unit that divides it, with `gap` between number and unit.
pub(in crate::server) fn size_text(bytes: usize, gap: &str) -> String {
    let divides = |unit: usize| bytes != 0 && bytes.is_multiple_of(unit);
    let (name, unit) = SIZE_UNITS.into_iter().find(|&(_, unit)| divides(unit)).unwrap_or(("B", 1));
    format!("{}{gap}{name}", bytes / unit)
}

/// A time with a unit, or bare seconds; fractions are allowed.
pub(super) fn parse_time(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text);
    let unit_ns = match unit {
        "" => NS_PER_S,
        unit => TIME_UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    // Whole numbers stay exact; only fractions take the way over floating point.
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(unit_ns).map(Duration::from_nanos),
        Err(_) => seconds(number.parse::<f64>().ok()? * (unit_ns as f64 / NS_PER_S as f64)),
    }
}

/// A time from seconds; `None` when negative, infinite or not a number.
pub(super) fn seconds(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// A time in the largest unit that divides it.
pub(in crate::server) fn time_text(time: Duration) -> String {
    let ns = time.as_nanos();
    let divides = |unit: u64| ns != 0 && ns.is_multiple_of(u128::from(unit));
    let (name, unit) = TIME_UNITS.into_iter().find(|&(_, unit)| divides(unit)).unwrap_or(("s", 1));
    format!("{}{name}", ns / u128::from(unit))
}

/// `"16 KiB"` is `("16", "KiB")`.
fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim_end(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_bytes_or_powers_of_two() {
        assert_eq!(parse_size("512"), Some(512));
        assert_eq!(parse_size("16KiB"), Some(16 << 10));
        assert_eq!(parse_size("16 kib"), Some(16 << 10));
        assert_eq!(parse_size("16_384"), Some(16_384));
        for wrong in ["", "KiB", "lots", "-1", "1.5MiB", "32MB", "18446744073709551615GiB"] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_decimal_unit_is_answered_with_the_binary_one() {
        assert_eq!(meant_size("32MB").as_deref(), Some("\"32MiB\""));
        assert_eq!(meant_size("32k").as_deref(), Some("\"32KiB\""));
        assert_eq!(meant_size("lots"), None);
    }

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        assert_eq!(parse_time("250us"), Some(Duration::from_micros(250)));
        assert_eq!(parse_time("10 ms"), Some(Duration::from_millis(10)));
        assert_eq!(parse_time("1.5s"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_time("1m"), Some(Duration::from_secs(60)));
        assert_eq!(parse_time("2.5"), Some(Duration::from_millis(2500)));
        for wrong in ["", "s", "soon", "-1s", "10 parsecs", "1e400", "inf", "nan"] {
            assert_eq!(parse_time(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_is_printed_uses_the_largest_unit_that_divides() {
        assert_eq!(size_text(1 << 30, " "), "1 GiB");
        assert_eq!(size_text(1_536, ""), "1536B");
        assert_eq!(size_text(0, ""), "0B");
        assert_eq!(time_text(Duration::from_secs(75)), "75s");
        assert_eq!(time_text(Duration::from_secs(3600)), "1h");
        assert_eq!(time_text(Duration::ZERO), "0s");
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes: usize, ns: u64) {
            prop_assert_eq!(parse_size(&size_text(bytes, "")), Some(bytes));
            let time = Duration::from_nanos(ns);
            prop_assert_eq!(parse_time(&time_text(time)), Some(time));
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = (parse_size(&text), parse_time(&text), meant_size(&text), parse_count(&text));
        }
    }
}
