//! Generated programs live: checker and model accept every step; every kind of step is reached, and
//! every pair of kinds.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arbtest::arbitrary::Unstructured;
use scenarios::generate::{self, Limits, Swarm};
use scenarios::grammar::{StepKind, decompose, forms};
use scenarios::model::Model;
use scenarios::program::Claim;
use scenarios::{Program, Scenario, Step, check, fuzz, text};
use vocabulary::object::MountState;

/// Pairs of which the second cannot come after the first, with the reason.
const IMPOSSIBLE: &[(StepKind, StepKind, &str)] = &[
    (StepKind::Map, StepKind::Exec, "execve(2) would unmap it, and nothing else ends a mapping"),
    (StepKind::Epoll, StepKind::Fork, WATCHES),
    (StepKind::Inotify, StepKind::Fork, WATCHES),
    (StepKind::Fanotify, StepKind::Fork, WATCHES),
    (StepKind::Epoll, StepKind::As, WATCHES),
    (StepKind::Inotify, StepKind::As, WATCHES),
    (StepKind::Fanotify, StepKind::As, WATCHES),
    (StepKind::Fork, StepKind::Epoll, WATCHES),
    (StepKind::Fork, StepKind::Inotify, WATCHES),
    (StepKind::Fork, StepKind::Fanotify, WATCHES),
    (StepKind::As, StepKind::Epoll, WATCHES),
    (StepKind::As, StepKind::Inotify, WATCHES),
    (StepKind::As, StepKind::Fanotify, WATCHES),
    (StepKind::SetOwner, StepKind::Fork, WATCHES),
    (StepKind::SetOwner, StepKind::As, WATCHES),
    (StepKind::Fork, StepKind::SetOwner, WATCHES),
    (StepKind::As, StepKind::SetOwner, WATCHES),
    (StepKind::Fork, StepKind::PivotRoot, ROOTS),
    (StepKind::As, StepKind::PivotRoot, ROOTS),
    (StepKind::Fork, StepKind::UnshareMounts, NAMESPACES),
    (StepKind::As, StepKind::UnshareMounts, NAMESPACES),
    (StepKind::Fork, StepKind::Exec, "`exec` stands before the first `fork`"),
    (StepKind::As, StepKind::Exec, "`exec` stands before the first `fork`"),
    (StepKind::Exit, StepKind::Exec, "`exec` stands before the first `fork`"),
    (StepKind::Exit, StepKind::PivotRoot, ROOTS),
    (StepKind::Exit, StepKind::UnshareMounts, NAMESPACES),
    (StepKind::Exit, StepKind::Epoll, WATCHES),
    (StepKind::Exit, StepKind::Inotify, WATCHES),
    (StepKind::Exit, StepKind::Fanotify, WATCHES),
    (StepKind::Exit, StepKind::SetOwner, WATCHES),
    (StepKind::Epoll, StepKind::Exit, WATCHES),
    (StepKind::Inotify, StepKind::Exit, WATCHES),
    (StepKind::Fanotify, StepKind::Exit, WATCHES),
    (StepKind::SetOwner, StepKind::Exit, WATCHES),
];
const WATCHES: &str = "the model does not know watches and signals of several processes";
const ROOTS: &str = "the model does not move the directories of several processes";
const NAMESPACES: &str = "the model does not know processes in several namespaces";

fn kinds(program: &Program) -> Vec<StepKind> {
    program.steps.iter().map(|line| decompose(&line.step).form.kind).collect()
}

fn program(seed: u64) -> Program {
    generate::program(&mut Unstructured::new(&generate::noise(seed)), &Limits::default())
        .expect("running out of bytes is no error")
}

#[test]
fn what_is_generated_lives() {
    arbtest::arbtest(|u| {
        let program = generate::program(u, &Limits::default())?;
        assert!(generate::lives(&program), "{:?}\n{}", check::program(&program), text::print_program(&program));
        Ok(())
    })
    .size_max(4096)
    .budget_ms(4_000);
}

#[test]
fn most_end_with_an_object_on_a_detached_mount() {
    let all = 400;
    let detached = (0..all).filter(|seed| generate::is_detached(&program(*seed))).count();
    assert!(detached * 100 > 90 * usize::try_from(all).unwrap(), "{detached} of {all}");
}

/// Also of the short ones, as most of a campaign are, where it does not come about step by step.
#[test]
fn some_hold_objects_on_two_detached_mounts() {
    let short = Limits { steps: 14, shares: true, ..Limits::default() };
    let has_two = |seed| {
        let program = generate::program(&mut Unstructured::new(&generate::noise(seed)), &short).unwrap();
        let outline = Model::run(&program).unwrap().outline();
        let detached = outline.iter().filter(|seen| seen.state == MountState::Detached);
        detached.map(|seen| seen.mount).collect::<BTreeSet<_>>().len() > 1
    };
    let two = (0..1_000).filter(|&seed| has_two(seed)).count();
    assert!(two > 30, "{two} of 1000");
}

