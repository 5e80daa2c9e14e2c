//! Packages from a Debian archive, without root, without installing anything and without apt or
//! dpkg.
//!
//! - `host`: what the host's apt is set up with, if there is one
//! - `transport`: files of a mirror
//! - `signature`: who signed
//! - `archive`: lists of a suite, believed through its signed Release file
//! - `control`, `relation`, `index`: what lists say
//! - `resolve`: everything that packages depend on
//! - `lock`: which packages an image is made of
//! - `compressed`, `deb`: unpacking
//! - `source`: packages as an unpacked tree, in the cache's scratch space
//!
//! What comes over the network is somebody else's until the chain from Debian's keys over the
//! Release file and the list to its hash is closed; even then no name of it leads out of the
//! directory that it is for.

mod archive;
mod compressed;
mod control;
pub(crate) mod deb;
mod host;
mod index;
pub(crate) mod lock;
mod relation;
mod resolve;
mod signature;
pub(crate) mod source;
#[cfg(test)]
mod tests;
mod transport;
