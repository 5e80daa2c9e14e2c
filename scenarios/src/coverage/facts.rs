//! What the points of the map ask of a scenario.

use vocabulary::object::MountState;
use vocabulary::{Flavor, Lifecycle};

use crate::capability::trace::Trace;
use crate::capability::{Base, Capability, Profile, profile_of};
use crate::model::{HeldFile, Holder, MountFacts};
use crate::program::{Claim, MountAttribute, OpenFlag, Place};
use crate::text::print_step;
use crate::{Scenario, Step};
use vocabulary::object::FileKind;

/// A scenario, its program carried out with the model.
pub(super) struct Facts<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) profile: Profile,
    pub(super) trace: Trace,
    held: Vec<HeldFile>,
    pub(super) mounts: Vec<MountFacts>,
}

impl<'a> Facts<'a> {
    pub(super) fn of(scenario: &'a Scenario) -> Self {
        let trace = Trace::of(&scenario.program);
        let (held, mounts) = (trace.model.held_files(), trace.model.mount_facts());
        Facts { scenario, profile: profile_of(&trace), trace, held, mounts }
    }

    pub(super) fn has(&self, capability: Capability) -> bool {
        self.profile.capabilities.contains(&capability)
    }

    pub(super) fn has_base(&self, base: Base) -> bool {
        self.profile.bases.contains(&base)
    }

    pub(super) fn is_detached(&self) -> bool {
        self.profile.is_detached()
    }

    pub(super) fn lifecycles(&self) -> impl Iterator<Item = Lifecycle> {
        one_of(&self.scenario.requires.lifecycles, Lifecycle::ALL)
    }

    pub(super) fn flavors(&self) -> impl Iterator<Item = Flavor> {
        let required = &self.scenario.requires.flavors;
        let serves = |flavor: &Flavor| required.is_empty() || required.iter().any(|&one| flavor.serves(one));
        Flavor::ALL.iter().copied().filter(serves)
    }

    pub(super) fn steps(&self) -> impl Iterator<Item = &Step> {
        self.scenario.program.steps.iter().map(|line| &line.step)
    }

    pub(super) fn step(&self, is_it: impl FnMut(&Step) -> bool) -> bool {
        self.steps().any(is_it)
    }

    /// Whether there is such a step, and another one after it.
    pub(super) fn step_then(&self, first: impl Fn(&Step) -> bool, then: impl Fn(&Step, &Step) -> bool) -> bool {
        let steps: Vec<&Step> = self.steps().collect();
        steps.iter().enumerate().any(|(at, one)| first(one) && steps[at + 1..].iter().any(|other| then(one, other)))
    }

