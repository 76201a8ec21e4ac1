//! Owns `dormouse config default`: the table of keys as a commented `dormouse.toml`. Text out, nothing else.

use super::Config;
use super::table::{KEYS, Key, SECTIONS};

const LINE_CHARS: usize = 100;

const HEAD: &str = "\
# dormouse.toml: every key with its default. Keep only what you change.
#
# It is read from --config FILE, from $DORMOUSE_CONFIG, or from ./dormouse.toml, the first of these that is there.
# Each key has an environment variable that overrides the file, DORMOUSE_<SECTION>_<KEY>, such as
# DORMOUSE_LIMITS_MESSAGE_BYTES; a flag, or `--set limits.message_bytes=1MiB`, overrides both.
# Sizes are bytes, or text such as \"16KiB\"; times are text such as \"250us\", \"10s\", \"1m\", or a number of seconds.
# `dormouse config check dormouse.toml` says what is wrong with this file.
";

/// All keys with their defaults, each with what it is, what is allowed and why the default is what it is. Reading it
/// gives `Config::default()`.
///
/// ```
/// use dormouse::server::config::{Config, Layers, default_toml, load};
///
/// let file = Some(("dormouse.toml".into(), default_toml()));
/// assert_eq!(load(Layers { file, ..Layers::default() })?.config, Config::default());
/// # Ok::<(), dormouse::server::config::ConfigErrors>(())
/// ```
pub fn default_toml() -> String {
    let mut out = HEAD.to_owned();
    print_keys(&mut out, "");
    for (section, what) in SECTIONS {
        out.push_str(&format!("\n\n# {what}.\n[{section}]\n"));
        print_keys(&mut out, section);
    }
    out.push_str("# GREETING = \"hello\"\n");
    out
}

/// One line a key, for `--help`: the name and the default.
///
/// ```
/// let lines = dormouse::server::config::key_lines();
/// assert!(lines.lines().any(|line| line.trim().starts_with("limits.message_bytes ")));
/// ```
pub fn key_lines() -> String {
    let defaults = &mut Config::default();
    let width = KEYS.iter().map(|key| key.name.len()).max().unwrap_or_default();
    let mut lines = String::new();
    for key in KEYS {
        lines.push_str(&format!("  {:width$}  {}\n", key.name, key.kind.show(defaults)));
    }
    lines.push_str(&format!("  {:width$}  text handed to objects, any NAME\n", "vars.NAME"));
    lines
}

fn print_keys(out: &mut String, section: &str) {
    for key in KEYS.iter().filter(|key| key.split().0 == section) {
        print_key(out, key);
    }
}

fn print_key(out: &mut String, key: &Key) {
    out.push('\n');
    comment(out, &format!("{}.", key.what));
    comment(out, &format!("Allowed: {}.", key.kind.allowed()));
    comment(out, &format!("Why: {}.", key.why));
    out.push_str(&format!("{} = {}\n", key.split().1, key.kind.show(&mut Config::default())));
}

/// Words on lines that begin with `#` and stay short.
fn comment(out: &mut String, text: &str) {
    let mut line = "#".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > LINE_CHARS {
            out.push_str(&line);
            line = "\n#  ".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}
