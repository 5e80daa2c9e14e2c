//! The properties that the targets in `fuzz/` test of the harness: one function each, which panics
//! when a property does not hold. The crates below the harness have theirs in a module `fuzz`.
//!
//! - [`judge`]: the judge, with changed observations
//! - [`messages`]: what a hostile guest sends, and what the host makes of it
//! - [`texts`]: criu's log, the file of known failures
//! - [`kernel`]: the model, the kernel and the reference engine
//! - [`criu`]: criu in a VM
//! - [`seeds`]: inputs to begin with, and dictionaries
//! - `warm`: the one machine of a target's process
//!
//! The crate does not need libFuzzer, so its tests build with a Rust toolchain alone. Campaigns are
//! another thing: [`harness::fuzz`].

pub mod criu;
pub mod judge;
pub mod kernel;
pub mod messages;
mod samples;
pub mod seeds;
pub mod texts;
mod warm;
