//! What several integration tests share. The harness has it as a dev-dependency, so nothing of it
//! is in the program.
//!
//! - [`rig`]: a machine for many programs
//! - [`lack`]: what this machine lacks for a test
//! - [`left`]: what an agent could leave behind

pub mod lack;
pub mod left;
pub mod rig;
