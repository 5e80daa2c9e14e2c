//! What a hostile guest sends.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::messages::messages(data));
