//! The model without a kernel: the catalogue's assertions, and the rules of `docs/KERNEL.md`. That
//! the kernel is of the same opinion is the business of the harness's test `model`.

use std::path::Path;

use scenarios::model::{Model, Refusal};
use scenarios::program::Line;
use scenarios::{Outcome, Program, Step, catalogue, text};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/KERNEL.md");

/// The assertions that do not hold, and those about which the model does not know.
fn broken(model: &Model, program: &Program) -> (Vec<String>, usize) {
    let (mut broken, mut unknown) = (Vec::new(), 0);
    for Line { step, .. } in &program.steps {
        let Step::Assert { object, claim } = step else { continue };
        match model.holds(object, claim) {
            Some(true) => {}
            Some(false) => broken.push(step.to_string()),
            None => unknown += 1,
        }
    }
    (broken, unknown)
}

#[test]
fn the_catalogues_assertions_hold() {
    let (mut asserted, mut all_unknown) = (0, 0);
    for scenario in catalogue::load(Path::new(catalogue::DIRECTORY)).unwrap() {
        let program = &scenario.program;
        if catalogue::is_beyond_the_model(&scenario.name) {
            assert!(matches!(Model::run(program), Err((_, Refusal::Unknown(_)))), "{}", scenario.name);
            continue;
        }
        let model = Model::run(program)
            .unwrap_or_else(|(index, refusal)| panic!("{}: {}: {refusal}", scenario.name, program.steps[index].step));
        let (broken, unknown) = broken(&model, program);
        assert!(broken.is_empty(), "{}: {broken:?}", scenario.name);
        asserted += program.steps.iter().filter(|line| matches!(line.step, Step::Assert { .. })).count();
        all_unknown += unknown;
    }
    assert!(asserted > 1_000, "{asserted}");
    // Whether two sockets are one is not asked of it.
    assert!(all_unknown <= 2, "{all_unknown} of {asserted}");
}

#[test]
fn the_rules_of_the_document_are_the_models() {
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let programs: Vec<&str> = document.split("```scn\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    let rules = document.lines().filter(|line| line.starts_with("**")).count();
    assert_eq!(programs.len(), rules, "each rule has a program");
    for source in programs {
        let program = text::program(source).unwrap_or_else(|faults| panic!("{}\n{source}", faults[0]));
        let refused = source.lines().find_map(|line| line.strip_prefix("# refused: "));
        match (Model::run(&program), refused) {
            (Ok(model), None) => {
                let asserts = program.steps.iter().filter(|line| matches!(line.step, Step::Assert { .. })).count();
                assert!(asserts > 0, "{source}");
                assert_eq!(broken(&model, &program), (Vec::new(), 0), "{source}");
            }
            (Err((index, refusal)), Some(errno)) => {
                assert_eq!(index, program.steps.len() - 1, "{refusal}:\n{source}");
                assert!(matches!(refusal, Refusal::Errno(other) if other.name() == errno), "{refusal}:\n{source}");
            }
            (Ok(_), Some(errno)) => panic!("{errno} expected:\n{source}"),
            (Err((index, refusal)), None) => panic!("{}: {refusal}\n{source}", program.steps[index].step),
        }
    }
}

/// A chain of mounts that cover each other, partly gone: what is left is mounted on what is left.
#[test]
fn what_covered_a_mount_that_is_gone_falls_through() {
    let source = r"
        propagation . shared
        bind tmp tmp
        bind tmp tmp
        bind proc tmp
        bind tmp tmp
        umount tmp
        umount-lazy tmp
        fd0 = open tmp path
        fd1 = open proc path
        assert fd0 same-file fd1
        assert fd0 visible
    ";
    let program = text::program(source).unwrap();
    let model = Model::run(&program).unwrap();
    assert_eq!(broken(&model, &program), (Vec::new(), 0));
}

#[test]
fn what_the_catalogue_says_of_who_can_be_restored_the_model_says_too() {
    let mut irrecoverable = 0;
    for scenario in catalogue::load(Path::new(catalogue::DIRECTORY)).unwrap() {
        let Ok(model) = Model::run(&scenario.program) else { continue };
        let refused = matches!(scenario.outcome, Outcome::Refused { .. });
        assert!(refused || !model.is_irrecoverable(), "{} can be restored", scenario.name);
        irrecoverable += usize::from(model.is_irrecoverable());
    }
    assert!(irrecoverable >= 10, "the model knows only {irrecoverable}");
}

/// A file that was renamed out of what its mount shows is on no way down from the root of that
/// mount.
#[test]
fn a_file_that_left_its_mount_is_judged() {
    let source = "mkdir a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f\nrename a/d/f a/f\n";
    let model = Model::run(&text::program(source).unwrap()).unwrap();
    assert!(!model.is_restorable());
}

#[test]
fn an_open_device_on_a_mount_that_is_nodev_now_is_judged() {
    let restorable = |rest: &str| {
        let source = format!("mount tmpfs a\nmknod a/n char 1 3\n{rest}");
        Model::run(&text::program(&source).unwrap()).unwrap().is_restorable()
    };
    assert!(!restorable("fd0 = open a/n\nremount a nodev\n"));
    assert!(restorable("fd0 = open a/n path\nremount a nodev\n") && restorable("fd0 = open a/n\nremount a nosuid\n"));
}

/// What was removed from an overlay can come back where a new one in the upper layer is on the same
/// device and as empty of links.
#[test]
fn what_was_removed_from_an_overlay_is_judged() {
    let one = "mount tmpfs o\nmkdir o/l\nmkdir o/l/d\nwrite o/l/f \"x\"\noverlay m lower=o/l upper=o/u work=o/w\n";
    let two = "mount tmpfs o\nmount tmpfs l\nwrite l/f \"x\"\noverlay m lower=l upper=o/u work=o/w\n";
    let restorable = |layers: &str, rest: &str| {
        Model::run(&text::program(&format!("{layers}{rest}")).unwrap()).unwrap().is_restorable()
    };
    let file = "fd0 = open m/f rdwr\nunlink m/f\n";
    assert_eq!([restorable(one, file), restorable(two, file)], [true, false], "a file that was copied up");
    let lower = "fd0 = open m/d directory\nrmdir m/d\n";
    let upper = "mkdir m/e\nfd0 = open m/e directory\nrmdir m/e\n";
    assert_eq!([restorable(one, upper), restorable(one, lower)], [true, false], "a directory");
}
