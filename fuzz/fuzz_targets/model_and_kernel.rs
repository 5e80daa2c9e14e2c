//! The model and the reference engine on this machine's own kernel; as root.
#![no_main]

libfuzzer_sys::fuzz_target!(
    init: fuzz_targets::kernel::init(),
    |data: &[u8]| fuzz_targets::kernel::model_and_kernel(data)
);

// libFuzzer calls these by name; the macros write them.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max: usize, seed: u32| {
    scenarios::fuzz::mutate(data, size, max, seed, libfuzzer_sys::fuzzer_mutate)
});
libfuzzer_sys::fuzz_crossover!(|one: &[u8], other: &[u8], out: &mut [u8], seed: u32| {
    scenarios::fuzz::cross(one, other, out, seed)
});
