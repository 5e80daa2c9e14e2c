//! Facts about what is around the objects: sharing, mount tables, the tree, the process itself.
//!
//! Each function makes the facts of one comparison; the table in [`super::comparisons`] says which.

use protocol::observation::{FileKind, FileStatus, Mount, Object, Outcome, TreeEntry};

use super::facts::{Facts, Number, Subject, Value};
use super::seen::{Seen, device};
use super::wording;
use super::wording::quoted;

pub(crate) fn sharing<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for (one, other) in &seen.observation.shared_descriptions {
        let what = match (one, other) {
            (Object::Fd(one), Object::Fd(other)) => format!("descriptors {one} and {other}"),
            _ => format!("{} and {}", wording::kernel_name(*one), wording::kernel_name(*other)),
        };
        facts.text(Subject::Sharing, what, "one open file description");
    }
}

pub(crate) fn process<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    let process = &seen.observation.process;
    facts.text(Subject::Process, "state", &process.state);
    facts.text(Subject::Process, "tracer", process.tracer.to_string());
    facts.text(Subject::Process, "process number as it sees it", process.inner_pid.to_string());
    for (index, signals) in process.signals.iter().enumerate() {
        let name = ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"].get(index).unwrap_or(&"signals");
        facts.text(Subject::Process, *name, signals);
    }
}

pub(crate) fn process_number<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    facts.text(Subject::Process, "process number", seen.observation.process.pid.to_string());
}

/// The mounts of the process, or those of the agent.
fn mounts_of<'a, 's>(seen: &'s Seen<'a>, host: bool) -> impl Iterator<Item = &'s (Subject<'a>, &'a Mount)> {
    seen.mounts.iter().filter(move |(subject, _)| matches!(subject, Subject::HostMount(..)) == host)
}

fn presence_of<'a>(facts: &mut Facts<'a>, subject: Subject<'a>, mount: &'a Mount) {
    let text = format!("a mount of {} {}, root {}", mount.fs_type, quoted(&mount.source), quoted(&mount.root));
    facts.add(subject, "mount", Value::Present(text));
}

fn place_of<'a>(facts: &mut Facts<'a>, subject: Subject<'a>, mount: &'a Mount) {
    facts.text(subject, "root", quoted(&mount.root));
    facts.text(subject, "filesystem type", quoted(&mount.fs_type));
    facts.text(subject, "source", quoted(&mount.source));
    facts.text(subject, "superblock options", quoted(&mount.super_options));
    facts.number(subject, "parent", Number::Mount(mount.parent));
    facts.number(subject, "number", Number::Mount(mount.id));
    facts.number(subject, "device", Number::Device(device(mount)));
}

fn options_of<'a>(facts: &mut Facts<'a>, subject: Subject<'a>, mount: &'a Mount) {
    facts.text(subject, "options", quoted(&mount.options));
}

/// `shared:N`, `master:N`, `propagate_from:N`: the group is a number that the kernel hands out.
fn propagation_of<'a>(facts: &mut Facts<'a>, subject: Subject<'a>, mount: &'a Mount) {
    let mut words = Vec::new();
    for tag in &mount.propagation {
        let text = tag.to_string();
        let group = text.split_once(':').and_then(|(word, group)| Some((word.to_owned(), group.parse().ok()?)));
        match group {
            Some((word, group)) => {
                facts.number(subject, format!("propagation {word}"), Number::PeerGroup(group));
                words.push(word);
            }
            None => words.push(text),
        }
    }
    facts.text(subject, "propagation", if words.is_empty() { "private".to_owned() } else { words.join(" ") });
}

pub(crate) fn mounts<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    mounts_of(seen, false).for_each(|&(subject, mount)| presence_of(facts, subject, mount));
}

pub(crate) fn mount_table<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    mounts_of(seen, false).for_each(|&(subject, mount)| place_of(facts, subject, mount));
}

pub(crate) fn mount_options<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    mounts_of(seen, false).for_each(|&(subject, mount)| options_of(facts, subject, mount));
}

pub(crate) fn mount_propagation<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    mounts_of(seen, false).for_each(|&(subject, mount)| propagation_of(facts, subject, mount));
}