/// A detached bind of what is in memory can be put back, so a program is drawn once, as a rule.
#[test]
fn what_is_detached_is_mounted_elsewhere() {
    let memory = Limits { disks: false, privileged: false, ..Limits::default() };
    let is_restorable = |seed| {
        let program = generate::program(&mut Unstructured::new(&generate::noise(seed)), &memory).unwrap();
        Model::run(&program).unwrap().is_restorable()
    };
    let restorable = (0..400).filter(|&seed| is_restorable(seed)).count();
    assert!(restorable > 240, "{restorable} of 400");
}

#[test]
fn short_ones_are_more_frequent() {
    let mut lengths: Vec<usize> = (0..400)
        .map(|seed| program(seed).steps.iter().filter(|line| !matches!(line.step, Step::Assert { .. })).count())
        .collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!((4..=16).contains(&median), "{median}");
    assert!(*lengths.last().unwrap() <= Limits::default().steps, "{lengths:?}");
}

#[test]
fn every_kind_of_step_and_every_claim_is_reached() {
    let mut seen = BTreeSet::new();
    for seed in 0..3_000 {
        seen.extend(program(seed).steps.iter().map(|line| decompose(&line.step).form.head()));
    }
    let missing: Vec<_> = forms().map(scenarios::grammar::Form::head).filter(|head| !seen.contains(head)).collect();
    assert!(missing.is_empty(), "never made: {missing:?}");
}

#[test]
fn every_pair_of_kinds_is_reached() {
    let all = generate::kinds();
    let mut missing: BTreeSet<(StepKind, StepKind)> =
        all.clone().flat_map(|one| all.clone().map(move |other| (one, other))).collect();
    let take = |program: &Program, missing: &mut BTreeSet<(StepKind, StepKind)>| {
        let kinds = kinds(program);
        for (index, one) in kinds.iter().enumerate() {
            for other in &kinds[index + 1..] {
                missing.remove(&(*one, *other));
            }
        }
    };
    for seed in 0..4_000 {
        take(&program(seed), &mut missing);
    }
    // What chance has not brought together yet is asked for.
    let limits = Limits { assertions: false, ..Limits::default() };
    for (one, other) in missing.clone() {
        let swarm = Swarm::all(&limits).only(&[one, other]);
        for seed in 0..200 {
            if !missing.contains(&(one, other)) {
                break;
            }
            let bytes = generate::noise(seed);
            take(&generate::program_of(&mut Unstructured::new(&bytes), &limits, &swarm).unwrap(), &mut missing);
        }
    }
    let impossible: BTreeSet<_> = IMPOSSIBLE.iter().map(|(one, other, _)| (*one, *other)).collect();
    assert_eq!(missing, impossible);
}

#[test]
fn terms_are_kept() {
    let limits =
        Limits { steps: 12, disks: false, own_root: false, privileged: false, assertions: false, ..Limits::default() };
    let refused = [
        StepKind::Assert,
        StepKind::MountAgain,
        StepKind::Subvolume,
        StepKind::Snapshot,
        StepKind::DeleteSubvolume,
        StepKind::PivotRoot,
        StepKind::UnshareMounts,
        StepKind::External,
        StepKind::Mknod,
        StepKind::Chown,
        StepKind::Map,
        StepKind::Setxattr,
    ];
    for seed in 0..300 {
        let bytes = generate::noise(seed);
        let program = generate::program(&mut Unstructured::new(&bytes), &limits).unwrap();
        assert!(program.steps.len() <= 12, "{}", text::print_program(&program));
        let filesystems = program.filesystems();
        assert!(
            filesystems.iter().all(|name| ["tmpfs", "ramfs", "overlay"].contains(&name.as_str())),
            "{filesystems:?}"
        );
        assert!(kinds(&program).iter().all(|kind| !refused.contains(kind)), "{}", text::print_program(&program));
    }
}

/// In a pack the top directory is not the root, where `..` leads nowhere else.
#[test]
fn what_shares_a_process_asserts_nothing_above_its_top_directory() {
    let limits = Limits { shares: true, ..Limits::default() };
    let two_up: &[u8] = b"../..";
    let mut claims = 0;
    for seed in 0..1_000 {
        let noise = generate::noise(seed);
        // What stays visible has more above it.
        let mut visible = generate::program(&mut Unstructured::new(&noise), &limits).unwrap();
        visible.steps.retain(|line| !matches!(line.step, Step::Unmount { lazy: true, .. }));
        let visible = generate::repair_within(&visible, &limits);
        let program = generate::assert(&mut Unstructured::new(&noise), &visible, &limits).unwrap_or(visible);
        let outline = Model::run(&program).unwrap().outline();
        for line in &program.steps {
            let Step::Assert { object, claim: Claim::LookupReaches { path, .. } } = &line.step else { continue };
            let object = outline.iter().find(|seen| seen.name == object.0).unwrap();
            let link = object.link.as_ref().filter(|_| object.state == MountState::Visible).map(ToString::to_string);
            let is_above = path.as_slice() == two_up && link.is_some_and(|link| link.matches('/').count() < 2);
            assert!(!is_above, "{}", text::print_program(&program));
            claims += 1;
        }
    }
    assert!(claims > 5, "{claims}");
}

