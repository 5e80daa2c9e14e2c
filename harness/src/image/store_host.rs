//! What the agent needs on the host's own kernel, out of the same images as VMs: its program, and
//! blank filesystems.

use std::path::{Path, PathBuf};

use super::agent;
use super::cpio;
use super::named::Image;
use super::store::{KEEP, Store};
use super::userland::{BLANK, SEGMENT};
use crate::architecture::HOST;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::BuildRecord;
use crate::cache::{Built, Slot};

/// What runs without a VM. It stays in the cache as long as the [`Store`] that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostImage {
    /// The guest's program.
    pub agent: PathBuf,
    /// The folder with blank filesystems, if they were asked for.
    pub blank: Option<PathBuf>,
}

impl Store {
    /// The agent's program and, for programs with disks, the blank filesystems of a userland; built
    /// when missing.
    ///
    /// # Errors
    /// The manifest does not have the userland; something is missing and cannot be built.
    pub fn host_image(&self, blank_of: Option<&str>) -> Result<HostImage, ImageError> {
        let (directory, _) = self.agent(HOST)?;
        let blank = blank_of.map(|userland| self.blank(userland)).transpose()?;
        Ok(HostImage { agent: directory.join(agent::PROGRAM), blank })
    }

    /// The blank filesystems of a userland as files of their own.
    pub(super) fn blank(&self, userland: &str) -> Result<PathBuf, ImageError> {
        let take = |entry: &crate::cache::Entry| (entry.directory.join(SEGMENT), entry.record.content_key());
        let (segment, key) = self.obtain(Image::Userland(userland, HOST), false, take)?;
        let slot = Slot { kind: "blank", name: String::new(), key };
        let build = |to: &Path, _: Option<&BuildRecord>| unpack(&segment, to).map(Some);
        let directory = self.take(&slot, false, build, |entry| entry.directory.clone())?;
        self.cache.prune("blank", KEEP)?;
        Ok(directory)
    }
}

fn unpack(segment: &Path, to: &Path) -> Result<Built, ImageError> {
    let bytes = std::fs::read(segment).map_err(at("read", segment))?;
    let files = cpio::files_below(&bytes, &format!("{BLANK}/"))
        .ok_or_else(|| content(segment.display().to_string(), "is no archive of this program"))?;
    for (name, bytes) in files {
        let path = to.join(name);
        std::fs::write(&path, bytes).map_err(at("write", &path))?;
    }
    Ok(Built { version: "built".into(), packages: Vec::new() })
}
