//! Bundles: images in one file, for a machine without a network.
//!
//! A bundle is an archive (`archive`) whose first file, `bundle.json`, says which images follow and
//! what each of their files must be: docs/FORMATS.md has its format. The same images give the same
//! bytes.
//!
//! A bundle is read as somebody else's: nothing is put into the cache before all of it was read and
//! is as `bundle.json` says, and only images that this program's manifest asks for. That proves
//! that it is whole, not that it is honest: its QEMU will run on this machine. A digest of the
//! file, from the one who exported it, proves that.

mod import;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::named::Image;
use super::store::Store;
use crate::architecture::HOST;
use crate::archive::Writer;
use crate::cache::Slot;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::{BuildRecord, Look, Package, hex, sha256};
pub use import::Imported;

/// The version of the format.
const FORMAT: u32 = 1;

/// The first file.
const HEAD: &str = "bundle.json";

/// What a bundle has.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: u32,
    images: Vec<Packed>,
}

/// An image in a bundle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Packed {
    kind: String,
    name: String,
    /// What it was asked for to be.
    key: String,
    version: String,
    packages: Vec<Package>,
    /// Sorted by path.
    files: Vec<PackedFile>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PackedFile {
    path: String,
    size: u64,
    sha256: String,
}

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// For people: `kernel 6.12`, and the version.
    pub images: Vec<(String, String)>,
    /// The file's size in bytes.
    pub size: u64,
    /// Of the file, hexadecimal.
    pub sha256: String,
}

impl Store {
    /// Writes QEMU, these kernels and userlands and the agent into one file. What is missing in the
    /// cache is built.
    ///
    /// # Errors
    /// The manifest does not have one; it cannot be built, or is damaged; the file cannot be
    /// written.
    pub fn export(&self, kernels: &[String], userlands: &[String], to: &Path) -> Result<Exported, ImageError> {
        let of = kernels.iter().map(|name| self.architecture(name)).collect::<Result<BTreeSet<_>, _>>()?;
        let kernels = kernels.iter().map(|name| Image::Kernel(name));
        // That of the host is the one that a subject is prepared with.
        let of_userlands = of.iter().copied().chain([HOST]).collect::<BTreeSet<_>>();
        let userlands = of_userlands
            .into_iter()
            .flat_map(|architecture| userlands.iter().map(move |name| Image::Userland(name, architecture)));
        let images: Vec<Image<'_>> =
            of.iter().map(|guests| Image::Qemu(*guests)).chain(kernels).chain(userlands).collect();
        let mut slots: Vec<Slot> = images.iter().map(|image| self.slot(*image)).collect::<Result<_, _>>()?;
        let mut directories = Vec::new();
        for image in images {
            directories.push(self.obtain(image, false, |entry| entry.directory.clone())?);
        }
        for architecture in of {
            slots.push(self.agent_slot(architecture)?);
            directories.push(self.agent(architecture)?.0);
        }
        let packed = slots.iter().zip(&directories).map(|(slot, directory)| Packed::of(slot, directory));
        let head = Head { format: FORMAT, images: packed.collect::<Result<_, _>>()? };
        let (size, sha256) = write(&head, &directories, to)?;
        let images = slots.iter().zip(head.images).map(|(slot, packed)| (slot.title(), packed.version)).collect();
        Ok(Exported { images, size, sha256 })
    }
}

impl Packed {
    /// The image in a directory, read from its first byte to its last.
    fn of(slot: &Slot, directory: &Path) -> Result<Self, ImageError> {
        let record = BuildRecord::read(directory).and_then(|record| {
            record.check(directory, Look::Full)?;
            Ok(record)
        });
        let record = record.map_err(|why| content(directory.display().to_string(), why))?;
        let file = |(path, size, sha256): (&str, u64, &str)| PackedFile {
            path: path.to_owned(),
            size,
            sha256: sha256.to_owned(),
        };
        let files = record.contents().map(file).collect();
        let Slot { kind, name, key } = slot.clone();
        Ok(Self { kind: kind.to_owned(), name, key, version: record.version, packages: record.packages, files })
    }

    /// As [`BuildRecord::content_key`].
    fn content_key(&self) -> String {
        let lines = self.files.iter().map(|file| format!("{} {}\n", file.path, file.sha256));
        sha256(lines.collect::<String>().as_bytes())
    }

    /// The name of its folder in a bundle.
    fn folder(&self) -> String {
        let Self { kind, name, key, .. } = self;
        let between = if name.is_empty() { "" } else { "-" };
        format!("{kind}{between}{name}-{key:.16}")
    }
}

/// Writes a bundle aside and puts it in place; its size and digest.
fn write(head: &Head, directories: &[PathBuf], to: &Path) -> Result<(u64, String), ImageError> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let aside = tempfile::NamedTempFile::new_in(folder).map_err(at("create a file in", folder))?;
    let mut writer = Writer::new(Hashed::new(BufWriter::new(aside.as_file())));
    let text = serde_json::to_vec(head).expect("strings and numbers have a JSON form");
    writer.file(HEAD, false, text.len() as u64, &text[..]).map_err(at("write", to))?;
    for (packed, directory) in head.images.iter().zip(directories) {
        for file in &packed.files {
            let path = directory.join(&file.path);
            let metadata = path.symlink_metadata().map_err(at("look at", &path))?;
            if !metadata.is_file() {
                return Err(content(path.display().to_string(), "is no ordinary file; a bundle has no others"));
            }
            let executable = metadata.permissions().mode() & 0o111 != 0;
            let source = File::open(&path).map_err(at("open", &path))?;
            let name = format!("{}/{}", packed.folder(), file.path);
            writer.file(&name, executable, file.size, source).map_err(at("write", to))?;
        }
    }
    let (mut buffer, sha256, size) = {
        let hashed = writer.finish().map_err(at("write", to))?;
        let size = hashed.bytes;
        let (buffer, sha256) = hashed.end();
        (buffer, sha256, size)
    };
    buffer.flush().map_err(at("write", to))?;
    drop(buffer);
    aside.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(at("set the mode of", to))?;
    aside.persist(to).map_err(|error| at("put in place", to)(error.error))?;
    Ok((size, sha256))
}

/// What goes through it is hashed.
struct Hashed<T> {
    inner: T,
    hash: Sha256,
    bytes: u64,
}

impl<T> Hashed<T> {
    fn new(inner: T) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    /// The inner one, and the digest, hexadecimal.
    fn end(self) -> (T, String) {
        (self.inner, hex(&self.hash.finalize()))
    }

    fn count(&mut self, bytes: &[u8]) -> usize {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        bytes.len()
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        Ok(self.count(&buffer[..read]))
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        Ok(self.count(&bytes[..written]))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
