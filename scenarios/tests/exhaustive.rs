//! Every program is there: what is enumerated lives and comes once, and nothing that brute
//! force finds is missing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt::Write as _;

use expect_test::expect;
use scenarios::check::Checker;
use scenarios::generate::{self, Exhaustive, Limits};
use scenarios::model::{Entry, EntryKind, FileKey, Model, MountKey, Prediction, Reached};
use scenarios::program::{Line, ObjectName, OpenFlag, Place, Step};
use scenarios::{Bytes, Program, text};

fn all(depth: usize, visible: bool) -> Exhaustive {
    Exhaustive::new(depth, &Limits { disks: false, ..Limits::default() }, visible)
}

/// Of each length: how many there are, and how many are certain to be restorable.
fn counts(depth: usize, visible: bool) -> String {
    let mut counts = vec![(0, 0); depth];
    for program in all(depth, visible) {
        let count = &mut counts[program.steps.len() - 1];
        count.0 += 1;
        count.1 += usize::from(Model::run(&program).expect("it lives").is_restorable());
    }
    let mut out = String::new();
    for (index, (all, restorable)) in counts.into_iter().enumerate() {
        writeln!(out, "{} steps: {all}, {restorable} restorable", index + 1).expect("a string takes everything");
    }
    out
}

#[test]
fn there_are_so_many() {
    expect![[r#"
        1 steps: 0, 0 restorable
        2 steps: 0, 0 restorable
        3 steps: 1, 0 restorable
        4 steps: 77, 45 restorable
    "#]]
    .assert_eq(&counts(4, false));
    expect![[r#"
        1 steps: 0, 0 restorable
        2 steps: 10, 10 restorable
        3 steps: 253, 238 restorable
        4 steps: 7150, 6247 restorable
    "#]]
    .assert_eq(&counts(4, true));
}

#[test]
fn all_live_and_differ_and_the_shortest_come_first() {
    for visible in [false, true] {
        let (mut seen, mut longest) = (HashSet::new(), 0);
        for program in all(if visible { 3 } else { 4 }, visible) {
            let printed = text::print_program(&program);
            assert!(generate::lives(&program), "{printed}");
            assert_eq!(generate::is_detached(&program), !visible, "{printed}");
            assert!(program.steps.len() >= longest, "{printed}");
            longest = program.steps.len();
            assert!(seen.insert(printed.clone()), "twice:\n{printed}");
        }
        assert_eq!(longest, if visible { 3 } else { 4 });
    }
}

#[test]
fn a_greater_depth_begins_with_the_smaller_ones() {
    for (depth, visible) in [(4, false), (3, true)] {
        let short: Vec<Program> = all(depth, visible).collect();
        let long: Vec<Program> = all(depth + 1, visible).take(short.len() + 1).collect();
        assert_eq!(short[..], long[..short.len()]);
        assert_eq!(long[short.len()].steps.len(), depth + 1);
    }
}

#[test]
fn what_is_forbidden_does_not_come() {
    let without = "chdir,symlink".parse().unwrap();
    let limits = Limits { without, ..Limits::default() };
    for program in Exhaustive::new(4, &limits, false) {
        let forbidden = program.steps.iter().find(|line| without.forbids(&line.step));
        assert!(forbidden.is_none(), "{}", text::print_program(&program));
    }
    let shared = Limits { shares: true, ..Limits::default() };
    let is_alone = |program: &Program| program.steps.iter().any(|line| matches!(line.step, Step::Chdir { .. }));
    assert!(!Exhaustive::new(4, &shared, false).any(|program| is_alone(&program)));
}

/// Everything that the model predicts and every flag, with numbers in the order in which they come,
/// for one way to call the names.
struct Renderer<'a> {
    prediction: &'a Prediction,
    called: &'a BTreeMap<Vec<u8>, char>,
    files: Vec<FileKey>,
    mounts: Vec<MountKey>,
    out: String,
}

impl Renderer<'_> {
    fn text(&self, text: &Bytes) -> String {
        let whole = String::from_utf8(text.0.clone()).expect("plain names");
        let called = |part: &str| {
            let (name, rest) = part.split_once(' ').map_or((part, ""), |(name, rest)| (name, rest));
            self.called.get(name.as_bytes()).map_or(part.to_owned(), |called| format!("<{called}> {rest}"))
        };
        whole.split('/').map(called).collect::<Vec<_>>().join("/")
    }

    fn reached(&mut self, reached: &Reached) {
        let link = reached.link.as_ref().map(|link| self.text(link));
        let file = reached.file.map(|file| number(&mut self.files, file));
        let mount = number(&mut self.mounts, reached.mount);
        writeln!(self.out, " {link:?} {file:?} {mount} {:?} {:?}", reached.kind, reached.state)
            .expect("a string takes everything");
    }

    fn render(mut self, flags: &BTreeMap<String, String>) -> String {
        let mut descriptions = Vec::new();
        for seen in &self.prediction.objects {
            // Objects are written in their order, not by their names.
            let name = if seen.name.starts_with("fd") { "fd" } else { &seen.name };
            let description = seen.description.map(|one| number(&mut descriptions, one));
            let (content, position) = (&seen.content, seen.position);
            writeln!(self.out, "{name} {description:?} {content:?} {position:?} {:?}", flags.get(&seen.name))
                .expect("a string takes everything");
            let (link, kind, state, mount, file) = (seen.link.clone(), seen.kind, seen.state, seen.mount, seen.file);
            self.reached(&Reached { file, kind, mount, state, link });
            writeln!(self.out, " links {:?}", seen.links).expect("a string takes everything");
            let cwd = seen.getcwd.as_ref().map(|cwd| cwd.as_ref().map(|text| self.text(text)));
            writeln!(self.out, " getcwd {cwd:?}").expect("a string takes everything");
            for reopen in &seen.reopen {
                match reopen {
                    Some(Ok(reached)) => self.reached(reached),
                    other => writeln!(self.out, " {:?}", other.as_ref().map(|other| other.as_ref().err()))
                        .expect("a string takes everything"),
                }
            }
            let mut lookups: Vec<_> =
                seen.lookups.iter().map(|one| (self.text(&one.path), format!("{:?}", one.how), &one.outcome)).collect();
            lookups.sort_by(|one, other| (&one.0, &one.1).cmp(&(&other.0, &other.1)));
            for (path, how, outcome) in lookups {
                write!(self.out, " {path} {how}").expect("a string takes everything");
                match outcome {
                    Some(Ok(reached)) => self.reached(reached),
                    other => writeln!(self.out, " {:?}", other.as_ref().map(|other| other.as_ref().err()))
                        .expect("a string takes everything"),
                }
            }
        }
        self.out
    }
}

fn number<T: PartialEq>(known: &mut Vec<T>, one: T) -> usize {
    known.iter().position(|other| *other == one).unwrap_or_else(|| {
        known.push(one);
        known.len() - 1
    })
}

/// What is seen of a program, up to a renaming: of all ways to call the names `0`, `1`, ... the
/// first one.
fn rendered(program: &Program, model: &Model) -> String {
    let mut flags = BTreeMap::new();
    for line in &program.steps {
        match &line.step {
            Step::Open { name, flags: own, .. } => _ = flags.insert(name.0.clone(), format!("{own:?}")),
            Step::Dup { name, of, .. } => _ = flags.insert(name.0.clone(), flags[&of.0].clone()),
            _ => {}
        }
    }
    let prediction = model.predict();
    let texts = prediction.objects.iter().flat_map(|seen| {
        let paths = seen.lookups.iter().map(|lookup| &lookup.path);
        seen.link.iter().chain(paths)
    });
    let mut used = BTreeSet::new();
    for text in texts {
        for part in text.0.split(|byte| b"/ ".contains(byte)) {
            used.extend(b"abc".iter().map(|name| vec![*name]).filter(|name| name == part));
        }
    }
    let used: Vec<Vec<u8>> = used.into_iter().collect();
    let ways: &[&str] = match used.len() {
        0 => &[""],
        1 => &["0"],
        2 => &["01", "10"],
        _ => &["012", "021", "102", "120", "201", "210"],
    };
    let render = |way: &&str| {
        let called = used.iter().cloned().zip(way.chars()).collect();
        let (files, mounts) = (Vec::new(), Vec::new());
        Renderer { prediction: &prediction, called: &called, files, mounts, out: String::new() }.render(&flags)
    };
    ways.iter().map(render).min().expect("there is a way")
}

/// Every step that could be meant, of two names in paths of one or two, whatever there is.
fn steps(objects: &[ObjectName], made: usize) -> Vec<Step> {
    let places = ["a", "b", "a/a", "a/b", "b/a", "b/b"];
    let name = format!("fd{made}");
    let mut lines = Vec::new();
    for place in places {
        for verb in ["umount-lazy", "mount tmpfs", "mkdir", "unlink", "rmdir", "chdir", "symlink \"x\""] {
            lines.push(format!("{verb} {place}"));
        }
        lines.push(format!("write {place} \"x\""));
        for flags in ["", " rdwr", " path", " directory", " path nofollow"] {
            lines.push(format!("{name} = open {place}{flags}"));
        }
        for other in places {
            lines.extend(["bind", "link", "rename"].map(|verb| format!("{verb} {place} {other}")));
        }
    }
    for ObjectName(object) in objects {
        lines.push(format!("close {object}"));
        lines.push(format!("{name} = dup {object}"));
    }
    lines.into_iter().map(|line| step(&line)).collect()
}

/// One line as a step, whether it could stand there or not.
fn step(line: &str) -> Step {
    // Text is checked as a whole: the objects that a line may need stand before it, but for the one
    // that it makes.
    let own = line.split(" = ").next().unwrap_or_default();
    let opened = (0..8).map(|number| format!("fd{number}")).filter(|name| name != own);
    let lines: Vec<String> = opened.map(|name| format!("{name} = open a path")).chain([line.to_owned()]).collect();
    let program = text::program(&(lines.join("\n") + "\n")).expect("a good program");
    program.steps.last().expect("the line itself").step.clone()
}

/// Whether the vocabulary means it so: how something is opened depends on what it is, and nothing
/// is written through a symbolic link.
fn is_meant(step: &Step, entries: &[Entry]) -> bool {
    let kind = |at: &Place| entries.iter().find(|entry| entry.place == *at).map(|entry| entry.kind);
    match step {
        Step::Open { at, flags, .. } => match kind(at) {
            Some(EntryKind::Directory) => matches!(flags[..], [OpenFlag::Directory | OpenFlag::Path]),
            Some(EntryKind::Symlink) => flags.contains(&OpenFlag::Nofollow),
            _ => !flags.contains(&OpenFlag::Nofollow),
        },
        Step::Write { at, .. } => kind(at) != Some(EntryKind::Symlink),
        _ => true,
    }
}

/// Goes through every program of `left` more steps; `last` says which steps are tried last.
struct Brute<'a> {
    last: &'a dyn Fn(&Step) -> bool,
    visit: &'a mut dyn FnMut(&Program, &Model),
    vocabulary: BTreeMap<(Vec<ObjectName>, usize), Vec<Step>>,
}

impl Brute<'_> {
    fn go(&mut self, left: usize, state: (&Program, &Model, &Checker)) {
        let (program, model, checker) = state;
        let makes = |line: &&Line| matches!(line.step, Step::Open { .. } | Step::Dup { .. });
        let made = program.steps.iter().filter(makes).count();
        let objects: Vec<ObjectName> =
            checker.open_objects().filter(|name| name.0.starts_with("fd")).cloned().collect();
        let key = (objects, made);
        let steps = self.vocabulary.entry(key.clone()).or_insert_with(|| steps(&key.0, made)).clone();
        let entries = model.survey().entries;
        let tried = |step: &Step| (left > 1 || (self.last)(step)) && is_meant(step, &entries);
        for step in steps.into_iter().filter(tried) {
            let (mut model, mut checker) = (model.clone(), checker.clone());
            if !checker.step(&step).is_empty() || model.step(&step).is_err() {
                continue;
            }
            let mut program = program.clone();
            program.steps.push(Line { number: program.steps.len() + 1, step });
            (self.visit)(&program, &model);
            if left > 1 {
                self.go(left - 1, (&program, &model, &checker));
            }
        }
    }
}