pub(crate) fn host_mounts<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for &(subject, mount) in mounts_of(seen, true) {
        presence_of(facts, subject, mount);
        place_of(facts, subject, mount);
        options_of(facts, subject, mount);
        propagation_of(facts, subject, mount);
    }
}

/// Names below the top directory whose status could be read.
fn entries<'a>(seen: &Seen<'a>) -> impl Iterator<Item = (Subject<'a>, &'a TreeEntry, &'a FileStatus)> {
    seen.observation.tree.iter().filter_map(|entry| match &entry.status {
        Outcome::Ok(status) => Some((Subject::Tree(&entry.path), entry, status)),
        Outcome::Err(_) => None,
    })
}

pub(crate) fn tree_names<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for entry in &seen.observation.tree {
        let text = wording::outcome(&entry.status, |status| wording::file_kind(status.kind).to_owned());
        facts.add(Subject::Tree(&entry.path), "name", Value::Present(text));
    }
}

pub(crate) fn tree_files<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for (subject, _, status) in entries(seen) {
        facts.number(subject, "file", Number::File(status.file));
        facts.number(subject, "device", Number::Device(status.file.device));
    }
}

pub(crate) fn tree_attributes<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for entry in &seen.observation.tree {
        let subject = Subject::Tree(&entry.path);
        if let Some(target) = &entry.target {
            facts.text(subject, "target", quoted(target));
        }
        match &entry.status {
            Outcome::Err(errno) => facts.text(subject, "status", errno),
            Outcome::Ok(status) => {
                facts.text(subject, "file type", wording::file_kind(status.kind));
                facts.text(subject, "mode", format!("{:04o}", status.mode));
                facts.text(subject, "owner", format!("{}:{}", status.uid, status.gid));
                facts.text(subject, "device node number", status.rdev.to_string());
            }
        }
    }
}

pub(crate) fn tree_content<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for entry in &seen.observation.tree {
        if let Some(content) = &entry.content {
            let text = wording::outcome(content, wording::content);
            facts.text(Subject::Tree(&entry.path), "content", text);
        }
    }
    for (subject, _, status) in entries(seen).filter(|(.., status)| status.kind != FileKind::Directory) {
        facts.text(subject, "size", status.size.to_string());
    }
}

/// Every status with its owner: names in the tree, and objects.
fn statuses<'a>(seen: &Seen<'a>) -> impl Iterator<Item = (Subject<'a>, &'a FileStatus)> {
    let objects = seen.objects().filter_map(|(subject, object)| match &object.status {
        Outcome::Ok(status) => Some((subject, status)),
        Outcome::Err(_) => None,
    });
    entries(seen).map(|(subject, _, status)| (subject, status)).chain(objects)
}

/// What tells of names that the tree does not show: the number of hard links of a file that has names in it; the size
/// of a directory, which on some filesystems keeps growing with names that are gone, and its link count, which counts
/// the directories in it. In proc(5) that is the number of processes.
pub(crate) fn hidden_names<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for (subject, _, status) in entries(seen).filter(|(.., status)| status.kind != FileKind::Directory) {
        facts.text(subject, "link count", status.links.to_string());
    }
    let directories = statuses(seen).filter(|(_, status)| status.kind == FileKind::Directory);
    for (subject, status) in directories.filter(|(_, status)| !seen.is_made_anew(status.file.device)) {
        facts.text(subject, "directory size", status.size.to_string());
        facts.text(subject, "directory link count", status.links.to_string());
    }
}

fn times<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>, directories: bool) {
    let meant = |status: &FileStatus| (status.kind == FileKind::Directory) == directories && !seen.is_stub(status.file);
    for (subject, status) in statuses(seen).filter(|(_, status)| meant(status)) {
        let lasting = !seen.is_made_anew(status.file.device) && !seen.is_overlay_scratch(status.file);
        facts.add(subject, "modification time", Value::Time { stamp: status.mtime, lasting });
    }
}

pub(crate) fn file_times<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    times(seen, facts, false);
}

pub(crate) fn directory_times<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    times(seen, facts, true);
}

pub(crate) fn change_times<'a>(seen: &Seen<'a>, facts: &mut Facts<'a>) {
    for (subject, status) in statuses(seen).filter(|(_, status)| !seen.is_stub(status.file)) {
        facts.add(subject, "change time", Value::Time { stamp: status.ctime, lasting: true });
    }
}
