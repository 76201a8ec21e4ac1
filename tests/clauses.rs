//! RFC 6455 by its clauses: each that binds a server is cited at a line that obeys it and at a test that proves it.
//! That a citation is true is for its reader to judge; that there is one is judged here.

#[path = "clauses/table.rs"]
mod table;
mod tidy;

use table::{CLAUSES, Clause};
use tidy::{Source, files, rust_files};

/// A comment: lines that follow each other, as one.
struct Comment {
    /// File and line, for messages.
    at: String,
    text: String,
    sections: Vec<String>,
}

/// The comments of a text, each with the sections of RFC 6455 that it cites. Those that describe a whole file (`//!`)
/// are none: they stand at no line.
fn comments(path: &str, text: &str, lines_before: usize) -> Vec<Comment> {
    let mut comments: Vec<(usize, String)> = Vec::new();
    let mut last = None;
    for (number, line) in text.lines().enumerate() {
        let Some(at) = line.find("//").filter(|at| !line[*at..].starts_with("//!")) else { continue };
        let words = line[at..].trim_start_matches('/');
        let is_alone = line[..at].trim().is_empty();
        match comments.last_mut() {
            Some((_, comment)) if is_alone && last == Some(number) => comment.push_str(words),
            _ => comments.push((number + 1, words.to_owned())),
        }
        last = is_alone.then_some(number + 1);
    }
    let with_sections = |(line, text): (usize, String)| Comment {
        at: format!("{path}:{}", lines_before + line),
        sections: sections_of(&text),
        text,
    };
    comments.into_iter().map(with_sections).collect()
}

/// `RFC 6455 5.5.1 and 7.4; RFC 9110 7.8` cites 5.5.1 and 7.4.
fn sections_of(comment: &str) -> Vec<String> {
    let mut sections = Vec::new();
    let mut is_ours = false;
    let mut before = "";
    for word in comment.split_whitespace() {
        // `(5.4)` is an item of the section before it.
        let is_item = word.starts_with('(');
        let word = word.trim_matches(|character: char| !character.is_ascii_alphanumeric());
        if before == "RFC" {
            is_ours = word == "6455";
        } else if is_ours && !is_item && is_section(word) {
            sections.push(word.to_owned());
        }
        before = word;
    }
    sections
}

fn is_section(word: &str) -> bool {
    let numbers: Vec<&str> = word.split('.').collect();
    let is_number = |number: &&str| !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit());
    numbers.len() > 1 && numbers.iter().all(is_number)
}

fn cites(comment: &Comment, clause: &Clause) -> bool {
    let has_word = || comment.text.to_lowercase().contains(&clause.word.to_lowercase());
    comment.sections.iter().any(|section| section == clause.section) && has_word()
}

/// A file's own lines and those of its tests.
fn divided(source: &Source) -> (&str, &str) {
    let is_test = source.path.contains("/tests/") || source.path.ends_with("/tests.rs");
    match source.text.find("#[cfg(test)]\nmod tests {") {
        _ if is_test => ("", &source.text),
        Some(at) => source.text.split_at(at),
        None => (&source.text, ""),
    }
}

#[test]
fn each_clause_that_binds_a_server_is_cited_where_it_is_obeyed_and_where_it_is_proved() {
    let (mut in_code, mut in_tests) = (Vec::new(), Vec::new());
    for source in files("src", &[".rs"]) {
        let (code, tests) = divided(&source);
        in_code.extend(comments(&source.path, code, 0));
        in_tests.extend(comments(&source.path, tests, code.lines().count()));
    }
    for source in rust_files().into_iter().filter(|source| source.path.starts_with("tests/")) {
        if !source.path.starts_with("tests/clauses") {
            in_tests.extend(comments(&source.path, &source.text, 0));
        }
    }
    let mut missing = Vec::new();
    for clause in CLAUSES {
        let Clause { section, word, duty } = clause;
        for (place, comments) in [("a line that obeys", &in_code), ("a test that proves", &in_tests)] {
            if !comments.iter().any(|comment| cites(comment, clause)) {
                let near: Vec<&str> = comments
                    .iter()
                    .filter(|comment| comment.sections.iter().any(|cited| cited == section))
                    .map(|comment| comment.at.as_str())
                    .collect();
                let near = near.join(" ");
                missing.push(format!("RFC 6455 {section} without {place} \"{word}\": {duty}. Near: {near}"));
            }
        }
    }
    assert!(missing.is_empty(), "{} citations are missing:\n{}", missing.len(), missing.join("\n"));
}

#[test]
fn the_table_has_each_duty_once_and_in_order() {
    let keys: Vec<(Vec<u32>, &str)> = CLAUSES
        .iter()
        .map(|clause| {
            let numbers = clause.section.split('.').map(|number| number.parse().expect("a section"));
            (numbers.collect(), clause.word)
        })
        .collect();
    assert!(keys.is_sorted_by(|one, next| one.0 <= next.0), "the sections are in order");
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key), "{key:?} is there twice");
    }
}

#[test]
fn a_citation_is_told_from_other_numbers() {
    let of = |text: &str| comments("", text, 0).remove(0).sections;
    assert_eq!(
        of("// RFC 6455 5.5.1 and 7.4: a\n// reason (RFC 9110 7.8; RFC 6455 4.2.1 (5), 4.4)."),
        ["5.5.1", "7.4", "4.2.1", "4.4"]
    );
    assert_eq!(of("x // HTTP/1.1, 0.5 s, RFC 6455"), [""; 0]);
    let apart = comments("", "//! RFC 6455 1.1\n// RFC 6455 5.1\nx // RFC 6455 5.2\n// RFC 6455 5.3", 0);
    assert_eq!(apart.iter().map(|comment| comment.sections.len()).collect::<Vec<_>>(), [1, 1, 1]);
}
