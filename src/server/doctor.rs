//! Owns the question whether this machine can run the engine with this config: asked in full by `dormouse doctor`,
//! and in one line by `dormouse serve` before it starts. The checks themselves are the probe's.

use std::fmt;

use super::config::{Config, ConfigError, Loaded};
use crate::shard::probe::{Check, Report, Status, Wanted, allowed_cpus, probe_for};

/// Why the engine cannot start here. `Display` is one line.
///
/// ```
/// use dormouse::server::doctor::NotReady;
///
/// let not_ready = NotReady::Machine("io_uring: not in this kernel (ENOSYS)".to_owned());
/// assert_eq!(not_ready.exit_code(), 1);
/// assert_eq!(not_ready.to_string(), "io_uring: not in this kernel (ENOSYS)");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotReady {
    /// The config asks for what this machine does not have.
    Config(ConfigError),
    /// The kernel, the container or a limit is in the way: what was found, and how to lift it.
    Machine(String),
}

impl NotReady {
    /// The status to exit with: 2 when the config is to be changed, 1 when the machine is.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 2,
            Self::Machine(_) => 1,
        }
    }
}

/// What `serve` asks before it starts: the CPUs to put shards on, or why it cannot start. Some milliseconds.
///
/// # Errors
///
/// The first reason that [`diagnose`] would call missing.
///
/// ```no_run
/// # use dormouse::server::{config::{Layers, load}, doctor::ready};
/// let loaded = load(Layers::default()).unwrap();
/// match ready(&loaded) {
///     Ok(cores) => println!("shards on {cores:?}"),
///     Err(not_ready) => eprintln!("dormouse: {not_ready}"),
/// }
/// ```
pub fn ready(loaded: &Loaded) -> Result<Vec<usize>, NotReady> {
    let cores = choose_cores(loaded)?;
    match probe_for(&wanted(&loaded.config)).first_fatal() {
        Some(line) => Err(NotReady::Machine(line)),
        None => Ok(cores),
    }
}

/// What `dormouse doctor` reports: all that the probe found, and whether the configured cores are there.
///
/// ```no_run
/// # use dormouse::server::{config::{Layers, load}, doctor};
/// let report = doctor::diagnose(&load(Layers::default())?);
/// print!("{}", doctor::render(&report));
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
pub fn diagnose(loaded: &Loaded) -> Report {
    let mut report = probe_for(&wanted(&loaded.config));
    report.checks.push(match choose_cores(loaded) {
        Ok(cores) => {
            let finding = format!("a shard on each of {cores:?}");
            Check {
                name: "cores",
                status: Status::Ok,
                finding,
                consequence: String::new(),
                remedy: String::new(),
            }
        }
        Err(not_ready) => Check {
            name: "cores",
            status: Status::Missing,
            finding: not_ready.to_string(),
            consequence: "shards are not put on CPUs that the process may not use".to_owned(),
            remedy: "change `cores`, or the affinity: cpuset in Docker, AllowedCPUs= in systemd, taskset"
                .to_owned(),
        },
    });
    report
}

/// The status to exit with after the report.
///
/// ```
/// use dormouse::server::doctor::exit_code;
/// use dormouse::shard::probe::Report;
///
/// assert_eq!(exit_code(&Report { checks: Vec::new() }), 0);
/// ```
pub fn exit_code(report: &Report) -> u8 {
    u8::from(report.status() == Status::Missing)
}

/// The report for people: a line a check, under a shortfall what it means and how to lift it, and the sum at the end.
///
/// ```
/// # use dormouse::shard::probe::{Check, Report, Status};
/// # let (name, status, finding) = ("io_uring", Status::Missing, "not in this kernel".to_owned());
/// # let (consequence, remedy) = ("no shard can start".to_owned(), "run Linux 6.1 or later".to_owned());
/// # let report = Report { checks: vec![Check { name, status, finding, consequence, remedy }] };
/// let text = dormouse::server::doctor::render(&report);
/// assert!(text.starts_with("MISSING  io_uring  not in this kernel\n"));
/// assert!(text.contains("do: run Linux 6.1 or later\n"));
/// ```
pub fn render(report: &Report) -> String {
    let width = report.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for check in &report.checks {
        let status = match check.status {
            Status::Ok => "ok",
            Status::Limited => "LIMITED",
            Status::Missing => "MISSING",
        };
        text.push_str(&format!("{status:<7}  {:<width$}  {}\n", check.name, check.finding));
        let indent = 7 + 2 + width + 2;
        for (label, line) in [("means", &check.consequence), ("do", &check.remedy)] {
            if !line.is_empty() {
                text.push_str(&format!("{:indent$}{label}: {line}\n", ""));
            }
        }
    }
    text.push_str(match report.status() {
        Status::Ok => "\nDormouse can run here.\n",
        Status::Limited => "\nDormouse can run here, with the limits above.\n",
        Status::Missing => {
            "\nDormouse cannot start here. Lift what is missing, from the top: it may explain the rest.\n"
        }
    });
    text
}

