//! A mount namespace of its own (`unshare_nsproxy_namespaces`, kernel/nsproxy.c; `copy_mnt_ns`,
//! fs/namespace.c), and the executable on a mount of it.

use super::mounts::Path;
use super::{Model, Refusal, Result, errno, unknown};
use crate::program::{MountAttribute, ObjectName};
use vocabulary::Errno;
use vocabulary::object::LookupKind;

/// Where the harness has the executor, from the top directory.
const EXECUTOR: &[u8] = b".zdtm/executor";

pub(super) fn unshare(model: &mut Model, keep_old: bool) -> Result<()> {
    if model.has_forked() {
        return unknown("processes in several namespaces");
    }
    if model.process.root != model.process.top {
        return unknown("the top directory in a copy of the namespace, where the process has another root");
    }
    let propagates = |mnt| {
        let row = model.mounts.get(mnt);
        row.attached && (row.shared.is_some() || row.master.is_some())
    };
    if keep_old && model.mounts.all().any(propagates) {
        return unknown("mounts that spread between namespaces");
    }
    let copies = model.mounts.copy_namespace(keep_old);
    if keep_old {
        model.left = Some(model.process.top);
    }
    let copied = |path: Path| Path { mnt: copies.get(&path.mnt).copied().unwrap_or(path.mnt), ..path };
    model.process.top = copied(model.process.top);
    model.process.root = copied(model.process.root);
    // One on a detached mount stays there.
    model.process.cwd = copied(model.process.cwd);
    Ok(())
}

pub(super) fn external(model: &mut Model, object: &ObjectName) -> Result<()> {
    let number = model.descriptor(object)?;
    let path = model.descriptions[number].path;
    if !model.mounts.get(path.mnt).elsewhere {
        return Err(Refusal::Fails("it is not on a mount of another namespace"));
    }
    model.external.insert(path);
    Ok(())
}

impl Model {
    /// Whether the caller gives a file of another namespace, and finds it there by its path.
    pub(super) fn is_given(&self, path: Path) -> bool {
        let (Some(root), true) = (self.left, self.external.contains(&path)) else { return false };
        let names = self.names_up(path);
        let text = names.into_iter().rev().collect::<Vec<_>>().join(&b'/');
        self.look_up(root, &text, LookupKind::Nofollow) == Ok(path)
    }
}

pub(super) fn exec(model: &mut Model) -> Result<()> {
    let path = model.look_up(model.process.top, EXECUTOR, LookupKind::Plain)?;
    if model.inode_at(path) != model.inode_at(model.process.exe) {
        return Err(Refusal::Fails("another file has the executor's place"));
    }
    if model.mounts.get(path.mnt).attributes.contains(&MountAttribute::Noexec) {
        return errno(Errno::EACCES);
    }
    model.process.exe = path;
    Ok(())
}
