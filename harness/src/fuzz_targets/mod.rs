//! What the fuzz targets in `fuzz/` call of this crate: one function each, which panics when a
//! property does not hold.
//!
//! - [`judge`]: the judge, with changed observations
//! - [`messages`]: what a hostile guest sends, and what the host makes of it
//! - [`texts`]: criu's log, the file of known failures
//! - [`kernel`]: the model, the kernel and the reference engine
//! - [`criu`]: criu in a VM
//! - [`seeds`]: inputs to begin with, and dictionaries
//! - `world`, `change`: observations, and single changes of them; the judge's own tests use them as
//!   well
//! - `warm`: the one machine of a target's process
//!
//! Campaigns are another thing: [`crate::fuzz`].

pub(crate) mod change;
pub mod criu;
pub mod judge;
pub mod kernel;
pub mod messages;
mod samples;
pub mod seeds;
pub mod texts;
mod warm;
pub(crate) mod world;
