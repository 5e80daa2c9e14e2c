//! `run --watch`: the same run again whenever something that it is made of changes.
//!
//! What is watched: the scenario files, or the whole catalogue, the file of known failures, and the
//! subject's program or sources. The kernel tells of changes (inotify(7)); one that comes while a
//! run is under way starts the next.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::os::fd::AsFd as _;

use super::run::{RunArgs, once};
use crate::exit;
use crate::notices::say;
use crate::process::interrupt;
use crate::sources::Tree;
use crate::subject::Subject;

/// After a change others follow: an editor writes several files, a build many. So long it must be
/// quiet, in milliseconds.
const QUIET_MS: u16 = 100;

/// Runs until the user has enough; the exit status of an interrupted run.
///
/// # Errors
/// What cannot be watched, or keeps any trial from running. A mistake in a file is printed; then
/// the next change is waited for.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let watch = Watch::of(args)?;
    loop {
        let status = match once(args) {
            Ok(status) => status,
            Err(error) => {
                say(&format!("error: {error:#}"));
                1
            }
        };
        if interrupt::requested() {
            return Ok(exit::INTERRUPTED);
        }
        say(&format!("\nexit status {status}; waiting for a change in {}; Ctrl-C ends", watch.describe()));
        match watch.wait()? {
            Some(changed) => say(&format!("{} changed\n", changed.display())),
            None => return Ok(exit::INTERRUPTED),
        }
    }
}

struct Watch {
    inotify: Inotify,
    folders: HashMap<WatchDescriptor, PathBuf>,
    /// What was asked for.
    roots: Vec<PathBuf>,
}

impl Watch {
    fn of(args: &RunArgs) -> anyhow::Result<Self> {
        let tree = args.machines.settings().store.tree()?;
        let scenario = |word: &String| word.ends_with(".scn").then(|| PathBuf::from(word));
        let mut roots: Vec<PathBuf> = args.what.iter().filter_map(scenario).collect();
        if roots.len() < args.what.len() || roots.is_empty() {
            roots.push(tree.join("scenarios/catalogue"));
        }
        roots.push(tree.join("scenarios/expectations.toml"));
        roots.extend(args.subject.iter().filter_map(subject_root));
        roots.extend(args.patch.iter().cloned());
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).context("making an inotify")?;
        let mut watch = Self { inotify, folders: HashMap::new(), roots: Vec::new() };
        for root in roots {
            watch.add(&root).with_context(|| format!("watching {}", root.display()))?;
            watch.roots.push(root);
        }
        Ok(watch)
    }

    /// A folder with all that is below it; a file by its folder, since editors put a new file in
    /// its place.
    fn add(&mut self, path: &Path) -> anyhow::Result<()> {
        if path.is_dir() {
            self.folder(path)?;
            for entry in std::fs::read_dir(path)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() && entry.file_name() != ".git" {
                    self.add(&entry.path())?;
                }
            }
            return Ok(());
        }
        anyhow::ensure!(path.exists(), "there is no such file");
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.folder(folder)
    }

    fn folder(&mut self, folder: &Path) -> anyhow::Result<()> {
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB;
        let descriptor = self.inotify.add_watch(folder, flags)?;
        self.folders.insert(descriptor, folder.to_owned());
        Ok(())
    }

    fn describe(&self) -> String {
        self.roots.iter().map(|root| root.display().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// The file that changed, once it is quiet; `None` when the user wants an end.
    fn wait(&self) -> anyhow::Result<Option<PathBuf>> {
        let mut changed = None;
        loop {
            let timeout = if changed.is_some() { PollTimeout::from(QUIET_MS) } else { PollTimeout::NONE };
            let mut waits = vec![PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN)];
            waits.extend(interrupt::fd().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
            let ready = match poll(&mut waits, timeout) {
                Err(nix::errno::Errno::EINTR) => continue,
                ready => ready.context("waiting for a change")?,
            };
            if interrupt::requested() {
                return Ok(None);
            }
            if ready == 0 {
                return Ok(changed);
            }
            if let Some(path) = self.read()? {
                changed.get_or_insert(path);
            }
        }
    }

    /// The first change of a watched file among the events that wait.
    fn read(&self) -> anyhow::Result<Option<PathBuf>> {
        let events = match self.inotify.read_events() {
            Err(nix::errno::Errno::EAGAIN) => return Ok(None),
            events => events.context("reading what changed")?,
        };
        let path = |event: &nix::sys::inotify::InotifyEvent| {
            let folder = self.folders.get(&event.wd)?;
            Some(folder.join(event.name.as_ref()?))
        };
        let meant = |path: &PathBuf| self.roots.iter().any(|root| path.starts_with(root) || is_same(path, root));
        Ok(events.iter().filter_map(path).find(meant))
    }
}

/// The same file, however it is written: `./mine.scn` is `mine.scn`.
fn is_same(path: &Path, root: &Path) -> bool {
    let plain =
        |path: &Path| path.components().filter(|part| *part != std::path::Component::CurDir).collect::<PathBuf>();
    plain(path) == plain(root)
}

/// What a subject is made of, where that is on this machine.
fn subject_root(subject: &Subject) -> Option<PathBuf> {
    match subject {
        Subject::Path(file) => Some(file.clone()),
        Subject::Sources(sources) => match &sources.tree {
            Tree::Folder(folder) => Some(folder.clone()),
            Tree::Revision { .. } => None,
        },
        Subject::Assisted(criu) => subject_root(criu),
        Subject::Crossed(dumper, restorer) => subject_root(restorer).or_else(|| subject_root(dumper)),
        Subject::Debian(_) | Subject::Reference(_) => None,
    }
}
