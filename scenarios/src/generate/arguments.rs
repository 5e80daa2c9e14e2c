//! Arguments that exist: the names, objects and mounts that a step can be about.

use arbitrary::{Result, Unstructured};

use super::Swarm;
use crate::Bytes;
use crate::model::{Entry, EntryKind, Survey};
use crate::program::{ObjectName, Place};

/// What a choice is made from.
pub(super) struct Choice<'a> {
    pub(super) survey: &'a Survey,
    pub(super) swarm: &'a Swarm,
    pub(super) objects: Vec<ObjectName>,
    pub(super) sockets: Vec<ObjectName>,
}

pub(super) fn below(place: &Place, name: &[u8]) -> Place {
    let mut path = place.path.0.clone();
    if !path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    Place { base: place.base.clone(), path: Bytes(path) }
}

/// Whether a path leads to a place or below it, by its spelling.
pub(super) fn is_at_or_below(place: &Place, above: &Place) -> bool {
    let rest = place.path.as_slice().strip_prefix(above.path.as_slice());
    place.base == above.base && matches!(rest, Some([] | [b'/', ..]))
}

impl Choice<'_> {
    /// A name that is there.
    pub(super) fn entry(&self, u: &mut Unstructured<'_>, fits: impl Fn(&Entry) -> bool) -> Result<Option<&Entry>> {
        let all: Vec<&Entry> = self.survey.entries.iter().filter(|entry| fits(entry)).collect();
        // On a mount there is more to lose than beside it.
        let deep: Vec<&Entry> = all.iter().copied().filter(|entry| self.is_on_a_mount(entry)).collect();
        let from = if !deep.is_empty() && u.ratio(3, 4)? { deep } else { all };
        if from.is_empty() { Ok(None) } else { Ok(Some(u.choose(&from)?)) }
    }

    pub(super) fn is_on_a_mount(&self, entry: &Entry) -> bool {
        let mut mounts = self.survey.mounts.iter();
        entry.place.base.is_some() || mounts.any(|mount| is_at_or_below(&entry.place, &mount.place))
    }

    pub(super) fn directory(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        let bases = &self.survey.directories;
        if !bases.is_empty() && u.ratio(1, 6)? {
            let base = Some(u.choose(bases)?.clone());
            return Ok(Place { base, path: Bytes::default() });
        }
        if u.ratio(1, 4)? {
            return Ok(Place { base: None, path: Bytes::default() });
        }
        let found = self.entry(u, |entry| entry.kind == EntryKind::Directory)?;
        Ok(found.map_or(Place { base: None, path: Bytes::default() }, |entry| entry.place.clone()))
    }

    /// A name that is there, rather of what is open: that has more to lose.
    fn held_entry(&self, u: &mut Unstructured<'_>, fits: &dyn Fn(&Entry) -> bool) -> Result<Option<&Entry>> {
        if self.survey.entries.iter().any(|entry| entry.held && fits(entry)) && u.arbitrary()? {
            return self.entry(u, |entry| entry.held && fits(entry));
        }
        self.entry(u, fits)
    }

    pub(super) fn held_place(&self, u: &mut Unstructured<'_>, fits: &dyn Fn(&Entry) -> bool) -> Result<Option<Place>> {
        Ok(self.held_entry(u, fits)?.map(|entry| entry.place.clone()))
    }

    /// A name that need not be there; now and then one that something open has lost.
    pub(super) fn fresh(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        if !self.survey.gone.is_empty() && u.ratio(1, 4)? {
            return u.choose(&self.survey.gone).cloned();
        }
        Ok(below(&self.directory(u)?, self.swarm.name(u)?))
    }

    /// A new name on a btrfs.
    pub(super) fn new_on_btrfs(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        Ok(below(&self.on_btrfs(u)?, self.swarm.name(u)?))
    }

    fn on_btrfs(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        let found = self.entry(u, |entry| entry.on_btrfs && entry.kind == EntryKind::Directory)?;
        Ok(found.map_or(Place { base: None, path: Bytes::default() }, |entry| entry.place.clone()))
    }

    /// What a link is made of: a file, or one without a name through its descriptor.
    pub(super) fn linkable(&self, u: &mut Unstructured<'_>) -> Result<Place> {
        if !self.objects.is_empty() && u.ratio(1, 6)? {
            return Ok(Place { base: Some(u.choose(&self.objects)?.clone()), path: Bytes::default() });
        }
        let found = self.held_entry(u, &|entry| entry.kind != EntryKind::Directory)?;
        found.map_or_else(|| self.fresh(u), |entry| Ok(entry.place.clone()))
    }

    /// Another name in the same directory, or the same name elsewhere on the mount.
    pub(super) fn beside(&self, u: &mut Unstructured<'_>, place: &Place) -> Result<Place> {
        let path = place.path.as_slice();
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let directory = Place { base: place.base.clone(), path: Bytes::from(&path[..slash.unwrap_or(0)]) };
        if u.ratio(2, 3)? { Ok(below(&directory, self.swarm.name(u)?)) } else { self.fresh(u) }
    }

    /// Where a symbolic link leads: names, up, absolute, nowhere.
    pub(super) fn target(&self, u: &mut Unstructured<'_>) -> Result<Bytes> {
        let name = self.swarm.name(u)?;
        let prefix: &[u8] = u.choose(&[&b""[..], b"../", b"/", b"./", b"../../", b"no/"])?;
        Ok(Bytes([prefix, name].concat()))
    }
}
