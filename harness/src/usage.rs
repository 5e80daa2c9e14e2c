//! A mistake of the user: on the command line, or in a file of the user's.

/// Printed without a backtrace; exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
