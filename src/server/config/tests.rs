//! The config as the operator meets it: layers, mistakes, and the printed defaults.

use std::path::PathBuf;
use std::time::Duration;

use super::table::{KEYS, SECTIONS};
use super::*;

fn from_file(text: &str) -> Result<Loaded, ConfigErrors> {
    load(Layers { file: Some((PathBuf::from("dormouse.toml"), text.to_owned())), ..Layers::default() })
}

fn from_environment(name: &str, value: &str) -> Result<Loaded, ConfigErrors> {
    load(Layers { environment: vec![(name.into(), value.into())], ..Layers::default() })
}

fn set(key: &str, value: &str) -> Setting {
    Setting { flag: "--set".to_owned(), key: key.to_owned(), value: value.to_owned() }
}

fn from_flag(key: &str, value: &str) -> Result<Loaded, ConfigErrors> {
    load(Layers { flags: vec![set(key, value)], ..Layers::default() })
}

/// The lines that refuse a file.
fn refused(text: &str) -> Vec<String> {
    from_file(text).unwrap_err().0.iter().map(ConfigError::to_string).collect()
}

#[test]
fn nothing_set_is_the_default() {
    assert_eq!(load(Layers::default()).unwrap().config, Config::default());
}

#[test]
fn the_printed_defaults_read_back_as_the_default() {
    let loaded = from_file(&default_toml()).unwrap();
    assert_eq!(loaded.config, Config::default());
    for key in KEYS {
        assert!(matches!(loaded.source(key.name), Source::File { .. }), "{} is printed", key.name);
    }
}

#[test]
fn the_printed_defaults_say_what_and_why_on_short_lines() {
    let printed = default_toml();
    assert_eq!(printed.matches("# Why: ").count(), KEYS.len());
    assert_eq!(printed.matches("# Allowed: ").count(), KEYS.len());
    assert!(printed.lines().all(|line| line.chars().count() <= 120), "{printed}");
    assert!(SECTIONS.iter().all(|(section, _)| printed.contains(&format!("\n[{section}]\n"))));
}

#[test]
fn the_file_sets_what_it_names_and_nothing_else() {
    let text = r#"
        listen = "[::]:80"
        cores = [0, 2]
        [buffers]
        receive_bytes = "1KiB"
        [hibernation]
        idle = 0
        [timeouts]
        ping = "off"
        close = 2.5
        [security]
        origins = ["https://game.example"]
        [pacing]
        wait = "500us"
        [metrics]
        listen = "127.0.0.1:9100"
        [vars]
        GREETING = "hello"
    "#;
    let mut expected = Config { cores: Cores::List(vec![0, 2]), ..Config::default() };
    expected.listen = "[::]:80".parse().unwrap();
    expected.buffers.receive_bytes = 1024;
    expected.hibernation.idle = Some(Duration::ZERO);
    expected.timeouts.ping = None;
    expected.timeouts.close = Duration::from_millis(2500);
    expected.security.origins = vec!["https://game.example".to_owned()];
    expected.pacing.wait = Duration::from_micros(500);
    expected.metrics.listen = Some("127.0.0.1:9100".parse().unwrap());
    expected.vars.insert("GREETING".to_owned(), "hello".to_owned());
    assert_eq!(from_file(text).unwrap().config, expected);
}

#[test]
fn the_environment_overrides_the_file_and_a_flag_overrides_both() {
    let mut layers = Layers {
        file: Some(("dormouse.toml".into(), "log = 'warn'\ncores = 1\n[limits]\nheaders = 50".to_owned())),
        environment: vec![
            ("DORMOUSE_LOG".into(), "debug".into()),
            ("DORMOUSE_CORES".into(), "0,1".into()),
            ("PATH".into(), "/bin".into()),
        ],
        flags: vec![set("log", "error"), set("log", "trace")],
    };
    let loaded = load(layers.clone()).unwrap();
    assert_eq!(loaded.config.log, "trace", "the last flag");
    assert_eq!(loaded.config.cores, Cores::List(vec![0, 1]), "the environment");
    assert_eq!(loaded.config.limits.headers, 50, "the file");
    assert_eq!(loaded.source("cores"), Source::Environment("DORMOUSE_CORES".to_owned()));
    assert_eq!(loaded.source("listen"), Source::Default);
    layers.flags.clear();
    assert_eq!(load(layers).unwrap().config.log, "debug");
}

#[test]
fn each_key_has_a_variable_and_takes_its_own_default_from_it() {
    for key in KEYS {
        let default = key.kind.show(&mut Config::default());
        let untyped = default.trim_matches(['"', '[', ']']);
        let loaded = from_environment(&key.variable(), untyped).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(loaded.config, Config::default(), "{}", key.variable());
        assert_eq!(loaded.source(key.name), Source::Environment(key.variable()));
    }
}

