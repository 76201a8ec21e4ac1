//! Every file of the fuzz corpora, through the same functions as under the fuzzer: what was found once stays found.

#[path = "../fuzz/src/lib.rs"]
#[allow(dead_code, reason = "a library of its own")]
mod fuzz;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Most files of a corpus, and most bytes of them together: what is larger slows every checkout and every test.
const FILES_MAX: usize = 200;
const BYTES_MAX: usize = 200 * 1024;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a directory entry").path()).collect();
    paths.sort();
    assert!(!paths.is_empty() && paths.len() < FILES_MAX, "{} files", paths.len());
    let mut bytes = 0;
    for path in paths {
        let input = fs::read(&path).expect("a readable file");
        bytes += input.len();
        if catch_unwind(AssertUnwindSafe(|| run(&input))).is_err() {
            panic!("{} fails: the panic above says why", path.display());
        }
    }
    assert!(bytes < BYTES_MAX, "{bytes} bytes");
}

#[test]
fn request_head() {
    replay("request_head", fuzz::request_head::run);
}

#[test]
fn session() {
    replay("session", fuzz::session::run);
}

#[test]
fn close_payload() {
    replay("close_payload", fuzz::close_payload::run);
}

#[test]
fn deflate() {
    replay("deflate", fuzz::deflate::run);
}

#[test]
fn attachment() {
    replay("attachment", fuzz::attachment::run);
}

#[test]
fn batch() {
    replay("batch", fuzz::batch::run);
}

#[test]
fn operations() {
    replay("operations", fuzz::operations::run);
}
