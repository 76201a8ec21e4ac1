//! The tests of the other files again, with every socket on the shard that accepted it while its object is at home on
//! either of two: clients must not be able to tell.

// Each of them brings the support modules along.
#![allow(clippy::duplicate_mod)]

#[path = "engine_deflate.rs"]
mod deflate;
#[path = "engine_failures.rs"]
mod failures;
#[path = "engine_frames.rs"]
mod frames;
#[path = "engine_hibernation.rs"]
mod hibernation;
#[path = "engine_http.rs"]
mod http;
#[path = "engine_readers.rs"]
mod readers;
#[path = "engine_shards.rs"]
mod shards;
#[path = "engine_shutdown.rs"]
mod shutdown;
#[path = "engine_tungstenite.rs"]
mod tungstenite_client;
