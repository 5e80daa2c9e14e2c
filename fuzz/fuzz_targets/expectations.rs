//! The file of known failures.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::texts::expectations(data));
