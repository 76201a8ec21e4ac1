//! The fuzzer's side of `dormouse_fuzz::request_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::request_head::run(bytes));
