//! Sources of the user's, criu's or a kernel's, and where they are built.
//!
//! - `tree`: the words that name them
//! - [`git`]: which files a folder or a revision has
//! - `sandbox`: a root of packages as a place to run `make` in
//! - `make`: what a failed `make` said
//!
//! Left to others: what is built of them (rooms `image` and `subject`).

pub mod git;
pub(crate) mod make;
pub(crate) mod sandbox;
mod tree;

pub use tree::Tree;
