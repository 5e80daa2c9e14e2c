//! The host side of zdtm-detached: from a scenario to a verdict.
//!
//! - [`cmd`]: the subcommands
//! - [`image`]: from a manifest to QEMU, kernel and initramfs, in the cache
//! - [`vm`]: QEMU, the channel to the agent
//! - [`judge`]: observation against observation gives a verdict; expectations
//! - [`report`]: one event stream, one file per format

pub mod cmd;
pub mod image;
pub mod judge;
pub mod report;
pub mod vm;