    /// The steps as text, one line each, a blank behind each word.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.steps().map(|step| format!("{} ", print_step(step).trim_end()))
    }

    /// Whether anything is held on a detached mount, with that mount, for which this is true.
    pub(super) fn any(&self, is_it: impl Fn(&HeldFile, &MountFacts) -> bool) -> bool {
        self.on(MountState::Detached, is_it)
    }

    /// The same, on a mount of the namespace that the process left.
    pub(super) fn outside(&self, is_it: impl Fn(&HeldFile) -> bool) -> bool {
        self.on(MountState::Elsewhere, |held, _| is_it(held))
    }

    fn on(&self, state: MountState, is_it: impl Fn(&HeldFile, &MountFacts) -> bool) -> bool {
        self.held.iter().filter(|held| held.state == state).any(|held| {
            let mount = self.mounts.iter().find(|mount| mount.key == held.mount);
            mount.is_some_and(|mount| is_it(held, mount))
        })
    }

    /// Whether something for which this is true is held on a detached mount, and another process
    /// has a descriptor of the same file.
    pub(super) fn is_shared_by_processes(&self, is_it: impl Fn(&HeldFile) -> bool) -> bool {
        self.any(|one, _| {
            let other = |other: &HeldFile| {
                other.file == one.file && other.process() != one.process() && other.holder == Holder::Descriptor
            };
            is_it(one) && self.held.iter().any(other)
        })
    }

    pub(super) fn is_on(&self, type_name: &str) -> bool {
        self.any(|_, mount| mount.type_name == type_name)
    }

    pub(super) fn has_attribute(&self, attribute: MountAttribute) -> bool {
        self.any(|_, mount| mount.attributes.contains(&attribute))
    }

    /// Whether a file of this kind is open on a detached mount, and can be read or written.
    pub(super) fn is_open(&self, kind: FileKind) -> bool {
        self.any(|held, _| held.kind == kind && held.holder == Holder::Descriptor && !held.path_only)
    }

    /// Whether a descriptor of a detached mount was opened with this flag.
    pub(super) fn opened_with(&self, flag: OpenFlag) -> bool {
        self.any(|held, _| self.flags_of(held).contains(&flag))
    }

    pub(super) fn flags_of(&self, held: &HeldFile) -> &[OpenFlag] {
        held.description.and_then(|number| self.trace.flags.get(&number)).map_or(&[], Vec::as_slice)
    }

    /// Whether a name has this property: that of something held on a detached mount, or of a
    /// directory above it.
    pub(super) fn name(&self, is_it: impl Fn(&[u8]) -> bool) -> bool {
        self.any(|held, _| !held.unnamed && held.names.iter().any(|name| is_it(name)))
    }

    /// What is looked up, in the assertions, from directories on detached mounts.
    pub(super) fn looks_up(&self, is_it: impl Fn(&[u8]) -> bool) -> bool {
        let is_detached = |name: &str| self.any(|held, _| held.name == name);
        self.step(|step| match step {
            Step::Assert { object, claim: Claim::LookupReaches { path, .. } | Claim::LookupFails { path, .. } } => {
                is_detached(&object.0) && is_it(path.as_slice())
            }
            _ => false,
        })
    }

    /// Whether this mount is on one that is attached, and not on the one that all of the program is
    /// in.
    pub(super) fn parent_stays(&self, mount: &MountFacts) -> bool {
        let parent = self.trace.standing(mount, &self.mounts).parent;
        let attached = |key| self.mounts.iter().any(|other| other.key == key && other.attached);
        parent.is_some_and(|parent| parent != self.trace.model.top_mount() && attached(parent))
    }

    /// The mounts that were on this one, or are.
    pub(super) fn children<'b>(&'b self, mount: &'b MountFacts) -> impl Iterator<Item = &'b MountFacts> {
        self.mounts.iter().filter(|other| self.trace.standing(other, &self.mounts).parent == Some(mount.key))
    }

    /// Whether the directory that this mount was on is not empty.
    pub(super) fn covers_names(&self, mount: &MountFacts) -> bool {
        let point = self.trace.standing(mount, &self.mounts).point;
        point.is_some_and(|point| self.trace.model.has_names(point))
    }

    /// Whether another file is where the link of this one leads from the program's top directory.
    pub(super) fn has_decoy_in_the_root(&self, held: &HeldFile, mount: &MountFacts) -> bool {
        let names = below(held, mount);
        let place = Place { base: None, path: names.join(&b'/').into() };
        !names.is_empty() && self.trace.model.file_at(&place).is_some_and(|file| file != held.file)
    }

    /// Whether another file is where the link of this one leads from the root of another mount.
    pub(super) fn has_decoy_on_a_mount(&self, held: &HeldFile, mount: &MountFacts) -> bool {
        let names = below(held, mount);
        let others = self.mounts.iter().filter(|other| other.superblock == mount.superblock);
        let mut others = others.filter(|other| other.root_names != mount.root_names);
        !names.is_empty()
            && others.any(|other| {
                let names = [other.root_names.as_slice(), names].concat();
                self.trace.model.leads_elsewhere(&names, held)
            })
    }
}

/// The names of a file from the root of its mount.
fn below<'a>(held: &'a HeldFile, mount: &MountFacts) -> &'a [Vec<u8>] {
    held.names.get(mount.root_names.len()..).unwrap_or_default()
}

/// What is required, or everything.
fn one_of<'b, T: Copy>(required: &'b [T], all: &'b [T]) -> impl Iterator<Item = T> + use<'b, T> {
    let these = if required.is_empty() { all } else { required };
    these.iter().copied()
}

/// A path below the program's top directory.
pub(super) fn path(place: &Place) -> Option<&[u8]> {
    place.base.is_none().then(|| place.path.as_slice())
}

/// The last name of a path.
pub(super) fn last_name(place: &Place) -> &[u8] {
    place.path.as_slice().rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
