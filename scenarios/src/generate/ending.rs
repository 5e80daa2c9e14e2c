//! How a program ends: something is held on a mount, and most often that is detached.

use arbitrary::{Result, Unstructured};

use super::arguments::{below, is_at_or_below};
use super::choose::{Spot, StepRequest};
use super::needs::{TRIES, attempt};
use super::{Limits, ProgramBuilder, Swarm};
use crate::grammar::StepKind;
use crate::model::{Entry, EntryKind};
use crate::program::{Filesystem, Place};
use crate::{Bytes, Step};

/// So many steps at most an ending adds.
pub(super) const ENDING_STEPS: usize = 12;

/// What is easily lost, and hardly ever comes about step by step.
#[derive(Clone, Copy)]
enum Twist {
    /// Another mount of the same filesystem is detached as well.
    SecondMount,
    /// What is held loses its name, and may have or get another one, or another file may get that.
    LostName,
    /// The process works there, or has its root there.
    Entered,
}

/// Has the program hold something on a mount and, where the limits say so, detaches that; what is
/// mounted nowhere else is bound first, as a rule, because it could not be restored.
pub(super) fn ending(
    u: &mut Unstructured<'_>,
    builder: &mut ProgramBuilder,
    swarm: &Swarm,
    limits: &Limits,
) -> Result<()> {
    close_trees(u, builder)?;
    // What came along with the steps may have taken the room for it.
    let has_room = builder.len() + ENDING_STEPS <= limits.steps;
    let mut wants_twist = u.ratio(1, 6)? && has_room;
    for round in 0..3 {
        let survey = builder.model.survey();
        if survey.has_detached {
            return Ok(());
        }
        let held: Vec<_> = survey.mounts.iter().filter(|mount| mount.objects > 0).collect();
        if !held.is_empty() {
            if !limits.detaches {
                return Ok(());
            }
            let best: Vec<_> = held.iter().filter(|mount| mount.elsewhere).collect();
            let chosen = if best.is_empty() { *u.choose(&held)? } else { **u.choose(&best)? };
            if !chosen.elsewhere && !u.ratio(1, 8)? {
                bind_elsewhere(builder, &chosen.place);
            }
            if std::mem::take(&mut wants_twist) {
                twist(u, builder, swarm, &chosen.place)?;
            }
            if builder.add(&Step::Unmount { at: chosen.place.clone(), lazy: true }) {
                continue;
            }
        }
        if !attempt(u, builder, swarm, StepRequest { at: Spot::Mount, ..StepRequest::of(StepKind::Open) }, TRIES)?
            || round > 0
        {
            from_scratch(builder);
        }
    }
    Ok(())
}

/// A tree whose descriptor is open is seldom alone with it, and then cannot be restored.
fn close_trees(u: &mut Unstructured<'_>, builder: &mut ProgramBuilder) -> Result<()> {
    for object in builder.model.open_trees() {
        if u.ratio(2, 3)? {
            builder.add(&Step::Close { object });
        }
    }
    Ok(())
}

fn at(path: &str) -> Place {
    Place { base: None, path: Bytes::from(path) }
}

/// A path that no file has.
fn free(builder: &ProgramBuilder) -> Option<String> {
    (0..100).map(|number| format!("m{number}")).find(|name| builder.after(&Step::Mkdir { at: at(name) }).is_some())
}

fn bind_elsewhere(builder: &mut ProgramBuilder, from: &Place) {
    let Some(name) = free(builder) else { return };
    builder.add(&Step::Bind { from: from.clone(), to: at(&name), recursive: false, attributes: Vec::new() });
}

/// The shortest way to a file on a mount, where nothing else worked.
fn from_scratch(builder: &mut ProgramBuilder) {
    let Some(name) = free(builder) else { return };
    let file = format!("{name}/f");
    let object = builder.name("fd");
    builder.add(&Step::Mount { filesystem: Filesystem::Tmpfs, at: at(&name), attributes: Vec::new() });
    builder.add(&Step::Write { at: at(&file), bytes: Bytes::from("x") });
    builder.add(&Step::Open { name: object, at: at(&file), flags: Vec::new() });
}

