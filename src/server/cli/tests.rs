//! The command line as the operator meets it, without a process.

use std::time::Duration;

use super::super::config::Cores;
use super::*;

/// A directory with a `dormouse.toml`, gone at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn with(name: &str, text: &str) -> Self {
        let path = env::temp_dir().join(format!("dormouse-cli-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(CONFIG_FILE), text).unwrap();
        Self(path)
    }

    fn parse(&self, arguments: &str, environment: &[(&str, &str)]) -> Result<Command, Stop> {
        parse_in(&self.0, arguments, environment)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn parse_in(directory: &Path, arguments: &str, environment: &[(&str, &str)]) -> Result<Command, Stop> {
    let arguments = ["dormouse"].into_iter().chain(arguments.split_whitespace()).map(OsString::from);
    let environment = environment.iter().map(|(name, value)| (name.into(), value.into()));
    parse_from(arguments, environment, directory)
}

/// In a directory without any file.
fn parse(arguments: &str) -> Result<Command, Stop> {
    parse_in(Path::new("/nonexistent"), arguments, &[])
}

fn served(command: Result<Command, Stop>) -> Loaded {
    match command {
        Ok(Command::Serve(loaded)) => *loaded,
        other => panic!("{other:?}"),
    }
}

fn refused(command: Result<Command, Stop>) -> String {
    let stop = command.unwrap_err();
    assert_eq!(stop.exit_code, 2, "{}", stop.text);
    stop.text
}

#[test]
fn without_a_command_it_serves() {
    assert_eq!(parse(""), parse("serve"));
    assert_eq!(parse("--listen 0.0.0.0:80 --cores 1"), parse("serve --listen 0.0.0.0:80 --cores 1"));
    assert_eq!(parse("--cores 1 serve --listen 0.0.0.0:80"), parse("serve --listen 0.0.0.0:80 --cores 1"));
}

#[test]
fn every_flag_sets_its_key() {
    let loaded = served(parse(
        "--listen [::]:80 --cores 0,1 --hibernation-idle off --log warn --metrics-listen 127.0.0.1:9100 \
         --set limits.headers=50 --set timeouts.ping=1m",
    ));
    assert_eq!(loaded.config.listen, "[::]:80".parse().unwrap());
    assert_eq!(loaded.config.cores, Cores::List(vec![0, 1]));
    assert_eq!(loaded.config.hibernation.idle, None);
    assert_eq!(loaded.config.log, "warn");
    assert_eq!(loaded.config.metrics.listen, Some("127.0.0.1:9100".parse().unwrap()));
    assert_eq!(loaded.config.limits.headers, 50);
    assert_eq!(loaded.config.timeouts.ping, Some(Duration::from_secs(60)));
}

#[test]
fn a_flag_behind_the_command_wins_over_one_before_it_and_over_set() {
    let loaded = served(parse("--log warn --set cores=1 serve --set log=debug --log error --set cores=2"));
    assert_eq!((loaded.config.log.as_str(), loaded.config.cores), ("error", Cores::Count(2)));
}

#[test]
fn the_file_of_the_working_directory_is_read_and_overridden() {
    let directory = Directory::with("layers", "log = 'warn'\ncores = 1\nlisten = '0.0.0.0:1'\n");
    let environment = [("DORMOUSE_CORES", "2"), ("DORMOUSE_LISTEN", "0.0.0.0:2")];
    let loaded = served(directory.parse("--listen 0.0.0.0:3", &environment));
    assert_eq!(loaded.config.log, "warn", "file");
    assert_eq!(loaded.config.cores, Cores::Count(2), "environment over file");
    assert_eq!(loaded.config.listen.port(), 3, "flag over both");
    assert_eq!(loaded.file.as_deref(), Some(Path::new("dormouse.toml")));
}

#[test]
fn a_named_file_replaces_that_of_the_working_directory() {
    let directory = Directory::with("named", "log = 'warn'");
    fs::write(directory.0.join("flag.toml"), "log = 'debug'").unwrap();
    fs::write(directory.0.join("variable.toml"), "log = 'error'").unwrap();
    let environment = [("DORMOUSE_CONFIG", "variable.toml")];
    assert_eq!(served(directory.parse("", &environment)).config.log, "error");
    assert_eq!(served(directory.parse("--config flag.toml", &environment)).config.log, "debug");
    assert_eq!(served(directory.parse("", &[("DORMOUSE_CONFIG", "")])).config.log, "warn");
}

#[test]
fn a_named_file_that_is_not_there_is_refused() {
    let line = refused(parse("--config missing.toml"));
    assert!(line.starts_with("missing.toml: cannot be read: No such file"), "{line}");
    let line = refused(parse_in(Path::new("/nonexistent"), "", &[("DORMOUSE_CONFIG", "missing.toml")]));
    assert!(line.starts_with("missing.toml: cannot be read: "), "{line}");
}

#[test]
fn mistakes_name_the_flag_or_the_line() {
    assert!(refused(parse("--cores few")).starts_with("--cores: cores = \"few\": must be a count "));
    assert!(
        refused(parse("--set limits.header=5"))
            .starts_with("--set: limits.header = \"5\": unknown key; did you")
    );
    let directory = Directory::with("mistakes", "\n[limits]\nheaders = 'many'\nfoo = 1\n");
    let lines = refused(directory.parse("", &[]));
    assert!(lines.starts_with("dormouse.toml:3: limits.headers = 'many': must be "), "{lines}");
    assert_eq!(lines.matches('\n').count(), 2, "a line each: {lines}");
}

#[test]
fn wrong_usage_is_refused() {
    for arguments in ["--frob", "frob", "--listen", "--set nonsense", "config", "config check", "serve serve"]
    {
        assert!(!refused(parse(arguments)).is_empty(), "{arguments}");
    }
    assert!(refused(parse("--set nonsense")).contains("must be KEY=VALUE"));
    assert!(refused(parse("--cores 1 config default")).contains("no effect on `config`"));
}

#[test]
fn help_and_version_are_no_mistakes() {
    for (arguments, expected) in [
        ("--version", env!("CARGO_PKG_VERSION")),
        ("-h", "--hibernation-idle <TIME>"),
        ("-h", "./dormouse.toml if there is one"),
        ("--help", "limits.message_bytes"),
        ("serve --help", "Exit status: 0 done"),
        ("doctor --help", "--json"),
        ("config --help", "default"),
    ] {
        let stop = parse(arguments).unwrap_err();
        assert_eq!(stop.exit_code, 0);
        assert!(stop.text.contains(expected), "{arguments}: {}", stop.text);
    }
}

#[test]
fn the_defaults_are_printed_and_check_as_fine() {
    let Ok(Command::Print(defaults)) = parse("config default") else { panic!("nothing printed") };
    let directory = Directory::with("defaults", &defaults);
    assert_eq!(
        directory.parse("config check dormouse.toml", &[]),
        Ok(Command::Print("dormouse.toml: ok\n".into()))
    );
    assert_eq!(served(directory.parse("", &[])).config, served(parse("")).config);
}

#[test]
fn a_checked_file_is_looked_at_alone() {
    let directory = Directory::with("check", "cores = 'few'");
    let lines = refused(directory.parse("config check dormouse.toml", &[("DORMOUSE_LOG", "loud")]));
    assert!(
        lines.starts_with("dormouse.toml:1: cores = 'few': must be ") && !lines.contains("loud"),
        "{lines}"
    );
    assert!(
        refused(directory.parse("config check other.toml", &[])).starts_with("other.toml: cannot be read: ")
    );
}

#[test]
fn the_doctor_looks_at_the_config_too() {
    match parse("doctor --json --set limits.connections_per_ring=64") {
        Ok(Command::Doctor { loaded, json: true }) => {
            assert_eq!(loaded.config.limits.connections_per_ring, 64)
        }
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(parse("--cores 1 doctor"), Ok(Command::Doctor { loaded, .. }) if loaded.config.cores == Cores::Count(1))
    );
}

#[test]
fn the_grammar_is_sound() {
    grammar().debug_assert();
}
