//! Puts into release builds what the program needs at run time: the agent, the catalogue, the
//! manifest, what is known to fail and the findings, as one archive (`src/image/tree.rs` unpacks
//! it). Other builds have an empty one: they use the checkout, and a changed scenario does not
//! build them again. With the feature `both-architectures` there are agents for amd64 and arm64.

#[path = "src/image/recipe.rs"]
mod recipe;
#[path = "src/archive/write.rs"]
mod write;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// What of the tree goes in; of a folder, the files with these ends.
const FILES: [&str; 5] =
    ["docs/KERNEL.md", "docs/findings", "scenarios/catalogue", "scenarios/expectations.toml", "vm-images"];
const ENDS: [&str; 5] = ["config", "lock", "md", "scn", "toml"];

/// The names of agents in the archive begin with this.
const AGENT: &str = "agent";

fn main() {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let tree = manifest.parent().expect("the harness is a directory of the tree");
    let to = Path::new(&variable("OUT_DIR")).join("embedded.tar.zst");
    println!("cargo::rerun-if-changed=build.rs");
    let has = |feature| env::var_os(feature).is_some();
    let is_release = variable("PROFILE") == "release";
    let wanted = has("CARGO_FEATURE_EMBEDDED") && (is_release || has("CARGO_FEATURE_EMBEDDED_ALWAYS"));
    let archive = if wanted { archive(tree) } else { Vec::new() };
    fs::write(&to, archive).unwrap_or_else(|error| panic!("cannot write {}: {error}", to.display()));
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for build scripts: {error}"))
}

fn archive(tree: &Path) -> Vec<u8> {
    for path in FILES.iter().chain(&recipe::SOURCES) {
        println!("cargo::rerun-if-changed={}", tree.join(path).display());
    }
    let mut files: Vec<PathBuf> = Vec::new();
    let mut open: Vec<PathBuf> = FILES.iter().map(|path| tree.join(path)).collect();
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap_or_else(|error| panic!("cannot list {}: {error}", path.display()));
            open.extend(entries.map(|entry| entry.expect("the folder can be listed").path()));
        } else if path.extension().is_some_and(|end| ENDS.iter().any(|known| end == *known)) {
            files.push(path);
        }
    }
    files.sort();
    let mut writer = write::Writer::new(Vec::new());
    let mut add = |name: &str, executable, path: &Path| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        let added = writer.file(name, executable, bytes.len() as u64, &bytes[..]);
        added.unwrap_or_else(|error| panic!("cannot embed {}: {error}", path.display()));
    };
    let own = if variable("CARGO_CFG_TARGET_ARCH") == "aarch64" { "arm64" } else { "amd64" };
    let both = env::var_os("CARGO_FEATURE_BOTH_ARCHITECTURES").is_some();
    for architecture in ["amd64", "arm64"].into_iter().filter(|name| both || *name == own) {
        add(&format!("{AGENT}-{architecture}"), true, &agent(tree, recipe::target(architecture)));
    }
    for path in &files {
        let name = path.strip_prefix(tree).expect("it was listed below it");
        add(name.to_str().expect("names in the tree are ASCII"), false, path);
    }
    writer.finish().expect("a vector takes everything")
}

/// Builds the agent; its program.
fn agent(tree: &Path, for_target: &recipe::Target) -> PathBuf {
    // Beside the profiles' folders, so that all of them share it, and `run` in the checkout, too.
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = out.ancestors().filter(|folder| folder.join("CACHEDIR.TAG").exists()).last().unwrap_or(&out);
    let target_dir = target.join("agent");
    let mut command = recipe::command(tree, &target_dir, for_target);
    let output = command.output().unwrap_or_else(|error| panic!("cannot start cargo for the agent: {error}"));
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!(
            "the agent, which the program has inside, cannot be built (cargo build -p guest --profile guest):{}\n{said}\n\
             `--no-default-features` builds a program without it, which needs the checkout at run time",
            recipe::advise(for_target, &said)
        );
    }
    recipe::program(&target_dir, for_target)
}