#[test]
fn vars_come_from_file_environment_and_flags_together() {
    let loaded = load(Layers {
        file: Some(("dormouse.toml".into(), "[vars]\nA = 'file'\nB = 'file'".to_owned())),
        environment: vec![("DORMOUSE_VARS_B".into(), "environment".into())],
        flags: vec![set("vars.C", "flag")],
    });
    let vars: Vec<_> = loaded.unwrap().config.vars.into_iter().collect();
    let expected = [("A", "file"), ("B", "environment"), ("C", "flag")];
    assert_eq!(vars, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn an_impossible_value_names_file_line_key_value_and_what_is_allowed() {
    assert_eq!(
        refused("\n\n\n\n\n[limits]\nmessage_bytes = \"lots\""),
        [
            r#"dormouse.toml:7: limits.message_bytes = "lots": must be a size from 125 B to 1 GiB, e.g. "32MiB""#
        ]
    );
    assert_eq!(
        refused("timeouts.close = \"2h\""),
        [concat!(
            r#"dormouse.toml:1: timeouts.close = "2h": must be a time from 10ms to 10m, "#,
            r#"e.g. "5s" (a bare number is seconds)"#
        )]
    );
}

#[test]
fn a_wrong_type_is_refused_even_when_it_looks_right() {
    for text in [
        "limits.headers = \"100\"",
        "limits.headers = 100.0",
        "limits.headers = [100]",
        "limits.headers = true",
        "limits.headers = { most = 100 }",
        "limits.headers = 1979-05-27",
        "limits.headers = -1",
        "limits.headers = 99999999999999999999999999999999999999999999",
        "log = 3",
        "listen = 8787",
        "vars.PORT = 8080",
        "security.origins = \"https://game.example\"",
        "hibernation.idle = false",
    ] {
        let lines = refused(text);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("dormouse.toml:1: ") && lines[0].contains(": must be "), "{lines:?}");
    }
}

#[test]
fn an_unknown_key_is_answered_with_the_key_that_was_meant() {
    let lines = refused("[limits]\nmesage_bytes = 5");
    let expected =
        "dormouse.toml:2: limits.mesage_bytes = 5: unknown key; did you mean limits.message_bytes? [limits]";
    assert!(lines[0].starts_with(expected), "{lines:?}");
    let lines = refused("[limit]\nheaders = 5");
    assert!(
        lines[0].starts_with("dormouse.toml:2: limit.headers = 5: unknown key; did you mean limits.headers?")
    );
    assert!(
        refused("[frob]")[0].starts_with("dormouse.toml:1: frob = a table: unknown key; known are listen, ")
    );
}

#[test]
fn a_section_must_be_a_table() {
    assert_eq!(refused("limits = 5"), ["dormouse.toml:1: limits = 5: must be a table, [limits]"]);
    assert!(refused("[[limits]]\nheaders = 5")[0].contains("must be a table, [limits]"));
    assert_eq!(from_file("[limits]\n").unwrap().config, Config::default());
}

#[test]
fn all_mistakes_of_all_layers_are_reported_in_their_order() {
    let errors = load(Layers {
        file: Some(("a.toml".into(), "log = 'loud'\n[limits]\nheaders = 1\nfoo = 2".to_owned())),
        environment: vec![("DORMOUSE_TIMEOUTS_PONG".into(), "soon".into())],
        flags: vec![set("cores", "none")],
    });
    let lines: Vec<_> = errors.unwrap_err().0.iter().map(ConfigError::to_string).collect();
    let begins = [
        "a.toml:1: log = 'loud': must be ",
        "a.toml:3: limits.headers = 1: must be a whole number from 8 to 1000",
        "a.toml:4: limits.foo = 2: unknown key; [limits] has ",
        "environment variable DORMOUSE_TIMEOUTS_PONG: timeouts.pong = \"soon\": must be a time from ",
        "--set: cores = \"none\": must be a count from 1 ",
    ];
    assert_eq!(lines.len(), begins.len(), "{lines:#?}");
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}");
    }
}

#[test]
fn an_unknown_variable_is_refused_without_showing_its_value() {
    let line = from_environment("DORMOUSE_VAR_TOKEN", "secret").unwrap_err().to_string();
    assert!(line.starts_with("environment variable DORMOUSE_VAR_TOKEN: unknown key; "), "{line}");
    assert!(!line.contains("secret"));
    let line = from_environment("DORMOUSE_LISTN", "x").unwrap_err().to_string();
    assert!(line.contains("did you mean DORMOUSE_LISTEN?"), "{line}");
}

#[test]
fn variables_that_are_not_for_us_are_left_alone() {
    for name in [
        "DORMOUSE_CONFIG",
        "DORMOUSE_SERVICE_HOST",
        "DORMOUSE_SERVICE_PORT_HTTP",
        "DORMOUSE_PORT",
        "DORMOUSE_PORT_8787_TCP_ADDR",
        "DORMOUSELISTEN",
    ] {
        assert_eq!(
            from_environment(name, "tcp://10.0.0.1:8787").unwrap().config,
            Config::default(),
            "{name}"
        );
    }
}

