//! The facts of an observation, each with its key and the comparison that it belongs to.
//!
//! A fact is either a text, which must be the same, or a number that the kernel hands out (device,
//! inode, mount, peer group). What such a number *is* says nothing after a restore; what matters is
//! who shares it with whom. So numbers are compared as a partition: each key is named by the first
//! key that has the same number.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use protocol::observation::{FileId, ObjectId};
use scenarios::Bytes;

use super::difference::Side;

/// What a fact is about. The order decides who lends its name to a class of equal numbers: a path
/// in the tree says more than a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FactOwner<'a> {
    /// A name below the top directory.
    Tree(&'a Bytes),
    /// A mount of the process: its mount point, and the how many-th from below on this one.
    Mount(&'a Bytes, usize),
    /// A mount of the agent.
    HostMount(&'a Bytes, usize),
    /// An object, from one side.
    Object(Side, ObjectId),
    /// Which descriptors are one description.
    Sharing,
    /// A process as a whole, by its place among those of the program, and its name there.
    Process(usize, &'a str),
}

impl FactOwner<'_> {
    /// Where a difference of it was seen.
    pub(crate) fn side(self) -> Side {
        match self {
            Self::Tree(_) => Side::Tree,
            Self::Mount(..) => Side::Mounts,
            Self::HostMount(..) => Side::HostMounts,
            Self::Object(side, _) => side,
            Self::Sharing | Self::Process(..) => Side::Outside,
        }
    }

    /// True for what can be there or not; false for what always is.
    fn can_vanish(self) -> bool {
        !matches!(self, Self::Sharing | Self::Process(..))
    }
}

/// The numbers of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Number {
    /// `st_dev` and `st_ino`: which file.
    File(FileId),
    /// `st_dev`, major:minor of a mount: which superblock (or subvolume).
    Device(u64),
    /// `mnt_id`
    Mount(u64),
    /// The N of `shared:N`, `master:N`, `propagate_from:N`.
    PeerGroup(u64),
}

impl Number {
    /// What has such a number.
    pub(crate) fn noun(self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Device(_) => "device",
            Self::Mount(_) => "mount",
            Self::PeerGroup(_) => "peer group",
        }
    }

    /// The number for people; only where numbers must stay.
    pub(crate) fn text(self) -> String {
        match self {
            Self::File(FileId { device, inode }) => format!("inode {inode} on device {device}"),
            Self::Device(number) => format!("device {number}"),
            Self::Mount(number) => format!("mount number {number}"),
            Self::PeerGroup(number) => format!("peer group {number}"),
        }
    }
}

/// One fact's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    /// The subject is there; the text describes it and is not compared.
    Present(String),
    /// Must be the same.
    Text(Cow<'a, str>),
    /// Must be the same but for numbers that the kernel hands out; `masked` is the text without
    /// them.
    Numbered {
        /// As it was seen.
        text: String,
        /// With every such number replaced.
        masked: String,
    },
    /// A time stamp.
    Time {
        /// Seconds, nanoseconds.
        stamp: (i64, u32),
        /// Whether it outlives a restore: not where the filesystem is made anew and its files with
        /// it.
        lasting: bool,
    },
    /// A number that the kernel hands out.
    Number(Number),
}

impl Value<'_> {
    /// A text, and the same with the numbers in it replaced when there are some.
    pub(crate) fn numbered(text: String, masked: Option<String>) -> Self {
        match masked {
            Some(masked) => Self::Numbered { text, masked },
            None => Self::Text(text.into()),
        }
    }

    /// The value for people; numbers have names only within a [`Partition`].
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Text(text) => text.to_string(),
            Self::Present(text) | Self::Numbered { text, .. } => text.clone(),
            Self::Time { stamp: (seconds, nanoseconds), .. } => format!("{seconds}.{nanoseconds:09}"),
            Self::Number(number) => number.text(),
        }
    }

    /// Whether `after` may stand where this stood, when numbers may change. Numbers are the
    /// partition's business.
    pub(crate) fn outlives(&self, after: &Self) -> bool {
        match (self, after) {
            (Self::Present(_), Self::Present(_)) | (Self::Number(_), Self::Number(_)) => true,
            (Self::Time { lasting: false, .. }, Self::Time { .. }) => true,
            (Self::Numbered { masked, .. }, Self::Numbered { masked: later, .. }) if masked == later => true,
            (Self::Text(text), Self::Text(later)) => text == later,
            _ => self.text() == after.text(),
        }
    }
}

/// What identifies a fact: whose it is, and what of it.
pub(crate) type FactKey<'a> = (FactOwner<'a>, Cow<'static, str>);

/// The facts of one comparison about one observation.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a>(Vec<(FactKey<'a>, Value<'a>)>);

impl<'a> Facts<'a> {
    /// Adds a fact.
    pub(crate) fn add(&mut self, owner: FactOwner<'a>, what: impl Into<Cow<'static, str>>, value: Value<'a>) {
        self.0.push(((owner, what.into()), value));
    }

    /// In the order of their keys. A second fact with the same key gets a number of its own, so
    /// that none hides another.
    fn sorted(mut self) -> Self {
        self.0.sort_by(|(one, _), (other, _)| one.cmp(other));
        if self.0.is_sorted_by(|(one, _), (other, _)| one < other) {
            return self;
        }
        let mut keys: BTreeMap<FactKey<'a>, Value<'a>> = BTreeMap::new();
        for ((owner, what), value) in self.0 {
            let names = (2..).map(|count| Cow::from(format!("{what} #{count}")));
            let mut free = std::iter::once(what.clone()).chain(names).map(|name| (owner, name));
            let key = free.find(|key| !keys.contains_key(key)).expect("they do not end");
            keys.insert(key, value);
        }
        Facts(keys.into_iter().collect())
    }

