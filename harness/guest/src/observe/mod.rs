//! The observation of a process: what [`protocol::observation`] describes, as one side sees it.
//!
//! Both sides read the same sources through a `/proc` of their own: [`inside`] is the process
//! itself, [`outside`] the agent. What could not be read is reported with its errno, never left
//! out.
//!
//! Most of a trial's system calls are made here, and most of these are lookups: five kinds for each
//! path, from each directory. Many outcomes follow from others (`lookups`). On a path straight
//! down, without `..` and symbolic links, every kind takes the same names. An outcome that does not
//! follow is tried.
//!
//! The model (crate `scenarios`) knows nothing of this shortcut, so a comparison with it tests the
//! shortcut. That found two mistakes: `..` needs a lookup of its own, because something may be
//! mounted on the directory above. A build that also made every lookup gave the same observations
//! for 23,626 generated programs and the catalogue.
//!
//! Messages and files group the lookups of one path that have one outcome (`protocol::together`).
//! The judge only reports of a restricted lookup whether it leads where the plain one leads. So a
//! mistake in both is reported once. `assert` lines are compared with one quick observation
//! (`Glance`), after the process has carried out all its programs.

mod control;
mod ends;
pub mod fdinfo;
mod flight;
pub mod inside;
mod locks;
mod lookups;
pub mod maps;
pub mod mountinfo;
mod object;
pub mod outside;
pub mod parts;
mod tree;

pub(crate) use inside::{numbers, own_mount_table, own_procfs, read_memory, read_own_shared_mapping};
pub(crate) use lookups::{OVERLAYFS, is_kernel_filesystem};
pub use object::{Made, digest};
pub(crate) use object::{hash, is_internal, link_text, path_fd, read_file, status, xattrs};
pub(crate) use tree::names_below;
