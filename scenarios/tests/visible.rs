//! Controls that are derived from the catalogue: every scenario with a detached mount has one, or a
//! reason.

use std::collections::BTreeSet;
use std::path::Path;

use expect_test::expect;
use scenarios::capability::{Base, profile};
use scenarios::model::Model;
use scenarios::program::Claim;
use scenarios::text::{self, print_program, print_scenario};
use scenarios::visible::{Why, control, control_name, controls, is_control};
use scenarios::{Outcome, Scenario, Step, catalogue, check};

fn all() -> Vec<Scenario> {
    catalogue::load(Path::new(catalogue::DIRECTORY)).expect("the catalogue can be read")
}

fn scenario(name: &str, steps: &str) -> Scenario {
    let text = format!("# One.\nrequires fs=tmpfs\noutcome restored\n\n{steps}");
    let found = text::scenarios(text.as_bytes(), name, Path::new("x.scn"));
    found.unwrap_or_else(|mistakes| panic!("{}", mistakes[0])).remove(0)
}

#[test]
fn a_control_has_the_steps_and_what_is_true_of_them() {
    let detached = scenario(
        "deleted/x",
        "mount $fs a\nmkdir a/d\nwrite a/d/f \"hello\"\nbind a/d b\nfd0 = open b/f rdwr\nseek fd0 3\nunlink b/f\n\
         umount-lazy b\nassert fd0 detached\nassert fd0 link \"/f (deleted)\"\nassert fd0 content \"hello\"\n\
         assert fd0 position 3\n",
    );
    let control = control(&detached).expect("it is detached").expect("it has a control");
    expect![[r#"
        deleted/x+visible@tmpfs
        # Nothing is out of sight: One.
        with fs=tmpfs
        outcome restored

        mount tmpfs a
        mkdir a/d
        write a/d/f "hello"
        bind a/d b
        fd0 = open b/f rdwr
        seek fd0 3
        unlink b/f
        assert fd0 visible
        assert fd0 link "/b/f (deleted)"
        assert fd0 content "hello"
        assert fd0 position 3
    "#]]
    .assert_eq(&format!("{}\n{}", control.name, print_scenario(&control)));
}

#[test]
fn what_the_model_refuses_has_none() {
    let removed = scenario(
        "mount-point/x",
        "mount $fs a\nwrite a/f \"\"\nbind a b\nfd0 = open b/f\numount-lazy b\nrmdir b\nassert fd0 detached\n",
    );
    let why = control(&removed).expect("it is detached").expect_err("a mount point cannot be removed");
    expect!["with every mount in sight `rmdir b` is not carried out: EBUSY"].assert_eq(&why.to_string());
    let visible = scenario("a/x", "mount $fs a\nfd0 = open a\nassert fd0 visible\n");
    assert_eq!(control(&visible), None);
}

#[test]
fn one_program_has_one_control() {
    let steps = "mount $fs a\nwrite a/f \"\"\nbind a b\nfd0 = open b/f\n";
    let detached = |name| scenario(name, &format!("{steps}umount-lazy b\nassert fd0 detached\n"));
    let both = controls(&[detached("a/x"), detached("a/y")]);
    assert_eq!(both.scenarios.len(), 1);
    assert_eq!(both.missing, [("a/y+visible@tmpfs".to_owned(), Why::SameAs("a/x+visible@tmpfs".to_owned()))]);
    let written = scenario("z/control", &format!("{steps}assert fd0 visible\n"));
    let none = controls(&[detached("a/x"), written]);
    assert_eq!(none.missing, [("a/x+visible@tmpfs".to_owned(), Why::SameAs("z/control@tmpfs".to_owned()))]);
}

#[test]
fn every_scenario_of_the_catalogue_has_a_control_or_a_reason() {
    let all = all();
    let found = controls(&all);
    assert_eq!(found, controls(&all), "deriving comes to the same each time");
    let names: Vec<&String> = found.scenarios.iter().map(|one| &one.name).collect();
    let missing: Vec<&String> = found.missing.iter().map(|(name, _)| name).collect();
    let unique: BTreeSet<&&String> = names.iter().chain(&missing).collect();
    assert_eq!(unique.len(), names.len() + missing.len());
    let is_out_of_sight = |one: &Scenario| !profile(&one.program).bases.contains(&Base::Visible);
    let wanted = all.iter().filter(|one| one.outcome == Outcome::Restored && is_out_of_sight(one));
    let wanted: Vec<String> = wanted.map(|one| control_name(&one.name)).collect();
    assert!(wanted.iter().all(|name| unique.contains(&&name)) && wanted.len() == unique.len());
    // Those that are another one's program lose nothing; the others are few.
    let lost: Vec<String> = found
        .missing
        .iter()
        .filter(|(_, why)| !matches!(why, Why::SameAs(_)))
        .map(|(name, why)| format!("{name}: {why}\n"))
        .collect();
    expect![[r#"
        child-mounts/hundred+visible: step 257: a program has at most 256 steps
        file-bind/mount-point-removed+visible@ext4: with every mount in sight `unlink b` is not carried out: EBUSY
        file-bind/mount-point-removed+visible@tmpfs: with every mount in sight `unlink b` is not carried out: EBUSY
        mount-point/read-only-root+visible@subdir: with every mount in sight `remount . ro` is not carried out: the model does not know: attributes of the top directory's mount, which the harness needs
        mount-point/read-only-root+visible@whole: with every mount in sight `remount . ro` is not carried out: the model does not know: attributes of the top directory's mount, which the harness needs
        mount-point/removed+visible@ext4,subdir: with every mount in sight `rmdir b` is not carried out: EBUSY
        mount-point/removed+visible@ext4,whole: with every mount in sight `rmdir b` is not carried out: EBUSY
        mount-point/removed+visible@tmpfs,subdir: with every mount in sight `rmdir b` is not carried out: EBUSY
        mount-point/removed+visible@tmpfs,whole: with every mount in sight `rmdir b` is not carried out: EBUSY
        mount-point/replaced+visible@tmpfs,subdir: with every mount in sight `rename b old` is not carried out: EBUSY
        mount-point/replaced+visible@tmpfs,whole: with every mount in sight `rename b old` is not carried out: EBUSY
        namespace-gone/counterpart-read-only+visible@ext4: with every mount in sight `remount a ro` is not carried out: EBUSY
        namespace-gone/counterpart-read-only+visible@tmpfs: with every mount in sight `remount a ro` is not carried out: EBUSY
        never-attached/attributes-dropped+visible@ext4: with every mount in sight `fd0 = open tree:f rdwr` is not carried out: EROFS
        never-attached/attributes-dropped+visible@tmpfs: with every mount in sight `fd0 = open tree:f rdwr` is not carried out: EROFS
        objects/chroot+visible@ext4,subdir: something is out of sight without the lazy unmounts, too
        objects/chroot+visible@ext4,whole: something is out of sight without the lazy unmounts, too
        objects/chroot+visible@tmpfs,subdir: something is out of sight without the lazy unmounts, too
        objects/chroot+visible@tmpfs,whole: something is out of sight without the lazy unmounts, too
        objects/root+visible: something is out of sight without the lazy unmounts, too
        outside/decoy+visible@ext4: with every mount in sight `umount a` is not carried out: EBUSY
        outside/decoy+visible@tmpfs: with every mount in sight `umount a` is not carried out: EBUSY
        outside/without-counterpart+visible@ext4: with every mount in sight `umount a` is not carried out: EBUSY
        outside/without-counterpart+visible@tmpfs: with every mount in sight `umount a` is not carried out: EBUSY
        processes/root-of-the-child+visible@ext4,subdir: something is out of sight without the lazy unmounts, too
        processes/root-of-the-child+visible@ext4,whole: something is out of sight without the lazy unmounts, too
        processes/root-of-the-child+visible@tmpfs,subdir: something is out of sight without the lazy unmounts, too
        processes/root-of-the-child+visible@tmpfs,whole: something is out of sight without the lazy unmounts, too
    "#]]
    .assert_eq(&lost.concat());
}

#[test]
fn every_control_is_a_good_scenario_that_holds_only_what_is_visible() {
    for control in controls(&all()).scenarios {
        let name = &control.name;
        assert!(is_control(name));
        assert_eq!(check::scenario(&control), [], "{name}");
        assert_eq!(profile(&control.program).bases, [Base::Visible].into(), "{name}");
        let model = Model::run(&control.program).unwrap_or_else(|refused| panic!("{name}: {refused:?}"));
        for line in &control.program.steps {
            match &line.step {
                Step::Assert { claim: Claim::Detached, .. } | Step::Unmount { lazy: true, .. } => panic!("{name}"),
                Step::Assert { object, claim } => assert_eq!(model.holds(object, claim), Some(true), "{name}"),
                _ => {}
            }
        }
        // Its text is a scenario file: what it prints reads the same.
        let file = name.split('@').next().expect("the first part");
        let again = text::scenarios(print_scenario(&control).as_bytes(), file, Path::new("x.scn"));
        let again = again.unwrap_or_else(|mistakes| panic!("{name}: {}", mistakes[0]));
        assert_eq!((&again[0].requires, &again[0].outcome), (&control.requires, &Outcome::Restored));
        assert_eq!(print_program(&again[0].program), print_program(&control.program));
    }
}
