//! What an agent could leave behind: processes, mounts, loop devices.

use libtest_mimic::Failed;

pub use harness::process::left::{Processes, descendants, mounts, our_loop_devices, stat};

/// As in the harness, for tests.
///
/// # Errors
/// What is left.
pub fn nothing_left(processes: &Processes, mounts_before: &str) -> Result<(), Failed> {
    Ok(harness::process::left::nothing_left(processes, mounts_before)?)
}
