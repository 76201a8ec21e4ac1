//! Owns the way from the text of a `dormouse.toml` to entries with their places. It knows TOML and no key.

use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Problem, Source};
use super::kind::Raw;

/// A key that somebody set.
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) raw: Raw,
    /// The value as it was written.
    pub(super) shown: String,
    pub(super) source: Source,
}

/// All keys of a file in the order in which they stand there, or every place where it is not TOML.
pub(super) fn entries(path: &Path, text: &str) -> Result<Vec<Entry>, Vec<ConfigError>> {
    let reader = Reader { path, text };
    let (table, errors) = DeTable::parse_recoverable(text);
    // The table of a broken file holds guesses; complaints about guesses would bury the cause.
    if !errors.is_empty() {
        let mut errors: Vec<_> = errors.iter().map(|error| reader.syntax_error(error)).collect();
        errors.sort_by(|left, right| left.source.cmp(&right.source));
        return Err(errors);
    }
    let mut found = Vec::new();
    reader.flatten("", table.get_ref(), &mut found);
    found.sort_by_key(|(start, _)| *start);
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    /// Tables become the first part of a key. Only one level deep: a table below that is a value, of a wrong type.
    fn flatten(&self, section: &str, table: &DeTable<'_>, found: &mut Vec<(usize, Entry)>) {
        for (name, value) in table {
            match value.get_ref() {
                DeValue::Table(inner) if section.is_empty() && !inner.is_empty() => {
                    self.flatten(name.get_ref(), inner, found);
                }
                // A section without keys says nothing, but its name must be one.
                DeValue::Table(_) if section.is_empty() && is_section(name.get_ref()) => {}
                _ => found.push((value.span().start, self.entry(section, name, value))),
            }
        }
    }

    fn entry(&self, section: &str, name: &Spanned<impl AsRef<str>>, value: &Spanned<DeValue<'_>>) -> Entry {
        let name_text = name.get_ref().as_ref();
        let key = if section.is_empty() { name_text.to_owned() } else { format!("{section}.{name_text}") };
        let raw = raw(value.get_ref());
        // The span of a table is its header, which says nothing that the key does not.
        let shown =
            if value.get_ref().is_table() { "a table".to_owned() } else { shown(&self.text[value.span()]) };
        Entry { key, raw, shown, source: self.place(&name.span()) }
    }

    fn syntax_error(&self, error: &toml::de::Error) -> ConfigError {
        ConfigError {
            source: self.place(&error.span().unwrap_or(0..0)),
            key: String::new(),
            value: None,
            problem: Problem::Syntax,
            allowed: error.message().replace('\n', ", ").into(),
            hint: None,
        }
    }

    fn place(&self, span: &Range<usize>) -> Source {
        let before = &self.text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Source::File {
            path: self.path.to_owned(),
            line: counted(before.matches('\n').count()),
            column: counted(before[line_start..].chars().count()),
        }
    }
}

/// Counts from 1, as editors do. Nobody writes a config of four billion lines.
fn counted(before: usize) -> u32 {
    u32::try_from(before + 1).unwrap_or(u32::MAX)
}

fn is_section(name: &str) -> bool {
    super::table::SECTIONS.iter().any(|(section, _)| *section == name)
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        // What does not fit into 128 bits is a number all the same, outside of every range.
        DeValue::Integer(number) => {
            Raw::Integer(i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MIN))
        }
        DeValue::Float(number) => Raw::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Array(list) => Raw::List(list.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Boolean(value) => Raw::Switch(*value),
        DeValue::Datetime(_) | DeValue::Table(_) => Raw::Other,
    }
}

/// The value on one line, and not endless.
fn shown(written: &str) -> String {
    const CHARS_MAX: usize = 60;
    let line = written.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String, u32)> {
        let entries = entries(Path::new("dormouse.toml"), text).unwrap();
        let line = |source: &Source| match source {
            Source::File { line, .. } => *line,
            _ => unreachable!("a file has places in a file"),
        };
        entries.into_iter().map(|entry| (entry.key, entry.shown, line(&entry.source))).collect()
    }

    #[test]
    fn sections_and_dotted_keys_are_the_same() {
        let expected = |line| vec![("limits.headers".to_owned(), "50".to_owned(), line)];
        assert_eq!(read("[limits]\nheaders = 50"), expected(2));
        assert_eq!(read("limits.headers = 50"), expected(1));
        assert_eq!(read("limits = { headers = 50 }"), expected(1));
    }

    #[test]
    fn entries_come_in_the_order_of_the_file_with_the_value_as_written() {
        let read = read("log = 'info'\n\n[limits]\nheaders = 0x10\n[buffers]\nsend_batch = 1_0\n");
        let shown: Vec<_> = read.iter().map(|(_, shown, line)| (shown.as_str(), *line)).collect();
        assert_eq!(shown, [("'info'", 1), ("0x10", 4), ("1_0", 6)]);
    }

    #[test]
    fn each_place_that_is_not_toml_is_reported() {
        let errors = entries(Path::new("x.toml"), "listen = \ncores = 2\nlog = =\n").err().unwrap();
        let lines: Vec<_> = errors.iter().map(ConfigError::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].starts_with("x.toml:1: not TOML: "), "{lines:?}");
        assert!(lines[1].starts_with("x.toml:3: not TOML: "), "{lines:?}");
    }

    #[test]
    fn long_and_broken_values_are_shown_on_one_short_line() {
        assert_eq!(shown("[\n  0,\n  1 ]"), "[ 0, 1 ]");
        assert_eq!(shown(&"x".repeat(100)).len(), 63);
    }

    #[test]
    fn columns_count_characters() {
        let entries = entries(Path::new("x"), "vars = { \"ü\" = 1, headers = 50 }").unwrap();
        assert!(matches!(entries[1].source, Source::File { column: 19, .. }), "{:?}", entries[1].source);
    }
}
