//! Facts about what is around the objects: sharing, mount tables, the tree, the process itself.
//!
//! Each function makes the facts of one comparison; the table in [`super::comparisons`] says which.

use protocol::observation::{FileKind, FileStatus, Mount, Object, ObjectId, Outcome, ProcessState, TreeEntry};

use super::facts::{FactOwner, Facts, Number, Value};
use super::prepared::{PreparedObservation, device};
use super::wording;
use super::wording::quoted;

pub(crate) fn sharing<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (one, other) in &prepared.observation.shared_descriptions {
        let what = match (one.object, other.object) {
            (Object::Fd(one_number), Object::Fd(other_number)) if one.process == other.process => {
                format!("descriptors {one_number} and {other_number}{}", of_process(prepared, one.process))
            }
            _ => {
                let name =
                    |id: &ObjectId| format!("{}{}", wording::kernel_name(id.object), of_process(prepared, id.process));
                format!("{} and {}", name(one), name(other))
            }
        };
        facts.text(FactOwner::Sharing, what, "one open file description");
    }
}

/// ` of PROCESS` for one that the program made.
fn of_process(prepared: &PreparedObservation<'_>, process: u32) -> String {
    let Some(index) = process.checked_sub(1) else { return String::new() };
    match prepared.observation.others.get(index as usize) {
        Some(other) => format!(" of {}", other.name),
        None => format!(" of process number {process}"),
    }
}

/// Each process of the program with its state.
fn processes<'a>(prepared: &PreparedObservation<'a>) -> impl Iterator<Item = (FactOwner<'a>, &'a ProcessState)> {
    let observation = prepared.observation;
    let others = observation.others.iter().enumerate();
    let others = others.map(|(index, other)| (FactOwner::Process(index + 1, &other.name), &other.state));
    std::iter::once((FactOwner::Process(0, ""), &observation.process)).chain(others)
}

pub(crate) fn process<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, process) in processes(prepared) {
        facts.text(owner, "state", &process.state);
        facts.text(owner, "tracer", process.tracer.to_string());
        facts.text(owner, "process number as it sees it", process.inner_pid.to_string());
        for (index, signals) in process.signals.iter().enumerate() {
            let name = ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"].get(index).unwrap_or(&"signals");
            facts.text(owner, *name, signals);
        }
    }
}

pub(crate) fn process_attributes<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, process) in processes(prepared) {
        for attribute in &process.attributes {
            facts.text(owner, attribute.name.clone(), &attribute.value);
        }
    }
}

pub(crate) fn process_number<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, process) in processes(prepared) {
        facts.text(owner, "process number", process.pid.to_string());
    }
}

/// The mounts of the process, or those of the agent.
fn mounts_of<'a, 's>(
    prepared: &'s PreparedObservation<'a>,
    host: bool,
) -> impl Iterator<Item = &'s (FactOwner<'a>, &'a Mount)> {
    prepared.mounts.iter().filter(move |(owner, _)| matches!(owner, FactOwner::HostMount(..)) == host)
}

fn presence_of<'a>(facts: &mut Facts<'a>, owner: FactOwner<'a>, mount: &'a Mount) {
    let text = format!("a mount of {} {}, root {}", mount.fs_type, quoted(&mount.source), quoted(&mount.root));
    facts.add(owner, "mount", Value::Present(text));
}

fn place_of<'a>(facts: &mut Facts<'a>, owner: FactOwner<'a>, mount: &'a Mount) {
    facts.text(owner, "root", quoted(&mount.root));
    facts.text(owner, "filesystem type", quoted(&mount.fs_type));
    facts.text(owner, "source", quoted(&mount.source));
    facts.text(owner, "superblock options", quoted(&mount.super_options));
    facts.number(owner, "parent", Number::Mount(mount.parent));
    facts.number(owner, "number", Number::Mount(mount.id));
    facts.number(owner, "device", Number::Device(device(mount)));
}

fn options_of<'a>(facts: &mut Facts<'a>, owner: FactOwner<'a>, mount: &'a Mount) {
    facts.text(owner, "options", quoted(&mount.options));
}

/// `shared:N`, `master:N`, `propagate_from:N`: the group is a number that the kernel hands out.
fn propagation_of<'a>(facts: &mut Facts<'a>, owner: FactOwner<'a>, mount: &'a Mount) {
    let mut words = Vec::new();
    for tag in &mount.propagation {
        let text = tag.to_string();
        let group = text.split_once(':').and_then(|(word, group)| Some((word.to_owned(), group.parse().ok()?)));
        match group {
            Some((word, group)) => {
                facts.number(owner, format!("propagation {word}"), Number::PeerGroup(group));
                words.push(word);
            }
            None => words.push(text),
        }
    }
    facts.text(owner, "propagation", if words.is_empty() { "private".to_owned() } else { words.join(" ") });
}

pub(crate) fn mounts<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    mounts_of(prepared, false).for_each(|&(owner, mount)| presence_of(facts, owner, mount));
}

