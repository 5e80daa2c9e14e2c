//! The mount tree: which mount is on which directory, and who hears of it (fs/namespace.c,
//! fs/pnode.c).

use std::collections::BTreeMap;

use super::files::{Den, Files, Sb};
use crate::program::{MountAttribute, Propagation};

/// A mount's number; never that of mountinfo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Mnt(pub(super) usize);

/// A peer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Group(usize);

/// A place in the tree: a mount and a name on it (`struct path`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path {
    pub(super) mnt: Mnt,
    pub(super) den: Den,
}

#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) sb: Sb,
    pub(super) root: Den,
    /// The mount and the name that it is mounted on.
    pub(super) on: Option<Path>,
    /// It is in the mount namespace. Not so after it was unmounted, and before it is attached.
    pub(super) attached: bool,
    /// It is in another mount namespace, which lives.
    pub(super) elsewhere: bool,
    /// It is in a tree that is attached nowhere, whose descriptor is open.
    pub(super) floating: bool,
    /// All that were asked for; the model itself goes by the three below.
    pub(super) attributes: Vec<MountAttribute>,
    pub(super) read_only: bool,
    pub(super) nodev: bool,
    pub(super) nosymfollow: bool,
    pub(super) shared: Option<Group>,
    pub(super) master: Option<Group>,
    pub(super) unbindable: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Mounts {
    rows: Vec<Mount>,
    groups: usize,
}

/// A mount of a tree that is copied, and its copy's peer group and master.
type Wanted = (Option<Group>, Option<Group>);

impl Mounts {
    pub(super) fn get(&self, mnt: Mnt) -> &Mount {
        &self.rows[mnt.0]
    }

