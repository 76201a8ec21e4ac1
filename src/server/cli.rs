//! Owns the command line: from arguments, environment and working directory to the [`Command`] that they ask for, and
//! from there to the exit status. Apart from [`run`], it touches nothing of the process.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use super::config::{
    CONFIG_VARIABLE, ConfigError, ConfigErrors, Layers, Loaded, Problem, Setting, Source, default_toml,
    key_lines, load,
};
use super::doctor;

/// The file that is read from the working directory when no other is named.
const CONFIG_FILE: &str = "dormouse.toml";

const EXAMPLES: &str = "\
Examples:
  dormouse                                          serve on 127.0.0.1:8787, a shard on each CPU
  dormouse --listen 0.0.0.0:80 --cores 4            for everybody, on the first 4 CPUs
  dormouse serve --cores 2,3 --config game.toml     on CPUs 2 and 3, the rest from a file
  dormouse --set limits.message_bytes=1MiB          any key of the config as a flag
  DORMOUSE_TIMEOUTS_PING=off dormouse               any key from the environment
  dormouse config default > dormouse.toml           a file with all keys, explained
  dormouse doctor                                   what this machine lacks, and how to lift it

Config: defaults < file < environment (DORMOUSE_<SECTION>_<KEY>) < flags. The file is --config FILE,
else $DORMOUSE_CONFIG, else ./dormouse.toml if there is one.

Exit status: 0 done; 1 the machine or the network is in the way; 2 wrong usage or config.";

/// Run Durable Objects that hold WebSockets.
#[derive(Debug, Parser)]
#[command(name = "dormouse", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    settings: Settings,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Run the engine; this is what happens without a command, too
    #[command(after_help = EXAMPLES)]
    Serve(Settings),
    /// Print the defaults, or check a config file
    #[command(subcommand)]
    Config(ConfigAction),
    /// Say what the engine needs of this machine, what is missing, and how to lift it
    Doctor {
        #[command(flatten)]
        settings: Settings,
        /// Print the report as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigAction {
    /// Print a config file with every key, its default, what is allowed and why
    Default,
    /// Say what is wrong with a config file, all of it
    Check {
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Default, Args)]
struct Settings {
    /// Address to accept clients on [default: 127.0.0.1:8787]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// CPUs that get a shard each: a count, a list such as 0,2 or 0-3, or all [default: all]
    #[arg(long, value_name = "N|LIST")]
    cores: Option<String>,
    /// Config file [default: $DORMOUSE_CONFIG, or ./dormouse.toml if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Quiet time until an object hibernates: 10s, 0 for at once, or off [default: 10s]
    #[arg(long, value_name = "TIME")]
    hibernation_idle: Option<String>,
    /// What is logged: a level, or levels by module such as warn,dormouse=debug [default: info]
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Address to serve metrics and health on [default: none]
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<String>,
    /// Set any key of the config; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_and_value)]
    set: Vec<(String, String)>,
}

/// What the command line asks for.
///
/// ```
/// use dormouse::server::cli::{Command, parse_from};
///
/// let arguments = ["dormouse", "config", "default"].map(Into::into);
/// match parse_from(arguments, [], ".".as_ref()) {
///     Ok(Command::Print(text)) => assert!(text.starts_with("# dormouse.toml")),
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Run the engine.
    Serve(Box<Loaded>),
    /// Report on this machine.
    Doctor {
        /// The config to report for.
        loaded: Box<Loaded>,
        /// As JSON.
        json: bool,
    },
    /// Print this and be done.
    Print(String),
}

/// There is nothing to run: help was asked for, or something was wrong.
///
/// ```
/// use dormouse::server::cli::parse_from;
///
/// let arguments = ["dormouse", "--version"].map(Into::into);
/// let stop = parse_from(arguments, [], ".".as_ref()).unwrap_err();
/// assert_eq!(stop.exit_code, 0);
/// assert!(stop.text.starts_with("dormouse "));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stop {
    /// The status to exit with: 0 for help and version, 2 for wrong usage or config.
    pub exit_code: u8,
    /// What to print, with its line breaks; to stdout if the status is 0, to stderr otherwise.
    pub text: String,
}

