//! What the tests of the object layer stand on: a driver that is no driver, clients that are no clients, and an
//! object that does as it is told. No socket, no thread, no clock.

#![allow(dead_code, reason = "each test program uses another part")]

pub mod batching;
pub mod client;
pub mod deflate;
pub mod deflating;
pub mod fake;
pub mod frames;
pub mod http;
pub mod random;
pub mod room;
pub mod story;