/// One of the twists, on a mount that is about to be detached.
fn twist(u: &mut Unstructured<'_>, builder: &mut ProgramBuilder, swarm: &Swarm, on: &Place) -> Result<()> {
    use Twist::{Entered, LostName, SecondMount};
    let all: &[Twist] =
        if builder.shares { &[SecondMount, LostName] } else { &[SecondMount, LostName, Entered, Entered] };
    match *u.choose(all)? {
        SecondMount => second_mount(u, builder, swarm, on),
        LostName => lost_name(u, builder, swarm, on),
        Entered => {
            let Some(at) = below_mount(u, builder, on, &[EntryKind::Directory], false)? else { return Ok(()) };
            builder.add(&if u.ratio(2, 3)? { Step::Chdir { at } } else { Step::Chroot { at } });
            Ok(())
        }
    }
}

/// A directory of it is bound, or a file, which may have two names; something is opened there, and
/// that mount is detached.
fn second_mount(u: &mut Unstructured<'_>, builder: &mut ProgramBuilder, swarm: &Swarm, on: &Place) -> Result<()> {
    const KINDS: &[EntryKind] = &[EntryKind::Directory, EntryKind::File];
    let Some(to) = free(builder).map(|name| at(&name)) else { return Ok(()) };
    let is_file = u.ratio(1, 3)?;
    if !is_file && u.arbitrary()? {
        builder.add(&Step::Mkdir { at: below(on, swarm.name(u)?) });
    }
    let kinds = if is_file { &KINDS[1..] } else { &KINDS[..1] };
    let Some(from) = below_mount(u, builder, on, kinds, false)? else { return Ok(()) };
    if is_file {
        builder.add(&Step::Write { at: to.clone(), bytes: Bytes::default() });
        if u.arbitrary()? {
            builder.add(&Step::Link { old: from.clone(), new: below(on, swarm.name(u)?) });
        }
    }
    builder.add(&Step::Bind { from, to: to.clone(), recursive: false, attributes: Vec::new() });
    let Some(at) = below_mount(u, builder, &to, KINDS, false)? else { return Ok(()) };
    let name = builder.name("fd");
    builder.add(&Step::Open { name, at, flags: Vec::new() });
    builder.add(&Step::Unmount { at: to, lazy: true });
    Ok(())
}

/// A file that is held loses the name that it has there.
fn lost_name(u: &mut Unstructured<'_>, builder: &mut ProgramBuilder, swarm: &Swarm, on: &Place) -> Result<()> {
    let Some(old) = below_mount(u, builder, on, &[EntryKind::File, EntryKind::Special], true)? else { return Ok(()) };
    if u.arbitrary()? {
        let new = below(on, swarm.name(u)?);
        builder.add(&Step::Link { old: old.clone(), new });
    }
    builder.add(&Step::Unlink { at: old.clone() });
    if u.ratio(1, 3)? {
        builder.add(&Step::Write { at: old, bytes: Bytes::from("decoy") });
    }
    Ok(())
}

/// A name of one of the kinds at or below a place, of what is `held` if that is asked for.
fn below_mount(
    u: &mut Unstructured<'_>,
    builder: &ProgramBuilder,
    on: &Place,
    kinds: &[EntryKind],
    held: bool,
) -> Result<Option<Place>> {
    let survey = builder.model.survey();
    let fits =
        |entry: &&Entry| kinds.contains(&entry.kind) && (entry.held || !held) && is_at_or_below(&entry.place, on);
    let all: Vec<&Entry> = survey.entries.iter().filter(fits).collect();
    if all.is_empty() { Ok(None) } else { Ok(Some(u.choose(&all)?.place.clone())) }
}
