//! The words that all parts share, one definition each: the language, the guest and the harness say
//! the same with them.
//!
//! - [`bytes`]: byte strings that may be anything but are readable in text and JSON
//! - [`errno`]: the errors of system calls
//! - [`flavor`]: the namespaces of a process
//! - [`lifecycle`]: what is done to a process between two observations
//! - [`object`]: the type of a file, where its mount can be seen, how a path is looked up
//! - [`capability`]: what a program needs an implementation to get right

pub mod bytes;
pub mod capability;
pub mod errno;
pub mod flavor;
pub mod lifecycle;
pub mod object;

pub use bytes::Bytes;
pub use errno::Errno;
pub use flavor::Flavor;
pub use lifecycle::Lifecycle;
