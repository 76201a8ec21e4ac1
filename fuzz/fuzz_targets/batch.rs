//! The fuzzer's side of `dormouse_fuzz::batch`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dormouse_fuzz::batch::run(bytes));
