//! criu: images in a folder, mounts of block filesystems from outside.
//!
//! - [`assist`]: the same with help for files on detached mounts

mod assist;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use protocol::caller::Finding;
use protocol::message::{Action, ActionEnd};

use super::super::child::pipe_inode;
use super::super::failed_restore::{different, names_below};
use super::super::trial::Trial;
use crate::criu::rpc::Asked;
use crate::criu::{Images, Run};
use crate::external::{ExternalMount, Externals, Inherited};
use crate::observe::outside;

/// The images of one process and the mounts that they leave to others.
pub(in super::super) struct Criu {
    images: Images,
    externals: Vec<ExternalMount>,
    /// Which disks have a filesystem that is read-only.
    read_only: BTreeSet<usize>,
    /// Whether it is given what it refuses.
    assisted: bool,
    held: Option<assist::Held>,
}

impl Criu {
    pub(super) fn new(images: Images, assisted: bool) -> Self {
        Criu { images, externals: Vec::new(), read_only: BTreeSet::new(), assisted, held: None }
    }

    pub(super) fn dump(&mut self, trial: &Trial<'_>, action: Action) -> io::Result<Run> {
        if trial.own_root() {
            (self.externals, self.read_only) = externals(trial)?;
        }
        let run = match (self.assisted, action) {
            (false, Action::ServiceDump) => self.dumped(trial, action, Vec::new(), Some(&mut || Some(Vec::new())))?,
            (false, _) => self.dumped(trial, action, Vec::new(), None)?,
            (true, Action::Dump | Action::DumpLeaveRunning | Action::DumpLeaveStopped | Action::ServiceDump) => {
                self.dumped_with_questions(trial, action)?
            }
            // These are about how criu ends, or about its command line.
            (true, _) => match assist::capture(trial)? {
                Ok(held) => {
                    let keys = held.assistance.keys().collect();
                    self.hold(held);
                    self.dumped(trial, action, keys, None)?
                }
                Err(run) => return Ok(run),
            },
        };
        if (action, &run.end) == (Action::DumpLeaveStopped, &ActionEnd::Done) {
            trial.child.resume(trial.answer_timeout())?;
        }
        Ok(run)
    }

    fn dumped(
        &mut self,
        trial: &Trial<'_>,
        action: Action,
        keys: Vec<String>,
        asked: Option<&mut Asked<'_>>,
    ) -> io::Result<Run> {
        let externals = Externals { mounts: &self.externals, files: trial.externals()?, keys };
        self.images.dump(trial.child.pid(), action, externals, asked, trial.answer_timeout())
    }

    /// The files are captured when criu asks, with the processes frozen.
    fn dumped_with_questions(&mut self, trial: &Trial<'_>, action: Action) -> io::Result<Run> {
        let others = self.externals.clone();
        let mut captured = None;
        let mut asked = || {
            let answer = captured.insert(assist::capture(trial));
            let held = answer.as_ref().ok()?.as_ref().ok()?;
            let mounts = held.mounts(&others).into_iter().map(|mount| mount.of_dump());
            Some(mounts.chain(held.assistance.keys().map(OsString::from)).collect())
        };
        let mut run = self.dumped(trial, action, Vec::new(), Some(&mut asked))?;
        match captured.transpose()? {
            Some(Ok(held)) => self.hold(held),
            Some(Err(refused)) if !refused.error_lines.is_empty() => run.error_lines = refused.error_lines,
            _ => {}
        }
        Ok(run)
    }

    fn hold(&mut self, held: assist::Held) {
        self.externals.extend(held.mounts(&self.externals));
        self.held = Some(held);
    }

    pub(super) fn findings(&self, action: Action, pid: i32) -> io::Result<Vec<Finding>> {
        self.images.findings(action, pid)
    }

