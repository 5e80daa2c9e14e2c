//! The project's own catalogue keeps its rules.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use scenarios::program::{Claim, Filesystem, ObjectName, OpenFlag, Program, Step};
use scenarios::{Outcome, Scenario, catalogue, fuzz, text};

fn all() -> Vec<Scenario> {
    catalogue::load(Path::new(catalogue::DIRECTORY)).unwrap_or_else(|diagnostics| {
        panic!("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n\n"))
    })
}

fn file_name(scenario: &Scenario) -> &str {
    let name = scenario.name.split('@').next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or_default()
}

fn is_control(scenario: &Scenario) -> bool {
    file_name(scenario) == "control" || file_name(scenario).starts_with("control-")
}

/// The objects about which a claim of this kind is made.
fn claimed(program: &Program, kind: fn(&Claim) -> bool) -> BTreeSet<&ObjectName> {
    fn object(step: &Step, kind: fn(&Claim) -> bool) -> Option<&ObjectName> {
        match step {
            Step::Assert { object, claim } if kind(claim) => Some(object),
            _ => None,
        }
    }
    program.steps.iter().filter_map(|line| object(&line.step, kind)).collect()
}

/// The objects on mounts that mountinfo does not show.
fn out_of_sight(program: &Program) -> BTreeSet<&ObjectName> {
    claimed(program, |claim| matches!(claim, Claim::Detached | Claim::Elsewhere))
}

fn has(program: &Program, is_it: fn(&Step) -> bool) -> bool {
    program.steps.iter().any(|line| is_it(&line.step))
}

fn unmounts_lazily(program: &Program) -> bool {
    has(program, |step| matches!(step, Step::Unmount { lazy: true, .. }))
}

fn makes_trees(program: &Program) -> bool {
    has(program, |step| matches!(step, Step::OpenTree { .. } | Step::NewTree { .. }))
}

fn leaves_its_namespace(program: &Program) -> bool {
    has(program, |step| matches!(step, Step::UnshareMounts { .. }))
}

#[test]
fn every_scenario_survives_printing() {
    all().iter().for_each(fuzz::round_trip);
}

#[test]
fn every_family_has_controls_and_more() {
    let mut families: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for scenario in all() {
        let counts = families.entry(scenario.family.clone()).or_default();
        if is_control(&scenario) { counts.0 += 1 } else { counts.1 += 1 }
    }
    for (family, (controls, others)) in families {
        assert!(!family.is_empty(), "every file is in a family's folder");
        assert!(controls > 0, "{family} has no control*.scn");
        assert!(others > 0, "{family} has nothing but controls");
    }
}

#[test]
fn controls_show_everything_and_others_do_not() {
    for scenario in all() {
        let (name, program) = (&scenario.name, &scenario.program);
        // What a control detaches must have ended with a process.
        let hides = unmounts_lazily(program) && !(is_control(&scenario) && program.ended().next().is_some())
            || !is_control(&scenario) && (leaves_its_namespace(program) || makes_trees(program));
        assert_eq!(hides, !is_control(&scenario), "{name}: umount-lazy");
        assert_eq!(out_of_sight(program).is_empty(), is_control(&scenario), "{name}: assert OBJECT detached");
        if is_control(&scenario) {
            assert_eq!(scenario.outcome, Outcome::Restored, "{name}");
            assert!(!claimed(program, |claim| *claim == Claim::Visible).is_empty(), "{name}: assert OBJECT visible");
        }
    }
}

#[test]
fn every_object_out_of_sight_has_its_link_pinned() {
    for scenario in all() {
        let program = &scenario.program;
        let linked = claimed(program, |claim| matches!(claim, Claim::Link(_)));
        // The link of a file that never had a name holds its inode number.
        let nameless = program.steps.iter().filter_map(|line| match &line.step {
            Step::Open { name, flags, .. } if flags.contains(&OpenFlag::Tmpfile) => Some(name),
            _ => None,
        });
        for object in out_of_sight(program).difference(&nameless.collect()) {
            assert!(linked.contains(object), "{}: no `assert {} link`", scenario.name, object.0);
        }
    }
}

#[test]
fn every_file_says_what_it_is_about() {
    let mut summaries = BTreeMap::new();
    for scenario in all() {
        let Scenario { name, summary, .. } = &scenario;
        assert!(summary.ends_with('.') && summary.len() <= 120, "{name}: one sentence in one line: {summary}");
        assert_eq!(summary.starts_with("Control: "), is_control(&scenario), "{name}: {summary}");
        let file = scenario.file.clone();
        let other = summaries.entry(summary.clone()).or_insert_with(|| file.clone());
        assert_eq!(*other, file, "{name} has the summary of another file");
    }
}

#[test]
fn files_are_written_as_the_printer_writes() {
    for scenario in all() {
        let path = scenario.file.expect("it was read from a file");
        let source = fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = source.lines().collect();
        for line in &scenario.program.steps {
            let (written, printed) = (lines[line.number - 1], text::print_step(&line.step));
            assert!(written.contains('$') || written == printed, "{}: {written}\nis {printed}", path.display());
        }
        assert!(
            !source.contains("\n\n\n") && source.ends_with('\n') && !source.ends_with("\n\n"),
            "{}",
            path.display()
        );
    }
}

