//! The project's own source, read as text: which files there are, what of a file is code, which paths the code names.
//! A reader, not a compiler: it knows enough of Rust to tell code from comments and literals, and to unfold `use`.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{fs, iter, mem};

/// A file of the project.
pub struct Source {
    /// From the root of the project, with `/`.
    pub path: String,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` whose name ends with one of `endings`, in order; without what is built or installed.
pub fn files(folder: &str, endings: &[&str]) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.map(|entry| entry.unwrap().path()) {
            let name = entry.file_name().unwrap().to_string_lossy().into_owned();
            if entry.is_dir() {
                let is_ours =
                    !["target", "node_modules", "corpus", "artifacts", ".git"].contains(&name.as_str());
                if is_ours {
                    folders.push(entry);
                }
            } else if endings.iter().any(|ending| name.ends_with(ending)) {
                sources.push(read(&entry));
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}

/// All Rust of the workspace.
pub fn rust_files() -> Vec<Source> {
    files("", &[".rs"])
}

fn read(path: &PathBuf) -> Source {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    Source { path, text }
}

/// The text with comments, strings and character literals blanked, line for line.
pub fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = literal_or_comment(rest, code.chars().next_back());
        let length = skipped.unwrap_or(first.len_utf8());
        let (taken, behind) = rest.split_at(length);
        match skipped {
            None => code.push_str(taken),
            Some(_) => {
                code.extend(iter::once(' ').chain(taken.chars().filter(|character| *character == '\n')))
            }
        }
        rest = behind;
    }
    code
}

/// Length of the comment or literal that `text` begins with.
fn literal_or_comment(text: &str, before: Option<char>) -> Option<usize> {
    let until =
        |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |at| from + at + end.len());
    let starts_word = !before.is_some_and(|before| before.is_alphanumeric() || before == '_');
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(until("*/", 2));
    }
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    if starts_word && (text.starts_with("r\"") || text.starts_with("r#") || text.starts_with("br")) {
        let from = text.find('r')? + 1;
        let hashes = text[from..].chars().take_while(|character| *character == '#').count();
        let end = format!("\"{}", "#".repeat(hashes));
        return text[from + hashes..].starts_with('"').then(|| until(&end, from + hashes + 1));
    }
    if text.starts_with('\'') {
        // Otherwise it is a lifetime.
        let mut characters = text.chars().skip(1);
        let is_literal = characters.next() == Some('\\') || characters.next() == Some('\'');
        return is_literal.then(|| quoted(text, '\''));
    }
    None
}

fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if character == quote => return at + character.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// Whether a whole file is compiled for tests only.
pub fn is_test(source: &Source) -> bool {
    source.path.ends_with("/tests.rs") || source.path.contains("/tests/") || source.path.starts_with("tests/")
}

/// The part of a file that is not compiled for tests only, which stands behind it by the project's habit.
pub fn without_tests(code: &str) -> &str {
    code.split("#[cfg(test)]\nmod tests {").next().unwrap_or(code)
}

#[derive(Debug, PartialEq)]
enum Token {
    Word(String),
    PathSeparator,
    Open,
    Close,
    Comma,
    Other,
}

fn tokens(code: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    let mut characters = code.chars().peekable();
    while let Some(character) = characters.next() {
        if character.is_alphanumeric() || character == '_' {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            tokens.push(Token::Word(mem::take(&mut word)));
        }
        match character {
            ':' if characters.peek() == Some(&':') => {
                characters.next();
                tokens.push(Token::PathSeparator);
            }
            '{' => tokens.push(Token::Open),
            '}' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            _ if character.is_whitespace() => {}
            _ => tokens.push(Token::Other),
        }
    }
    tokens.extend((!word.is_empty()).then_some(Token::Word(word)));
    tokens
}

/// Every path that the code names, `use` unfolded: `std::{io, net::TcpStream}` is `std::io` and
/// `std::net::TcpStream`. A single word is a path too.
pub fn paths_of(code: &str) -> BTreeSet<String> {
    let tokens = tokens(code);
    let mut paths = BTreeSet::new();
    let mut at = 0;
    while at < tokens.len() {
        at = path_at(&tokens, at, &[], &mut paths).max(at + 1);
    }
    paths
}

/// Reads the path that begins at `at`, with what its braces hold; returns where it ends.
fn path_at(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut BTreeSet<String>) -> usize {
    let mut path = prefix.to_vec();
    if tokens.get(at) == Some(&Token::PathSeparator) {
        at += 1;
    }
    while let Some(Token::Word(word)) = tokens.get(at) {
        path.push(word.clone());
        match (tokens.get(at + 1), tokens.get(at + 2)) {
            (Some(Token::PathSeparator), Some(Token::Word(_))) => at += 2,
            (Some(Token::PathSeparator), Some(Token::Open)) => {
                at += 3;
                while at < tokens.len() && tokens[at] != Token::Close {
                    at = path_at(tokens, at, &path, paths).max(at + 1);
                }
                return at + 1;
            }
            _ => {
                at += 1;
                break;
            }
        }
    }
    if path.len() > prefix.len() {
        paths.insert(path.join("::"));
    }
    at
}

#[test]
fn literals_and_comments_are_no_code() {
    let text = "a \"b\\\" // c\" d /* e */ 'f' '\\'' &'g str r#\"h \" i\"# // j\nk";
    let code = code_of(text);
    let words: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(words, ["a", "d", "&'g", "str", "k"]);
    assert_eq!(code.lines().count(), text.lines().count());
}

#[test]
fn uses_are_unfolded() {
    let code =
        "use std::{io, net::{self, TcpStream}}; use super::super::wire; fn f() { crate::x::g(a, b::c) }";
    let paths = paths_of(code);
    for path in
        ["std::io", "std::net::self", "std::net::TcpStream", "super::super::wire", "crate::x::g", "b::c"]
    {
        assert!(paths.contains(path), "{path} in {paths:?}");
    }
    assert!(!paths.contains("std"));
}