    pub(super) fn get_mut(&mut self, mnt: Mnt) -> &mut Mount {
        &mut self.rows[mnt.0]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = Mnt> {
        (0..self.rows.len()).map(Mnt)
    }

    /// A mount that is attached nowhere yet.
    pub(super) fn add(&mut self, sb: Sb, root: Den) -> Mnt {
        self.rows.push(Mount {
            sb,
            root,
            on: None,
            attached: false,
            elsewhere: false,
            floating: false,
            attributes: Vec::new(),
            read_only: false,
            nodev: false,
            nosymfollow: false,
            shared: None,
            master: None,
            unbindable: false,
        });
        Mnt(self.rows.len() - 1)
    }

    pub(super) fn root_of(&self, mnt: Mnt) -> Path {
        Path { mnt, den: self.get(mnt).root }
    }

    /// What is mounted exactly there.
    pub(super) fn at(&self, path: Path) -> Option<Mnt> {
        self.all().find(|&mnt| self.get(mnt).on == Some(path))
    }

    /// Through all mounts that cover a place (`traverse_mounts`).
    pub(super) fn down(&self, mut path: Path) -> Path {
        while let Some(mnt) = self.at(path) {
            path = self.root_of(mnt);
        }
        path
    }

    pub(super) fn children(&self, of: Mnt) -> impl Iterator<Item = Mnt> {
        self.all().filter(move |&mnt| self.get(mnt).on.is_some_and(|on| on.mnt == of))
    }

    /// A mount and all below it, parents first.
    pub(super) fn tree(&self, root: Mnt) -> Vec<Mnt> {
        let mut out = vec![root];
        let mut next = 0;
        while let Some(&mnt) = out.get(next) {
            out.extend(self.children(mnt));
            next += 1;
        }
        out
    }

    /// Is something of the namespace mounted on this name, on whatever mount
    /// (`is_local_mountpoint`)?
    pub(super) fn is_mount_point(&self, den: Den) -> bool {
        self.rows.iter().any(|row| row.attached && row.on.is_some_and(|on| on.den == den))
    }

    pub(super) fn set_attributes(&mut self, mnt: Mnt, attributes: &[MountAttribute]) {
        let has = |attribute| attributes.contains(&attribute);
        let row = self.get_mut(mnt);
        row.attributes = attributes.to_vec();
        row.read_only = has(MountAttribute::Ro);
        row.nodev = has(MountAttribute::Nodev);
        row.nosymfollow = has(MountAttribute::Nosymfollow);
    }

    fn new_group(&mut self) -> Group {
        self.groups += 1;
        Group(self.groups)
    }

    fn members(&self, group: Group) -> Vec<Mnt> {
        self.all().filter(|&mnt| self.get(mnt).shared == Some(group)).collect()
    }

    /// `change_mnt_propagation`.
    pub(super) fn set_propagation(&mut self, mnt: Mnt, kind: Propagation) {
        if kind == Propagation::Shared {
            if self.get(mnt).shared.is_none() {
                self.get_mut(mnt).shared = Some(self.new_group());
            }
            self.get_mut(mnt).unbindable = false;
            return;
        }
        self.leave_group(mnt);
        if kind != Propagation::Slave {
            let row = self.get_mut(mnt);
            row.master = None;
            row.unbindable = kind == Propagation::Unbindable;
        }
    }

    /// Out of its peer group, which becomes its master. The last one of a group hands the group's
    /// slaves to its own master.
    fn leave_group(&mut self, mnt: Mnt) {
        let Some(group) = self.get_mut(mnt).shared.take() else { return };
        if !self.members(group).is_empty() {
            self.get_mut(mnt).master = Some(group);
            return;
        }
        let master = self.get(mnt).master;
        for row in &mut self.rows {
            if row.master == Some(group) {
                row.master = master;
            }
        }
    }

    /// `clone_mnt` for a bind: a peer of a shared mount, a slave of the same master.
    pub(super) fn clone_mount(&mut self, of: Mnt, root: Den) -> Mnt {
        let row = Mount { root, on: None, attached: false, floating: false, ..self.get(of).clone() };
        self.rows.push(row);
        Mnt(self.rows.len() - 1)
    }

    /// `copy_tree` for a recursive bind of what is below `root` on a mount; unbindable mounts are
    /// left out.
    pub(super) fn clone_tree(&mut self, of: Mnt, root: Den, files: &Files) -> Mnt {
        let top = self.clone_mount(of, root);
        let mut left: Vec<(Mnt, Mnt)> = vec![(of, top)];
        while let Some((from, to)) = left.pop() {
            for child in self.children(from).collect::<Vec<_>>() {
                let on = self.get(child).on.expect("a child is mounted on its parent");
                if self.get(child).unbindable || from == of && !files.is_below(on.den, root) {
                    continue;
                }
                let copy = self.clone_mount(child, self.get(child).root);
                self.get_mut(copy).on = Some(Path { mnt: to, den: on.den });
                left.push((child, copy));
            }
        }
        top
    }

    /// `attach_recursive_mnt`: mounts a tree, and copies of it wherever the mount point's mount is
    /// propagated to.
    pub(super) fn attach(&mut self, tree: Mnt, at: Path, files: &Files) {
        let mut copies = Vec::new();
        if let Some(group) = self.get(at.mnt).shared {
            let all = self.tree(tree);
            for &mnt in &all {
                self.set_propagation(mnt, Propagation::Shared);
            }
            let wanted: Vec<Wanted> = all.iter().map(|&mnt| (self.get(mnt).shared, self.get(mnt).master)).collect();
            for peer in self.members(group) {
                // A new mount takes part in nothing yet; one that is moved does, and a peer of its
                // new parent gets a copy of itself.
                if peer != at.mnt && (self.get(peer).attached || !all.contains(&peer)) {
                    copies.extend(self.propagate_to(peer, at.den, &all, &wanted, files));
                }
            }
            self.propagate_to_slaves(group, at.den, &all, &wanted, &mut copies, files);
        }
        self.get_mut(tree).on = Some(at);
        for mnt in self.tree(tree) {
            let row = self.get_mut(mnt);
            (row.attached, row.floating) = (true, false);
        }
        for copy in copies {
            let on = self.get(copy).on.expect("a copy has its place");
            // What was there before is mounted on top of the copy.
            let before = self.all().find(|&mnt| mnt != copy && self.get(mnt).on == Some(on));
            if let Some(before) = before {
                let topmost = self.down(self.root_of(copy));
                self.get_mut(before).on = Some(topmost);
            }
            for mnt in self.tree(copy) {
                self.get_mut(mnt).attached = true;
            }
        }
    }

    /// The slaves of a group, and theirs: slaves of the copies that the group got, peers among
    /// themselves.
    fn propagate_to_slaves(
        &mut self,
        group: Group,
        den: Den,
        tree: &[Mnt],
        masters: &[Wanted],
        copies: &mut Vec<Mnt>,
        files: &Files,
    ) {
        let slaves: Vec<Mnt> = self.all().filter(|&mnt| self.get(mnt).master == Some(group)).collect();
        let slaves: Vec<Mnt> = slaves.into_iter().filter(|&mnt| self.get(mnt).attached).collect();
        let mut done: Vec<Group> = Vec::new();
        for slave in slaves {
            let Some(peers) = self.get(slave).shared else {
                let wanted: Vec<Wanted> = masters.iter().map(|(shared, _)| (None, *shared)).collect();
                copies.extend(self.propagate_to(slave, den, tree, &wanted, files));
                continue;
            };
            if done.contains(&peers) {
                continue;
            }
            done.push(peers);
            let wanted: Vec<Wanted> = masters.iter().map(|(shared, _)| (Some(self.new_group()), *shared)).collect();
            let before = copies.len();
            for peer in self.members(peers) {
                copies.extend(self.propagate_to(peer, den, tree, &wanted, files));
            }
            // Where none of them sees the mount point, their slaves follow the next one above.
            let below = if copies.len() > before { wanted } else { masters.to_vec() };
            self.propagate_to_slaves(peers, den, tree, &below, copies, files);
        }
    }

    /// A copy of a tree, its root first, on one receiver, when the mount point is visible there.
    fn propagate_to(&mut self, on: Mnt, den: Den, tree: &[Mnt], wanted: &[Wanted], files: &Files) -> Option<Mnt> {
        if !files.is_below(den, self.get(on).root) {
            return None;
        }
        let mut copies: Vec<Mnt> = Vec::new();
        for (&mnt, (shared, master)) in tree.iter().zip(wanted) {
            let copy = self.clone_mount(mnt, self.get(mnt).root);
            let parent = self.get(mnt).on.filter(|_| mnt != tree[0]);
            let parent = parent.map(|on| {
                let index = tree.iter().position(|&other| other == on.mnt).expect("a tree is connected");
                Path { mnt: copies[index], den: on.den }
            });
            let row = self.get_mut(copy);
            (row.shared, row.master) = (*shared, *master);
            row.on = Some(parent.unwrap_or(Path { mnt: on, den }));
            copies.push(copy);
        }
        copies.first().copied()
    }

    /// Every mount that a mount or unmount on `of` reaches: peers, slaves, theirs
    /// (`propagation_next`).
    pub(super) fn receivers(&self, of: Mnt) -> Vec<Mnt> {
        let Some(group) = self.get(of).shared else { return Vec::new() };
        let mut groups = vec![group];
        let mut out: Vec<Mnt> = self.members(group).into_iter().filter(|&mnt| mnt != of).collect();
        let mut next = 0;
        while let Some(&group) = groups.get(next) {
            for mnt in self.all().filter(|&mnt| self.get(mnt).master == Some(group)) {
                out.push(mnt);
                if let Some(shared) = self.get(mnt).shared.filter(|shared| !groups.contains(shared)) {
                    groups.push(shared);
                }
            }
            next += 1;
        }
        out
    }

    /// `umount_tree`: a mount, all below it, and what propagation takes along. Each is on its own
    /// afterwards.
    pub(super) fn detach(&mut self, root: Mnt) {
        let mut gone = self.tree(root);
        let own = gone.clone();
        let mut candidates: Vec<Mnt> = Vec::new();
        for mnt in gone.iter().rev() {
            let Some(on) = self.get(*mnt).on else { continue };
            for receiver in self.receivers(on.mnt) {
                let found = self.at(Path { mnt: receiver, den: on.den });
                candidates.extend(found.filter(|found| !gone.contains(found) && !candidates.contains(found)));
            }
        }
        // A candidate with a child that stays, stays; but for one that covers all of it.
        loop {
            let stays = |mnt: Mnt| {
                self.children(mnt).any(|child| {
                    let covers = self.get(child).on.is_some_and(|on| on.den == self.get(mnt).root);
                    !covers && !gone.contains(&child)
                })
            };
            let Some(index) = candidates.iter().position(|&mnt| !stays(mnt)) else { break };
            gone.push(candidates.remove(index));
        }
        // What covered one that is gone covers what is below that (`restore_mounts`).
        for mnt in self.all().filter(|mnt| !gone.contains(mnt)).collect::<Vec<_>>() {
            let mut on = self.get(mnt).on;
            while let Some(parent) = on.filter(|on| gone.contains(&on.mnt) && !own.contains(&on.mnt)) {
                on = self.get(parent.mnt).on;
            }
            self.get_mut(mnt).on = on;
        }
        for &mnt in &gone {
            let row = self.get_mut(mnt);
            (row.on, row.attached) = (None, false);
        }
        for mnt in gone {
            self.set_propagation(mnt, Propagation::Private);
        }
    }

    /// `copy_mnt_ns`: a copy of every mount of the namespace, on the copies of their mount points.
    /// The old ones stay as they are in a namespace of their own, or are unmounted with it, each on
    /// its own. What each old one became.
    pub(super) fn copy_namespace(&mut self, keep_old: bool) -> BTreeMap<Mnt, Mnt> {
        let old: Vec<Mnt> = self.all().filter(|&mnt| self.get(mnt).attached).collect();
        let copies: BTreeMap<Mnt, Mnt> =
            old.iter().map(|&mnt| (mnt, self.clone_mount(mnt, self.get(mnt).root))).collect();
        for (&mnt, &copy) in &copies {
            let on = self.get(mnt).on.map(|on| Path { mnt: copies[&on.mnt], ..on });
            let row = self.get_mut(copy);
            (row.on, row.attached) = (on, true);
        }
        for &mnt in &old {
            let row = self.get_mut(mnt);
            (row.attached, row.elsewhere) = (false, keep_old);
            if !keep_old {
                row.on = None;
            }
        }
        for mnt in old.into_iter().filter(|_| !keep_old) {
            self.set_propagation(mnt, Propagation::Private);
        }
        copies
    }

    /// Whether a mount outside of the namespace is on this name: it goes when the name is removed
    /// (`detach_mounts`).
    pub(super) fn is_mount_point_elsewhere(&self, den: Den) -> bool {
        self.rows.iter().any(|row| !row.attached && row.on.is_some_and(|on| on.den == den))
    }

    /// Is `above` the mount itself or one that it hangs on?
    pub(super) fn is_ancestor(&self, above: Mnt, mut mnt: Mnt) -> bool {
        while mnt != above {
            match self.get(mnt).on {
                Some(on) => mnt = on.mnt,
                None => return false,
            }
        }
        true
    }
}
