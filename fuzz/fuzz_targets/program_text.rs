//! Program text: no panics, and what is printed parses to the same program.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| scenarios::fuzz::program_text(data));

// libFuzzer calls these by name; the macros write them.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    // Spelling is what this target is about: bytes are changed as often as steps.
    if seed.is_multiple_of(2) {
        libfuzzer_sys::fuzzer_mutate(data, size, max)
    } else {
        scenarios::fuzz::mutate(data, size, max, seed / 2, libfuzzer_sys::fuzzer_mutate)
    }
});
libfuzzer_sys::fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    scenarios::fuzz::cross(one, other, out, seed)
});
