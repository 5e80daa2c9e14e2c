//! Packages from a Debian archive, without root and without installing anything.
//!
//! - `archive`: which mirror and which keys
//! - `apt`: a private apt that resolves, downloads and verifies
//! - `source`: packages as an unpacked tree, in the cache's scratch space

pub(crate) mod apt;
pub(crate) mod archive;
pub(crate) mod source;
