//! What a scenario needs of a trial and of a machine, checked before it runs: what is missing
//! makes the trial `unsupported`, with the reason.

use protocol::message::{Action, Flavor, Input, Lifecycle, Ready};
use scenarios::program::{DeviceKind, Filesystem, Mark};
use scenarios::{Scenario, Step};

use crate::judge::Trial;
use crate::judge::range::Version;
use crate::subject::REFERENCE;

/// Why the scenario cannot be run as this trial, from its `requires` lines; `None` when it can.
pub fn unmet(scenario: &Scenario, trial: &Trial) -> Option<String> {
    let requires = &scenario.requires;
    let one_of = |what: &str, words: Vec<&str>, word: &str, serves: bool| {
        let met = words.is_empty() || serves;
        (!met).then(|| format!("the scenario requires {what} {}, this is {word}", words.join(" or ")))
    };
    let flavors = &requires.flavors;
    let lifecycles = &requires.lifecycles;
    let serves = flavors.iter().any(|&flavor| trial.flavor.serves(flavor));
    one_of("flavor", flavors.iter().map(|flavor| flavor.word()).collect(), trial.flavor.word(), serves)
        .or_else(|| {
            let serves = lifecycles.contains(&trial.lifecycle);
            one_of("lifecycle", lifecycles.iter().map(|one| one.word()).collect(), trial.lifecycle.word(), serves)
        })
        .or_else(|| {
            let release = Version::find(&trial.kernel)?.release();
            let too_old = requires.kernel_from.is_some_and(|from| release < from);
            let too_new = requires.kernel_to.is_some_and(|to| release > to);
            let end =
                |end: Option<(u32, u32)>| end.map_or_else(String::new, |(major, minor)| format!("{major}.{minor}"));
            let range = format!("{}..{}", end(requires.kernel_from), end(requires.kernel_to));
            (too_old || too_new).then(|| format!("the scenario requires kernel {range}, this is {}", trial.kernel))
        })
        .or_else(|| beyond(trial))
        .or_else(|| unchanged(scenario, trial))
        .or_else(|| forbidden(scenario, trial.flavor))
}

/// Why a trial in which others change the tree cannot be.
fn unchanged(scenario: &Scenario, trial: &Trial) -> Option<String> {
    if !trial.lifecycle.actions().contains(&Action::Change) {
        return None;
    }
    if scenario.program.changes.is_empty() {
        return Some(format!("lifecycle {} needs a scenario that says what is changed", trial.lifecycle));
    }
    (trial.flavor == Flavor::Userns).then(|| "who changes the tree is not in the user namespace".to_owned())
}

/// What root of a user namespace may not do, with its page in the manual.
fn forbidden(scenario: &Scenario, flavor: Flavor) -> Option<String> {
    let has_disk = scenario
        .program
        .steps
        .iter()
        .any(|line| matches!(line.step, Step::Mount { filesystem, .. } if filesystem.needs_disk()));
    let why = |step: &Step| match step {
        Step::Remount { superblock: true, .. } if has_disk => {
            Some("may not change a filesystem on a block device (user_namespaces(7))")
        }
        Step::Map { .. } => Some("does not see which file a mapping is of (proc_pid_map_files(5))"),
        Step::Mknod { kind, major, minor, .. } if *kind == DeviceKind::Block || (*major, *minor) != WHITEOUT => {
            Some("may not make a device (user_namespaces(7))")
        }
        Step::Mount { filesystem: Filesystem::Sysfs, .. } => Some(
            "may not mount a sysfs: that belongs to a network namespace, which is not its own (user_namespaces(7))",
        ),
        Step::Mount { filesystem, .. } if filesystem.needs_root() => {
            Some("may not mount a filesystem that is the whole machine's (user_namespaces(7))")
        }
        Step::Mount { filesystem, .. } if filesystem.is_read_only() || *filesystem == Filesystem::Vfat => {
            Some("has no files on a filesystem whose owners cannot be changed (user_namespaces(7))")
        }
        Step::MountAgain { subvolume: Some(_), .. } => {
            Some("may not mount a block device, and the subvolume is made too late to be given (user_namespaces(7))")
        }
        Step::Overlay { settings, .. } if settings.given().any(|(name, on)| on && name != "xino") => {
            Some("may not set attributes of the class trusted, in which an overlay keeps what this needs (xattr(7))")
        }
        Step::Fanotify { mark: Mark::Mount | Mark::Filesystem, .. } => Some("may mark files only (fanotify_init(2))"),
        Step::Setxattr { name, .. } if name.0.starts_with(b"trusted.") => {
            Some("may not set attributes of the class trusted (xattr(7))")
        }
        _ => None,
    };
    let steps = scenario.program.steps.iter().filter(|_| flavor == Flavor::Userns);
    let (line, why) = steps.filter_map(|line| Some((line, why(&line.step)?))).next()?;
    let step = scenarios::text::print_step(&line.step);
    Some(format!("flavor {flavor}: root of a user namespace {why}, which `{}` needs", step.trim_end()))
}

