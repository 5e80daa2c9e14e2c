//! QEMU out of Debian packages: the program, its libraries and firmware, started through its own
//! loader, so that any suite's QEMU runs on any host, whatever that host's C library.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use scenarios::pattern::fits;

use super::manifest::QemuEntry;
use crate::architecture::HOST;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::{BuildRecord, Package};
use crate::cache::{Built, Entry};
use crate::debian::source::Unpacked;
use crate::elf::needed::{self, Role};
use crate::process::command;

/// A QEMU that can be started; stays in the cache as long as the [`super::Store`] that gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Qemu {
    /// The dynamic loader that starts it.
    pub loader: PathBuf,
    /// The directory with all its libraries.
    pub library_path: PathBuf,
    /// `qemu-system-x86_64` or its like itself; does not start without the loader.
    pub program: PathBuf,
    /// The directory with its firmware, for `-L`.
    pub data_dir: PathBuf,
    /// Its version: `10.0.13`.
    pub version: String,
    /// What it is made of.
    pub packages: Vec<Package>,
    /// A hash of its files.
    pub key: String,
}

impl Qemu {
    /// The program to start and the arguments that come before QEMU's own.
    pub fn command_line(&self) -> (PathBuf, Vec<OsString>) {
        let arguments = [
            OsString::from("--library-path"),
            self.library_path.clone().into(),
            self.program.clone().into(),
            OsString::from("-L"),
            self.data_dir.clone().into(),
        ];
        (self.loader.clone(), arguments.into())
    }

    /// [`Qemu::command_line`] as a command, to be given QEMU's arguments.
    pub fn command(&self) -> Command {
        let (program, arguments) = self.command_line();
        let mut command = Command::new(program);
        command.args(arguments);
        command
    }

    /// The one in the cache that has this program.
    pub(crate) fn of(entry: &Entry, program: &str) -> Qemu {
        let BuildRecord { version, packages, .. } = &entry.record;
        Qemu {
            packages: packages.clone(),
            key: entry.record.content_key(),
            ..layout(&entry.directory, program, version.clone())
        }
    }
}

/// Where things are in the image's directory; `program` is the path in the package.
fn layout(directory: &Path, program: &str, version: String) -> Qemu {
    let name = program.rsplit('/').next().unwrap_or(program);
    Qemu {
        loader: directory.join("bin/ld.so"),
        library_path: directory.join("lib"),
        program: directory.join("bin").join(name),
        data_dir: directory.join("share"),
        version,
        packages: Vec::new(),
        key: String::new(),
    }
}

/// Fills the directory with what QEMU needs of the unpacked packages.
pub(crate) fn build(unpacked: Unpacked, entry: &QemuEntry, to: &Path) -> Result<Built, ImageError> {
    let Unpacked { root, packages } = unpacked;
    let mut qemu = layout(to, &entry.program, String::new());
    for directory in [&to.join("bin"), &qemu.library_path, &qemu.data_dir] {
        std::fs::create_dir_all(directory).map_err(at("create", directory))?;
    }
    for file in needed::walk(&root, &[&entry.program], &HOST.library_directories())? {
        let target = match file.role {
            Role::Start => qemu.program.clone(),
            Role::Interpreter => qemu.loader.clone(),
            Role::Library => qemu.library_path.join(file.path.file_name().expect("a library has a name")),
        };
        copy(&file.source, &target)?;
    }
    for pattern in &entry.data {
        if copy_data(&root, pattern, &qemu.data_dir)? == 0 {
            let what = format!("the pattern {pattern} of qemu.data");
            return Err(content(what, "fits no file; correct the manifest"));
        }
    }
    // Where Debian puts QEMU's modules. Some versions (7.2) have TCG in one.
    let modules = format!("usr/lib/{}/qemu", HOST.triplet());
    if root.join(&modules).is_dir() {
        let to = qemu.library_path.join("qemu");
        std::fs::create_dir_all(&to).map_err(at("create", &to))?;
        copy_data(&root, &format!("{modules}/accel-*.so"), &to)?;
    }
    let said = command::run(qemu.command().arg("--version"), "starting the new QEMU", "libc6", command::no_advice)?;
    qemu.version = version_in(&said).ok_or_else(|| content("the new QEMU", format!("told no version: {said}")))?;
    Ok(Built { version: qemu.version, packages })
}

/// Copies the files that fit a pattern whose last part may have wildcards; how many there are.
fn copy_data(root: &Path, pattern: &str, to: &Path) -> Result<usize, ImageError> {
    let (directory, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let directory = root.join(directory);
    let mut hits = 0;
    for entry in std::fs::read_dir(&directory).map_err(at("list", &directory))? {
        let file = entry.map_err(at("list", &directory))?.file_name().to_string_lossy().into_owned();
        if !fits(name, &file) {
            continue;
        }
        let inside = directory.join(&file);
        let relative = inside.strip_prefix(root).expect("it was listed below it");
        if let Some(source) = needed::resolve(root, relative) {
            copy(&source, &to.join(&file))?;
            hits += 1;
        }
    }
    Ok(hits)
}

fn copy(from: &Path, to: &Path) -> Result<(), ImageError> {
    std::fs::copy(from, to).map(drop).map_err(at("write", to))
}

/// `QEMU emulator version 10.0.13 (Debian ...)`.
fn version_in(said: &str) -> Option<String> {
    Some(said.split("version ").nth(1)?.split_whitespace().next()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        let said = "QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)\nCopyright";
        assert_eq!(version_in(said).as_deref(), Some("10.0.13"));
        assert_eq!(version_in("no"), None);
    }

    #[test]
    fn it_is_started_through_its_own_loader() {
        let (program, arguments) = layout(Path::new("/c"), "usr/bin/qemu-system-x86_64", "10".into()).command_line();
        let line: Vec<String> = arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
        let line = format!("{} {}", program.display(), line.join(" "));
        expect_test::expect!["/c/bin/ld.so --library-path /c/lib /c/bin/qemu-system-x86_64 -L /c/share"]
            .assert_eq(&line);
    }
}
