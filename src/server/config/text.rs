//! Owns the values that are more than a number: core lists, log filters, origins, and the addresses people write by
//! habit. Text in, value out; no keys.

use std::net::SocketAddr;

use tracing_subscriber::EnvFilter;

use super::cores::Cores;
use super::kind::{Raw, Refused, count};
use super::literal::parse_count;

/// CPU numbers stay below this. The kernel's own affinity masks hold 1,024 in the C library's `cpu_set_t`.
pub(super) const CPUS_MAX: usize = 1_024;

/// `2`, `"all"`, `[0, 2]`, `"0,2"`, `"0-3"`; `"1,"` is a list of one.
pub(super) fn cores(raw: &Raw) -> Option<Cores> {
    match raw {
        Raw::List(list) => core_list(list.iter().map(count).collect::<Option<_>>()?),
        Raw::Integer(_) => core_count(count(raw)?),
        raw => {
            let text = raw.text()?;
            match parse_count(text) {
                Some(count) => core_count(count),
                None if text.eq_ignore_ascii_case("all") => Some(Cores::All),
                None => core_list(spans(text)?),
            }
        }
    }
}

/// The list is always a TOML array, so that what is printed reads back as what it was.
pub(super) fn show_cores(cores: &Cores) -> String {
    match cores {
        Cores::Count(count) => count.to_string(),
        Cores::List(list) => format!("{list:?}"),
        Cores::All => "\"all\"".to_owned(),
    }
}

/// A filter that `tracing` understands. It takes any bare word as the name of a module, so that `log = "verbose"`
/// would log nothing that anyone expects; a bare word must therefore be a level.
pub(super) fn log_filter(raw: &Raw) -> Option<String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let text = raw.text()?;
    let known =
        |word: &str| word.contains(['=', '[']) || LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    // A comma inside a span's fields, `[a{b=1,c=2}]`, splits a directive in two words of which the second holds `=`.
    let sensible = !text.is_empty() && text.split(',').all(|word| known(word.trim()));
    (sensible && EnvFilter::try_new(text).is_ok()).then(|| text.to_owned())
}

/// A list of origins; untyped text separates them with commas.
pub(super) fn origins(raw: &Raw) -> Result<Vec<String>, Refused> {
    let origins: Vec<&str> = match raw {
        Raw::List(list) => list.iter().map(Raw::text).collect::<Option<_>>().ok_or(Refused(None))?,
        Raw::Untyped(text) => text.split(',').map(str::trim).filter(|origin| !origin.is_empty()).collect(),
        _ => return Err(Refused(raw.text().map(|text| format!("[{}]", quoted(text))))),
    };
    match origins.iter().find(|origin| !is_origin(origin)) {
        Some(&wrong) => Err(Refused(meant_origin(wrong))),
        None => Ok(origins.into_iter().map(str::to_owned).collect()),
    }
}

/// The address that was probably meant by a bare port, `:8787` or `localhost:8787`.
pub(super) fn meant_address(text: &str) -> Option<String> {
    let (ip, port) = match text.rsplit_once(':') {
        None => ("127.0.0.1", text),
        Some(("", port)) | Some(("*", port)) => ("0.0.0.0", port),
        Some(("localhost", port)) => ("127.0.0.1", port),
        Some(_) => return None,
    };
    let address: SocketAddr = format!("{ip}:{port}").parse().ok()?;
    Some(format!("\"{address}\""))
}

/// A TOML string.
pub(super) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn core_count(count: usize) -> Option<Cores> {
    (1..=CPUS_MAX).contains(&count).then_some(Cores::Count(count))
}

fn core_list(list: Vec<usize>) -> Option<Cores> {
    let different = (1..list.len()).all(|index| !list[..index].contains(&list[index]));
    (!list.is_empty() && different && list.iter().all(|&core| core < CPUS_MAX)).then_some(Cores::List(list))
}

/// `0,2-4` is `[0, 2, 3, 4]`.
fn spans(text: &str) -> Option<Vec<usize>> {
    let mut list = Vec::new();
    for span in text.strip_suffix(',').unwrap_or(text).split(',') {
        let (first, last) = span.split_once('-').unwrap_or((span, span));
        let (first, last) = (core_number(first)?, core_number(last)?);
        // Below the limit on both sides, so that "0-9999999999" costs nothing.
        list.extend(first..=last);
        if first > last || list.len() > CPUS_MAX {
            return None;
        }
    }
    Some(list)
}