/// The character device 0:0, which overlayfs takes for a removed name: everybody may make it.
const WHITEOUT: (u32, u32) = (0, 0);

/// What the engine cannot do: the reference engine has neither pre-dumps nor a service.
fn beyond(trial: &Trial) -> Option<String> {
    let known = [
        Action::Dump,
        Action::DumpLeaveRunning,
        Action::Restore,
        Action::FailedRestore,
        Action::KilledRestore,
        Action::Change,
        Action::End,
        Action::RelativeDump,
        Action::RelativeRestore,
        Action::Nothing,
    ];
    let other = trial.lifecycle.actions().iter().find(|action| !known.contains(action)).map(|action| action.word());
    let input = (trial.lifecycle.input() != Input::Null).then_some("standard input");
    let other = other.or(input).filter(|_| trial.subject.starts_with(REFERENCE))?;
    Some(format!("the reference engine has no {other}, which {} needs", trial.lifecycle))
}

/// What the scenario or the lifecycle needs and this machine lacks; `None` when it has all.
pub fn lacking(scenario: &Scenario, lifecycle: Lifecycle, ready: &Ready) -> Option<String> {
    if lifecycle.actions().contains(&Action::PreDump) && !ready.soft_dirty {
        let why = "does not tell which pages were written to (CONFIG_MEM_SOFT_DIRTY)";
        return Some(format!("kernel {} {why}, which a pre-dump needs", ready.kernel));
    }
    let filesystems = scenario.program.filesystems();
    let missing = filesystems.iter().find(|name| !ready.filesystems.contains(name))?;
    Some(match ready.lacking.get(missing.as_str()) {
        Some(why) => format!("no filesystem {missing} here: {why}"),
        None => format!("kernel {} has no filesystem {missing} here", ready.kernel),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::fixtures::{self, requiring};

    const CYCLE: Lifecycle = Lifecycle::DumpRestore;

    fn scenario(head: &str) -> Scenario {
        requiring("names/x", head, "mount ext4 a\nfd0 = open a rdonly\nassert fd0 visible\n")
    }

    fn trial(subject: &str, lifecycle: Lifecycle, kernel: &str) -> Trial {
        Trial { lifecycle, kernel: kernel.into(), subject: subject.into(), ..fixtures::trial("x") }
    }

    fn rendered(head: &str, kernel: &str) -> String {
        unmet(&scenario(head), &trial("reference", Lifecycle::DumpRestore, kernel)).unwrap_or_default()
    }

    #[test]
    fn the_reference_engine_dumps_and_restores_and_no_more() {
        let rendered =
            |subject, lifecycle| unmet(&scenario(""), &trial(subject, lifecycle, "6.12")).unwrap_or_default();
        for lifecycle in [Lifecycle::ThreeTimes, Lifecycle::LeaveRunning, Lifecycle::LeaveRunningDump] {
            assert_eq!(rendered("reference+fault:attached", lifecycle), "");
        }
        expect!["the reference engine has no pre-dump, which pre-dump needs"]
            .assert_eq(&rendered("reference", Lifecycle::PreDump));
        expect!["the reference engine has no compat-restore, which compat-mode needs"]
            .assert_eq(&rendered("reference+fault:attached", Lifecycle::CompatMode));
        assert_eq!(rendered("debian:trixie", Lifecycle::PreDump), "");
    }

    #[test]
    fn a_pre_dump_needs_soft_dirty_bits() {
        let ready = |soft_dirty| Ready {
            kernel: "6.12.5".into(),
            filesystems: vec!["ext4".to_owned()],
            soft_dirty,
            ..Ready::default()
        };
        let rendered =
            |lifecycle, soft_dirty| lacking(&scenario(""), lifecycle, &ready(soft_dirty)).unwrap_or_default();
        assert_eq!(rendered(Lifecycle::PreDump, true), "");
        assert_eq!(rendered(Lifecycle::ThreeTimes, false), "");
        expect![
            "kernel 6.12.5 does not tell which pages were written to (CONFIG_MEM_SOFT_DIRTY), which a pre-dump needs"
        ]
        .assert_eq(&rendered(Lifecycle::PreDump, false));
    }

    #[test]
    fn requirements_are_met_or_named() {
        assert_eq!(rendered("", "6.12"), "");
        assert_eq!(rendered("requires flavor=ns|host kernel=6.1..6.12", "6.12"), "");
        expect!["the scenario requires flavor host, this is ns"].assert_eq(&rendered("requires flavor=host", "6.12"));
        expect!["the scenario requires lifecycle leave-running, this is dump-restore"]
            .assert_eq(&rendered("requires lifecycle=leave-running", "6.12"));
        expect!["the scenario requires kernel 7.0.., this is 6.12"]
            .assert_eq(&rendered("requires kernel=7.0..", "6.12"));
        expect!["the scenario requires kernel ..6.1, this is 6.12"]
            .assert_eq(&rendered("requires kernel=..6.1", "6.12"));
    }

    #[test]
    fn a_changed_tree_needs_changes() {
        let rendered = |head: &str, change: &str, flavor| {
            let steps = format!("mount ext4 a\nfd0 = open a rdonly\nassert fd0 visible\n{change}");
            let scenario = requiring("names/x", head, &steps);
            let trial = Trial { flavor, ..trial("reference", Lifecycle::ChangedTree, "6.12") };
            unmet(&scenario, &trial).unwrap_or_default()
        };
        let (head, change) = ("requires lifecycle=changed-tree", "change mkdir a/d\n");
        assert_eq!(rendered(head, change, Flavor::Host), "");
        expect!["lifecycle changed-tree needs a scenario that says what is changed"].assert_eq(&rendered(
            "",
            "",
            Flavor::Ns,
        ));
        expect!["who changes the tree is not in the user namespace"].assert_eq(&rendered(head, change, Flavor::Userns));
    }

    #[test]
    fn a_user_namespace_does_not_allow_everything() {
        let rendered = |steps: &str, flavor| {
            let scenario = requiring("names/x", "", &format!("{steps}\nfd0 = open a path\nassert fd0 visible\n"));
            unmet(&scenario, &Trial { flavor, ..fixtures::trial("x") }).unwrap_or_default()
        };
        assert_eq!(rendered("mknod a char 1 3", Flavor::Ns), "");
        assert_eq!(rendered("mknod a char 0 0", Flavor::Userns), "");
        assert_eq!(rendered("mount ext4 a", Flavor::Userns), "");
        expect!["flavor userns: root of a user namespace may not make a device (user_namespaces(7)), which `mknod a char 1 3` needs"]
            .assert_eq(&rendered("mknod a char 1 3", Flavor::Userns));
        for steps in
            ["mount sysfs a", "mount btrfs b; mount-again b a subvol=s", "write a \"x\"; setxattr a trusted.x \"y\""]
        {
            assert!(rendered(&steps.replace("; ", "\n"), Flavor::Userns).contains("may not"), "{steps}");
        }
    }

    #[test]
    fn a_flavor_with_a_root_of_its_own_runs_what_needs_one() {
        let needs_own = requiring("names/x", "requires flavor=ns", "unshare-mounts\nassert cwd visible\n");
        let with = |flavor| unmet(&needs_own, &Trial { flavor, ..fixtures::trial("x") });
        assert_eq!((with(Flavor::Ns), with(Flavor::Userns)), (None, None));
        expect!["the scenario requires flavor ns, this is host"].assert_eq(&with(Flavor::Host).unwrap_or_default());
    }

    #[test]
    fn a_machine_has_the_filesystems_or_lacks_one() {
        let ready = |filesystems: &[&str]| Ready {
            kernel: "6.12.5".into(),
            filesystems: filesystems.iter().map(|name| (*name).to_owned()).collect(),
            ..Ready::default()
        };
        assert_eq!(lacking(&scenario(""), CYCLE, &ready(&["ext4", "tmpfs"])), None);
        expect!["kernel 6.12.5 has no filesystem ext4 here"]
            .assert_eq(&lacking(&scenario(""), CYCLE, &ready(&["tmpfs"])).unwrap_or_default());
        let confined = Ready { lacking: [("ext4".to_owned(), "only root may".to_owned())].into(), ..ready(&["tmpfs"]) };
        expect!["no filesystem ext4 here: only root may"]
            .assert_eq(&lacking(&scenario(""), CYCLE, &confined).unwrap_or_default());
    }
}