/// The report for programs: `{"status": "ok", "checks": [{"name", "status", "finding", "consequence", "remedy"}]}`,
/// with the statuses `ok`, `limited` and `missing`.
///
/// ```
/// # use dormouse::shard::probe::{Check, Report, Status};
/// # let (name, status, finding) = ("io_uring", Status::Missing, "not in this kernel".to_owned());
/// # let (consequence, remedy) = ("no shard can start".to_owned(), "run Linux 6.1 or later".to_owned());
/// # let report = Report { checks: vec![Check { name, status, finding, consequence, remedy }] };
/// let json: serde_json::Value = serde_json::from_str(&dormouse::server::doctor::render_json(&report))?;
/// assert_eq!((&json["status"], &json["checks"][0]["name"]), (&"missing".into(), &"io_uring".into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn render_json(report: &Report) -> String {
    let json = serde_json::json!({ "status": report.status(), "checks": report.checks });
    format!("{json:#}\n")
}

/// What an engine with this config asks of the kernel. The config's ranges are the kernel's, so that nothing is cut
/// off here that was read from a file.
///
/// ```
/// use dormouse::server::{config::Config, doctor::wanted};
/// use dormouse::shard::probe::Wanted;
///
/// assert_eq!(wanted(&Config::default()), Wanted::default());
/// ```
pub fn wanted(config: &Config) -> Wanted {
    let cut = |amount: usize| u32::try_from(amount).unwrap_or(u32::MAX);
    Wanted {
        submission_entries: cut(config.buffers.submission_entries),
        completion_entries: cut(config.buffers.completion_entries),
        receive_count: u16::try_from(config.buffers.receive_count).unwrap_or(1 << 15),
        receive_bytes: config.buffers.receive_bytes,
        slots: cut(config.limits.connections_per_ring),
    }
}

fn choose_cores(loaded: &Loaded) -> Result<Vec<usize>, NotReady> {
    let allowed =
        allowed_cpus().map_err(|error| NotReady::Machine(format!("CPUs: cannot be read: {error}")))?;
    let chosen = loaded.config.cores.choose(&allowed);
    chosen.map_err(|refused| NotReady::Config(loaded.refuse("cores", refused.to_string())))
}

impl fmt::Display for NotReady {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(out),
            Self::Machine(line) => out.write_str(line),
        }
    }
}

impl std::error::Error for NotReady {}

#[cfg(test)]
mod tests {
    use super::super::config::{Layers, Setting, load};
    use super::*;

    fn with(key: &str, value: &str) -> Loaded {
        let flag = Setting { flag: "--set".to_owned(), key: key.to_owned(), value: value.to_owned() };
        load(Layers { flags: vec![flag], ..Layers::default() }).unwrap()
    }

    fn check(name: &'static str, status: Status) -> Check {
        let text = |text: &str| if status == Status::Ok { String::new() } else { text.to_owned() };
        Check {
            name,
            status,
            finding: "found".to_owned(),
            consequence: text("less"),
            remedy: text("lift it"),
        }
    }

    #[test]
    fn the_table_is_aligned_and_a_shortfall_comes_with_its_remedy() {
        let checks = vec![check("io_uring", Status::Ok), check("CPUs", Status::Limited)];
        let expected = "\
ok       io_uring  found
LIMITED  CPUs      found
                   means: less
                   do: lift it

Dormouse can run here, with the limits above.
";
        assert_eq!(render(&Report { checks }), expected);
    }

    #[test]
    fn only_what_is_missing_fails_the_doctor() {
        let report = |status| Report { checks: vec![check("io_uring", status)] };
        assert_eq!(exit_code(&report(Status::Ok)), 0);
        assert_eq!(exit_code(&report(Status::Limited)), 0);
        assert_eq!(exit_code(&report(Status::Missing)), 1);
    }

    #[test]
    fn programs_read_json() {
        let text = render_json(&Report { checks: vec![check("io_uring", Status::Missing)] });
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(json["status"], "missing");
        assert_eq!(json["checks"][0]["remedy"], "lift it");
    }

    #[test]
    fn the_defaults_of_the_probe_are_those_of_the_config() {
        assert_eq!(wanted(&Config::default()), Wanted::default());
    }

    #[test]
    fn this_machine_is_ready_for_one_core() {
        assert_eq!(ready(&with("cores", "1")).map(|cores| cores.len()), Ok(1));
    }

    #[test]
    fn a_core_that_is_not_there_is_the_configs_mistake() {
        let not_ready = ready(&with("cores", "1023,")).unwrap_err();
        assert_eq!(not_ready.exit_code(), 2);
        assert!(
            not_ready.to_string().starts_with("--set: cores = \"1023,\": must be at most "),
            "{not_ready}"
        );
        assert_eq!(diagnose(&with("cores", "1023,")).status(), Status::Missing);
    }

    #[test]
    fn a_file_table_that_the_limit_forbids_is_the_machines() {
        let not_ready = ready(&with("limits.connections_per_ring", "1048576")).unwrap_err();
        assert_eq!(not_ready.exit_code(), 1);
        assert!(not_ready.to_string().contains("limits.connections_per_ring"), "{not_ready}");
    }
}
