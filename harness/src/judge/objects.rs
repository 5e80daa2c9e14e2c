//! Facts about objects: what they are, on which mount, with which flags, and what can be reached
//! from them.
//!
//! Each function makes the facts of one comparison; the table in [`super::comparisons`] says which.

use protocol::observation::{FileKind, FileStatus, Lookup, LookupKind, ObjectView, Outcome, Reached};

use super::details::detail;
use super::facts::{FactOwner, Facts, Number, Value};
use super::prepared::PreparedObservation;
use super::wording;
use super::wording::quoted;

pub(crate) fn objects<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        facts.add(owner, "object", Value::Present(wording::object(object)));
        if let Some(name) = &object.name {
            facts.text(owner, "name", name);
        }
    }
}

pub(crate) fn file_kind<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        match &object.status {
            Outcome::Ok(status) => {
                facts.text(owner, "file type", wording::file_kind(status.kind));
                facts.text(owner, "device node number", status.rdev.to_string());
            }
            Outcome::Err(error) => facts.text(owner, "status", error.as_str()),
        }
    }
}

/// Objects whose status could be read.
fn with_status<'a>(
    prepared: &PreparedObservation<'a>,
) -> impl Iterator<Item = (FactOwner<'a>, &'a ObjectView, &'a FileStatus)> {
    prepared.objects().filter_map(|(owner, object)| match &object.status {
        Outcome::Ok(status) => Some((owner, object, status)),
        Outcome::Err(_) => None,
    })
}

pub(crate) fn file_identity<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, _, status) in with_status(prepared) {
        facts.number(owner, "file", Number::File(status.file));
        facts.number(owner, "device", Number::Device(status.file.device));
    }
}

pub(crate) fn link_count<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, _, status) in with_status(prepared).filter(|(.., status)| status.kind != FileKind::Directory) {
        facts.text(owner, "link count", status.links.to_string());
    }
}

pub(crate) fn file_attributes<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, _, status) in with_status(prepared) {
        facts.text(owner, "mode", format!("{:04o}", status.mode));
        facts.text(owner, "owner", format!("{}:{}", status.uid, status.gid));
        facts.text(owner, "attributes", wording::bits(status.attributes, wording::FILE_ATTRIBUTES));
    }
}

pub(crate) fn mount_state<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        facts.text(owner, "mount state", wording::mount_state(object.mount.state));
    }
}

pub(crate) fn same_mount<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        facts.number(owner, "mount", Number::Mount(object.mount.id));
    }
}

pub(crate) fn link<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        let text = quoted(&object.link);
        let masked = match &object.status {
            Outcome::Ok(status) => wording::link_without_inode(&text, status.file.inode),
            Outcome::Err(_) => None,
        };
        facts.add(owner, "link", Value::numbered(text, masked));
    }
}

pub(crate) fn getcwd<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(path) = &object.getcwd {
            facts.text(owner, "getcwd", wording::outcome(path, quoted));
        }
    }
}

pub(crate) fn mount_flags<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        let flags = wording::outcome(&object.filesystem, |fs| wording::bits(fs.flags, wording::STATVFS_FLAGS));
        facts.text(owner, "mount flags", flags);
        if let Some(Outcome::Ok(mount)) = &object.statmount {
            facts.text(owner, "mount attributes", wording::bits(mount.attributes, wording::MOUNT_ATTRIBUTES));
        }
    }
}

pub(crate) fn statmount<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Outcome::Ok(filesystem) = &object.filesystem {
            facts.text(owner, "filesystem magic", format!("{:#x}", filesystem.magic));
        }
        match &object.statmount {
            Some(Outcome::Ok(mount)) => {
                facts.text(owner, "mount root", quoted(&mount.root));
                facts.text(owner, "filesystem type", quoted(&mount.fs_type));
                facts.text(owner, "mount source", quoted(&mount.source));
                facts.text(owner, "propagation", wording::bits(mount.propagation, wording::PROPAGATION));
            }
            Some(Outcome::Err(error)) => facts.text(owner, "statmount", error.as_str()),
            None => {}
        }
    }
}

pub(crate) fn descriptor_flags<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(descriptor) = &object.descriptor {
            let flags = descriptor.flags & !wording::CLOSE_ON_EXEC;
            facts.text(owner, "status flags", wording::open_flags(flags));
        }
    }
}

pub(crate) fn close_on_exec<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(descriptor) = &object.descriptor {
            let set = descriptor.flags & wording::CLOSE_ON_EXEC != 0;
            facts.text(owner, "close-on-exec", if set { "set" } else { "not set" });
        }
    }
}

pub(crate) fn position<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(descriptor) = &object.descriptor {
            facts.text(owner, "position", descriptor.position.to_string());
        }
    }
}

pub(crate) fn descriptor_details<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        for (index, line) in object.descriptor.iter().flat_map(|descriptor| &descriptor.details).enumerate() {
            let detail = detail(line);
            let what = format!("fdinfo line {}", index + 1);
            if let Some(file) = detail.file {
                facts.number(owner, format!("{what}: file"), Number::File(file));
            }
            if let Some(mount) = detail.mount {
                facts.number(owner, format!("{what}: mount"), Number::Mount(mount));
            }
            facts.add(owner, what, Value::Numbered { text: detail.text, masked: detail.masked });
        }
    }
}

