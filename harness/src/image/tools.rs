//! Tools for people in the machines of `shell`: a static busybox, as a segment of the initramfs.
//! Trials do not get it: what is in a userland is part of what is tested.

use std::fs;
use std::path::Path;

use super::cpio::Segment;
use super::manifest::ToolsEntry;
use crate::cache::Built;
use crate::cache::error::{ImageError, at, content};
use crate::debian::source::Unpacked;

/// The segment's file name.
pub(super) const SEGMENT: &str = "tools.cpio";

/// Where the guest finds it; crate `guest`, module `agent::shell`, knows that, too.
const PROGRAM: &str = "tools/busybox";

/// Fills the directory with the segment.
pub(super) fn build(unpacked: &Unpacked, entry: &ToolsEntry, to: &Path) -> Result<Built, ImageError> {
    // Some suites have it in /bin, some in /usr/bin.
    let places = [unpacked.root.join("usr").join(&entry.program), unpacked.root.join(&entry.program)];
    let program = places.iter().find(|place| place.is_file()).ok_or_else(|| {
        content(entry.program.clone(), "is in none of the packages; correct `tools.program` in the manifest")
    })?;
    let bytes = fs::read(program).map_err(at("read", program))?;
    let mut segment = Segment::new();
    segment.directory("tools", 0o755);
    segment.file(PROGRAM, 0o755, &bytes);
    let path = to.join(SEGMENT);
    fs::write(&path, segment.finish()).map_err(at("write", &path))?;
    let version = unpacked.packages.first().map_or_else(String::new, |package| package.version.clone());
    Ok(Built { version: format!("busybox {version}"), packages: unpacked.packages.clone() })
}
