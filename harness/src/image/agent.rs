//! The guest's binary: built with cargo from the source tree, static, and kept as long as the
//! sources stay the same.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::cpio::Segment;
use super::recipe::{self, SOURCES, Target};
use crate::architecture::Architecture;
use crate::cache::Built;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::sha256;
use crate::elf::needed::machine_of;
use crate::process::command;

/// The segment's file name.
pub(crate) const SEGMENT: &str = "agent.cpio";

/// The binary by itself, beside its segment.
pub(crate) const PROGRAM: &str = "agent";

/// A hash of the sources and of how they are built: the same key, the same binary.
pub(crate) fn key(tree: &Path, target: &Target) -> Result<String, ImageError> {
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
    let mut text = format!("{}\n", target.rustflags);
    for file in files {
        let bytes = std::fs::read(&file).map_err(at("read", &file))?;
        let name = file.strip_prefix(tree).expect("it was listed below it").display();
        text.push_str(&format!("{name} {}\n", sha256(&bytes)));
    }
    Ok(sha256(text.as_bytes()))
}

/// Builds the binary and makes it the initramfs's `/init`.
pub(crate) fn build(tree: &Path, target: &Target, architecture: Architecture, to: &Path) -> Result<Built, ImageError> {
    let target_dir = tree.join("target/agent");
    let mut command = recipe::command(tree, &target_dir, target);
    let advise = |said: &str| recipe::advise(target, said);
    command::run(&mut command, "building the guest's binary (cargo build -p guest)", "cargo", advise)?;
    pack(&recipe::program(&target_dir, target), architecture, to)?;
    Ok(Built { version: "built".into(), packages: Vec::new() })
}

/// The cpio segment with this binary, and the binary itself for those who start it without a VM.
pub(crate) fn pack(binary: &Path, architecture: Architecture, to: &Path) -> Result<(), ImageError> {
    let bytes = std::fs::read(binary).map_err(at("read", binary))?;
    if machine_of(binary) != Some(architecture.elf_machine()) {
        let why = format!("is no ELF file for {architecture}; the agent must be a static program");
        return Err(content(binary.display().to_string(), why));
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
        for path in SOURCES {
            let is_file = path.contains("Cargo.");
            write(&if is_file { path.to_owned() } else { format!("{path}/lib.rs") }, "1");
        }
        let key = || key(tree.path(), recipe::target("amd64")).unwrap();
        let first = key();
        write("harness/src/main.rs", "2");
        assert_eq!(key(), first);
        write("harness/guest/src/main.rs", "2");
        let second = key();
        assert_ne!(second, first);
        write("scenarios/src/new.rs", "");
        assert_ne!(key(), second);
    }

    #[test]
    fn every_crate_of_the_tree_that_the_agent_is_made_of_is_a_source() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let read = |path: &str| -> toml::Table { fs::read_to_string(tree.join(path)).unwrap().parse().unwrap() };
        let folders = &read("Cargo.toml")["workspace"]["dependencies"];
        let mut open = vec!["harness/guest".to_owned()];
        let mut crates: Vec<String> = Vec::new();
        while let Some(folder) = open.pop() {
            let manifest = read(&format!("{folder}/Cargo.toml"));
            let names = manifest["dependencies"].as_table().unwrap().keys();
            let paths = names.filter_map(|name| folders.get(name)?.get("path")?.as_str());
            open.extend(paths.map(str::to_owned).filter(|path| !crates.contains(path)));
            crates.push(folder);
        }
        assert!(crates.len() >= 4, "{crates:?}");
        for folder in crates {
            let has = |path: &str| SOURCES.iter().any(|source| Path::new(path).starts_with(source));
            assert!(has(&format!("{folder}/src/lib.rs")) && has(&format!("{folder}/Cargo.toml")), "{folder}");
        }
    }
}
