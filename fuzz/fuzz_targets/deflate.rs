//! The fuzzer's side of `dormouse_fuzz::deflate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::deflate::run(bytes));