pub(crate) fn mount_table<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    mounts_of(prepared, false).for_each(|&(owner, mount)| place_of(facts, owner, mount));
}

pub(crate) fn mount_options<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    mounts_of(prepared, false).for_each(|&(owner, mount)| options_of(facts, owner, mount));
}

pub(crate) fn mount_propagation<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    mounts_of(prepared, false).for_each(|&(owner, mount)| propagation_of(facts, owner, mount));
}

pub(crate) fn host_mounts<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for &(owner, mount) in mounts_of(prepared, true) {
        presence_of(facts, owner, mount);
        place_of(facts, owner, mount);
        options_of(facts, owner, mount);
        propagation_of(facts, owner, mount);
    }
}

/// Names below the top directory whose status could be read.
fn entries<'a>(
    prepared: &PreparedObservation<'a>,
) -> impl Iterator<Item = (FactOwner<'a>, &'a TreeEntry, &'a FileStatus)> {
    prepared.observation.tree.iter().filter_map(|entry| match &entry.status {
        Outcome::Ok(status) => Some((FactOwner::Tree(&entry.path), entry, status)),
        Outcome::Err(_) => None,
    })
}

pub(crate) fn tree_names<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for entry in &prepared.observation.tree {
        let text = wording::outcome(&entry.status, |status| wording::file_kind(status.kind).to_owned());
        facts.add(FactOwner::Tree(&entry.path), "name", Value::Present(text));
    }
}

pub(crate) fn tree_files<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, _, status) in entries(prepared) {
        facts.number(owner, "file", Number::File(status.file));
        facts.number(owner, "device", Number::Device(status.file.device));
    }
}

pub(crate) fn tree_attributes<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for entry in &prepared.observation.tree {
        let owner = FactOwner::Tree(&entry.path);
        if let Some(target) = &entry.target {
            facts.text(owner, "target", quoted(target));
        }
        match &entry.status {
            Outcome::Err(error) => facts.text(owner, "status", error.as_str()),
            Outcome::Ok(status) => {
                facts.text(owner, "file type", wording::file_kind(status.kind));
                facts.text(owner, "mode", format!("{:04o}", status.mode));
                facts.text(owner, "owner", format!("{}:{}", status.uid, status.gid));
                facts.text(owner, "attributes", wording::bits(status.attributes, wording::FILE_ATTRIBUTES));
                facts.text(owner, "device node number", status.rdev.to_string());
            }
        }
    }
}

pub(crate) fn tree_content<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for entry in &prepared.observation.tree {
        if let Some(content) = &entry.content {
            let text = wording::outcome(content, wording::content);
            facts.text(FactOwner::Tree(&entry.path), "content", text);
        }
    }
    for (owner, _, status) in entries(prepared).filter(|(.., status)| status.kind != FileKind::Directory) {
        facts.text(owner, "size", status.size.to_string());
    }
}

/// Every status with its owner: names in the tree, and objects.
fn statuses<'a>(prepared: &PreparedObservation<'a>) -> impl Iterator<Item = (FactOwner<'a>, &'a FileStatus)> {
    let objects = prepared.objects().filter_map(|(owner, object)| match &object.status {
        Outcome::Ok(status) => Some((owner, status)),
        Outcome::Err(_) => None,
    });
    entries(prepared).map(|(owner, _, status)| (owner, status)).chain(objects)
}

/// What tells of names that the tree does not show: the number of hard links of a file that has
/// names in it; the size of a directory, which on some filesystems keeps growing with names that
/// are gone, and its link count, which counts the directories in it. In proc(5) that is the number
/// of processes.
pub(crate) fn hidden_names<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, _, status) in entries(prepared).filter(|(.., status)| status.kind != FileKind::Directory) {
        facts.text(owner, "link count", status.links.to_string());
    }
    let directories = statuses(prepared).filter(|(_, status)| status.kind == FileKind::Directory);
    for (owner, status) in directories.filter(|(_, status)| !prepared.is_made_anew(status.file.device)) {
        facts.text(owner, "directory size", status.size.to_string());
        facts.text(owner, "directory link count", status.links.to_string());
    }
}

fn times<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>, directories: bool) {
    let meant =
        |status: &FileStatus| (status.kind == FileKind::Directory) == directories && !prepared.is_stub(status.file);
    for (owner, status) in statuses(prepared).filter(|(_, status)| meant(status)) {
        let lasting = !prepared.is_made_anew(status.file.device) && !prepared.is_overlay_scratch(status.file);
        facts.add(owner, "modification time", Value::Time { stamp: status.mtime, lasting });
    }
}

pub(crate) fn file_times<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    times(prepared, facts, false);
}

pub(crate) fn directory_times<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    times(prepared, facts, true);
}

pub(crate) fn change_times<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, status) in statuses(prepared).filter(|(_, status)| !prepared.is_stub(status.file)) {
        facts.add(owner, "change time", Value::Time { stamp: status.ctime, lasting: true });
    }
}
