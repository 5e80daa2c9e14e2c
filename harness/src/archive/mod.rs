//! Archives: what is embedded in the program, and bundles of images.
//!
//! An archive is tar(5) in the ustar format, compressed as frames of Zstandard: `tar -xf` reads it.
//! It holds files and nothing else, and the same files make the same bytes everywhere: fixed
//! times, owners and modes, in the order in which they are given.
//!
//! What is read may be somebody else's: no links, no devices, no paths that lead out of a folder,
//! no more bytes than a limit. Where files go to is the caller's business.

mod read;
mod write;

pub(crate) use read::{ArchiveError, Limits, Member, create, read};
pub(crate) use write::Writer;

#[cfg(test)]
mod tests;
