//! Mounts that are attached nowhere: `open_tree(OPEN_TREE_CLONE)`, fsmount(2), and what becomes of
//! them when their descriptor is closed (`dissolve_on_fput`, fs/namespace.c).

use super::mounting::type_of;
use super::mounts::{Mnt, Path};
use super::objects::{Description, Held};
use super::processes::Process;
use super::{Model, Result, binding, unknown};
use crate::program::{Filesystem, MountAttribute, ObjectName, Place};

pub(super) fn open_tree(
    model: &mut Model,
    name: &ObjectName,
    at: &Place,
    recursive: bool,
    attributes: &[MountAttribute],
) -> Result<()> {
    let source = model.find(at)?;
    binding::copyable(model, source)?;
    let tree = binding::copy(model, source, recursive);
    let all = model.mounts.tree(tree);
    let spreads = |mnt: &Mnt| model.mounts.get(*mnt).shared.is_some() || model.mounts.get(*mnt).master.is_some();
    if all.iter().any(spreads) {
        return unknown("a copy that takes part in propagation and is attached nowhere");
    }
    float(model, name, tree, attributes);
    Ok(())
}

pub(super) fn new_tree(model: &mut Model, name: &ObjectName, filesystem: Filesystem, attributes: &[MountAttribute]) {
    let sb = model.files.add_superblock(type_of(filesystem));
    let root = model.files.superblock(sb).root;
    let tree = model.mounts.add(sb, root);
    float(model, name, tree, attributes);
}

/// The tree is there as long as its descriptor.
fn float(model: &mut Model, name: &ObjectName, tree: Mnt, attributes: &[MountAttribute]) {
    for mnt in model.mounts.tree(tree) {
        model.mounts.get_mut(mnt).floating = true;
        if !attributes.is_empty() {
            model.mounts.set_attributes(mnt, attributes);
        }
    }
    let path = model.mounts.root_of(tree);
    model.keep(name, Description { path_only: true, tree: true, ..Description::of(path) });
}

/// The last descriptor of a tree is closed: it is dissolved, unless it was attached. What is
/// mounted in it stays mounted there.
pub(super) fn dissolve(model: &mut Model, root: Path) -> Result<()> {
    if !model.mounts.get(root.mnt).floating {
        return Ok(());
    }
    let all = model.mounts.tree(root.mnt);
    for &mnt in &all {
        model.mounts.get_mut(mnt).floating = false;
    }
    if model.release(&all) {
        return unknown("mounts of a dissolved tree that stay on one another, which kernels show in two ways");
    }
    Ok(())
}

impl Model {
    /// Whether mounts of a dissolved tree are still on one another. A mount that nothing holds is
    /// gone, with it the ties to those on it (`mntput_no_expire`). A mount holds those on it.
    fn release(&mut self, dissolved: &[Mnt]) -> bool {
        let held: Vec<Mnt> = self.held().map(|path| path.mnt).collect();
        // Parents come first.
        for &mnt in dissolved {
            let is_gone = self.mounts.get(mnt).on.is_none() && !held.contains(&mnt);
            let loose: Vec<Mnt> = self.mounts.children(mnt).filter(|_| is_gone).collect();
            for child in loose {
                self.mounts.get_mut(child).on = None;
            }
        }
        dissolved.iter().any(|mnt| self.mounts.get(*mnt).on.is_some())
    }

    /// Whether a tree that is attached nowhere ends with this description.
    pub(super) fn keeps_tree(&self, description: &Description) -> bool {
        description.tree && self.mounts.get(description.path.mnt).floating
    }

    /// Whether it is clear which description keeps a mount that is attached nowhere: the only one
    /// that can be. Mounts that are connected an engine need not make.
    pub(super) fn is_kept_clearly(&self, mnt: Mnt) -> bool {
        let row = self.mounts.get(mnt);
        if row.on.is_some() || self.mounts.children(mnt).next().is_some() {
            return false;
        }
        let root = self.mounts.root_of(mnt);
        let is_candidate =
            |(number, one): &(usize, &Description)| one.path_only && one.path == root && self.is_held(*number);
        self.descriptions.iter().enumerate().filter(is_candidate).count() == 1
    }

    /// Descriptors of trees that are attached nowhere.
    pub fn open_trees(&self) -> Vec<ObjectName> {
        let is_tree = |held: &Held| match held {
            Held::Descriptor(number) => self.keeps_tree(&self.descriptions[*number]),
            _ => false,
        };
        let of_process = |process: &Process| {
            let trees = process.objects.iter().filter(|(_, held)| is_tree(held));
            trees.map(|(name, _)| name.of_process(&process.name)).collect::<Vec<_>>()
        };
        self.processes().flat_map(of_process).collect()
    }
}
