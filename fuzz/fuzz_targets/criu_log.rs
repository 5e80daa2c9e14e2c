//! What criu writes into its log, as the guest and as the host read it.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    guest::fuzz::criu_log(data);
    fuzz_targets::texts::criu_log(data);
});
