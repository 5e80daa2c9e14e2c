//! One small file per subcommand.

pub mod bench;
pub mod doctor;
pub mod image;
pub mod list;
pub mod machines;
pub mod run;
pub mod select;
pub mod selftest;

/// A mistake of the user: told without a backtrace, exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
