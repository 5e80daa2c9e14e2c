//! Steps that make mounts which are attached nowhere.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

use scenarios::Step;
use scenarios::program::{Filesystem, MountAttribute};

use super::world::World;
use crate::sys::{self, MountAttr};

/// Every attribute that a step can name.
const ALL: u64 = 0x20_00ff;

pub(super) fn carry_out(world: &mut World, step: &Step) -> io::Result<()> {
    let (name, tree, attributes, recursive) = match step {
        Step::OpenTree { name, at, recursive, attributes } => {
            let path = world.path_in_proc(at)?;
            (name, world.in_proc(|| sys::open_tree(&path, *recursive))?, attributes, *recursive)
        }
        Step::NewTree { name, filesystem, attributes } => {
            (name, sys::fsmount_to_keep(type_name(*filesystem)?)?, attributes, false)
        }
        _ => unreachable!("the caller sends steps that make trees only"),
    };
    if !attributes.is_empty() {
        let set = attributes.iter().map(bits).fold(0, |all, one| all | one);
        let attr = MountAttr { set, clear: ALL, ..MountAttr::default() };
        sys::mount_setattr(tree.as_fd(), c"", recursive, attr)?;
    }
    world.keep(name, tree)
}

fn type_name(filesystem: Filesystem) -> io::Result<&'static CStr> {
    match filesystem {
        Filesystem::Tmpfs => Ok(c"tmpfs"),
        Filesystem::Ramfs => Ok(c"ramfs"),
        other => Err(io::Error::other(format!("{other} needs more than fsmount(2)"))),
    }
}

fn bits(attribute: &MountAttribute) -> u64 {
    match attribute {
        MountAttribute::Ro => 0x1,
        MountAttribute::Nosuid => 0x2,
        MountAttribute::Nodev => 0x4,
        MountAttribute::Noexec => 0x8,
        MountAttribute::Relatime => 0,
        MountAttribute::Noatime => 0x10,
        MountAttribute::Strictatime => 0x20,
        MountAttribute::Nodiratime => 0x80,
        MountAttribute::Nosymfollow => 0x20_0000,
    }
}
