//! What the text means: axes, names, words.

use std::path::Path;

use scenarios::program::{ObjectName, OpenFlag, Place, Step};
use scenarios::{Bytes, Outcome, Scenario, text};

fn scenarios(source: &str, name: &str) -> Vec<Scenario> {
    text::scenarios(source.as_bytes(), name, Path::new("x.scn")).unwrap_or_else(|diagnostics| {
        panic!("{}", diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn steps(source: &str) -> Vec<Step> {
    let program = text::program(source).unwrap_or_else(|diagnostics| panic!("{}", diagnostics[0]));
    program.steps.into_iter().map(|line| line.step).collect()
}

const AXES: &str = "# A summary.  \n\n# More.\nrequires fs=tmpfs|ext4 kernel=6.1.. # c\nrequires access=rdonly|rdwr flavor=ns|host\n\
    outcome refused \"a \\\"reason\\\"\"\nmount $fs a/$fs # c\nfd0 = open a/$fs/f $access\nassert fd0 link \"$fs\"\n";

#[test]
fn axes_multiply() {
    let scenarios = scenarios(AXES, "family/file");
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let expected =
        ["family/file@tmpfs,rdonly", "family/file@tmpfs,rdwr", "family/file@ext4,rdonly", "family/file@ext4,rdwr"];
    assert_eq!(names, expected);
    let last = &scenarios[3];
    assert_eq!(last.family, "family");
    assert_eq!(last.summary, "A summary.");
    assert_eq!(last.outcome, Outcome::Refused { reason: "a \"reason\"".to_owned() });
    assert_eq!(last.requires.kernel_from, Some((6, 1)));
    assert_eq!(last.requires.kernel_to, None);
    assert_eq!(last.requires.flavors, [vocabulary::Flavor::Ns, vocabulary::Flavor::Host]);
    let axes = [("fs".to_owned(), "ext4".to_owned()), ("access".to_owned(), "rdwr".to_owned())];
    assert_eq!(last.requires.axes, axes);
    assert_eq!(last.program.steps[0].number, 7);
    let printed: Vec<_> = last.program.steps.iter().map(|line| text::print_step(&line.step)).collect();
    assert_eq!(printed, ["mount ext4 a/ext4", "fd0 = open a/ext4/f rdwr", "assert fd0 link \"$fs\""]);
}

#[test]
fn files_without_axes_keep_their_name() {
    let scenarios = scenarios("# s\noutcome restored\nassert cwd visible", "mine");
    assert_eq!((scenarios[0].name.as_str(), scenarios[0].family.as_str()), ("mine", ""));
}

#[test]
fn places_and_flags() {
    let place = |base: Option<&str>, path: &[u8]| Place {
        base: base.map(|name| ObjectName(name.to_owned())),
        path: Bytes::from(path),
    };
    let steps = steps(
        "requires ignored=1|2\nfd0 = open d\nmkdir fd0:d/f\nmkdir fd0:\"odd name\"\nfd1 = open fd0: cloexec path\n\
         mkdir \"a\\xff\\n\"#not\nmkdir \"x:y\"\n"
            .replace("#not", " # not")
            .as_str(),
    );
    assert_eq!(steps[1], Step::Mkdir { at: place(Some("fd0"), b"d/f") });
    assert_eq!(steps[2], Step::Mkdir { at: place(Some("fd0"), b"odd name") });
    let flags = vec![OpenFlag::Cloexec, OpenFlag::Path];
    assert_eq!(steps[3], Step::Open { name: ObjectName("fd1".to_owned()), at: place(Some("fd0"), b""), flags });
    assert_eq!(steps[4], Step::Mkdir { at: place(None, b"a\xff\n") });
    assert_eq!(steps[5], Step::Mkdir { at: place(None, b"x:y") });
}

#[test]
fn options_stand_in_any_order() {
    let one = steps("overlay o lower=a lower=b upper=u work=w nfs-export ro");
    assert_eq!(one, steps("overlay o ro nfs-export work=w upper=u lower=a lower=b"));
    assert_eq!(text::print_step(&one[0]), "overlay o lower=a lower=b upper=u work=w nfs-export ro");
}

#[test]
fn a_word_of_the_header_can_be_the_name_of_an_object() {
    assert_eq!(steps("with = open a\nmkdir = dup with\nclose with").len(), 3);
}

const BASES: &str = "# s\nrequires fs=tmpfs|btrfs base=whole|file|again|subvol\noutcome restored\nmount $fs a\nmkdir $in\n\
    write $in/f \"x\"\nbind $of b ro\nfd0 = open b$at\numount-lazy b\nassert fd0 link $link\n";

#[test]
fn a_base_says_how_the_second_mount_is_made() {
    let printed = |scenario: &Scenario| {
        let steps: Vec<_> = scenario.program.steps.iter().map(|line| text::print_step(&line.step)).collect();
        steps[1..].join("; ")
    };
    let scenarios = scenarios(BASES, "x");
    let all: Vec<_> = scenarios.iter().map(|scenario| format!("{}: {}", scenario.name, printed(scenario))).collect();
    let end = "umount-lazy b; assert fd0 link";
    let expected = [
        format!("x@tmpfs,whole: write a/f \"x\"; bind a b ro; fd0 = open b/f; {end} \"/f\""),
        format!("x@tmpfs,file: mkdir a/d; write a/d/f \"x\"; bind a/d/f b ro; fd0 = open b; {end} \"/\""),
        format!("x@btrfs,whole: write a/f \"x\"; bind a b ro; fd0 = open b/f; {end} \"/f\""),
        format!("x@btrfs,file: mkdir a/d; write a/d/f \"x\"; bind a/d/f b ro; fd0 = open b; {end} \"/\""),
        format!("x@btrfs,again: write a/f \"x\"; mount-again a b ro; fd0 = open b/f; {end} \"/f\""),
        format!(
            "x@btrfs,subvol: subvolume a/d; write a/d/f \"x\"; mount-again a b subvol=d ro; fd0 = open b/f; {end} \"/f\""
        ),
    ];
    assert_eq!(all, expected);
    scenarios.iter().for_each(scenarios::fuzz::round_trip);
}

#[test]
fn only_lines_that_name_what_is_bound_change_with_the_base() {
    let source = "# s\nrequires base=again\noutcome restored\nmount ext4 a\nmkdir a/d\nbind a/d b\nmkdir $of/e\n\
        mkdir b/$base\nassert cwd visible\n";
    let printed: Vec<_> =
        scenarios(source, "x")[0].program.steps[1..].iter().map(|line| text::print_step(&line.step)).collect();
    assert_eq!(printed, ["mkdir a/d", "bind a/d b", "mkdir a/e", "mkdir b/again", "assert cwd visible"]);
}

#[test]
fn quotes_follow_a_variable() {
    let source =
        "# s\nrequires x=1|2\noutcome restored\nmkdir $x/\"two words$x\"\nmkdir fd0:\"a\"\nassert cwd visible\n";
    let source = source.replace("mkdir fd0", "fd0 = open .\nmkdir fd0");
    let all = scenarios(&source, "x");
    assert_eq!(text::print_step(&all[1].program.steps[0].step), "mkdir \"2/two words$x\"");
    all.iter().for_each(scenarios::fuzz::round_trip);
    assert!(text::program("mkdir a/\"two words\"\n").is_err(), "one way to write what has no variable");
    assert!(text::scenarios(source.replace("words$x\"", "words\"x").as_bytes(), "x", Path::new("x")).is_err());
}

#[test]
fn a_mistake_behind_a_line_that_a_base_leaves_out_has_its_own_line() {
    let source =
        "# s\nrequires base=whole|subdir\noutcome restored\nmount tmpfs a\nmkdir $of\nclose fd7\nassert cwd visible\n";
    let diagnostics = text::scenarios(source.as_bytes(), "x", Path::new("x.scn")).unwrap_err();
    assert_eq!(diagnostics.iter().map(|found| found.line).collect::<Vec<_>>(), [6]);
}
