//! Can anybody restore what a program holds?

use super::Model;
use super::files::{Den, Type};
use super::mounts::Mnt;
use super::objects::Held;

impl Model {
    /// Whether every detached mount that an object is on could be made again: some mount of the namespace that can be bound shows
    /// its root. False also where the model cannot tell.
    pub fn is_restorable(&self) -> bool {
        let held = self.objects.values().filter_map(|held| match held {
            Held::Descriptor(number) | Held::Mapping(number) | Held::InFlight(number) => {
                Some(self.descriptions[*number].path)
            }
            _ => None,
        });
        let all = held.chain([self.cwd, self.root]);
        all.filter(|path| self.files.type_of(path.den) != Type::Internal).all(|path| {
            let mount = self.mounts.get(path.mnt);
            mount.attached || self.is_shown(path.mnt)
        })
    }

    /// Whether the root of a mount is below, or is, the root of one that is attached, by names that are all there.
    fn is_shown(&self, mnt: Mnt) -> bool {
        let lost = self.mounts.get(mnt);
        let shown = |root: Den| {
            let others = self.mounts.all().map(|other| self.mounts.get(other));
            others
                .into_iter()
                .any(|other| other.attached && !other.unbindable && other.root == root && other.sb == lost.sb)
        };
        let mut at = lost.root;
        loop {
            if shown(at) {
                return true;
            }
            let dentry = self.files.dentry(at);
            if dentry.parent == at || !dentry.hashed {
                return false;
            }
            at = dentry.parent;
        }
    }
}
