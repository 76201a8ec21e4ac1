//! The fuzzer's side of `dormouse_fuzz::session`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::session::run(bytes));
