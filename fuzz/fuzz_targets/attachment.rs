//! The fuzzer's side of `dormouse_fuzz::attachment`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::attachment::run(bytes));
