//! What CRIU's own test suite needs in a VM, as a segment of the initramfs: Python with the modules
//! that `test/zdtm.py` imports, make, and the programs that it and criu start for processes in
//! namespaces. The tests themselves are in a segment of their own (`subject/criu/zdtm.rs`).
//!
//! No maintainer scripts run, so Python's modules are compiled here. Without that the guest would
//! compile all of them again in each VM.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::build_root::RootEntry;
use super::cpio::{self, Segment};
use super::store::{KEEP, Store};
use super::userland::through_loader;
use super::{Image, store};
use crate::cache::error::{ImageError, at};
use crate::cache::record::sha256;
use crate::cache::{Built, Slot};
use crate::debian::source::Unpacked;
use crate::process::command;

/// The segment's file name.
const SEGMENT: &str = "zdtm.cpio";

/// The folders of the packages that the guest gets.
const FOLDERS: [&str; 2] = ["etc", "usr"];

/// What the guest has no use for.
const LEFT_OUT: [&str; 5] = ["usr/share", "usr/include", "usr/games", "usr/lib/debug", "usr/lib/systemd"];

/// Lists the libraries of a program: glibc's own is a script for a shell that the guest lacks. The
/// loader does it, see `LD_TRACE_LOADED_OBJECTS` in ld.so(8).
const LDD: &[u8] = b"#!/bin/sh\nLD_TRACE_LOADED_OBJECTS=1 exec \"$1\"\n";

/// Fills the directory with the segment.
pub(super) fn build(unpacked: &Unpacked, entry: &RootEntry, to: &Path) -> Result<Built, ImageError> {
    let root = &unpacked.root;
    compile(root)?;
    let mut segment = Segment::new();
    for folder in FOLDERS {
        add(&mut segment, root, Path::new(folder))?;
    }
    for (path, target) in &entry.links {
        segment.symlink(path, target);
    }
    segment.file("usr/bin/ldd", 0o755, LDD);
    let path = to.join(SEGMENT);
    fs::write(&path, segment.finish()).map_err(at("write", &path))?;
    let python = unpacked.packages.iter().find(|package| package.name == "python3-minimal");
    let version = python.map_or("unknown", |package| package.version.as_str());
    Ok(Built { version: format!("python {version}"), packages: unpacked.packages.clone() })
}

/// Compiles every module of Python. What the compiled files hold does not depend on times, so that
/// the same packages give the same bytes, and the guest does not look at times either.
fn compile(root: &Path) -> Result<(), ImageError> {
    let modules = root.join("usr/lib");
    let mut python = through_loader(root, Path::new("usr/bin/python3"))?;
    python.env("PYTHONHOME", root.join("usr")).env("PYTHONHASHSEED", "0");
    python.args(["-S", "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-p", "/", "-s"]);
    python.arg(root).arg(modules);
    command::run(&mut python, "compiling Python's modules", "python3", command::no_advice)
        .map(|_| ())
        .map_err(Into::into)
}

/// Puts a folder with everything in it into the segment, in the order of names.
fn add(segment: &mut Segment, root: &Path, folder: &Path) -> Result<(), ImageError> {
    let here = root.join(folder);
    if LEFT_OUT.iter().any(|left_out| folder == Path::new(left_out)) || !here.is_dir() {
        return Ok(());
    }
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(&here).map_err(at("list", &here))? {
        entries.push(folder.join(entry.map_err(at("list", &here))?.file_name()));
    }
    entries.sort();
    for path in entries {
        let file = root.join(&path);
        let metadata = file.symlink_metadata().map_err(at("look at", &file))?;
        let name = path.to_string_lossy();
        if metadata.is_symlink() {
            let target = fs::read_link(&file).map_err(at("read", &file))?;
            segment.symlink(&name, &target.to_string_lossy());
        } else if metadata.is_dir() {
            add(segment, root, &path)?;
        } else if metadata.is_file() {
            let mode = if metadata.permissions().mode() & 0o111 == 0 { 0o644 } else { 0o755 };
            segment.file(&name, mode, &fs::read(&file).map_err(at("read", &file))?);
        }
    }
    Ok(())
}

impl Store {
    /// The same image with what CRIU's own test suite needs and this segment of tests; it is made
    /// when it is missing.
    ///
    /// # Errors
    /// The packages cannot be had.
    pub fn with_zdtm(&self, image: &Path, tests: &Path) -> Result<PathBuf, ImageError> {
        let take = |entry: &crate::cache::Entry| (entry.directory.join(SEGMENT), entry.record.content_key());
        let (segment, key) = self.obtain(Image::Zdtm, false, take)?;
        let names = [image, tests].map(|path| path.display().to_string());
        let key = sha256(format!("{key} {}", names.join(" ")).as_bytes());
        let slot = Slot { kind: "initramfs", name: String::new(), key };
        let segments = [image.to_owned(), segment, tests.to_owned()];
        let build = |to: &Path, _: Option<&_>| cpio::concatenate(&segments, &to.join(store::INITRAMFS)).map(Some);
        let directory = self.take(&slot, false, build, |entry| entry.directory.clone())?;
        self.cache.prune("initramfs", KEEP)?;
        Ok(directory.join(store::INITRAMFS))
    }
}
