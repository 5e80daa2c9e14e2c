//! The catalogue as C, and four programs of it as text.

use std::collections::BTreeSet;

use scenarios::catalogue::{DIRECTORY, load};
use scenarios::{Scenario, Step, text};

use super::{Dialect, Refusal, c_program, file, file_name, shell_script, zdtm_test};

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

#[test]
fn a_shell_script_stands_alone_or_is_refused_by_name() {
    let script = shell_script(&one("deleted/unlinked@tmpfs,rdwr,whole"), &[]).expect("it is exported");
    expect_test::expect_file!["snapshots/deleted_file.sh"].assert_eq(&script);
    let refused = |name: &str| shell_script(&one(name), &[]).expect_err("it is refused").to_string();
    let all = ["objects/control-lock@posix", "in-flight/control@tmpfs", "attributes/control@tmpfs,ro"].map(refused);
    expect_test::expect![[r#"
        line 10, `lock fd0 posix write`: a shell has no call for this step
        line 12, `near = socketpair`: a shell has no call for this step
        line 8, `bind a/d b ro`: mount(8) gives a mount flags of its own"#]]
    .assert_eq(&all.join("\n"));
    assert!(share(|scenario| shell_script(scenario, &[]).is_ok()) >= 45);
}

/// Starts the script of a scenario in a namespace of its own, as root of a user namespace; changes
/// what it holds when it has stopped itself; its exit status and what it says after it went on.
fn run(script: &str, change: impl Fn(i32)) -> (Option<i32>, String) {
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("script.sh");
    std::fs::write(&file, script).expect("a script");
    let mut command = std::process::Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh"]).arg(&file).arg(folder.path().join("top"));
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("unshare and sh");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).expect("a PID"));
    // unshare(1) becomes the shell: it is the child that stops.
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).expect("a child");
    assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGSTOP)), "it did not stop itself: {stopped:?}");
    change(pid.as_raw());
    kill(pid, Signal::SIGCONT).expect("it is there");
    let output = child.wait_with_output().expect("a child");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_shell_script_finds_what_changed() {
    let script = |name: &str| shell_script(&one(name), &[]).expect("it is exported");
    for name in ["deleted/unlinked@tmpfs,rdwr,whole", "subdir-bind/control@tmpfs", "resolution/down@tmpfs,whole"] {
        assert_eq!(run(&script(name), |_| {}), (Some(0), String::new()), "{name}");
    }
    let write = |pid: i32| std::fs::write(format!("/proc/{pid}/fd/3"), "other").expect("the file of a descriptor");
    let (status, said) = run(&script("deleted/unlinked@tmpfs,rdwr,whole"), write);
    assert_eq!(status, Some(1));
    assert!(said.contains("FAIL: not so: assert fd0 content"), "{said}");
}