/// Everything of use that brute force finds looks like something that is enumerated.
fn nothing_is_missing(depth: usize, visible: bool, beginnings: &[&str], last: &dyn Fn(&Step) -> bool) {
    let known: HashSet<String> =
        all(depth, visible).map(|program| rendered(&program, &Model::run(&program).expect("it lives"))).collect();
    let (mut looked, mut of_use) = (HashSet::new(), 0);
    let mut visit = |program: &Program, model: &Model| {
        let detaches = program.steps.iter().any(|line| matches!(line.step, Step::Unmount { .. }));
        let survey = model.survey();
        let holds = model.predict().objects.iter().any(|seen| seen.name.starts_with("fd"));
        let is_of_use = if visible { !detaches && holds } else { survey.has_detached && model.is_restorable() };
        if is_of_use {
            of_use += 1;
            let rendered = rendered(program, model);
            assert!(known.contains(&rendered), "{}\n{rendered}", text::print_program(program));
            looked.insert(rendered);
        }
    };
    let mut brute = Brute { last, visit: &mut visit, vocabulary: BTreeMap::new() };
    for beginning in beginnings {
        let program = text::program(beginning).expect("a good program");
        let mut checker = Checker::new();
        program.steps.iter().for_each(|line| _ = checker.step(&line.step));
        let model = Model::run(&program).expect("it lives");
        brute.go(depth - program.steps.len(), (&program, &model, &checker));
    }
    println!("{of_use} of use, {} different, {} enumerated", looked.len(), known.len());
    assert!(of_use > looked.len() && looked.len() > 10);
}

#[test]
fn brute_force_finds_nothing_else_that_is_visible() {
    nothing_is_missing(3, true, &[""], &|_| true);
}

#[test]
fn brute_force_finds_nothing_else_that_is_detached() {
    nothing_is_missing(4, false, &[""], &|step| matches!(step, Step::Unmount { .. }));
}

#[test]
fn brute_force_finds_nothing_else_after_some_beginnings() {
    let beginnings = [
        "mkdir a\nmkdir a/a\n",
        "mkdir a\nwrite a/a \"x\"\n",
        "mount tmpfs a\nmkdir a/a\n",
        "mount tmpfs a\nsymlink \"x\" a/b\n",
        "write a \"x\"\nlink a b\n",
    ];
    nothing_is_missing(5, false, &beginnings, &|step| matches!(step, Step::Unmount { .. }));
}