/// What each family is about, alone on a detached bind of a filesystem's whole: the first thing
/// that an implementation gets right.
const ALONE: [(&str, &[&str]); 22] = [
    ("attributes", &["one", "nosymfollow"]),
    ("btrfs", &["plain"]),
    ("caller", &["file"]),
    ("changed", &["rewritten", "name-taken"]),
    ("child-mounts", &["one-child"]),
    ("deleted", &["unlinked", "directory", "never-named", "device"]),
    ("filesystems", &["vfat"]),
    ("hard-link", &["opened-by-the-other", "left-inside"]),
    ("in-flight", &["closed"]),
    ("mount-point", &["removed"]),
    ("namespace-gone", &["file", "deleted-before", "hard-link"]),
    ("names", &["dot-file", "newline", "not-utf8", "longest", "deleted-suffix"]),
    ("never-attached", &["file", "root", "deleted", "mapping", "working-directory"]),
    (
        "objects",
        &[
            "flags",
            "position",
            "sparse",
            "lock",
            "read-lock",
            "metadata",
            "directory",
            "cwd",
            "path-only",
            "fifo-empty",
            "device",
            "map-private",
            "map-shared",
        ],
    ),
    ("over-mount", &["same-directory-twice"]),
    ("overlay", &["created"]),
    ("processes", &["one-description", "deleted", "mapping", "lock"]),
    ("propagation", &["by-a-peer"]),
    ("renamed", &["file"]),
    ("resolution", &["down", "relative-symlink", "created-since"]),
    ("sharing", &["one-mount", "two-mounts", "one-visible", "duplicate", "opened-twice"]),
    ("whole-bind", &["file", "root"]),
];

/// Families without one: two are about another base, in the third nothing is left that could be
/// bound, and in the fourth nothing need be.
const NEVER_ON_A_WHOLE: [&str; 4] = ["subdir-bind", "file-bind", "only-mount", "outside"];

/// Every bind of the program shows the whole of a filesystem, and there is one.
fn binds_wholes_only(program: &Program) -> bool {
    let steps = || program.steps.iter().map(|line| &line.step);
    let mounted = |place| {
        steps().any(|step| matches!(step, Step::Mount { at, .. } | Step::Overlay { at, .. } | Step::Bind { to: at, .. } if at == place))
    };
    let mut wholes = steps().filter_map(|step| match step {
        Step::Bind { from, .. } | Step::OpenTree { at: from, .. } => Some(mounted(from)),
        Step::MountAgain { subvolume, .. } => Some(subvolume.is_none()),
        _ => None,
    });
    match wholes.next() {
        Some(first) => first && wholes.all(|whole| whole),
        // Every mount of the namespace is detached, and its copy shows the same.
        None => leaves_its_namespace(program),
    }
}

#[test]
fn every_family_begins_on_a_whole_bind() {
    let all = all();
    for (family, files) in ALONE {
        for file in files {
            let of_file = || all.iter().filter(|scenario| scenario.family == family && file_name(scenario) == *file);
            let mut kinds: BTreeSet<&str> = BTreeSet::new();
            for scenario in of_file().filter(|scenario| binds_wholes_only(&scenario.program)) {
                kinds.extend(scenario.requires.axes.iter().filter(|(axis, _)| axis == "fs").map(|(_, fs)| fs.as_str()));
                kinds.insert("whole");
            }
            assert!(kinds.contains("whole"), "{family}/{file} is on no bind of a filesystem's whole");
            let has_fs = of_file().any(|scenario| scenario.requires.axes.iter().any(|(axis, _)| axis == "fs"));
            assert!(!has_fs || kinds.contains("ext4"), "{family}/{file} is on no whole bind of ext4");
        }
    }
    let families: BTreeSet<&str> = all.iter().map(|scenario| scenario.family.as_str()).collect();
    let known = ALONE.iter().map(|(family, _)| *family).chain(NEVER_ON_A_WHOLE).collect();
    assert_eq!(families, known, "a new family has a line in ALONE");
}

#[test]
fn much_can_be_restored_by_an_engine_that_knows_whole_binds_only() {
    let all = all();
    let within = |scenario: &&Scenario| {
        scenario.outcome == Outcome::Restored && !is_control(scenario) && binds_wholes_only(&scenario.program)
    };
    let found: Vec<_> = all.iter().filter(within).collect();
    let families: BTreeSet<&str> = found.iter().map(|scenario| scenario.family.as_str()).collect();
    assert!(found.len() >= 240 && families.len() >= 16, "{} scenarios in {families:?}", found.len());
}

#[test]
fn the_catalogue_covers_what_it_must() {
    let all = all();
    assert!(all.len() >= 700, "{} scenarios", all.len());
    let steps: Vec<_> = all.iter().flat_map(|scenario| &scenario.program.steps).map(|line| &line.step).collect();
    for filesystem in [Filesystem::Tmpfs, Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs] {
        let mounts = |step: &&Step| matches!(step, Step::Mount { filesystem: other, .. } if *other == filesystem);
        assert!(steps.iter().any(mounts), "{filesystem:?} is never mounted");
    }
    assert!(steps.iter().any(|step| matches!(step, Step::Overlay { .. })));
    assert!(all.iter().any(|scenario| matches!(scenario.outcome, Outcome::Refused { .. })));
}
