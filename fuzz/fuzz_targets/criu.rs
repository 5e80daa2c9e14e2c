//! Programs against criu in a VM that stays warm; ZDTM_DETACHED_SUBJECT and others say what is
//! tested (docs/FUZZING.md).
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz_targets::criu::init(),
    |data: &[u8]| fuzz_targets::criu::criu(data)
);

// libFuzzer calls these by name; the macros write them.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    scenarios::fuzz::mutate(data, size, max, seed, libfuzzer_sys::fuzzer_mutate)
});
libfuzzer_sys::fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    scenarios::fuzz::cross(one, other, out, seed)
});
