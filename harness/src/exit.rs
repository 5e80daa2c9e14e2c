//! Exit statuses: the part of the command line that scripts read. `docs/FORMATS.md` promises them.

/// Everything is as expected.
pub const AS_EXPECTED: u8 = 0;
/// The subject, or a comparison with it, is not as expected.
pub const FAILED: u8 = 1;
/// A mistake on the command line or in a file of the user's.
pub const USAGE: u8 = 2;
/// Something is unknown because of the infrastructure: a VM, an image, the harness itself.
pub const INFRASTRUCTURE: u8 = 3;
/// Nothing was run, so nothing is known.
pub const NOTHING_RAN: u8 = 4;
/// Ctrl-C or SIGTERM, as shells have it: 128 and the number of SIGINT.
pub const INTERRUPTED: u8 = 130;
