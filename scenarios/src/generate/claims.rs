//! Assertions of what the model predicts: the program says itself what must hold.

use arbitrary::{Result, Unstructured};

use super::ProgramBuilder;
use crate::Bytes;
use crate::model::{Lookup, PredictedObject};
use crate::program::{Claim, ObjectName, Step};
use vocabulary::object::MountState;

/// No longer content is written out.
const CONTENT_LIMIT: usize = 64;

/// For each object where it is, and a few more.
pub(super) fn add(u: &mut Unstructured<'_>, builder: &mut ProgramBuilder) -> Result<()> {
    let objects = builder.model.outline();
    for seen in &objects {
        let (_, name) = ObjectName(seen.name.clone()).parts();
        let made = !matches!(name.0.as_str(), "cwd" | "root" | "exe");
        if made || seen.state == MountState::Detached && u.arbitrary()? {
            assert(builder, seen, state(seen));
            if let Some(claim) = seen.link.clone().filter(|_| seen.state != MountState::Internal).map(Claim::Link) {
                assert(builder, seen, claim);
            }
        }
    }
    for _ in 0..u.int_in_range(0..=4)? {
        let place = u.choose_index(objects.len())?;
        let other = u.choose(&objects)?;
        if let Some(claim) = claim(u, builder, place, &objects[place], other)? {
            assert(builder, &objects[place], claim);
        }
    }
    if builder.program.steps.iter().all(|line| !matches!(line.step, Step::Assert { .. })) {
        assert(builder, &objects[0], state(&objects[0]));
    }
    Ok(())
}

fn assert(builder: &mut ProgramBuilder, seen: &PredictedObject, claim: Claim) {
    builder.add(&Step::Assert { object: ObjectName(seen.name.clone()), claim });
}

fn state(seen: &PredictedObject) -> Claim {
    match seen.state {
        MountState::Visible => Claim::Visible,
        MountState::Detached => Claim::Detached,
        MountState::Elsewhere => Claim::Elsewhere,
        MountState::Internal => Claim::Internal,
    }
}

fn claim(
    u: &mut Unstructured<'_>,
    builder: &ProgramBuilder,
    place: usize,
    seen: &PredictedObject,
    other: &PredictedObject,
) -> Result<Option<Claim>> {
    let name = ObjectName(other.name.clone());
    Ok(match u.int_in_range(0..=6)? {
        0 => seen.links.map(Claim::Links),
        1 => seen.content.as_ref().and_then(|content| {
            let short = content.length() <= CONTENT_LIMIT as u64;
            short.then(|| Claim::Content(Bytes(content.head(CONTENT_LIMIT))))
        }),
        2 if seen.description.is_some() => seen.position.map(Claim::Position),
        3 => match (seen.file, other.file) {
            (Some(one), Some(two)) => Some(Claim::SameFile { other: name, not: one != two }),
            _ => None,
        },
        4 => Some(Claim::SameMount { other: name, not: seen.mount != other.mount }),
        5 => match (seen.description, other.description) {
            (Some(one), Some(two)) if seen.name != other.name => {
                Some(Claim::SameDescription { other: name, not: one != two })
            }
            _ => None,
        },
        _ => {
            let mut lookups = builder.model.plain_lookups(place);
            lookups
                .retain(|lookup| lookup.path.as_slice() != b"." && !(builder.shares && leaves_the_top(seen, lookup)));
            lookup(u, &lookups)?
        }
    })
}

/// Whether it goes up more often than there are directories above: no program that is alone gets
/// farther than its root.
fn leaves_the_top(from: &PredictedObject, lookup: &Lookup) -> bool {
    let names = |path: &Bytes| path.0.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).count();
    let depth = from.link.as_ref().filter(|_| from.state == MountState::Visible).map(names);
    let up = lookup.path.0.split(|&byte| byte == b'/').take_while(|&name| name == b"..").count();
    depth.is_some_and(|depth| up > depth)
}

fn lookup(u: &mut Unstructured<'_>, lookups: &[Lookup]) -> Result<Option<Claim>> {
    if lookups.is_empty() {
        return Ok(None);
    }
    let lookup = u.choose(lookups)?;
    let path = lookup.path.clone();
    Ok(match &lookup.outcome {
        Some(Err(errno)) => Some(Claim::LookupFails { path, errno: *errno }),
        Some(Ok(reached)) => reached.link.clone().map(|link| Claim::LookupReaches { path, link }),
        None => None,
    })
}
