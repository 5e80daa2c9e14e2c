//! Steps on the state of descriptors, and what watches them.

use arbitrary::{Result, Unstructured};

use super::ProgramBuilder;
use super::arguments::Choice;
use super::choose::{Spot, StepRequest, is_any, length};
use crate::Bytes;
use crate::grammar::StepKind;
use crate::program::{LockKind, LockRange, Mark, ObjectName, Seal, Step};

/// None, the default and one that is queued (signal(7)).
const SIGNALS: &[u8] = &[0, 29, 40];
const LABELS: &[&str] = &["label", "", "two words"];

/// A step on the state of a descriptor, or one that watches others.
pub(super) fn step(
    u: &mut Unstructured<'_>,
    builder: &mut ProgramBuilder,
    choice: &Choice<'_>,
    request: StepRequest,
) -> Result<Option<Step>> {
    use StepKind as K;
    match request.kind {
        K::Memfd => {
            let sealable = request.at == Spot::Sealable || u.arbitrary()?;
            Ok(Some(Step::Memfd { name: builder.name("mem"), label: Bytes::from(*u.choose(LABELS)?), sealable }))
        }
        K::Lock => choice.of_object(u, lock),
        K::Epoll => {
            let of_some = |u: &mut Unstructured<'_>, object| {
                let mut of = vec![object];
                if !choice.sockets.is_empty() && u.arbitrary()? {
                    of.push(u.choose(&choice.sockets)?.clone());
                }
                Ok(Step::Epoll { name: builder.name("watch"), of })
            };
            choice.of_object(u, of_some)
        }
        K::Inotify => choice.at(u, is_any, |_, at| Ok(Step::Inotify { name: builder.name("watch"), at: vec![at] })),
        K::Fanotify => {
            let mark = *u.choose(&[Mark::Inode, Mark::Mount, Mark::Filesystem])?;
            choice.at(u, is_any, |_, at| Ok(Step::Fanotify { name: builder.name("watch"), mark, at }))
        }
        K::Seal => choice.of_object(u, seal),
        K::SetOwner => choice.of_object(u, |_, object| Ok(Step::SetOwner { object })),
        K::SetSignal => choice.of_object(u, |u, object| Ok(Step::SetSignal { object, signal: *u.choose(SIGNALS)? })),
        _ => Ok(None),
    }
}

fn lock(u: &mut Unstructured<'_>, object: ObjectName) -> Result<Step> {
    let kinds = [LockKind::Posix, LockKind::Ofd, LockKind::Flock, LockKind::Lease];
    let (kind, write) = (*u.choose(&kinds)?, u.arbitrary()?);
    let has_range = matches!(kind, LockKind::Posix | LockKind::Ofd) && u.ratio(1, 2)?;
    let range = match has_range {
        true => LockRange { start: length(u, 5_000_000_000)?, length: u.int_in_range(0..=8)? },
        false => LockRange::default(),
    };
    Ok(Step::Lock { object, kind, write, range })
}

fn seal(u: &mut Unstructured<'_>, object: ObjectName) -> Result<Step> {
    let all = [Seal::Shrink, Seal::Grow, Seal::Write, Seal::FutureWrite, Seal::Seal];
    Ok(Step::Seal { object, seals: vec![*u.choose(&all)?] })
}
