//! The fuzzer's side of `dormouse_fuzz::operations`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::operations::run(bytes));
