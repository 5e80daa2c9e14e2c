//! How the agent is built: what of, and by which call of cargo. The build script of this crate
//! includes this file, so it uses nothing of the crate.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the agent is made of, relative to the source tree.
pub(crate) const SOURCES: [&str; 7] = [
    "harness/guest",
    "harness/protocol",
    "scenarios/src",
    "scenarios/Cargo.toml",
    "vocabulary",
    "Cargo.lock",
    "Cargo.toml",
];

/// A Rust target and how the agent is built for it. Position-independent as most programs are:
/// where a process is mapped makes a difference to criu.
pub(crate) struct Target {
    name: &'static str,
    pub(crate) rustflags: &'static str,
    /// What to do where it is missing.
    add: &'static str,
}

/// For amd64 on amd64: no target besides the host's own.
const NATIVE: Target = Target {
    name: "x86_64-unknown-linux-gnu",
    rustflags: "-C target-feature=+crt-static",
    add: " The Rust target is missing: rustup target add x86_64-unknown-linux-gnu",
};

/// Rust brings a C library and a linker for these, so they need no compiler for C.
const AMD64: Target = Target {
    name: "x86_64-unknown-linux-musl",
    rustflags: "-C linker=rust-lld -C target-feature=+crt-static",
    add: " The Rust target is missing: rustup target add x86_64-unknown-linux-musl",
};
const ARM64: Target = Target {
    name: "aarch64-unknown-linux-musl",
    rustflags: "-C linker=rust-lld -C target-feature=+crt-static",
    add: " The Rust target is missing: rustup target add aarch64-unknown-linux-musl",
};

/// That of an agent for `arm64`, or else amd64, built on this machine.
pub(crate) fn target(architecture: &str) -> &'static Target {
    match architecture {
        "arm64" => &ARM64,
        _ if cfg!(target_arch = "x86_64") => &NATIVE,
        _ => &AMD64,
    }
}

/// What a missing target's error says, and what to do.
pub(crate) fn advise(target: &Target, said: &str) -> &'static str {
    let missing = said.contains("may not be installed") || said.contains("can't find crate for `std`");
    if missing { target.add } else { "" }
}

/// The call of cargo that builds it, into a target directory of its own: the outer cargo has a lock
/// on its one.
pub(crate) fn command(tree: &Path, target_dir: &Path, target: &Target) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(tree).args(["build", "--quiet", "-p", "guest", "--profile", "guest", "--target", target.name]);
    command.arg("--target-dir").arg(target_dir);
    set_flags(&mut command, target.name, target.rustflags);
    command
}

/// Has cargo build for a target with these flags of rustc and no others.
pub(crate) fn set_flags(cargo: &mut Command, target: &str, rustflags: &str) {
    cargo.env(format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_")), rustflags);
    // These would win over the setting above, or lint instead of build.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        cargo.env_remove(variable);
    }
}

/// Where that call puts the program.
pub(crate) fn program(target_dir: &Path, target: &Target) -> PathBuf {
    target_dir.join(target.name).join("guest/guest")
}
