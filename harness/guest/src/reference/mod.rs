//! The reference engine: checkpoint and restore of the executor, without CRIU, with the known way
//! out for files on detached mounts. It shows that what the catalogue calls `restored` can be
//! restored, and, with a [`protocol::Fault`] switched on, that the judge notices when it is not.
//!
//! - [`capture`]: from a running process to a [`checkpoint::Checkpoint`], or to refusals that
//!   name the objects
//! - [`restore`]: from a checkpoint to the same objects in a fresh process
//! - [`private_mount_ns`]: a private copy of the mount namespace, where mounts are made and names
//!   put back
//! - [`table`]: the visible mounts
//!
//! What it leaves alone: visible mounts. The mount namespace outlives the process, because the
//! agent holds it, and the new process joins it. So this engine proves something about *files* on
//! detached mounts; to make mount namespaces anew is the business of real checkpointers.
//!
//! It knows the objects that the program language makes and refuses others.
//!
//! An engine can also lack one thing, as a half-finished implementation does
//! (`reference+lacks:WORD`, `protocol::lack`). Then exactly the scenarios that need it must fail,
//! and what they have in common must be its name. A lack takes the way of a fault. Where a fault is
//! the same as a lack (`cwd-attached`), both take the same branch. Other lacks refuse at the end of
//! a capture, change the checkpoint, or fail as soon as the restore has its mounts
//! (`capture/lacks.rs`, `restore/lacks.rs`).
//!
//! What cannot be proven is refused, with the object and the cause. Refused as well: a file on a
//! visible mount that something else covers, a device that is open on a mount that became `nodev`,
//! and a removed directory of an overlay's lower layer, which keeps its links there. A `/proc` in
//! the kept namespace goes on showing the PID namespace that has ended.

pub mod capture;
pub mod checkpoint;
pub mod private_mount_ns;
pub mod restore;
pub mod table;
