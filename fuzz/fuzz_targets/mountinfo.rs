//! `/proc/PID/mountinfo`, byte-exact.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| guest::fuzz::mountinfo(data));
