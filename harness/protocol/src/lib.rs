//! What the host and the guest say to each other, and what an observation is. No system calls.
//!
//! - [`observation`]: everything that can be seen about a program's objects at one moment
//! - [`message`]: requests, events and the report of a trial
//! - [`fault`]: the mistakes that the reference engine makes on request
//! - [`lack`]: what it can leave out on request
//! - [`probe`]: what a process can do with its objects
//! - [`read_error`]: why something could not be observed
//! - [`shell`]: a shell beside the process of a trial
//! - [`blank`]: empty filesystems in a sparse form
//! - [`fuzz`]: the properties that the fuzz targets test
//! - [`images`]: the images of a checkpoint
//! - [`limits`]: what a message may become in memory
//! - `together`: lookups in messages and files
//! - [`wire`]: one JSON object a line, with a version and a size limit

pub mod blank;
pub mod caller;
pub mod fault;
pub mod fuzz;
pub mod images;
pub mod lack;
pub mod limits;
pub mod message;
pub mod observation;
pub mod probe;
pub mod read_error;
pub mod shell;
mod together;
pub mod wire;

pub use fault::Fault;
pub use lack::Lack;
pub use message::{Event, Request, TrialReport, TrialRequest};
pub use observation::Observation;