fn core_number(text: &str) -> Option<usize> {
    parse_count(text.trim()).filter(|&core| core < CPUS_MAX)
}

/// RFC 6454 6.2: scheme, host and port of an origin, as browsers send it: lower case, no path. "null" is what a
/// sandboxed page sends.
fn is_origin(text: &str) -> bool {
    let plain = |host: &str| {
        !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase())
            && !host.contains(['/', '?', '#', '@', '*'])
    };
    text == "null" || text.split_once("://").is_some_and(|(scheme, host)| plain(scheme) && plain(host))
}

fn meant_origin(wrong: &str) -> Option<String> {
    let meant = wrong.trim_end_matches('/').to_ascii_lowercase();
    let meant = if meant.contains("://") { meant } else { format!("https://{meant}") };
    is_origin(&meant).then(|| quoted(&meant))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn untyped(text: &str) -> Raw {
        Raw::Untyped(text.to_owned())
    }

    #[test]
    fn cores_are_a_count_a_list_or_all() {
        assert_eq!(cores(&untyped("2")), Some(Cores::Count(2)));
        assert_eq!(cores(&untyped("0,2")), Some(Cores::List(vec![0, 2])));
        assert_eq!(cores(&untyped("0-2,7")), Some(Cores::List(vec![0, 1, 2, 7])));
        assert_eq!(cores(&untyped("1,")), Some(Cores::List(vec![1])));
        assert_eq!(cores(&untyped("All")), Some(Cores::All));
        assert_eq!(cores(&Raw::List(vec![Raw::Integer(3)])), Some(Cores::List(vec![3])));
    }

    #[test]
    fn impossible_cores_are_refused() {
        for wrong in ["", "0", "-1", "many", "0,0", "3-1", "0-9999999999", "1025", "5000,", "0,,1", ","] {
            assert_eq!(cores(&untyped(wrong)), None, "{wrong}");
        }
        assert_eq!(cores(&Raw::List(vec![])), None);
        assert_eq!(cores(&Raw::List(vec![Raw::Text("0".to_owned())])), None);
        assert_eq!(cores(&Raw::Float(2.0)), None);
    }

    #[test]
    fn cores_print_as_flags_take_them() {
        for written in [Cores::Count(2), Cores::List(vec![1]), Cores::List(vec![0, 5]), Cores::All] {
            assert_eq!(cores(&untyped(&written.to_string())), Some(written));
        }
    }

    #[test]
    fn a_bare_word_in_the_log_filter_must_be_a_level() {
        for right in ["info", "warn,dormouse=debug", "dormouse::shard=trace", "OFF"] {
            assert_eq!(log_filter(&untyped(right)).as_deref(), Some(right));
        }
        for wrong in ["", "verbose", "info,dormouse", "dormouse=loud"] {
            assert_eq!(log_filter(&untyped(wrong)), None, "{wrong}");
        }
    }

    #[test]
    fn origins_are_as_browsers_send_them() {
        for right in ["https://example.com", "http://localhost:3000", "null", "tauri://localhost"] {
            assert!(is_origin(right), "{right}");
        }
        for wrong in
            ["", "example.com", "https://example.com/", "https://Example.com", "*", "https://*.example.com"]
        {
            assert!(!is_origin(wrong), "{wrong}");
        }
        assert_eq!(meant_origin("https://Example.com/").as_deref(), Some("\"https://example.com\""));
        assert_eq!(meant_origin("example.com").as_deref(), Some("\"https://example.com\""));
        assert_eq!(meant_origin("*"), None);
    }

    #[test]
    fn the_habits_of_other_servers_are_understood() {
        assert_eq!(meant_address(":8787").as_deref(), Some("\"0.0.0.0:8787\""));
        assert_eq!(meant_address("8787").as_deref(), Some("\"127.0.0.1:8787\""));
        assert_eq!(meant_address("localhost:80").as_deref(), Some("\"127.0.0.1:80\""));
        assert_eq!(meant_address("example.com:80"), None);
        assert_eq!(meant_address("localhost:99999"), None);
    }
}
