//! What happened in a run, in order, as one number: the same seed gives the same. Owns the hash, and prints the trace
//! of a run that is repeated.

use std::cell::RefCell;
use std::fmt::{self, Arguments, Debug, Write};

/// FNV-1a, 64 bits: no key that differs from process to process.
const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01B3;

struct Trace {
    hash: u64,
    is_printed: bool,
}

thread_local! {
    static TRACE: RefCell<Trace> = const { RefCell::new(Trace { hash: OFFSET, is_printed: false }) };
}

impl Trace {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

impl Write for Trace {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

/// Begins a run.
pub fn begin(is_printed: bool) {
    TRACE.set(Trace { hash: OFFSET, is_printed });
}

/// The run so far.
pub fn hash() -> u64 {
    TRACE.with_borrow(|trace| trace.hash)
}

pub fn note(line: Arguments<'_>) {
    TRACE.with_borrow_mut(|trace| {
        trace.write_fmt(line).expect("a hash takes everything");
        trace.add(b"\n");
        if trace.is_printed {
            println!("{line}");
        }
    });
}

/// Notes bytes that crossed the border of the world.
pub fn bytes(what: Arguments<'_>, bytes: &[u8]) {
    note(what);
    TRACE.with_borrow_mut(|trace| {
        trace.add(bytes);
        if trace.is_printed {
            println!("    {}", bytes.escape_ascii());
        }
    });
}

/// Writes the name of a variant and stops.
struct Name<'a>(&'a mut String);

impl Write for Name<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let name: String = text.chars().take_while(char::is_ascii_alphanumeric).collect();
        self.0.push_str(&name);
        if name.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

/// The name of a variant without what it holds: ids of connections depend on the thread that runs the seed.
pub fn name(of: &impl Debug) -> String {
    let mut name = String::new();
    // It ends with an error on purpose, at the first character behind the name.
    let _ = write!(Name(&mut name), "{of:?}");
    name
}
