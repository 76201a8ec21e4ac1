//! The engine with its bundled demo.

use std::process::ExitCode;

mod demo;

fn main() -> ExitCode {
    demo::engine().main()
}
