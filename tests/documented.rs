//! Every public item is shown in use, by an example that is compiled.
//!
//! An item passes with an example in its own documentation, which types, functions and traits always have.
//! Others need none when another example shows them, in lines that readers see:
//!
//! * A method or an associated constant, when an example on the same page names it: on its type, on another
//!   member of the type, or on a public module that names the type. It does so with `.name(`, `::name(` or
//!   `::NAME`, and for a member of a trait also with `fn name(` or `const NAME`. Forty examples of three
//!   lines teach less than one of ten.
//! * A constant, when an example on its public module names it.
//! * Fields and variants, by the example of their type; methods of a standard trait, by that trait's own.
//! * A type without a variant, a public field or a public method has nothing to show; what carries it does.
//! * A module, by what it holds.
//!
//! What is `pub` but cannot be named from outside does not count. The load generator is a program, and
//! exports nothing.

mod public_api;
mod tidy;

use std::collections::BTreeMap;

use public_api::{Crate, Kind, PublicItem};
use tidy::{Source, files, is_test};

/// A block of code in a documentation.
#[derive(Debug, PartialEq)]
struct Block {
    tags: Vec<String>,
    /// Without the lines that are hidden from readers.
    code: String,
}

impl Block {
    /// Whether `cargo test --doc` compiles it.
    fn is_example(&self) -> bool {
        self.tags.iter().all(|tag| ["rust", "no_run", "should_panic"].contains(&tag.as_str()))
    }
}

fn blocks(docs: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in docs.lines() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(tags), None) => {
                let tags = tags.split([',', ' ']).filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
                open = Some(Block { tags, code: String::new() });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) if line.trim() != "#" && !line.trim_start().starts_with("# ") => {
                block.code.push_str(line);
                block.code.push('\n');
            }
            _ => {}
        }
    }
    blocks
}

fn examples(docs: &str) -> Vec<Block> {
    blocks(docs).into_iter().filter(Block::is_example).collect()
}

/// Whether `word` stands in `code` and does not go on.
fn has_whole(code: &str, word: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
    code.match_indices(word).any(|(at, _)| !goes_on(&code[at + word.len()..]))
}

/// Whether an example shows an item that belongs to what it documents.
fn shows(code: &str, item: &PublicItem) -> bool {
    let name = item.name();
    let calls = || [format!(".{name}("), format!("::{name}("), format!("::{name}::<"), format!(".{name}::<")];
    match item.kind {
        Kind::Method => calls().iter().any(|call| code.contains(call)),
        Kind::TraitMethod => {
            code.contains(&format!("fn {name}(")) || calls().iter().any(|call| code.contains(call))
        }
        Kind::Constant => has_whole(code, &format!("::{name}")) || has_whole(code, &format!("const {name}")),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    /// By an example of its own.
    ByItself,
    /// By an example of its type or module.
    ByAnother,
    /// There is nothing to show.
    Opaque,
    Not,
}

fn shown(item: &PublicItem) -> Shown {
    if !examples(&item.docs).is_empty() {
        return Shown::ByItself;
    }
    let is_shown = |docs: &String| examples(docs).iter().any(|example| shows(&example.code, item));
    match item.kind {
        _ if item.around.iter().any(is_shown) => Shown::ByAnother,
        Kind::OpaqueType => Shown::Opaque,
        _ => Shown::Not,
    }
}

fn read_crate() -> Crate {
    let sources: BTreeMap<String, String> =
        files("src", &[".rs"]).into_iter().map(|Source { path, text }| (path, text)).collect();
    Crate::read(&|path| sources.get(path).cloned())
}

#[test]
fn every_public_item_is_shown_in_use() {
    let items = read_crate().public_items();
    let count = |wanted: Shown| items.iter().filter(|item| shown(item) == wanted).count();
    println!(
        "{} public items: {} with an example of their own, {} shown by another's, {} opaque",
        items.len(),
        count(Shown::ByItself),
        count(Shown::ByAnother),
        count(Shown::Opaque),
    );
    let missing: Vec<String> = items
        .iter()
        .filter(|item| shown(item) == Shown::Not)
        .map(|item| format!("{} ({:?})", item.path, item.kind))
        .collect();
    assert!(missing.is_empty(), "{} public items are shown by no example: {missing:#?}", missing.len());
}

#[test]
fn every_example_is_compiled() {
    let mut broken = Vec::new();
    for source in files("src", &[".rs"]).into_iter().filter(|source| !is_test(source)) {
        let docs = source.text.lines().map(str::trim_start);
        let docs: Vec<&str> =
            docs.filter_map(|line| line.strip_prefix("///").or(line.strip_prefix("//!"))).collect();
        for block in blocks(&docs.join("\n")) {
            // A drawing is `text`; everything else is Rust.
            if !block.is_example() && block.tags != ["text"] {
                broken.push(format!("{}: {:?}", source.path, block.tags));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// The public items of a crate of these files.
fn items_of(files: &[(&str, &str)]) -> Vec<PublicItem> {
    let text_of = |path: &str| Some(files.iter().find(|(name, _)| *name == path)?.1.to_owned());
    Crate::read(&text_of).public_items()
}

#[test]
fn only_what_can_be_named_from_outside_is_public() {
    let items = items_of(&[
        ("src/lib.rs", "mod a; pub mod b { pub use crate::a::{In, inner::deep as d}; pub use std::fmt; }"),
        (
            "src/a.rs",
            "pub mod inner; pub struct In { pub f: u8 } pub struct Out; pub(crate) fn g() {}
             mod other {
                 use super::In;
                 impl In { pub fn new() {} fn h() {} }
                 impl Clone for In { fn clone() {} }
             }",
        ),
        ("src/a/inner.rs", "pub fn deep() {} pub fn deeper() {} #[cfg(test)] pub fn test() {}"),
    ]);
    let paths: Vec<(&str, Kind)> = items.iter().map(|item| (item.path.as_str(), item.kind)).collect();
    let expected = [("a::In", Kind::Type), ("a::In::new", Kind::Method), ("a::inner::deep", Kind::Function)];
    assert_eq!(paths, expected);
}

#[test]
fn an_example_shows_what_its_readers_see() {
    let items = items_of(&[(
        "src/lib.rs",
        "/// ```
         /// # S::hidden();
         /// S::new().used(S::LIMIT);
         /// ```
         pub struct S;
         impl S {
             pub const LIMIT: u8 = 1;
             pub const LIM: u8 = 1;
             pub fn new() {}
             pub fn used() {}
             pub fn use_() {}
             pub fn hidden() {}
             /// ```text
             /// S::drawn()
             /// ```
             pub fn drawn() {}
             /// ```ignore
             /// S::ignored()
             /// ```
             pub fn ignored() {}
             /// ```no_run
             /// S::own()
             /// ```
             pub fn own() {}
         }
         pub struct Opaque(u8);
         pub struct Open(pub u8);
         /// ```
         /// impl T for S { fn written() {} }
         /// ```
         pub trait T { fn written(); fn unwritten(); }",
    )]);
    let names = |wanted: Shown| -> Vec<&str> {
        items.iter().filter(|item| shown(item) == wanted).map(PublicItem::name).collect()
    };
    assert_eq!(names(Shown::ByItself), ["S", "own", "T"]);
    assert_eq!(names(Shown::ByAnother), ["LIMIT", "new", "used", "written"]);
    assert_eq!(names(Shown::Opaque), ["Opaque"]);
    assert_eq!(names(Shown::Not), ["Open", "LIM", "drawn", "hidden", "ignored", "use_", "unwritten"]);
}