/// What the command line asks for, with the config read from all layers.
///
/// The first argument is the program's name. Relative paths, and `./dormouse.toml`, are looked up in `directory`.
///
/// # Errors
///
/// Help and version, and all mistakes in usage and config.
///
/// ```
/// # use dormouse::server::cli::{Command, parse_from};
/// let arguments = ["dormouse", "--cores", "1"].map(Into::into);
/// let command = parse_from(arguments, [], "/nonexistent".as_ref()).unwrap();
/// assert!(matches!(command, Command::Serve(loaded) if loaded.config.cores.to_string() == "1"));
///
/// let stop = parse_from(["dormouse", "--cores", "few"].map(Into::into), [], "/nonexistent".as_ref()).unwrap_err();
/// assert_eq!(stop.exit_code, 2);
/// ```
pub fn parse_from(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    directory: &Path,
) -> Result<Command, Stop> {
    let surroundings = Surroundings { environment: environment.into_iter().collect(), directory };
    let mut grammar = grammar();
    let matches = grammar.try_get_matches_from_mut(arguments).map_err(Stop::from)?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| Stop::from(error.format(&mut grammar)))?;
    match cli.action {
        None => surroundings.serve(cli.settings),
        Some(Action::Serve(settings)) => surroundings.serve(cli.settings.then(settings)),
        Some(Action::Doctor { settings, json }) => {
            let loaded = Box::new(surroundings.load(cli.settings.then(settings))?);
            Ok(Command::Doctor { loaded, json })
        }
        Some(Action::Config(_)) if !cli.settings.is_empty() => {
            let what = "flags have no effect on `config`, which looks at the defaults or at one file";
            Err(Stop::from(grammar.error(ErrorKind::ArgumentConflict, what)))
        }
        Some(Action::Config(ConfigAction::Default)) => Ok(Command::Print(default_toml())),
        Some(Action::Config(ConfigAction::Check { file })) => surroundings.check(file),
    }
}

/// The whole of `main`: parses, prints, and serves by the function that is handed in.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     dormouse::server::cli::run(|loaded| {
///         println!("serving on {}", loaded.config.listen);
///         ExitCode::SUCCESS
///     })
/// }
/// ```
pub fn run(serve: impl FnOnce(Loaded) -> ExitCode) -> ExitCode {
    let directory = env::current_dir().unwrap_or_default();
    let (text, exit_code) = match parse_from(env::args_os(), env::vars_os(), &directory) {
        Ok(Command::Serve(loaded)) => return serve(*loaded),
        Ok(Command::Doctor { loaded, json }) => {
            let report = doctor::diagnose(&loaded);
            let text = if json { doctor::render_json(&report) } else { doctor::render(&report) };
            // The report is the result asked for, whatever it says.
            print(&text, io::stdout());
            return ExitCode::from(doctor::exit_code(&report));
        }
        Ok(Command::Print(text)) => (text, 0),
        Err(stop) => (stop.text, stop.exit_code),
    };
    if exit_code == 0 {
        print(&text, io::stdout())
    } else {
        print(&text, io::stderr())
    }
    ExitCode::from(exit_code)
}

