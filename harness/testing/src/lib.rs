//! What tests of several crates share. The harness has it as a dev-dependency, so nothing of it is
//! in the program.
//!
//! - [`rig`]: a machine for many programs
//! - [`lack`]: what this machine lacks for a test
//! - [`left`]: what an agent could leave behind
//! - [`world`]: observations to judge
//! - [`change`]: single changes of them
//!
//! Unit tests of the harness use [`world`] and [`change`] alone. These have no type of the harness:
//! in its unit tests, the harness that this crate uses is another crate than the one under test.

pub mod change;
pub mod lack;
pub mod left;
pub mod rig;
pub mod world;
