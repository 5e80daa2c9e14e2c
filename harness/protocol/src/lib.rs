//! What the host and the guest say to each other, and what an observation is. No system calls.
//!
//! - [`observation`]: everything that can be seen about a program's objects at one moment
//! - [`message`]: requests, events and the report of a trial
//! - [`blank`]: empty filesystems in a sparse form
//! - [`wire`]: one JSON object a line, with a version and a size limit

pub mod blank;
pub mod message;
pub mod observation;
pub mod wire;

pub use message::{Event, Request, TrialReport, TrialRequest};
pub use observation::Observation;
