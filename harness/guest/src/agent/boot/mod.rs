//! What must be there before the first trial: a root, kernel filesystems, the channel. [`vm`] is
//! handed a whole machine, [`host`] builds itself a private corner of a running one.

pub(super) mod host;
pub(super) mod vm;

use std::ffi::CStr;
use std::io;

use nix::mount::{MsFlags, mount};

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub(super) enum BootError {
    #[error("{what}: {error}")]
    Step { what: String, error: io::Error },
    #[error("{0}")]
    Lacking(String),
}

/// Says of an error what was tried.
pub(super) fn step<T, E: Into<io::Error>>(what: impl Into<String>, result: Result<T, E>) -> Result<T, BootError> {
    result.map_err(|error| BootError::Step { what: what.into(), error: error.into() })
}

fn mount_kernel_filesystem(source: &str, target: &str, fs_type: &str, data: Option<&str>) -> io::Result<()> {
    Ok(mount(Some(source), target, Some(fs_type), MsFlags::empty(), data)?)
}

/// Mounts and unmounts of the agent do not propagate to another namespace, nor from there to the
/// agent.
fn make_private() -> io::Result<()> {
    let none = None::<&CStr>;
    Ok(mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?)
}

/// Marks a folder as the harness's own: observations of a process whose root is the agent's leave
/// it out.
fn mark_as_own(folder: &str) -> io::Result<()> {
    std::fs::create_dir(format!("{folder}/.zdtm"))
}
