//! The tests' server as a program: a room on each path, an echo on `/echo`, and one thing wrong if it is told so.
//!
//! ```text
//! faulty_server 127.0.0.1:8787             nothing is wrong
//! faulty_server 127.0.0.1:8787 drop 997    every 997th delivery is left out
//! faulty_server --listen 127.0.0.1:8787    as the engine is started; other options are ignored
//! ```
//!
//! It has a thread for each connection and shows that the generator notices, not how fast anything is.

#![allow(dead_code, reason = "the tests use the rest")]

#[path = "../tests/support/server.rs"]
mod server;
#[path = "../tests/support/wire.rs"]
mod wire;

use server::{Fault, Server};
use std::process::ExitCode;
use std::thread::park;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--listen").collect();
    let fault = arguments.get(1).map(String::as_str);
    let every = arguments.get(2).and_then(|number| number.parse().ok()).unwrap_or(997);
    let Some(address) = arguments.first() else {
        eprintln!("usage: faulty_server ADDRESS [drop|double|corrupt|close|exit [EVERY]]");
        return ExitCode::from(2);
    };
    let fault = match fault {
        Some("drop") => Fault::Drop(every),
        Some("double") => Fault::Double(every),
        Some("corrupt") => Fault::Corrupt(every),
        Some("close") => Fault::Close(every, 1011),
        Some("exit") => return ExitCode::from(3),
        _ => Fault::None,
    };
    let _server = Server::listen(address, fault);
    loop {
        park();
    }
}
