//! criu with the help of [`crate::assist`], as the agent leads it.
//!
//! Filesystems that only the process's mount namespace shows are kept by holding that namespace
//! until the restore is done, as an engine keeps the volumes of a container. criu then takes their
//! mounts from outside too. With an overlay all of memory is kept: any of it may have its layers.

use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use nix::mount::{MntFlags, umount2};
use nix::sched::{CloneFlags, setns};
use protocol::message::ActionEnd;
use protocol::observation::{FileKind, Mount};
use scenarios::Bytes;

use super::super::super::copy::{End, in_copy};
use super::super::super::trial::Trial;
use crate::assist::Assistance;
use crate::criu::Run;
use crate::executor::STREAMS;
use crate::external::ExternalMount;
use crate::observe::{self, outside};
use crate::reference::capture::outside::Outside;
use crate::reference::private_mount_ns::{PrivateMountNs, own_proc};
use crate::reference::table::Table;
use crate::sys::{self, MountAttr};

/// What the agent keeps between a dump and a restore.
pub(super) struct Held {
    pub(super) assistance: Assistance,
    /// The mount namespace that the process had.
    namespace: OwnedFd,
    /// Mounts in it of filesystems that the agent does not see elsewhere.
    kept: Vec<Mount>,
}

/// What is ready for one restore; its mounts end with it.
#[derive(Default)]
pub(super) struct Given {
    /// The files with their keys.
    pub(super) files: Vec<(String, OwnedFd)>,
    staged: Vec<PathBuf>,
}

/// Captures what criu refuses; or how the capture ended otherwise.
pub(super) fn capture(trial: &Trial<'_>) -> io::Result<Result<Held, Run>> {
    let (pids, namespace) = (trial.child.living(), trial.child.mount_namespace()?);
    let outside = Outside { mounts: trial.elsewhere()?, given: Vec::new() };
    let captured = || -> io::Result<Result<Assistance, String>> {
        let proc: OwnedFd = File::open("/proc")?.into();
        setns(&namespace, CloneFlags::CLONE_NEWNS)?;
        let captured = Assistance::capture(proc.as_fd(), &pids, &STREAMS, &outside)?;
        Ok(captured.map_err(|refusals| refusals.iter().map(|refusal| format!("{refusal}\n")).collect()))
    };
    let captured = asked(trial, "the capture", || Ok((captured()?, Vec::new())))?;
    let (assistance, _) = match captured {
        Ok(captured) => captured,
        Err(run) => return Ok(Err(run)),
    };
    let kept = if trial.own_root() { kept(trial, &assistance)? } else { Ok(Vec::new()) };
    let kept = match kept {
        Ok(kept) => kept,
        Err(why) => return Ok(Err(refused(&why))),
    };
    let held = Held { assistance, namespace, kept };
    // What cannot be kept is refused now.
    Ok(asked(trial, KEPT, || Ok((Ok(()), held.trees()?)))?.map(|_| held))
}

const KEPT: &str = "the mounts that are kept";

/// The mounts of the process that the restore needs and that the agent does not see elsewhere; why
/// they cannot be kept.
fn kept(trial: &Trial<'_>, assistance: &Assistance) -> io::Result<Result<Vec<Mount>, String>> {
    let ours = outside::own_mounts()?;
    let is_ours = |mount: &Mount| ours.iter().any(|own| (own.major, own.minor) == (mount.major, mount.minor));
    let is_needed = |mount: &Mount| assistance.filesystems().any(|(device, _)| device == (mount.major, mount.minor));
    let is_one_of = |mount: &Mount, types: &[&str]| types.iter().any(|name| mount.fs_type.0 == name.as_bytes());
    let mut mounts = outside::look_at_mounts(trial.child.pid())?;
    let places: Vec<Bytes> = mounts.iter().map(|mount| mount.mount_point.clone()).collect();
    mounts.retain(|mount| !is_ours(mount));
    let has_layers = mounts.iter().any(|mount| is_needed(mount) && is_one_of(mount, &["overlay"]));
    mounts.retain(|mount| is_needed(mount) || has_layers && is_one_of(mount, &["tmpfs", "ramfs", "overlay"]));
    let shares_its_place = |mount: &&Mount| places.iter().filter(|place| **place == mount.mount_point).count() > 1;
    Ok(match mounts.iter().find(shares_its_place) {
        None => Ok(mounts),
        // Both would be taken from outside (`--external mnt[MOUNTPOINT]:KEY`, criu(8)).
        Some(Mount { mount_point, .. }) => Err(format!(
            "{KEPT}: criu knows one by its mount point, and two are mounted on {mount_point}, which shows the filesystem"
        )),
    })
}

