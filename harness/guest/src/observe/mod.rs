//! The look at a process: what [`protocol::observation`] describes, as one side sees it.
//!
//! Both sides read the same sources through a `/proc` of their own: [`inside`] is the process itself, [`outside`] the
//! agent. What could not be read is reported with its errno, never left out.

mod ends;
pub mod fdinfo;
mod flight;
pub mod inside;
mod locks;
mod lookups;
pub mod mountinfo;
mod object;
pub mod outside;
pub mod parts;
mod tree;

pub(crate) use inside::numbers;
pub(crate) use lookups::{OVERLAYFS, is_kernel_filesystem};
pub use object::{Made, digest, errno_name};
pub(crate) use object::{is_internal, link_text, path_fd, read_file, status, xattrs};