    pub(super) fn restore(&mut self, trial: &mut Trial<'_>, action: Action) -> io::Result<Run> {
        let files = self.images.files().iter().map(|file| trial.open_outside(&file.path));
        let files = files.collect::<io::Result<Vec<OwnedFd>>>()?;
        let staged = stage(trial, &self.externals, &self.read_only)?;
        let given = match self.held.as_ref().map(|held| held.give(trial)).transpose()?.transpose() {
            Ok(given) => given.unwrap_or_default(),
            Err(run) => {
                unstage(&staged)?;
                return Ok(run);
            }
        };
        let disk_names = || names_below(staged.iter().map(PathBuf::as_path));
        let before = disk_names();
        let pipes = trial.child.streams().map(|end| Ok((end, pipe_inode(end)?)));
        let pipes = pipes.collect::<io::Result<Vec<_>>>()?;
        let root = Path::new(trial.top);
        let inherited = Inherited { pipes, files: &files, given: &given.files };
        let result = self.images.restore(action, root, inherited, &self.externals, trial.answer_timeout());
        let ended = |end: &ActionEnd| matches!(end, ActionEnd::Failed(_) | ActionEnd::Killed(_));
        let after = result.as_ref().is_ok_and(|run| ended(&run.end)).then(disk_names);
        drop(given);
        unstage(&staged)?;
        let mut run = result?;
        if let Some(after) = after {
            run.left = different(&before?, &after?);
        }
        if run.end == ActionEnd::Done {
            self.held = None;
            run.lost = trial.child.find_again()?.err();
        }
        Ok(run)
    }
}

fn unstage(staged: &[PathBuf]) -> io::Result<()> {
    Ok(staged.iter().rev().try_for_each(|path| umount2(path, MntFlags::MNT_DETACH))?)
}

/// The visible mounts of block filesystems: criu takes them from outside, as container engines have
/// it do. With the numbers of the disks whose filesystem is read-only.
fn externals(trial: &Trial<'_>) -> io::Result<(Vec<ExternalMount>, BTreeSet<usize>)> {
    let mounts = outside::look_at_mounts(trial.child.pid())?;
    let (mut externals, mut read_only) = (Vec::new(), BTreeSet::new());
    for mount in mounts {
        let disk = trial.disks.iter().position(|disk| mount.source.0 == disk.path().as_bytes());
        let Some(disk) = disk else { continue };
        if mount.super_options.0.split(|&byte| byte == b',').any(|option| option == b"ro") {
            read_only.insert(disk);
        }
        let stage = PathBuf::from(format!("/run/stage/{disk}"));
        let below = mount.root.0.strip_prefix(b"/").unwrap_or_default();
        let source = if below.is_empty() { stage } else { stage.join(scenarios::Bytes::from(below).as_os_str()) };
        externals.push(ExternalMount {
            mount_point: mount.mount_point.as_os_str().into(),
            key: format!("disk{disk}-{}", mount.id),
            source,
        });
    }
    Ok((externals, read_only))
}

/// Mounts the disks that visible mounts need, in the agent's namespace, for the time of the
/// restore.
fn stage(trial: &Trial<'_>, externals: &[ExternalMount], read_only: &BTreeSet<usize>) -> io::Result<Vec<PathBuf>> {
    let mut staged = Vec::new();
    for (number, disk) in trial.disks.iter().enumerate() {
        let stage = PathBuf::from(format!("/run/stage/{number}"));
        if !externals.iter().any(|external| external.source.starts_with(&stage)) {
            continue;
        }
        fs::create_dir_all(&stage)?;
        let data = match disk.fs_type.as_str() {
            "btrfs" => Some("subvolid=5"),
            // As the program mounted it.
            "xfs" => Some("nouuid"),
            _ => None,
        };
        let flags = if read_only.contains(&number) { MsFlags::MS_RDONLY } else { MsFlags::empty() };
        mount(Some(disk.path().as_str()), &stage, Some(disk.fs_type.as_str()), flags, data)?;
        if !flags.is_empty() {
            // The filesystem is read-only and not the mount.
            let none = None::<&str>;
            mount(none, &stage, none, MsFlags::MS_REMOUNT | MsFlags::MS_BIND, none)?;
        }
        staged.push(stage);
    }
    Ok(staged)
}
