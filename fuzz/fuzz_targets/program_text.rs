//! Program text: no panics, and what is printed parses to the same program.
//!
//! The catalogue is the seed: `cargo fuzz run program_text fuzz/corpus/program_text scenarios/catalogue/*`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scenarios::fuzz::program_text(data));