pub(crate) fn descriptor_control<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        let Some(control) = object.descriptor.as_ref().and_then(|descriptor| descriptor.control.as_ref()) else {
            continue;
        };
        facts.text(owner, "owner of its signals", wording::signal_owner(control.owner));
        facts.text(owner, "its signal", control.signal.to_string());
        if let Some(seals) = control.seals {
            facts.text(owner, "seals", wording::bits(seals.cast_unsigned().into(), wording::SEALS));
        }
        if let Some(size) = control.pipe_size {
            facts.text(owner, "size of the pipe", size.to_string());
        }
    }
}

pub(crate) fn mapping<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(mapping) = &object.mapping {
            facts.text(owner, "mapping length", mapping.length.to_string());
            facts.text(owner, "mapping offset", mapping.offset.to_string());
            if let Some(sha256) = &mapping.sha256 {
                facts.text(owner, "mapped memory (sha256)", sha256);
            }
        }
    }
}

pub(crate) fn mapping_permissions<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(mapping) = &object.mapping {
            facts.text(owner, "mapping permissions", &mapping.permissions);
        }
    }
}

pub(crate) fn content<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        if let Some(content) = &object.content {
            facts.text(owner, "content", wording::outcome(content, wording::content));
        }
        if let Some(Outcome::Ok(content)) = &object.content {
            facts.text(owner, "holes", wording::ranges(&content.holes));
        }
    }
    for (owner, object) in prepared.objects() {
        match &object.queue {
            Some(Outcome::Ok(messages)) => {
                for (index, message) in messages.iter().enumerate() {
                    let text = format!("{} ({} descriptors)", quoted(&message.bytes), message.descriptors);
                    facts.text(owner, format!("message {}", index + 1), text);
                }
            }
            Some(Outcome::Err(error)) => facts.text(owner, "queue", error.as_str()),
            None => {}
        }
    }
    for (owner, _, status) in with_status(prepared).filter(|(.., status)| status.kind != FileKind::Directory) {
        facts.text(owner, "size", status.size.to_string());
    }
}

pub(crate) fn xattrs<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        match &object.xattrs {
            Outcome::Ok(pairs) => {
                for (name, value) in pairs {
                    facts.text(owner, format!("xattr {name}"), quoted(value));
                }
            }
            Outcome::Err(error) => facts.text(owner, "xattrs", error.as_str()),
        }
    }
}

fn outcome_of(lookup: &Lookup) -> Value<'_> {
    match &lookup.outcome {
        Outcome::Err(error) => Value::Text(error.as_str().into()),
        Outcome::Ok(Reached { file, kind, link, mount }) => {
            let (kind, state) = (wording::file_kind(*kind), wording::mount_state(mount.state));
            let link = quoted(link);
            let text = |link: &str| format!("{link} ({kind}, mount {state})");
            let masked = wording::link_without_inode(&link, file.inode);
            Value::numbered(text(&link), masked.as_deref().map(text))
        }
    }
}

fn name_of(lookup: &Lookup) -> String {
    format!("lookup {} ({})", quoted(&lookup.path), wording::lookup_kind(lookup.how))
}

/// What is at the end: an error, or which file on which mount.
fn end_of<'a>(lookup: &'a Lookup, name: &str, owner: FactOwner<'a>, facts: &mut Facts<'a>) {
    facts.add(owner, name.to_owned(), outcome_of(lookup));
    if let Outcome::Ok(reached) = &lookup.outcome {
        facts.number(owner, format!("{name}: file"), Number::File(reached.file));
        facts.number(owner, format!("{name}: device"), Number::Device(reached.file.device));
        facts.number(owner, format!("{name}: mount"), Number::Mount(reached.mount.id));
    }
}

pub(crate) fn reopen<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        for lookup in &object.reopen {
            let name = format!("{} {}", wording::lookup_kind(lookup.how), quoted(&lookup.path));
            end_of(lookup, &name, owner, facts);
        }
    }
}

/// Where each path leads. Another mount on the way shows in a lookup that may not leave the first
/// one; which mount is at the end follows from that, from the mount table and from where the object
/// is. A restricted lookup that leads where the plain one does says just that: what is wrong with
/// both is reported once.
pub(crate) fn lookups<'a>(prepared: &PreparedObservation<'a>, facts: &mut Facts<'a>) {
    for (owner, object) in prepared.objects() {
        for same_path in object.lookups.chunk_by(|one, other| one.path == other.path) {
            for lookup in same_path {
                let plain = same_path.iter().find(|other| other.how == LookupKind::Plain && lookup.how != other.how);
                match plain.is_some_and(|plain| plain.outcome == lookup.outcome) {
                    true => facts.text(owner, name_of(lookup), AS_PLAIN),
                    false => end_of(lookup, &name_of(lookup), owner, facts),
                }
            }
        }
    }
}

/// What is said of a lookup that leads where the plain one leads.
const AS_PLAIN: &str = "(as the plain lookup)";
