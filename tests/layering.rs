//! The order of the layers, held by a test: each uses only what stands to its left.
//!
//! ```text
//!     wire  <-  object  <-  shard  <-  server
//! ```

mod tidy;

use tidy::{Source, code_of, files, is_test, paths_of, rust_files, without_tests};

const LAYERS: [&str; 4] = ["wire", "object", "shard", "server"];

/// A layer, and what it never names: whole words, which may be paths.
const FORBIDDEN: [(&str, &[&str]); 4] = [
    // Bytes and their meaning: no sockets, no clock, no waiting.
    (
        "wire",
        &["std::net", "std::time", "std::thread", "std::fs", "glommio", "io_uring", "libc", "async", "await"],
    ),
    // Deterministic: events and ticks in, effects out.
    (
        "object",
        &[
            "std::net",
            "std::fs",
            "std::thread::spawn",
            "Instant",
            "SystemTime::now",
            "glommio",
            "io_uring",
            "libc",
        ],
    ),
    // No rule of the protocol, no policy.
    ("shard", &["httparse", "sha1", "serde_json", "clap"]),
    ("server", &["glommio", "io_uring"]),
];

fn layer(name: &str) -> Vec<Source> {
    let sources = files(&format!("src/{name}"), &[".rs"]);
    assert!(!sources.is_empty(), "src/{name} is there");
    sources
}

/// Whether a path is `name` or something of it, wherever it begins: `std::time::Instant::now` names `Instant`.
fn names(path: &str, name: &str) -> bool {
    format!("::{path}::").contains(&format!("::{name}::"))
}

/// The module of the crate that a path leads to, when it leads out of its layer's own module.
fn top_level_module<'a>(source: &Source, path: &'a str) -> Option<&'a str> {
    if let Some(path) = path.strip_prefix("crate::") {
        return path.split("::").next();
    }
    let supers = path.split("::").take_while(|part| *part == "super").count();
    let inner = path.split("::").nth(supers)?;
    // `src/object/http.rs` is two modules deep, `src/object/mod.rs` one; `super` that often is the crate.
    let file = source.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
    (supers > 0 && supers >= file.split('/').count() && LAYERS.contains(&inner)).then_some(inner)
}

#[test]
fn each_layer_uses_only_what_stands_to_its_left() {
    let mut broken = Vec::new();
    for (index, name) in LAYERS.iter().enumerate() {
        for source in layer(name) {
            for path in paths_of(&code_of(&source.text)) {
                let Some(module) = top_level_module(&source, &path) else { continue };
                // What the crate exports at its root is for applications, and would hide from where it comes.
                if !LAYERS[..=index].contains(&module) {
                    broken.push(format!("{}: {path}", source.path));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn each_layer_keeps_away_from_what_is_not_its_own() {
    let mut broken = Vec::new();
    for (layer_name, forbidden) in FORBIDDEN {
        for source in layer(layer_name).into_iter().filter(|source| !is_test(source)) {
            for path in paths_of(without_tests(&code_of(&source.text))) {
                for name in forbidden.iter().filter(|name| names(&path, name)) {
                    broken.push(format!("{}: {path} names {name}", source.path));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_kernel_is_spoken_to_in_shard_alone() {
    let mut broken = Vec::new();
    for source in files("src", &[".rs"]).into_iter().filter(|source| !source.path.starts_with("src/shard/")) {
        let paths = paths_of(&code_of(&source.text));
        for word in ["unsafe", "glommio", "io_uring"] {
            if paths.iter().any(|path| names(path, word)) {
                broken.push(format!("{}: {word}", source.path));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_demo_is_an_application_like_any_other() {
    for source in files("src/demo", &[".rs"]) {
        // Its tests bring a driver of their own.
        if source.path.starts_with("src/demo/tests/") {
            continue;
        }
        for path in paths_of(&code_of(&source.text)) {
            let inner = path.strip_prefix("dormouse::").and_then(|path| path.split("::").next());
            assert!(!inner.is_some_and(|inner| LAYERS.contains(&inner)), "{}: {path}", source.path);
        }
    }
}

#[test]
fn the_load_generator_shares_no_code_with_the_engine() {
    // A mistake that both sides make would cancel out.
    for source in rust_files().into_iter().filter(|source| source.path.starts_with("loadtest/src/")) {
        let paths = paths_of(&code_of(&source.text));
        assert!(!paths.iter().any(|path| names(path, "dormouse")), "{}", source.path);
    }
}
