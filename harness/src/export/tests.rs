//! The catalogue as C, and four programs of it as text.

use std::collections::BTreeSet;

use scenarios::catalogue::{DIRECTORY, load};
use scenarios::{Scenario, Step, text};

use super::{Dialect, Refusal, c_program, file, file_name, zdtm_test};

fn all() -> Vec<Scenario> {
    load(std::path::Path::new(DIRECTORY)).expect("the catalogue is good")
}

fn one(name: &str) -> Scenario {
    all().into_iter().find(|scenario| scenario.name == name).expect("it is in the catalogue")
}

/// How many of a hundred scenarios are exported of those with one process that changes its tree
/// itself. What epoll, inotify and fanotify watch is not compared in C.
fn share(exported: impl Fn(&Scenario) -> bool) -> usize {
    let is_meant = |Scenario { program, .. }: &Scenario| {
        let mut steps = program.steps.iter().map(|line| &line.step);
        let watches = |step: &Step| matches!(step, Step::Epoll { .. } | Step::Inotify { .. } | Step::Fanotify { .. });
        program.processes().len() == 1 && program.changes.is_empty() && !steps.any(watches)
    };
    let all: Vec<_> = all().into_iter().filter(is_meant).collect();
    let count = all.iter().filter(|scenario| exported(scenario)).count();
    println!("{count} of {} scenarios with one process", all.len());
    100 * count / all.len()
}

#[test]
fn most_scenarios_with_one_process_are_exported() {
    assert!(share(|scenario| c_program(scenario, &[]).is_ok()) >= 95);
    assert!(share(|scenario| zdtm_test(scenario, &[]).is_ok()) >= 93);
}

#[test]
fn what_the_caller_of_criu_gives_is_all_that_zdtm_alone_refuses() {
    for scenario in all() {
        let (alone, zdtm) = (c_program(&scenario, &[]), zdtm_test(&scenario, &[]));
        if let (Ok(_), Err(Refusal { reason, .. })) = (alone, zdtm) {
            assert!(reason.contains("--external") || reason.contains("150 lines"), "{}: {reason}", scenario.name);
        }
    }
}

#[test]
fn every_file_is_short_and_names_its_scenario() {
    let remarks = vec!["A remark.".to_owned(); 60];
    for scenario in all() {
        for dialect in [Dialect::Zdtm, Dialect::Alone] {
            let Ok(written) = file::write(&scenario, &remarks, dialect) else { continue };
            assert!(written.text.lines().count() <= 150, "{}", scenario.name);
            assert!(written.text.contains(&format!("the scenario {}.", scenario.name)));
        }
    }
}

#[test]
fn every_scenario_has_a_file_of_its_own() {
    let all = all();
    let names: BTreeSet<String> = all.iter().map(|scenario| file_name(&scenario.name)).collect();
    assert_eq!(names.len(), all.len());
}

#[test]
fn a_refusal_names_the_step() {
    let refused = |steps: &str| {
        let text = format!("# Refused.\nrequires flavor=ns\noutcome restored\n\n{steps}");
        let scenarios = text::scenarios(text.as_bytes(), "refused", std::path::Path::new("refused.scn"));
        let scenario = scenarios.expect("it is good").remove(0);
        zdtm_test(&scenario, &[]).expect_err("it is refused").to_string()
    };
    expect_test::expect!["line 6, `fork child`: more than one process"]
        .assert_eq(&refused("write f \"\"\nfork child\nassert cwd visible\n"));
    expect_test::expect![
        "line 6, `unshare-mounts`: without `exec` the program itself stays in the namespace that it leaves"
    ]
    .assert_eq(&refused("fd0 = open tmp\nunshare-mounts\nassert fd0 detached\n"));
}

#[test]
fn a_deleted_file_is_a_test_of_zdtm() {
    let test = zdtm_test(&one("deleted/unlinked@ext4,rdwr,whole"), &[]).expect("it is exported");
    assert_eq!(test.name, "deleted_unlinked_ext4_rdwr_whole");
    expect_test::expect_file!["snapshots/deleted_file.zdtm.c"].assert_eq(&test.source);
    expect_test::expect![[r#"
        {'flavor': 'ns', 'flags': 'suid excl', 'opts': '--link-remap --file-locks', 'dopts': '--external dev[7/200]:disk200', 'ropts': '--external dev[disk200]:/dev/loop200'}
    "#]]
    .assert_eq(&test.description);
    expect_test::expect![[r#"
        #!/bin/sh
        # Takes the disks away that the test made.
        [ "$1" = --clean ] || exit 0
        losetup -d /dev/loop200
        rm -f zdtm/static/deleted_unlinked_ext4_rdwr_whole.disk200
        exit 0
    "#]]
    .assert_eq(&test.hook.unwrap_or_default());
}

#[test]
fn a_test_that_criu_must_refuse_says_so() {
    let refused = all().into_iter().find(|scenario| matches!(scenario.outcome, scenarios::Outcome::Refused { .. }));
    let test = zdtm_test(&refused.expect("there is one"), &[]).expect("it is exported");
    assert!(test.description.contains("crfail"), "{}", test.description);
    assert!(test.source.contains("The dump must fail"));
}

#[test]
fn programs_that_stand_alone() {
    let alone = |name: &str| c_program(&one(name), &[]).expect("it is exported");
    expect_test::expect_file!["snapshots/directory.c"].assert_eq(&alone("resolution/down@tmpfs,whole"));
    expect_test::expect_file!["snapshots/in_flight.c"].assert_eq(&alone("in-flight/deleted@tmpfs,whole"));
    expect_test::expect_file!["snapshots/namespace_gone.c"].assert_eq(&alone("namespace-gone/file@tmpfs,rdwr"));
}
