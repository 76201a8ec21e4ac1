//! Owns the layers: defaults, file, environment, flags, each overriding the one before, and the checks of one key
//! against another. It reads no file and no process state; all of that is handed in.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::Config;
use super::error::{ConfigError, ConfigErrors, Problem, Source};
use super::file::{self, Entry};
use super::kind::{Kind, Raw};
use super::suggest;
use super::table::{self, ENVIRONMENT_PREFIX, KEYS, SECTIONS, VARS_PREFIX};

/// The variable that names the config file; the only one of ours that is no key.
///
/// ```
/// use dormouse::server::config::CONFIG_VARIABLE;
///
/// let file = std::env::var_os(CONFIG_VARIABLE).unwrap_or("dormouse.toml".into());
/// ```
pub const CONFIG_VARIABLE: &str = "DORMOUSE_CONFIG";

/// Where values may come from.
///
/// ```
/// # use dormouse::server::config::{Layers, load};
/// let file = Some(("dormouse.toml".into(), "cores = 2\nlog = 'warn'".to_owned()));
/// let environment = vec![("DORMOUSE_LOG".into(), "debug".into())];
/// let loaded = load(Layers { file, environment, ..Layers::default() })?;
/// assert_eq!(loaded.config.log, "debug");
///
/// let file = Some(("dormouse.toml".into(), "cores = 'most'".to_owned()));
/// let refused = load(Layers { file, ..Layers::default() }).unwrap_err();
/// assert!(refused.to_string().starts_with("dormouse.toml:1: cores = 'most': must be "));
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// The path, as it should stand in messages, and the text of the config file.
    pub file: Option<(PathBuf, String)>,
    /// The environment; variables whose name does not begin with `DORMOUSE_` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// Values from the command line, later ones winning.
    pub flags: Vec<Setting>,
}

/// A value from the command line.
///
/// ```
/// use dormouse::server::config::{Layers, Setting, load};
///
/// // `--set limits.message_bytes=1MiB`
/// let (key, value) = ("limits.message_bytes".to_owned(), "1MiB".to_owned());
/// let flags = vec![Setting { flag: "--set".to_owned(), key, value }];
/// assert_eq!(load(Layers { flags, ..Layers::default() })?.config.limits.message_bytes, 1 << 20);
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The flag as it was written, for messages: `--listen`, `--set`.
    pub flag: String,
    /// The full key.
    pub key: String,
    /// The value, untyped: `10s`, `0,1`.
    pub value: String,
}

/// A valid config, and where its values came from.
///
/// ```
/// use dormouse::server::config::{Layers, Source, load};
///
/// let loaded = load(Layers::default())?;
/// assert_eq!(loaded.source("cores"), Source::Default);
/// let refused = loaded.refuse("cores", "at most 2 CPUs");
/// assert_eq!(refused.to_string(), "default: cores = \"all\": must be at most 2 CPUs");
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// For each key that somebody set: where, and how it was written.
    origins: BTreeMap<String, (Source, String)>,
}

impl Loaded {
    /// Who set the key.
    pub fn source(&self, key: &str) -> Source {
        self.origins.get(key).map_or(Source::Default, |(source, _)| source.clone())
    }

    /// The error for a key whose value turned out at start to be impossible on this machine; `allowed` stands after
    /// "must be".
    pub fn refuse(&self, key: &str, allowed: impl Into<String>) -> ConfigError {
        let (source, shown) = match self.origins.get(key) {
            Some((source, shown)) => (source.clone(), Some(shown.clone())),
            None => {
                (Source::Default, table::find(key).map(|known| known.kind.show(&mut self.config.clone())))
            }
        };
        impossible(source, key, shown, allowed.into(), None)
    }

    fn apply(&mut self, entry: Entry) -> Result<(), ConfigError> {
        if let Some(name) = entry.key.strip_prefix(VARS_PREFIX) {
            let text = match entry.raw {
                Raw::Text(ref text) | Raw::Untyped(ref text) if !name.is_empty() => text.clone(),
                _ => return Err(entry.refuse("text, in quotes, under a name".to_owned(), None)),
            };
            self.config.vars.insert(name.to_owned(), text);
        } else if let Some(key) = table::find(&entry.key) {
            key.kind
                .set(&mut self.config, &entry.raw)
                .map_err(|refused| entry.refuse(key.kind.allowed(), refused.0))?;
        } else if let Some((section, _)) = SECTIONS.iter().find(|(section, _)| *section == entry.key) {
            return Err(entry.refuse(format!("a table, [{section}]"), None));
        } else {
            return Err(unknown(entry));
        }
        self.origins.insert(entry.key, (entry.source, entry.shown));
        Ok(())
    }

    /// One key may not be above another; blamed is the one that was set last, since the other stood already.
    fn check_order(&self, smaller: &str, larger: &str) -> Result<(), ConfigError> {
        let mut config = self.config.clone();
        let (small, large) = (known(smaller), known(larger));
        if small.amount(&mut config) <= large.amount(&mut config) {
            return Ok(());
        }
        let (blamed, bound, relation) = match self.source(larger) > self.source(smaller) {
            true => (larger, smaller, "at least"),
            false => (smaller, larger, "at most"),
        };
        let bound_value = known(bound).show(&mut config);
        let origin = self.source(bound);
        Err(self.refuse(blamed, format!("{relation} {bound}, which is {bound_value} ({origin})")))
    }

    fn check_listeners(&self) -> Result<(), ConfigError> {
        let same = self.config.metrics.listen == Some(self.config.listen) && self.config.listen.port() != 0;
        if same { Err(self.refuse("metrics.listen", "another address than `listen`")) } else { Ok(()) }
    }
}