/// A reader that went away, as in `dormouse config default | head`, is no failure.
fn print(text: &str, mut to: impl Write) {
    let _ = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

fn grammar() -> clap::Command {
    let keys =
        format!("{EXAMPLES}\n\nKeys for --set and {CONFIG_FILE}, with their defaults:\n{}", key_lines());
    let with_keys = |command: clap::Command| command.after_long_help(keys.clone());
    with_keys(Cli::command()).mut_subcommand("serve", with_keys)
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE, e.g. limits.message_bytes=1MiB")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}

impl Settings {
    /// Flags before the command, then those behind it, which win.
    fn then(self, later: Self) -> Self {
        Self {
            listen: later.listen.or(self.listen),
            cores: later.cores.or(self.cores),
            config: later.config.or(self.config),
            hibernation_idle: later.hibernation_idle.or(self.hibernation_idle),
            log: later.log.or(self.log),
            metrics_listen: later.metrics_listen.or(self.metrics_listen),
            set: [self.set, later.set].concat(),
        }
    }

    fn is_empty(&self) -> bool {
        let Self { listen, cores, config, hibernation_idle, log, metrics_listen, set } = self;
        config.is_none()
            && set.is_empty()
            && [listen, cores, hibernation_idle, log, metrics_listen].into_iter().all(Option::is_none)
    }

    /// A flag of its own wins over `--set`, since it is the one that is seen.
    fn flags(self) -> Vec<Setting> {
        let own = [
            ("--listen", "listen", self.listen),
            ("--cores", "cores", self.cores),
            ("--hibernation-idle", "hibernation.idle", self.hibernation_idle),
            ("--log", "log", self.log),
            ("--metrics-listen", "metrics.listen", self.metrics_listen),
        ];
        let set = self.set.into_iter().map(|(key, value)| Setting { flag: "--set".to_owned(), key, value });
        let own = own.into_iter().filter_map(|(flag, key, value)| {
            Some(Setting { flag: flag.to_owned(), key: key.to_owned(), value: value? })
        });
        set.chain(own).collect()
    }
}

/// What of the process matters, handed in.
struct Surroundings<'a> {
    environment: Vec<(OsString, OsString)>,
    directory: &'a Path,
}

impl Surroundings<'_> {
    fn serve(self, settings: Settings) -> Result<Command, Stop> {
        Ok(Command::Serve(Box::new(self.load(settings)?)))
    }

    fn load(self, settings: Settings) -> Result<Loaded, Stop> {
        let file = self.file(settings.config.as_deref())?;
        Ok(load(Layers { file, environment: self.environment, flags: settings.flags() })?)
    }

    /// The file alone: what the environment adds here, it may not add where the file is going to be used.
    fn check(&self, file: PathBuf) -> Result<Command, Stop> {
        let text = self.read(&file).map_err(|error| unreadable(&file, &error))?;
        let fine = format!("{}: ok\n", file.display());
        load(Layers { file: Some((file, text)), ..Layers::default() })?;
        Ok(Command::Print(fine))
    }

    fn file(&self, flag: Option<&Path>) -> Result<Option<(PathBuf, String)>, Stop> {
        let variable =
            self.environment.iter().find(|(name, value)| name == CONFIG_VARIABLE && !value.is_empty());
        let named = flag.or(variable.map(|(_, value)| Path::new(value)));
        let path = named.unwrap_or(Path::new(CONFIG_FILE));
        match self.read(path) {
            Ok(text) => Ok(Some((path.to_owned(), text))),
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(path, &error)),
        }
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        fs::read_to_string(self.directory.join(path))
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Stop {
    let error = ConfigError {
        source: Source::File { path: path.to_owned(), line: 0, column: 0 },
        key: String::new(),
        value: None,
        problem: Problem::Unreadable,
        allowed: error.to_string().into(),
        hint: None,
    };
    Stop::from(ConfigErrors(vec![error]))
}

impl From<ConfigErrors> for Stop {
    fn from(errors: ConfigErrors) -> Self {
        Self { exit_code: 2, text: format!("{errors}\n") }
    }
}

impl From<clap::Error> for Stop {
    fn from(error: clap::Error) -> Self {
        let exit_code = if error.use_stderr() { 2 } else { 0 };
        Self { exit_code, text: error.render().to_string() }
    }
}

#[cfg(test)]
mod tests;
