//! Program text: no panics, and what is printed parses to the same program.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scenarios::fuzz::program_text(data));
