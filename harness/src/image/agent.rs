//! The guest's binary: built with cargo from the source tree, static, and kept as long as the
//! sources stay the same.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::cpio::Segment;
use crate::cache::Built;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::sha256;
use crate::process::command;

/// The segment's file name.
pub(crate) const SEGMENT: &str = "agent.cpio";

/// The binary by itself, beside its segment.
pub(crate) const PROGRAM: &str = "agent";

/// What the binary is made of, relative to the source tree.
const SOURCES: [&str; 5] = ["harness/guest", "harness/protocol", "scenarios/src", "Cargo.lock", "Cargo.toml"];

/// The only target that has a static C library everywhere that rustup does.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How it is built. Position-independent as most programs are: where a process is mapped makes a
/// difference to criu.
const RUSTFLAGS: &str = "-C target-feature=+crt-static";

/// A hash of the sources and of how they are built: the same key, the same binary.
pub(crate) fn key(tree: &Path) -> Result<String, ImageError> {
    let mut files: Vec<PathBuf> = Vec::new();
    let mut todo: Vec<PathBuf> = SOURCES.iter().map(|path| tree.join(path)).collect();
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).map_err(at("list", &path))? {
                todo.push(entry.map_err(at("list", &path))?.path());
            }
        } else {
            files.push(path);
        }
    }
    files.sort();
    let mut text = format!("{RUSTFLAGS}\n");
    for file in files {
        let bytes = std::fs::read(&file).map_err(at("read", &file))?;
        let name = file.strip_prefix(tree).expect("it was listed below it").display();
        text.push_str(&format!("{name} {}\n", sha256(&bytes)));
    }
    Ok(sha256(text.as_bytes()))
}

/// Builds the binary and makes it the initramfs's `/init`.
pub(crate) fn build(tree: &Path, to: &Path) -> Result<Built, ImageError> {
    let target_dir = tree.join("target/agent");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(tree).args(["build", "--quiet", "-p", "guest", "--profile", "guest", "--target", TARGET]);
    command.arg("--target-dir").arg(&target_dir);
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", RUSTFLAGS);
    // These would win over the setting above, or lint instead of build.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(variable);
    }
    command::run(&mut command, "building the guest's binary (cargo build -p guest)", "cargo", advise)?;
    pack(&target_dir.join(TARGET).join("guest/guest"), to)?;
    Ok(Built { version: "built".into(), packages: Vec::new() })
}

/// The cpio segment with this binary, and the binary itself for those who start it without a VM.
pub(crate) fn pack(binary: &Path, to: &Path) -> Result<(), ImageError> {
    let bytes = std::fs::read(binary).map_err(at("read", binary))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(content(binary.display().to_string(), "is no ELF file; the agent must be a static program"));
    }
    let mut segment = Segment::new();
    segment.file("init", 0o755, &bytes);
    let path = to.join(SEGMENT);
    std::fs::write(&path, segment.finish()).map_err(at("write", &path))?;
    let program = to.join(PROGRAM);
    std::fs::write(&program, &bytes).map_err(at("write", &program))?;
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&program, executable).map_err(at("make executable", &program))
}

fn advise(said: &str) -> &'static str {
    if said.contains("may not be installed") || said.contains("can't find crate for `std`") {
        " The Rust target is missing: rustup target add x86_64-unknown-linux-gnu"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_source_counts_and_nothing_else() {
        let tree = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = tree.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for path in [
            "harness/guest/src/main.rs",
            "harness/protocol/src/lib.rs",
            "scenarios/src/lib.rs",
            "Cargo.lock",
            "Cargo.toml",
        ] {
            write(path, "1");
        }
        let key = || key(tree.path()).unwrap();
        let first = key();
        write("harness/src/main.rs", "2");
        assert_eq!(key(), first);
        write("harness/guest/src/main.rs", "2");
        let second = key();
        assert_ne!(second, first);
        write("scenarios/src/new.rs", "");
        assert_ne!(key(), second);
    }
}
