//! The reference engine: checkpoint and restore of the executor, without CRIU, with the known way out for files on detached
//! mounts. It shows that what the catalogue calls `restored` can be restored, and, with a [`protocol::Fault`]
//! switched on, that the judge notices when it is not.
//!
//! - [`capture`]: from a running process to an [`image::Image`], or to refusals that name the objects
//! - [`restore`]: from an image to the same objects in a fresh process
//! - [`private_mount_ns`]: a private copy of the mount namespace, where mounts are made and names put back
//! - [`table`]: the visible mounts
//!
//! What it leaves alone: visible mounts. The mount namespace outlives the process, because the agent holds it, and the
//! new process joins it. So this engine proves something about *files* on detached mounts; to make mount namespaces
//! anew is the business of real checkpointers.
//!
//! It knows the objects that the program language makes and refuses others.

pub mod capture;
pub mod image;
pub mod private_mount_ns;
pub mod restore;
pub mod table;
