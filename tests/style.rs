//! What the project promises about its own text, held by a test.

mod tidy;

use std::path::Path;
use std::{env, fs};

use tidy::{Source, code_of, files, is_test, root, rust_files, without_tests};

const LINES_MAX: usize = 500;

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with one line for each file in which `problem` finds something.
fn none_of(sources: &[Source], problem: impl Fn(&Source) -> Option<String>) {
    let problems: Vec<String> =
        sources.iter().filter_map(|source| Some(format!("{}: {}", source.path, problem(source)?))).collect();
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn no_file_is_longer_than_500_lines() {
    none_of(&rust_files(), |source| {
        let lines = source.text.lines().count();
        (lines > LINES_MAX).then(|| format!("{lines} lines"))
    });
}

#[test]
fn each_file_says_first_what_it_is() {
    none_of(&rust_files(), |source| {
        let first = source.text.lines().find(|line| !line.starts_with("#!"));
        (!first.is_some_and(|line| line.starts_with("//! "))).then(|| "starts without //!".to_owned())
    });
}

#[test]
fn nothing_is_left_unfinished() {
    // In pieces, so that this file does not find itself.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["todo", "!("], ["unimplemented", "!("], ["dbg", "!("]]
            .map(|pieces| pieces.concat());
    none_of(&rust_files(), |source| marks.iter().find(|mark| source.text.contains(*mark)).cloned());
}

#[test]
fn no_test_is_ignored() {
    let mark = ["#[ign", "ore"].concat();
    none_of(&rust_files(), |source| source.text.contains(&mark).then(|| mark.clone()));
}

#[test]
fn nothing_that_a_peer_can_cause_is_unwrapped() {
    let mut sources = files("src/wire", &[".rs"]);
    sources.extend(files("src/object", &[".rs"]));
    sources.retain(|source| !is_test(source));
    none_of(&sources, |source| {
        let code = code_of(&source.text);
        let line = without_tests(&code).lines().position(|line| line.contains(".unwrap()"))?;
        Some(format!(".unwrap() in line {}", line + 1))
    });
}

#[test]
fn no_path_of_a_machine_and_no_registry_is_named() {
    let home = env::var("HOME").unwrap_or_default();
    let around = root().parent().unwrap_or(Path::new("/")).display().to_string();
    let paths = [home, around].into_iter().filter(|path| path.len() > 1).map(|path| format!("{path}/"));
    let hosts =
        [["crates", ".io"], ["docs", ".rs/"], ["npm", "js."], ["py", "pi."]].map(|pieces| pieces.concat());
    let needles: Vec<String> = paths.chain(hosts).collect();
    let texts = files("", &[".rs", ".md", ".toml", ".html", ".sh", ".py", ".js", ".mjs", "/run"]);
    none_of(&texts, |source| needles.iter().find(|needle| source.text.contains(*needle)).cloned());
}

/// The blocks of `language` in a Markdown text.
fn blocks(markdown: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let behind = markdown.split(&begin).skip(1);
    behind.map(|text| text.split("\n```").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_first_object_of_the_readme_is_the_example_and_has_30_lines_at_most() {
    let example = text("examples/first_object.rs");
    let head = |line: &&str| line.starts_with("//!") || line.is_empty();
    let example: Vec<&str> = example.lines().skip_while(head).collect();
    let in_readme = &blocks(&text("README.md"), "rust")[0];
    assert_eq!(in_readme.lines().collect::<Vec<_>>(), example);
    assert!(example.len() <= 30, "{} lines", example.len());
}

#[test]
fn every_key_of_the_config_has_its_place_in_tuning_with_its_default() {
    let keys: Vec<String> = dormouse::server::config::key_lines()
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .filter(|(key, _)| !key.starts_with("vars."))
        .map(|(key, default)| format!("### `{key} = {}`", default.trim()))
        .collect();
    let tuning = text("tuning.md");
    let headings: Vec<&str> = tuning.lines().filter(|line| line.starts_with("### `")).collect();
    assert_eq!(headings, keys);
    let silent: Vec<&str> =
        tuning.split("### `").skip(1).filter(|knob| !knob.contains("- When to change it: ")).collect();
    assert!(silent.is_empty(), "says not when to change it: {silent:#?}");
}

#[test]
fn links_between_the_pages_lead_somewhere() {
    for page in files("", &[".md"]) {
        let folder = root().join(&page.path);
        let targets = page.text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
        for target in targets.filter(|target| !target.is_empty() && !target.contains("://")) {
            assert!(folder.with_file_name(target).exists(), "{} links to {target}", page.path);
        }
    }
}
