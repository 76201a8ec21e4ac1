//! The config through the binary: what it prints is read back, what is wrong is named, and the layers override each
//! other. The doctor's report of the file table shows which value won, without opening a port.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::{env, fs, process};

/// A working directory of its own, gone at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("dormouse-config-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn with(self, file: &str, text: &str) -> Self {
        fs::write(self.0.join(file), text).unwrap();
        self
    }

    fn dormouse(&self, arguments: &str, environment: &[(&str, &str)]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_dormouse"))
            .args(arguments.split_whitespace())
            .env_clear()
            .envs(environment.iter().copied())
            .current_dir(&self.0)
            .output()
            .unwrap()
    }

    /// The number of slots that an engine would ask for.
    fn slots(&self, arguments: &str, environment: &[(&str, &str)]) -> String {
        let report = text(self.dormouse(&format!("doctor {arguments}"), environment).stdout);
        let line =
            report.lines().find(|line| line.contains("slots a ring")).unwrap_or_else(|| panic!("{report}"));
        line.split_whitespace().find(|word| word.parse::<u32>().is_ok()).unwrap().to_owned()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_defaults_are_printed_and_read_back() {
    let directory = Directory::new("defaults");
    let printed = directory.dormouse("config default", &[]);
    assert_eq!(printed.status.code(), Some(0));
    let directory = directory.with("printed.toml", &text(printed.stdout));
    let checked = directory.dormouse("config check printed.toml", &[]);
    assert_eq!((checked.status.code(), text(checked.stdout).as_str()), (Some(0), "printed.toml: ok\n"));
}

#[test]
fn all_mistakes_of_a_file_are_named_with_their_lines_and_exit_2() {
    let wrong = "listen = 80\n[limits]\nmesage_bytes = 5\nheaders = 1\n[hibernation]\nidle = 'soon'\n";
    let checked =
        Directory::new("mistakes").with("wrong.toml", wrong).dormouse("config check wrong.toml", &[]);
    assert_eq!(checked.status.code(), Some(2));
    assert!(checked.stdout.is_empty());
    let lines = text(checked.stderr);
    for (line, begin) in lines.lines().zip([
        "wrong.toml:1: listen = 80: must be an IP address and port, e.g. ",
        "wrong.toml:3: limits.mesage_bytes = 5: unknown key; did you mean limits.message_bytes? ",
        "wrong.toml:4: limits.headers = 1: must be a whole number from 8 to 1000",
        "wrong.toml:6: hibernation.idle = 'soon': must be a time from 0s to 24h, e.g. \"10s\"",
    ]) {
        assert!(line.starts_with(begin), "{line}");
    }
    assert_eq!(lines.lines().count(), 4, "{lines}");
}

#[test]
fn serve_refuses_the_same_file_with_the_same_line() {
    let directory = Directory::new("serve").with("dormouse.toml", "[timeouts]\nclose = true\n");
    for arguments in ["", "serve", "--config dormouse.toml"] {
        let served = directory.dormouse(arguments, &[]);
        assert_eq!(served.status.code(), Some(2), "{arguments}");
        let line = text(served.stderr);
        assert!(
            line.starts_with("dormouse.toml:2: timeouts.close = true: must be a time from 10ms to 10m"),
            "{line}"
        );
    }
}

#[test]
fn the_environment_overrides_the_file_and_flags_override_both() {
    let directory = Directory::new("layers").with("dormouse.toml", "limits.connections_per_ring = 101\n");
    let environment = [("DORMOUSE_LIMITS_CONNECTIONS_PER_RING", "102")];
    assert_eq!(directory.slots("", &[]), "101");
    assert_eq!(directory.slots("", &environment), "102");
    assert_eq!(directory.slots("--set limits.connections_per_ring=103", &environment), "103");
}

#[test]
fn a_named_file_replaces_that_of_the_working_directory() {
    let directory = Directory::new("named")
        .with("dormouse.toml", "limits.connections_per_ring = 101")
        .with("variable.toml", "limits.connections_per_ring = 102")
        .with("flag.toml", "limits.connections_per_ring = 103");
    let environment = [("DORMOUSE_CONFIG", "variable.toml")];
    assert_eq!(directory.slots("", &environment), "102");
    assert_eq!(directory.slots("--config flag.toml", &environment), "103");
}

#[test]
fn an_unknown_variable_is_refused_and_the_known_one_named() {
    let served = Directory::new("variable").dormouse("", &[("DORMOUSE_LISTN", "0.0.0.0:80")]);
    assert_eq!(served.status.code(), Some(2));
    let line = text(served.stderr);
    assert!(
        line.starts_with("environment variable DORMOUSE_LISTN: unknown key; did you mean DORMOUSE_LISTEN?")
    );
}
