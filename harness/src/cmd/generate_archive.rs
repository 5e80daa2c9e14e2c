//! `generate archive`: what people download. One static program, what `generate` makes from it, and
//! the documents, packed the same way each time, with a checksum beside it.

use std::env::consts::ARCH;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, ValueEnum as _};
use clap_complete::Shell;
use flate2::{Compression, GzBuilder};

use super::generate::{completions, pages};
use crate::cache::progress::megabytes;
use crate::cache::record::sha256;
use crate::image::{recipe, tree};
use crate::notices::{print, say};
use crate::process::command;

/// Which archive, and of what.
#[derive(Args, Clone, Debug)]
pub(super) struct ArchiveArgs {
    /// The folder for the archive; it is made when missing
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// The checkout [default: the one that this program was built from]
    #[arg(long, value_name = "DIR", env = "ZDTM_DETACHED_TREE")]
    tree: Option<PathBuf>,
}

/// What comes from the checkout as it is.
const DOCUMENTS: [&str; 5] = ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT"];

/// Builds the program and packs the archive.
///
/// # Errors
/// There is no checkout, it cannot be built, or the archive cannot be written.
pub(super) fn run(args: &ArchiveArgs, mut command: clap::Command) -> anyhow::Result<()> {
    let tree = tree::checkout(args.tree.as_deref())?;
    let target = format!("{ARCH}-unknown-linux-gnu");
    say(&format!("building the program for {target}, static and optimised; this takes minutes"));
    let program = build(&tree, &target)?;
    let name = format!("{}-{}-{target}", command.get_name(), env!("CARGO_PKG_VERSION"));
    let packed = pack(&name, &contents(&tree, &program, &mut command)?).context("packing the archive")?;
    fs::create_dir_all(&args.to).with_context(|| format!("making the folder {}", args.to.display()))?;
    let file = format!("{name}.tar.gz");
    let digest = sha256(&packed);
    write(&args.to.join(&file), &packed)?;
    // The form of sha256sum(1), which checks it with `-c`.
    write(&args.to.join(format!("{file}.sha256")), format!("{digest}  {file}\n").as_bytes())?;
    let size = megabytes(packed.len() as u64);
    Ok(print(&format!("{}: {size}, sha256 {digest}\n", args.to.join(&file).display()))?)
}

/// Static, so that neither the C library nor its version is a question there. Names are looked
/// up all the same: since glibc 2.34 files and DNS are a part of it.
fn build(tree: &Path, target: &str) -> anyhow::Result<PathBuf> {
    let target_dir = tree.join("target");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut cargo = Command::new(cargo);
    cargo.current_dir(tree).args(["build", "--quiet", "--locked", "--profile", "dist", "--bin", "zdtm-detached"]);
    cargo.args(["--target", target]).arg("--target-dir").arg(&target_dir);
    recipe::set_flags(&mut cargo, target, "-C target-feature=+crt-static");
    command::run(&mut cargo, "building the program (cargo build --profile dist)", "cargo", command::no_advice)?;
    Ok(target_dir.join(target).join("dist/zdtm-detached"))
}

/// A file of the archive.
struct Member {
    name: String,
    mode: u32,
    content: Vec<u8>,
}

fn contents(tree: &Path, program: &Path, command: &mut clap::Command) -> anyhow::Result<Vec<Member>> {
    let plain = |name: String, content| Member { name, mode: 0o644, content };
    let mut members = vec![Member { name: "zdtm-detached".into(), mode: 0o755, content: read(program)? }];
    for name in DOCUMENTS {
        members.push(plain(name.into(), read(&tree.join(name))?));
    }
    for path in listed(&tree.join("docs"))?.iter().filter(|path| path.is_file()) {
        members.push(plain(format!("docs/{}", file_name(path)?), read(path)?));
    }
    for shell in Shell::value_variants() {
        members.push(plain(format!("completions/{}", completion_file(*shell)), completions(*shell, command)));
    }
    let folder = tempfile::tempdir().context("making a temporary folder for the man pages")?;
    pages(command.clone(), folder.path())?;
    for page in listed(folder.path())? {
        members.push(plain(format!("man/man1/{}", file_name(&page)?), read(&page)?));
    }
    Ok(members)
}

/// The name under which a shell finds it in its folder of completions.
fn completion_file(shell: Shell) -> String {
    match shell {
        Shell::Zsh => "_zdtm-detached".into(),
        Shell::PowerShell => "_zdtm-detached.ps1".into(),
        other => format!("zdtm-detached.{}", if other == Shell::Elvish { "elv".into() } else { other.to_string() }),
    }
}

/// tar(5) in the ustar format, with fixed times and owners, in gzip: every tar reads it.
fn pack(folder: &str, members: &[Member]) -> io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(GzBuilder::new().mtime(0).write(Vec::new(), Compression::best()));
    for member in members {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(member.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(member.content.len() as u64);
        archive.append_data(&mut header, format!("{folder}/{}", member.name), &member.content[..])?;
    }
    archive.into_inner()?.finish()
}

/// The entries of a folder, by name.
fn listed(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = entries.with_context(|| format!("listing {}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> anyhow::Result<&str> {
    path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{} is not UTF-8", path.display()))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Whole or not at all.
fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let aside = path.with_extension("part");
    let written = File::create(&aside).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    let moved = written.and_then(|()| fs::rename(&aside, path));
    moved.map_err(|error| {
        let _ = fs::remove_file(&aside);
        let advice = crate::notices::advice(&error, "name another folder");
        anyhow::anyhow!("cannot write {}: {error}{advice}", path.display())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive() {
        let member = |name: &str, mode| Member { name: name.into(), mode, content: name.into() };
        let members = [member("program", 0o755), member("docs/a.md", 0o644)];
        let packed = pack("name-1", &members).unwrap();
        assert_eq!(packed, pack("name-1", &members).unwrap());
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&packed[..]));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            format!("{:o} {} {text}", entry.header().mode().unwrap(), entry.path().unwrap().display())
        });
        let entries: Vec<String> = entries.collect();
        assert_eq!(entries, ["755 name-1/program program", "644 name-1/docs/a.md docs/a.md"]);
    }

    #[test]
    fn an_archive_has_all_that_users_install() {
        use clap::CommandFactory as _;
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let program = tree.join("LICENSE-MIT");
        let members = contents(tree, &program, &mut crate::cmd::Cli::command()).unwrap();
        let has = |name: &str| members.iter().any(|member| member.name == name && !member.content.is_empty());
        for name in [
            "zdtm-detached",
            "LICENSE-APACHE",
            "docs/FORMATS.md",
            "completions/zdtm-detached.bash",
            "completions/_zdtm-detached",
            "completions/zdtm-detached.fish",
            "man/man1/zdtm-detached.1",
            "man/man1/zdtm-detached-run.1",
        ] {
            assert!(has(name), "{name} is missing");
        }
    }
}
