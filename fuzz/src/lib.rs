//! The bodies of the fuzz targets: each takes any bytes, and panics when what it holds to be true is not.
//!
//! A library, so that `cargo test` replays the corpora through the same functions (`tests/fuzz_corpus.rs` includes this
//! file by its path). What is tested is reached through the public API alone.

pub mod attachment;
pub mod batch;
pub mod close_payload;
pub mod deflate;
pub mod input;
pub mod operations;
pub mod request_head;
pub mod session;

mod mail;
mod model;
#[path = "../../tests/support/mod.rs"]
mod support;
