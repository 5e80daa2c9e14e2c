//! The judge: what is the same passes, any single change does not.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::judge::judge(data));