impl Held {
    /// The mounts that criu takes from outside besides `others`.
    pub(super) fn mounts(&self, others: &[ExternalMount]) -> Vec<ExternalMount> {
        let is_other = |mount: &Mount| others.iter().any(|other| other.mount_point == mount.mount_point.as_os_str());
        let external = |mount: &Mount| ExternalMount {
            mount_point: mount.mount_point.as_os_str().into(),
            key: format!("kept-{}", mount.id),
            source: stage(mount),
        };
        self.kept.iter().filter(|mount| !is_other(mount)).map(external).collect()
    }

    /// Makes everything ready: the kept mounts in the agent's namespace, and the files.
    pub(super) fn give(&self, trial: &Trial<'_>) -> io::Result<Result<Given, Run>> {
        let mut given = Given::default();
        let trees = match asked(trial, KEPT, || Ok((Ok(()), self.trees()?)))? {
            Ok(((), trees)) => trees,
            Err(run) => return Ok(Err(run)),
        };
        fs::create_dir_all("/run/stage")?;
        for (mount, tree) in self.kept.iter().zip(&trees) {
            let at = stage(mount);
            match observe::status(tree.as_fd())?.kind {
                FileKind::Directory => fs::create_dir(&at)?,
                _ => drop(File::create(&at)?),
            }
            given.staged.push(at.clone());
            let at = CString::new(at.as_os_str().as_encoded_bytes()).map_err(io::Error::other)?;
            sys::attach(tree.as_fd(), &at)?;
        }
        let files =
            || Ok(self.assistance.files().map_or_else(|why| (Err(why.to_string()), Vec::new()), |fds| (Ok(()), fds)));
        match asked(trial, "the files on detached mounts", files)? {
            Ok(((), files)) => given.files = self.assistance.keys().zip(files).collect(),
            Err(run) => return Ok(Err(run)),
        }
        Ok(Ok(given))
    }

    /// Copies of the kept mounts: private, attached nowhere.
    fn trees(&self) -> io::Result<Vec<OwnedFd>> {
        setns(&self.namespace, CloneFlags::CLONE_NEWNS)?;
        let proc = own_proc()?;
        let table = Table::own(proc.as_fd())?;
        let copy = |mount: &Mount| -> io::Result<OwnedFd> {
            let bare = PrivateMountNs::enter(proc.as_fd(), &table, mount.id)?;
            let tree = sys::open_tree(&bare.absolute(&Bytes::default())?, false)?;
            let private = MountAttr { propagation: libc::MS_PRIVATE, ..MountAttr::default() };
            sys::mount_setattr(tree.as_fd(), c"", false, private)?;
            Ok(tree)
        };
        self.kept.iter().map(copy).collect()
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        for at in self.staged.iter().rev() {
            // What is left is noticed as a leftover of the trial.
            let _ = umount2(at, MntFlags::MNT_DETACH);
            let _ = fs::remove_dir(at).or_else(|_| fs::remove_file(at));
        }
    }
}

/// An answer and descriptors from a copy of the agent; a run that failed where there is none. What
/// is refused are lines.
fn asked<T: serde::Serialize + serde::de::DeserializeOwned>(
    trial: &Trial<'_>,
    what: &str,
    call: impl FnOnce() -> io::Result<(Result<T, String>, Vec<OwnedFd>)>,
) -> io::Result<Result<(T, Vec<OwnedFd>), Run>> {
    let answer = in_copy(trial.answer_timeout(), || {
        call().unwrap_or_else(|error| (Err(format!("{what}: {error}")), Vec::new()))
    })?;
    Ok(match answer {
        End::Answer(Ok(answer), descriptors) => Ok((answer, descriptors)),
        End::Answer(Err(lines), _) => Err(refused(&lines)),
        End::Ended(end) => Err(end.into()),
    })
}

/// A run that these lines are the end of.
fn refused(lines: &str) -> Run {
    let error_lines = lines.lines().map(|line| format!("assist: {line}")).collect();
    Run { error_lines, ..ActionEnd::Failed(1).into() }
}

/// Where a kept mount is shown for the time of a restore.
fn stage(mount: &Mount) -> PathBuf {
    PathBuf::from(format!("/run/stage/kept-{}", mount.id))
}
