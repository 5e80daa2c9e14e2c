//! `/proc/PID/fdinfo/N`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| guest::fuzz::fdinfo(data));
