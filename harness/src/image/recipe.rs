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

/// The only target that has a static C library everywhere that rustup does.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// How it is built. Position-independent as most programs are: where a process is mapped makes a
/// difference to criu.
pub(crate) const RUSTFLAGS: &str = "-C target-feature=+crt-static";

/// What a missing target's error says, and what to do.
pub(crate) fn advise(said: &str) -> &'static str {
    if said.contains("may not be installed") || said.contains("can't find crate for `std`") {
        " The Rust target is missing: rustup target add x86_64-unknown-linux-gnu"
    } else {
        ""
    }
}

/// The call of cargo that builds it, into a target directory of its own: the outer cargo has a lock
/// on its one.
pub(crate) fn command(tree: &Path, target_dir: &Path) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(tree).args(["build", "--quiet", "-p", "guest", "--profile", "guest", "--target", TARGET]);
    command.arg("--target-dir").arg(target_dir);
    command.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", RUSTFLAGS);
    // These would win over the setting above, or lint instead of build.
    for variable in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER"] {
        command.env_remove(variable);
    }
    command
}

/// Where that call puts the program.
pub(crate) fn program(target_dir: &Path) -> PathBuf {
    target_dir.join(TARGET).join("guest/guest")
}
