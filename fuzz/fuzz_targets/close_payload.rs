//! The fuzzer's side of `dormouse_fuzz::close_payload`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::close_payload::run(bytes));
