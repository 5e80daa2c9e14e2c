//! Which QEMU: a private one out of the cache, or one of the host's own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::unistd::{AccessFlags, access};

use crate::architecture::Architecture;

/// The oldest QEMU that is known to work, as major and minor version.
pub const OLDEST: (u32, u32) = (7, 2);

/// A QEMU and how to start it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QemuProgram {
    /// The start of the command line: the program, or a loader with its options and then the
    /// program.
    pub argv_prefix: Vec<OsString>,
    /// Where its firmware is, for `-L`; empty for one that finds its own.
    pub data_dirs: Vec<PathBuf>,
    /// Where its loadable parts are (`QEMU_MODULE_DIR`); none for one that finds its own.
    pub module_dir: Option<PathBuf>,
    /// Its version, for people and as a part of cache keys.
    pub version: String,
}

/// Why a QEMU cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum QemuError {
    /// `--qemu host`, and the host has no QEMU.
    #[error("there is no {0} on the PATH; install it (Debian: qemu-system), or leave --qemu away to use a private one")]
    NotOnPath(&'static str),
    /// It cannot be executed.
    #[error("cannot run {}: {source}; give the path of a qemu-system-* to --qemu", .path.display())]
    Spawn {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It does not say that it is a QEMU.
    #[error("{} --version does not tell a QEMU version: {said:?}; give the path of a qemu-system-* to --qemu", .path.display())]
    NotQemu {
        /// The program.
        path: PathBuf,
        /// The first line of what it said.
        said: String,
    },
    /// It is too old.
    #[error(
        "{} is QEMU {version}, and {}.{} is the oldest that works; leave --qemu away to use a private one",
        .path.display(), OLDEST.0, OLDEST.1
    )]
    TooOld {
        /// The program.
        path: PathBuf,
        /// Its version.
        version: String,
    },
}

impl QemuProgram {
    /// A QEMU that was unpacked from packages and runs through its own loader, independent of the
    /// host's libraries.
    ///
    /// Run like this it finds no file by itself, so arguments name every file: besides `data_dir`
    /// (`.../share/qemu`) the firmware of its neighbour `.../share/seabios`, and the modules in
    /// `qemu/` below one of the library directories (Debian's 7.2 has TCG in a module).
    /// `library_path` holds directories with colons in between.
    pub fn private(loader: &Path, library_path: &str, program: &Path, data_dir: &Path, version: &str) -> Self {
        let firmware = data_dir.with_file_name("seabios");
        let modules = library_path.split(':').map(|directory| Path::new(directory).join("qemu"));
        Self {
            argv_prefix: vec![loader.into(), "--library-path".into(), library_path.into(), program.into()],
            data_dirs: std::iter::once(data_dir.to_owned()).chain(firmware.is_dir().then_some(firmware)).collect(),
            module_dir: modules.into_iter().find(|directory| directory.is_dir()),
            version: version.to_owned(),
        }
    }

    /// The QEMU at `path`, or the one on the `PATH` for such guests when it is `host`: the value of
    /// `--qemu`.
    ///
    /// # Errors
    /// It is missing, does not run, or is older than [`OLDEST`].
    pub fn of_host(path: &Path, guests: Architecture) -> Result<Self, QemuError> {
        let program = guests.qemu_program();
        let path = match path == Path::new("host") {
            true => on_path(program).ok_or(QemuError::NotOnPath(program))?,
            false => path.to_owned(),
        };
        let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|source| QemuError::Spawn { path: path.clone(), source })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let version = supported_version(&path, said.lines().next().unwrap_or_default())?;
        Ok(Self { argv_prefix: vec![path.into()], data_dirs: Vec::new(), module_dir: None, version })
    }

    /// The command without any of the machine's options.
    pub(crate) fn command(&self) -> Command {
        let mut words = self.argv_prefix.iter();
        let mut command = Command::new(words.next().map_or(OsStr::new(""), OsString::as_os_str));
        command.args(words);
        if let Some(directory) = &self.module_dir {
            command.env("QEMU_MODULE_DIR", directory);
        }
        command
    }
}

/// The first executable file of this name in the directories of `PATH`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// The version in `QEMU emulator version 10.0.13 (Debian ...)`, when it is new enough.
fn supported_version(path: &Path, said: &str) -> Result<String, QemuError> {
    let not_qemu = || QemuError::NotQemu { path: path.to_owned(), said: said.chars().take(200).collect() };
    let (_, rest) = said.split_once("QEMU emulator version ").ok_or_else(not_qemu)?;
    let version = rest.split_whitespace().next().unwrap_or_default();
    let mut numbers = version.split(['.', '-', '+']).map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else { return Err(not_qemu()) };
    if (major, minor) < OLDEST {
        return Err(QemuError::TooOld { path: path.to_owned(), version: version.to_owned() });
    }
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn version(said: &str) -> String {
        supported_version(Path::new("/q"), said).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn versions_are_distinguished() {
        assert_eq!(version("QEMU emulator version 10.0.13 (Debian 1:10.0.13+ds-0+deb13u1)"), "10.0.13");
        assert_eq!(version("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7)"), "7.2.22");
        assert_eq!(version("QEMU emulator version 11.1.50-dirty"), "11.1.50-dirty");
        expect!["/q is QEMU 7.1.99, and 7.2 is the oldest that works; leave --qemu away to use a private one"]
            .assert_eq(&version("QEMU emulator version 7.1.99"));
        expect![[r#"/q --version does not tell a QEMU version: "GNU bash, version 5"; give the path of a qemu-system-* to --qemu"#]]
            .assert_eq(&version("GNU bash, version 5"));
        assert!(version("QEMU emulator version ten").contains("does not tell"));
    }

    #[test]
    fn a_program_that_is_no_qemu_is_refused() {
        let of = |path: &str| QemuProgram::of_host(Path::new(path), Architecture::Arm64).unwrap_err();
        assert!(matches!(of("/bin/true"), QemuError::NotQemu { .. }));
        assert!(matches!(of("/nonexistent/qemu"), QemuError::Spawn { .. }));
    }

    #[test]
    fn a_private_qemu_gets_every_path() {
        let root = tempfile::tempdir().unwrap();
        for directory in ["share/qemu", "share/seabios", "lib/qemu"] {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
        }
        let at = |path: &str| root.path().join(path);
        let library_path = format!("/none:{}", at("lib").display());
        let qemu = QemuProgram::private(&at("ld.so"), &library_path, &at("qemu"), &at("share/qemu"), "7.2");
        assert_eq!(qemu.data_dirs, [at("share/qemu"), at("share/seabios")]);
        assert_eq!(qemu.module_dir, Some(at("lib/qemu")));
        let argv: Vec<_> = [&at("ld.so"), Path::new("--library-path"), Path::new(&library_path), &at("qemu")]
            .map(|word: &Path| word.as_os_str().to_owned())
            .into();
        assert_eq!(qemu.argv_prefix, argv);
    }
}