#[test]
fn mutants_live_and_differ() {
    let counts = RefCell::new((0, 0));
    arbtest::arbtest(|u| {
        let (seed, other) = (u.arbitrary::<u16>()?, u.arbitrary::<u16>()?);
        let (one, other) = (program(seed.into()), program(other.into()));
        let mutant = generate::mutate(u, &one, &other, &Limits::default())?;
        assert!(generate::lives(&mutant), "{:?}\n{}", check::program(&mutant), text::print_program(&mutant));
        let mut counts = counts.borrow_mut();
        counts.0 += 1;
        counts.1 += usize::from(generate::repair(&mutant) != generate::repair(&one));
        Ok(())
    })
    .size_min(512)
    .size_max(4096)
    .budget_ms(4_000);
    let (all, different) = counts.into_inner();
    assert!(different * 10 > all * 8, "{different} of {all}");
}

/// One call of libFuzzer's hook, whose own mutator puts a sign in front.
fn hooked(text: &[u8], seed: u32, max: usize) -> Vec<u8> {
    fn bytes(data: &mut [u8], size: usize, max: usize) -> usize {
        let size = (size + 1).min(max);
        data.copy_within(..size - 1, 1);
        data[0] = b'!';
        size
    }
    let mut data = text.to_vec();
    data.resize(max.max(text.len()), 0);
    let size = fuzz::mutate(&mut data, text.len(), max, seed, bytes);
    data.truncate(size);
    data
}

#[test]
fn mutants_of_text_are_programs_of_limited_length() {
    let (mut lengths, mut living, mut all) = (BTreeMap::new(), 0, 0);
    for seed in 0..200 {
        let one = text::print_program(&program(seed));
        let number = u32::try_from(seed).unwrap();
        let mutant = hooked(one.as_bytes(), number, 600);
        assert!(mutant.len() <= 600);
        assert_eq!(mutant, hooked(one.as_bytes(), number, 600), "the same seed, the same mutant");
        if mutant.starts_with(b"!") {
            assert_eq!(number % 8, 0, "libFuzzer's own mutator is asked now and then");
            continue;
        }
        let read = fuzz::scenario(&mutant).unwrap().program;
        all += 1;
        living += usize::from(generate::lives(&read));
        *lengths.entry(read.steps.len()).or_insert(0) += 1;
    }
    assert!(lengths.len() > 5, "{lengths:?}");
    assert!(living < all && living * 10 > all * 8, "{living} of {all} live");
}

#[test]
fn mutants_of_what_is_no_program_are_programs() {
    for seed in 1..8 {
        let mutant = hooked(b"\xff\xfe no program", seed, 4096);
        assert!(fuzz::scenario(&mutant).is_some_and(|scenario| !scenario.program.steps.is_empty()), "{seed}");
        fuzz::program_text(&mutant);
    }
}

#[test]
fn a_cross_lives_and_has_steps_of_both() {
    let (one, other) = ("mkdir one\nwrite one/f \"x\"\n", "mkdir other\nwrite other/f \"x\"\n");
    let mut both = 0;
    for seed in 0..100 {
        let mut out = [0; 4096];
        let size = fuzz::cross(one.as_bytes(), other.as_bytes(), &mut out, seed);
        let scenario = fuzz::scenario(&out[..size]).unwrap();
        assert!(generate::lives(&scenario.program));
        let printed = text::print_program(&scenario.program);
        both += usize::from(printed.contains("mkdir one") && printed.contains("mkdir other"));
    }
    assert!(both > 5, "{both}");
    assert_eq!(fuzz::cross(b"?", b"?", &mut [0; 64], 1), 0);
}

#[test]
fn a_generated_program_with_assertions_is_a_scenario() {
    let steps = "mount tmpfs a\nbind a b\nfd0 = open b\npivot-root b a\n";
    let plain = text::program(steps).expect("a good program");
    let asserted =
        generate::assert(&mut Unstructured::new(&[0; 4096]), &plain, &Limits::default()).expect("enough bytes");
    let printed = text::print_scenario(&Scenario::generated("fuzz/1", asserted));
    let read = text::scenarios(printed.as_bytes(), "found", Path::new("found.scn"));
    assert!(read.is_ok(), "{read:?}\n{printed}");
}
