//! Every capability stands alone on every base where it makes sense. An engine that has not learnt
//! one thing on one base then fails a scenario that needs nothing else, and the run names it.

use std::collections::BTreeSet;
use std::path::Path;

use scenarios::capability::{Base, Capability, Profile, profile};
use scenarios::{Outcome, catalogue};

use Base::{Again, File, Subdir, Subvolume, Whole};
use Capability as C;

/// What comes along with a capability in every program that shows it, beside what its definition
/// says ([`Capability::comes_with`]); one of these is enough.
const COMPANIONS: &[(C, &[C], &str)] = &[
    (C::RemovedParent, &[C::Deleted], "what is in a directory goes before the directory"),
    (C::NameTaken, &[C::Deleted, C::Renamed], "a name is free for another file when the first has lost it"),
    (C::OpenedTwice, &[C::SameMount], "two descriptions of one file on one mount are two objects on it"),
    (C::MadeSince, &[C::Directory], "names are looked up below a directory"),
    (C::SymlinkResolution, &[C::Directory], "names are looked up below a directory"),
    (C::OpenTree, &[C::Directory], "the root of most mounts is a directory"),
];

/// Bases on which a capability does not stand alone, and why.
const EXCEPTIONS: &[(&[Base], &[C], &str)] = &[
    (
        &[File],
        &[C::Directory, C::WorkingDirectory, C::Root, C::HalfReadDirectory, C::MadeSince, C::SymlinkResolution],
        "a mount of a file has no directory",
    ),
    (&[File], &[C::Symlink], "bind follows a symbolic link"),
    (&[File], &[C::Tmpfile], "O_TMPFILE needs a directory of the mount"),
    (&[File], &[C::RemovedParent], "a mount of a file shows none of the directories above it"),
    (&[File], &[C::SameMount], "a mount of a file has one file, so it comes with `opened-twice`, which stands there"),
    (&[File], &[C::ChildMount], "nothing can be mounted below a file"),
    (&[Subdir, File, Again, Subvolume], &[C::InSubvolume], "it is what the base `whole` shows of other subvolumes"),
    (
        &[Again],
        &[C::Memfd, C::Overlay, C::OtherFilesystem],
        "the filesystem has no device that could be mounted twice, or it is another one's",
    ),
    (
        &[Subvolume],
        &[C::Overlay, C::Xfs, C::Memfd, C::OtherFilesystem],
        "another filesystem, or none, has no subvolume",
    ),
    (
        &[Again, Subvolume],
        &[
            C::Root,
            C::PathOnly,
            C::OpenTree,
            C::Symlink,
            C::Fifo,
            C::Device,
            C::Mapping,
            C::RemovedParent,
            C::Tmpfile,
            C::NameTaken,
            C::OddName,
            C::LongName,
            C::DeletedSuffix,
            C::Position,
            C::OpenFlags,
            C::Cloexec,
            C::Lock,
            C::Signals,
            C::Watch,
            C::Dup,
            C::OpenedTwice,
            C::HalfReadDirectory,
            C::Sparse,
            C::Metadata,
            C::MadeSince,
            C::SymlinkResolution,
            C::SameMount,
            C::ChildMount,
            C::OverMount,
            C::Moved,
            C::MountPointChanged,
            C::Covered,
            C::Propagation,
            C::TwoFilesystems,
            C::Processes,
        ],
        "these bases differ from `whole` and `subdir` in how superblock and root are found, which it does not touch",
    ),
    (
        &[Subvolume],
        &[C::Directory, C::Attributes, C::VisibleToo],
        "as on `subdir`; the working directory is a directory there",
    ),
];

/// What no scenario that must be restored has.
const NOWHERE: &[C] = &[C::Refusal];

/// The profiles of everything that must be restored.
fn profiles() -> Vec<Profile> {
    let all = catalogue::load(Path::new(catalogue::DIRECTORY)).expect("the catalogue can be read");
    all.iter().filter(|one| one.outcome == Outcome::Restored).map(|one| profile(&one.program)).collect()
}

/// Whether a program needs this capability on this base, and nothing beside that does not come with
/// either.
fn is_alone(profile: &Profile, base: Base, capability: C) -> bool {
    let needed = |other: &C| {
        *other == capability || capability.comes_with().contains(other) || (base == Subvolume && *other == C::Btrfs)
    };
    let rest: Vec<C> = profile.capabilities.iter().copied().filter(|other| !needed(other)).collect();
    let companion = |other: C| COMPANIONS.iter().any(|(of, with, _)| *of == capability && with.contains(&other));
    let explained = match rest.as_slice() {
        [] => true,
        [one] => companion(*one),
        _ => false,
    };
    profile.bases == BTreeSet::from([base]) && profile.capabilities.contains(&capability) && explained
}

#[test]
fn every_capability_stands_alone_on_every_base_or_there_is_a_reason() {
    let profiles = profiles();
    let mut wrong = Vec::new();
    for &capability in C::ALL.iter().filter(|one| !NOWHERE.contains(one)) {
        for base in [Whole, Subdir, File, Again, Subvolume] {
            let stands = profiles.iter().any(|profile| is_alone(profile, base, capability));
            let reasons = EXCEPTIONS.iter().filter(|(bases, of, _)| bases.contains(&base) && of.contains(&capability));
            match (stands, reasons.count()) {
                (true, 0) | (false, 1) => {}
                (true, _) => wrong.push(format!("`{capability}` stands alone on `{base}`: remove the exception")),
                (false, 0) => {
                    wrong.push(format!("`{capability}` does not stand alone on `{base}`, and nothing says why"));
                }
                (false, _) => wrong.push(format!("`{capability}` on `{base}` has two reasons")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A companion that is not needed hides a scenario that is lacking.
#[test]
fn every_companion_is_needed() {
    let profiles = profiles();
    for (capability, with, _) in COMPANIONS {
        let without = |profile: &Profile| {
            profile.capabilities.contains(capability) && with.iter().all(|other| !profile.capabilities.contains(other))
        };
        let single = |profile: &&Profile| profile.is_detached() && profile.bases.len() == 1 && without(profile);
        let alone = profiles.iter().filter(single).find(|profile| profile.capabilities.len() == 1);
        assert!(alone.is_none(), "`{capability}` stands without its companion: {alone:?}");
    }
}

#[test]
fn what_is_nowhere_is_nowhere() {
    for profile in profiles().iter().filter(|profile| profile.is_detached()) {
        let found = NOWHERE.iter().find(|capability| profile.capabilities.contains(capability));
        assert!(found.is_none(), "{found:?} can be restored: it must stand alone");
    }
}
