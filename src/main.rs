//! The engine with its bundled demo.

fn main() {}