    /// Every key of these and of others, with what both have there.
    pub(crate) fn beside<'s>(
        &'s self,
        others: &'s Self,
    ) -> impl Iterator<Item = (&'s FactKey<'a>, Option<&'s Value<'a>>, Option<&'s Value<'a>>)> {
        let (mut ours, mut theirs) = (self.0.iter().peekable(), others.0.iter().peekable());
        std::iter::from_fn(move || {
            let first = match (ours.peek(), theirs.peek()) {
                (Some((one, _)), Some((other, _))) => one.cmp(other),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let one = if first == Ordering::Greater { None } else { ours.next() };
            let other = if first == Ordering::Less { None } else { theirs.next() };
            let (key, _) = one.or(other)?;
            Some((key, one.map(|(_, value)| value), other.map(|(_, value)| value)))
        })
    }

    /// Adds a text.
    pub(crate) fn text(
        &mut self,
        owner: FactOwner<'a>,
        what: impl Into<Cow<'static, str>>,
        text: impl Into<Cow<'a, str>>,
    ) {
        self.add(owner, what, Value::Text(text.into()));
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, owner: FactOwner<'a>, what: impl Into<Cow<'static, str>>, number: Number) {
        self.add(owner, what, Value::Number(number));
    }
}

/// All facts about an observation, by comparison.
#[derive(Debug)]
pub(crate) struct FactSheet<'a> {
    /// In the order of the comparisons.
    pub(crate) by_comparison: Vec<Facts<'a>>,
    present: BTreeMap<FactOwner<'a>, String>,
}

impl<'a> FactSheet<'a> {
    /// From the facts of each comparison.
    pub(crate) fn new(by_comparison: Vec<Facts<'a>>) -> Self {
        let by_comparison: Vec<Facts<'a>> = by_comparison.into_iter().map(Facts::sorted).collect();
        let mut present = BTreeMap::new();
        for ((owner, _), value) in by_comparison.iter().flat_map(|facts| &facts.0) {
            if let Value::Present(name) = value {
                present.insert(*owner, name.clone());
            }
        }
        Self { by_comparison, present }
    }

    /// Whether the subject was seen.
    pub(crate) fn has(&self, owner: FactOwner<'_>) -> bool {
        !owner.can_vanish() || self.present.contains_key(&owner)
    }

    /// How the subject is called in a difference; `None` where the fact itself says whose it is.
    pub(crate) fn name(&self, owner: FactOwner<'_>) -> Option<String> {
        match owner {
            FactOwner::Tree(path) if path.is_empty() => Some("the top directory".to_owned()),
            FactOwner::Tree(path) => Some(path.to_string()),
            FactOwner::Mount(at, 0) | FactOwner::HostMount(at, 0) => Some(at.to_string()),
            FactOwner::Mount(at, nth) | FactOwner::HostMount(at, nth) => {
                Some(format!("{at} (number {} from below)", nth + 1))
            }
            FactOwner::Object(..) => self.present.get(&owner).cloned(),
            FactOwner::Process(0, _) => Some("the process".to_owned()),
            FactOwner::Process(_, name) => Some(format!("the process {name}")),
            FactOwner::Sharing => None,
        }
    }
}

/// A comparison's index, and the key of one of its facts.
pub(crate) type ComparisonKey<'a> = (usize, &'a FactKey<'a>);

/// Which keys have the same number, in two observations side by side.
#[derive(Debug)]
pub(crate) struct Partition<'a> {
    /// In the order of their keys.
    numbered: Vec<Numbered<'a>>,
}

/// A key with a number on both sides, and the first key with the same number on each.
#[derive(Debug)]
struct Numbered<'a> {
    key: ComparisonKey<'a>,
    before: usize,
    after: usize,
}

impl<'a> Partition<'a> {
    /// Classes over the keys that hold a number of the same sort in both observations: what is lost
    /// or new is reported once, as such, and does not disturb the rest.
    pub(crate) fn new(before: &'a FactSheet<'a>, after: &'a FactSheet<'a>) -> Self {
        let mut common: Vec<(ComparisonKey<'a>, Number, Number)> = Vec::new();
        for (comparison, (left, right)) in before.by_comparison.iter().zip(&after.by_comparison).enumerate() {
            for (key, old, new) in left.beside(right) {
                if let (Some(Value::Number(old)), Some(Value::Number(new))) = (old, new)
                    && before.has(key.0)
                    && after.has(key.0)
                {
                    common.push(((comparison, key), *old, *new));
                }
            }
        }
        common.sort_by_key(|(key, ..)| order(*key));
        let (mut first_before, mut first_after) = (HashMap::new(), HashMap::new());
        let numbered = common.into_iter().enumerate().map(|(here, (key, old, new))| Numbered {
            key,
            before: *first_before.entry(old).or_insert(here),
            after: *first_after.entry(new).or_insert(here),
        });
        Self { numbered: numbered.collect() }
    }

    /// The first keys with the same number before and after; `None` when no number is on either
    /// side.
    pub(crate) fn classes(
        &self,
        comparison: usize,
        key: &FactKey<'_>,
    ) -> Option<(ComparisonKey<'a>, ComparisonKey<'a>)> {
        let at = self.numbered.binary_search_by_key(&order((comparison, key)), |numbered| order(numbered.key)).ok()?;
        let Numbered { before, after, .. } = self.numbered[at];
        Some((self.numbered[before].key, self.numbered[after].key))
    }
}

/// The order in which keys lend their names.
fn order<'a>((comparison, key): ComparisonKey<'a>) -> (FactOwner<'a>, usize, &'a str) {
    (key.0, comparison, &key.1)
}