#[test]
fn a_variable_that_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let value = std::ffi::OsString::from_vec(vec![0xff]);
    let errors = load(Layers { environment: vec![("DORMOUSE_LOG".into(), value)], ..Layers::default() });
    assert!(errors.unwrap_err().to_string().ends_with("must be UTF-8"));
}

#[test]
fn every_number_takes_the_ends_of_its_range_and_nothing_beyond() {
    for key in KEYS {
        let ends = match &key.kind {
            kind::Kind::Count(range, _) | kind::Kind::PowerOfTwo(range, _) | kind::Kind::Size(range, _) => {
                (*range.start() as i128, *range.end() as i128)
            }
            _ => continue,
        };
        for (value, allowed) in [(ends.0, true), (ends.1, true), (ends.0 - 1, false), (ends.1 + 1, false)] {
            let accepted = key.kind.set(&mut Config::default(), &kind::Raw::Integer(value)).is_ok();
            assert_eq!(accepted, allowed, "{} = {value}", key.name);
        }
    }
}

#[test]
fn every_time_takes_the_ends_of_its_range_and_nothing_beyond() {
    let step = Duration::from_nanos(1);
    for key in KEYS {
        let (range, off) = match &key.kind {
            kind::Kind::Time(range, _) => (range, false),
            kind::Kind::TimeOrOff(range, _) => (range, true),
            _ => continue,
        };
        let accepts = |time: Duration| from_flag(key.name, &format!("{}ns", time.as_nanos())).is_ok();
        assert!(accepts(*range.start()) && accepts(*range.end()), "{}", key.name);
        assert!(!accepts(*range.end() + step), "{}", key.name);
        // Where zero is below the range and the key can be off, zero is off; one nanosecond is neither.
        assert!(range.start().is_zero() || !accepts(*range.start() - step), "{}", key.name);
        assert_eq!(from_flag(key.name, "off").is_ok(), off, "{}", key.name);
    }
}

#[test]
fn zero_is_at_once_for_hibernation_and_off_for_pings() {
    assert_eq!(from_file("hibernation.idle = 0").unwrap().config.hibernation.idle, Some(Duration::ZERO));
    assert_eq!(from_file("hibernation.idle = 'off'").unwrap().config.hibernation.idle, None);
    assert_eq!(from_file("timeouts.ping = 0").unwrap().config.timeouts.ping, None);
    assert_eq!(from_file("timeouts.ping = '0s'").unwrap().config.timeouts.ping, None);
}

#[test]
fn what_is_nearly_right_is_answered_with_what_is() {
    let hint = |text: &str| from_file(text).unwrap_err().0[0].hint.as_deref().unwrap_or_default().to_owned();
    assert_eq!(hint("buffers.receive_count = 1000"), "1024");
    assert_eq!(hint("limits.message_bytes = '32MB'"), "\"32MiB\"");
    assert_eq!(hint("listen = ':8787'"), "\"0.0.0.0:8787\"");
    assert_eq!(hint("security.origins = ['https://Game.example/']"), "\"https://game.example\"");
    assert_eq!(hint("security.origins = 'https://game.example'"), "[\"https://game.example\"]");
}

#[test]
fn keys_that_contradict_each_other_are_refused_at_the_one_that_was_set() {
    assert_eq!(
        refused("limits.message_bytes = '512MiB'\nlimits.mailbox_bytes_per_object = '1GiB'"),
        [
            "dormouse.toml:1: limits.message_bytes = '512MiB': must be at most limits.reassembly_bytes_per_shard, \
          which is \"256MiB\" (default)"
        ]
    );
    assert_eq!(
        refused("[limits]\noutput_bytes_per_shard = '64KiB'"),
        ["dormouse.toml:2: limits.output_bytes_per_shard = '64KiB': must be at least \
          limits.output_bytes_per_socket, which is \"1MiB\" (default)"]
    );
    assert!(from_flag("metrics.listen", "127.0.0.1:8787").is_err());
    let both_chosen_by_the_kernel = [set("listen", "127.0.0.1:0"), set("metrics.listen", "127.0.0.1:0")];
    assert!(load(Layers { flags: both_chosen_by_the_kernel.into(), ..Layers::default() }).is_ok());
}

#[test]
fn what_this_machine_refuses_names_who_set_it() {
    let loaded = from_file("cores = 64").unwrap();
    let refused = loaded.config.cores.choose(&[0, 1]).unwrap_err();
    assert_eq!(
        loaded.refuse("cores", refused.to_string()).to_string(),
        "dormouse.toml:1: cores = 64: must be at most 2 CPUs, of those this process may use: 0,1"
    );
    let line =
        loaded.refuse("limits.connections_per_ring", "at most 1024, the limit of open files").to_string();
    assert!(line.starts_with("default: limits.connections_per_ring = 16384: must be at most 1024"), "{line}");
}

#[test]
fn a_file_that_is_not_toml_says_only_where() {
    let lines = refused("headers = \nlimits.headers = -1");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with("dormouse.toml:1: not TOML: "), "{lines:?}");
    assert!(refused("log = 'a'\nlog = 'b'")[0].contains("duplicate key"));
}
