//! The shrinker finds known minima, proposes valid programs only, and comes to an end.

use std::collections::BTreeSet;

use arbtest::arbitrary::Unstructured;
use expect_test::{Expect, expect};
use scenarios::generate::{self, Limits};
use scenarios::model::Model;
use scenarios::program::{Filesystem, Line, OpenFlag};
use scenarios::shrink::{Shrinker, Shrunk, shrink, weight};
use scenarios::{Program, Step, check, text};
use vocabulary::object::MountState;

const BUDGET: usize = 2_000;

fn within_budget(tried: usize) -> bool {
    tried < BUDGET
}

fn generated(seed: u64) -> Program {
    generate::program(&mut Unstructured::new(&generate::noise(seed)), &Limits::default())
        .expect("noise is never refused")
}

fn program(steps: &str) -> Program {
    text::program(steps).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn shrunk(steps: &str, shows: impl FnMut(&Program) -> bool, expected: &Expect) {
    let Shrunk { program, minimal, .. } = shrink(&program(steps), within_budget, shows);
    assert!(minimal);
    expected.assert_eq(&text::print_program(&program));
}

fn any(program: &Program, fits: impl Fn(&Step) -> bool) -> bool {
    program.steps.iter().any(|line| fits(&line.step))
}

/// Some object is on a detached mount, and its link ends in ` (deleted)`.
fn holds_a_deleted_detached_file(program: &Program) -> bool {
    Model::run(program).is_ok_and(|model| {
        model.predict().objects.iter().any(|seen| {
            let deleted = seen.link.as_ref().is_some_and(|link| link.as_slice().ends_with(b" (deleted)"));
            seen.state == MountState::Detached && deleted
        })
    })
}

const LONG: &str = r#"
mount ext4 "two words" noatime nosuid
mkdir "two words/d"
mkdir "two words/d/e"
write "two words/d/e/f" "a rather long content"
mkdir other
write other/x "decoy"
rbind "two words/d" b nodev
fd7 = open b/e/f rdwr append cloexec
copy = dup fd7 cloexec
seek fd7 1000
propagation other/.. shared recursive
unlink b/e/f
rename other elsewhere
umount-lazy b
chdir elsewhere
assert fd7 detached
"#;

#[test]
fn a_deleted_file_on_a_detached_mount() {
    shrunk(
        LONG,
        holds_a_deleted_detached_file,
        &expect![[r#"
        mount tmpfs b
        write b/f ""
        fd7 = open b/f
        unlink b/f
        umount-lazy b
    "#]],
    );
}

#[test]
fn one_flag_of_one_open() {
    let shows = |program: &Program| {
        any(program, |step| matches!(step, Step::Open { flags, .. } if flags.contains(&OpenFlag::Append)))
    };
    shrunk(
        LONG,
        shows,
        &expect![[r#"
        mount tmpfs f
        fd7 = open f append
    "#]],
    );
}

#[test]
fn what_a_step_needs_stays() {
    let shows = |program: &Program| any(program, |step| matches!(step, Step::Snapshot { .. }));
    let steps = "mount btrfs a nosuid\nsubvolume a/s\nwrite a/s/f \"x\"\nmkdir a/d\nsnapshot a/s a/d/t ro\nfd0 = open a/d/t/f\n";
    shrunk(
        steps,
        shows,
        &expect![[r#"
        mount btrfs a
        snapshot a a/t
    "#]],
    );
}

#[test]
fn a_filesystem_that_matters_stays() {
    let shows = |program: &Program| {
        any(program, |step| matches!(step, Step::Mount { filesystem: Filesystem::Xfs, .. }))
            && generate::is_detached(program)
    };
    let steps = LONG.replace("ext4", "xfs");
    shrunk(
        &steps,
        shows,
        &expect![[r#"
        mount xfs b
        fd7 = open b
        umount-lazy b
    "#]],
    );
}

#[test]
fn a_program_that_the_model_cannot_follow_is_shrunk_all_the_same() {
    // What a device is like is not known; without it the rest still shows.
    let steps = "mknod a char 7 7\nfd0 = open a rdwr\nmkdir b\nfd1 = open b directory\nmemory = memfd \"m\"\n";
    assert!(Model::run(&program(steps)).is_err());
    let shows = |program: &Program| {
        any(program, |step| matches!(step, Step::Open { flags, .. } if flags.contains(&OpenFlag::Rdwr)))
    };
    shrunk(
        steps,
        shows,
        &expect![[r#"
        fd0 = open a rdwr
    "#]],
    );
}

#[test]
fn every_candidate_is_valid_and_lighter_and_no_two_are_the_same() {
    for seed in 0..30 {
        let start = generated(seed);
        let mut shrinker = Shrinker::new(&start);
        let (mut seen, mut answer) = (BTreeSet::new(), seed);
        for tried in 0.. {
            assert!(tried < 20_000, "it never ends: seed {seed}");
            let Some(candidate) = shrinker.propose() else { break };
            assert_eq!(check::program(&candidate), [], "{}", text::print_program(&candidate));
            assert!(generate::lives(&candidate), "{}", text::print_program(&candidate));
            assert!(weight(&candidate) < weight(shrinker.best()));
            assert!(seen.insert(text::print_program(&candidate)), "{}", text::print_program(&candidate));
            // Whatever the answers are.
            answer = answer.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            if answer >> 61 == 0 {
                shrinker.accept(candidate);
            }
        }
    }
}

#[test]
fn the_same_answers_give_the_same_program() {
    for seed in 0..10 {
        let start = generated(seed);
        let run = || shrink(&start, within_budget, generate::is_detached);
        assert_eq!(run(), run());
    }
}

#[test]
fn detached_programs_shrink_to_a_few_steps() {
    let mut worst = 0;
    for seed in (0..60).filter(|seed| generate::is_detached(&generated(*seed))) {
        let Shrunk { program, minimal, .. } = shrink(&generated(seed), within_budget, generate::is_detached);
        assert!(minimal && generate::is_detached(&program));
        assert!(program.steps.len() <= 4, "seed {seed}:\n{}", text::print_program(&program));
        worst = worst.max(program.steps.len());
    }
    assert!(worst >= 3, "no way to a detached object is shorter than mount, open, umount-lazy");
}

#[test]
fn the_budget_is_kept() {
    let start = generated(3);
    let mut asked = 0;
    let Shrunk { tried, minimal, program } = shrink(
        &start,
        |tried| tried < 5,
        |_| {
            asked += 1;
            false
        },
    );
    assert_eq!((asked, tried, minimal), (5, 5, false));
    assert_eq!(program, start);
}

#[test]
fn lines_are_numbered_anew() {
    let Shrunk { program, .. } = shrink(&generated(1), within_budget, generate::is_detached);
    let numbers: Vec<usize> = program.steps.iter().map(|Line { number, .. }| *number).collect();
    assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>());
}