impl Entry {
    fn refuse(&self, allowed: String, hint: Option<String>) -> ConfigError {
        impossible(self.source.clone(), &self.key, Some(self.shown.clone()), allowed, hint)
    }
}

/// Keys of which the first may not be above the second.
const ORDERS: [(&str, &str); 6] = [
    // A message larger than the budget could never be received, ...
    ("limits.message_bytes", "limits.reassembly_bytes_per_shard"),
    // ... and one larger than the mailbox never be delivered.
    ("limits.message_bytes", "limits.mailbox_bytes_per_object"),
    ("limits.output_bytes_per_socket", "limits.output_bytes_per_shard"),
    ("limits.target_bytes", "limits.head_bytes"),
    // The kernel refuses a completion queue below the submission queue.
    ("buffers.submission_entries", "buffers.completion_entries"),
    ("buffers.send_batch", "buffers.submission_entries"),
];

/// The config that the layers give.
///
/// # Errors
/// All mistakes of the layers, and not only the first.
///
/// ```
/// use dormouse::server::config::{Config, Layers, load};
///
/// assert_eq!(load(Layers::default())?.config, Config::default());
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
pub fn load(layers: Layers) -> Result<Loaded, ConfigErrors> {
    let path = layers.file.as_ref().map(|(path, _)| path.clone());
    let mut loaded = Loaded { config: Config::default(), file: path, origins: BTreeMap::new() };
    let mut errors = Vec::new();
    let mut entries = Vec::new();
    if let Some((path, text)) = &layers.file {
        match file::entries(path, text) {
            Ok(found) => entries.extend(found),
            Err(broken) => errors.extend(broken),
        }
    }
    for variable in layers.environment {
        match environment_entry(variable) {
            Ok(entry) => entries.extend(entry),
            Err(error) => errors.push(error),
        }
    }
    entries.extend(layers.flags.into_iter().map(flag_entry));
    errors.extend(entries.into_iter().filter_map(|entry| loaded.apply(entry).err()));
    // A value that was refused stands at its default here; comparing that would accuse the wrong key.
    if errors.is_empty() {
        errors.extend(ORDERS.iter().filter_map(|(small, large)| loaded.check_order(small, large).err()));
        errors.extend(loaded.check_listeners().err());
    }
    if errors.is_empty() { Ok(loaded) } else { Err(ConfigErrors(errors)) }
}

fn flag_entry(setting: Setting) -> Entry {
    let shown = format!("{:?}", setting.value);
    Entry { key: setting.key, raw: Raw::Untyped(setting.value), shown, source: Source::Flag(setting.flag) }
}

/// The key that a variable sets; `None` for those that are none of ours.
fn environment_entry((name, value): (OsString, OsString)) -> Result<Option<Entry>, ConfigError> {
    let name = name.to_string_lossy().into_owned();
    let Some(rest) = name.strip_prefix(ENVIRONMENT_PREFIX) else { return Ok(None) };
    if name == CONFIG_VARIABLE || is_service_link(rest) {
        return Ok(None);
    }
    let key = match rest.strip_prefix("VARS_") {
        Some(var) if !var.is_empty() => format!("{VARS_PREFIX}{var}"),
        _ => match KEYS.iter().find(|key| key.variable() == name) {
            Some(key) => key.name.to_owned(),
            None => return Err(unknown_variable(name)),
        },
    };
    let source = Source::Environment(name);
    match value.into_string() {
        Ok(text) => Ok(Some(Entry { key, shown: format!("{text:?}"), raw: Raw::Untyped(text), source })),
        Err(bytes) => Err(impossible(source, &key, Some(format!("{bytes:?}")), "UTF-8".to_owned(), None)),
    }
}

/// Kubernetes gives each container variables for each service, with the service's name in front. A service named
/// "dormouse" must not keep Dormouse from starting: `DORMOUSE_SERVICE_HOST`, `DORMOUSE_PORT_8787_TCP_ADDR`.
fn is_service_link(rest: &str) -> bool {
    ["SERVICE_HOST", "SERVICE_PORT", "PORT"]
        .iter()
        .any(|link| rest.strip_prefix(link).is_some_and(|more| more.is_empty() || more.starts_with('_')))
}

fn unknown(entry: Entry) -> ConfigError {
    ConfigError {
        hint: suggest::key(&entry.key).map(Into::into),
        allowed: suggest::keys_beside(&entry.key).into(),
        source: entry.source,
        key: entry.key,
        value: Some(entry.shown.into()),
        problem: Problem::UnknownKey,
    }
}

/// The value stays out of the message: a misspelt `DORMOUSE_VARS_` may hold a secret, and the message is logged.
fn unknown_variable(name: String) -> ConfigError {
    ConfigError {
        hint: suggest::variable(&name).map(Into::into),
        allowed:
            "known are DORMOUSE_CONFIG, DORMOUSE_VARS_<NAME> and DORMOUSE_<SECTION>_<KEY> for each key of \
                  `dormouse config default`"
                .into(),
        key: String::new(),
        value: None,
        problem: Problem::UnknownKey,
        source: Source::Environment(name),
    }
}

fn impossible(
    source: Source,
    key: &str,
    value: Option<String>,
    allowed: String,
    hint: Option<String>,
) -> ConfigError {
    ConfigError {
        source,
        key: key.to_owned(),
        value: value.map(Into::into),
        problem: Problem::Impossible,
        allowed: allowed.into(),
        hint: hint.map(Into::into),
    }
}

fn known(key: &str) -> &'static Kind {
    &table::find(key).expect("the orders name keys of the table").kind
}
