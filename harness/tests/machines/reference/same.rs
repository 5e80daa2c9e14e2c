//! The reference engine on the host's own kernel: what it captures and restores is the same
//! afterwards, for scenarios of the catalogue in both ways of making a detached mount, and for
//! variations that are generated.
//!
//! Only filesystems in memory: no disks are needed.

use std::fmt::Write as _;
use std::path::Path;

use arbtest::arbitrary::{self, Unstructured};
use harness::judge::{Context, Judgement, Verdict, judge};
use harness::subject::ReferenceOptions;
use libtest_mimic::Failed;
use protocol::message::{DetachMethod, Lifecycle, TrialReport};
use scenarios::generate::noise;
use scenarios::{Outcome, Scenario, catalogue};
use testing::rig::Rig;

/// So many programs are made up.
const VARIATIONS: u64 = 120;

/// A program that should come back, from its text.
pub(crate) fn scenario(text: &str) -> Result<Scenario, Failed> {
    let program = scenarios::text::program(text).map_err(|faults| format!("a bad program: {faults:?}\n{text}"))?;
    Ok(Scenario::generated("generated", program))
}

/// One trial, judged.
pub(crate) fn run(rig: &mut Rig, scenario: &Scenario, way: DetachMethod) -> Result<(Judgement, TrialReport), Failed> {
    let reference_options = ReferenceOptions { way, ..ReferenceOptions::default() };
    let report = rig.run(&scenario.program, Lifecycle::DumpRestore, reference_options)?;
    let context =
        Context { lifecycle: Lifecycle::DumpRestore, tainted_before: rig.machine.ready().tainted, probed: false };
    Ok((judge(scenario, context, &report), report))
}

/// Every scenario whose outcome hangs on how a detached mount is made comes back in both ways.
pub(crate) fn both_ways_agree() -> Result<(), Failed> {
    let mut rig = Rig::new(false)?;
    let families = ["attributes", "child-mounts", "file-bind", "in-flight", "sharing", "subdir-bind", "resolution"];
    let all = catalogue::load(Path::new(catalogue::DIRECTORY)).map_err(|faults| format!("{faults:?}"))?;
    let mut count = 0;
    for scenario in all.iter().filter(|scenario| families.contains(&scenario.family.as_str())) {
        let in_memory = scenario.requires.axes.iter().any(|(_, value)| value == "tmpfs");
        if !in_memory || scenario.outcome != Outcome::Restored {
            continue;
        }
        for way in [DetachMethod::Tree, DetachMethod::Bind] {
            let (judgement, _) = run(&mut rig, scenario, way)?;
            if judgement.verdict != Verdict::Pass {
                return Err(format!("{} by {way:?}: {judgement:#?}", scenario.name).into());
            }
        }
        count += 1;
    }
    if count < 30 { Err(format!("only {count} scenarios").into()) } else { Ok(()) }
}

const NAMES: &[&str] =
    &["f", "g", ".f", "..f", "...", "f (deleted)", "two words", "new\\nline", "\\\\040", "\\xff\\xfe", "#9", "//"];

/// A program about files below `a`, a bind of a part of it on `b`, and objects on that, which is
/// then detached.
fn variation(u: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let mut text = String::from("mount tmpfs a\nmkdir a/d\nmkdir a/d/e\n");
    let root = *u.choose(&["", "d/", "d/e/"])?;
    let names: Vec<&str> = NAMES.iter().copied().filter(|name| *name != "//").collect();
    let mut files: Vec<String> = Vec::new();
    for directory in ["", "d/", "d/e/"] {
        for _ in 0..u.int_in_range(1..=3)? {
            let path = format!("{directory}{}", u.choose(&names)?);
            if !files.contains(&path) {
                let _ = writeln!(text, "write \"a/{path}\" \"contents of {}\"", files.len());
                files.push(path);
            }
        }
    }
    if u.arbitrary()? {
        let path = format!("{}linked", u.choose(&["", "d/", "d/e/"])?);
        let _ = writeln!(text, "link \"a/{}\" \"a/{path}\"", u.choose(&files)?);
        files.push(path);
    }
    let attribute = *u.choose(&["", "nosuid", "noexec noatime", "nosymfollow nodiratime", "strictatime nodev"])?;
    let _ = writeln!(text, "bind a/{} b {attribute}", root.trim_end_matches('/'));
    let inside: Vec<String> = files.iter().filter_map(|path| path.strip_prefix(root)).map(str::to_owned).collect();
    let mut count = 0;
    for path in &inside {
        if u.ratio(2, 3)? || count == 0 {
            let flags = *u.choose(&["rdonly", "rdwr", "wronly append", "rdwr nonblock", "path", "rdwr cloexec"])?;
            let _ = writeln!(text, "fd{count} = open \"b/{path}\" {flags}");
            count += 1;
        }
    }
    if u.arbitrary()? {
        let _ = writeln!(text, "chdir b");
    }
    if u.arbitrary()? {
        let _ = writeln!(text, "copy = dup fd0");
    }
    if u.arbitrary()? {
        sent(u, count, &mut text)?;
    }
    let early = u.arbitrary()?;
    if early {
        let _ = writeln!(text, "umount-lazy b");
    }
    changes(u, &mut files, &mut text)?;
    if !early {
        let _ = writeln!(text, "umount-lazy b");
    }
    text.push_str("assert fd0 detached\n");
    Ok(text)
}

/// Some of the objects are sent; the last one may be closed then.
fn sent(u: &mut Unstructured<'_>, count: usize, text: &mut String) -> arbitrary::Result<()> {
    text.push_str("near = socketpair\nfar = peer near\n");
    for number in 0..u.int_in_range(1..=3)? {
        let _ = writeln!(text, "m{number} = send {} fd{}", u.choose(&["near", "far"])?, u.choose_index(count)?);
    }
    if count > 1 && u.arbitrary()? {
        let _ = writeln!(text, "close fd{}", count - 1);
    }
    Ok(())
}

/// What happens to the names while the files are open.
fn changes(u: &mut Unstructured<'_>, files: &mut Vec<String>, text: &mut String) -> arbitrary::Result<()> {
    for number in 0..u.int_in_range(0..=4)? {
        if files.is_empty() {
            break;
        }
        let index = u.choose_index(files.len())?;
        let path = files.remove(index);
        match u.int_in_range(0..=3)? {
            0 => {
                let _ = writeln!(text, "unlink \"a/{path}\"");
            }
            1 => {
                let _ = writeln!(text, "unlink \"a/{path}\"\nwrite \"a/{path}\" \"taken {number}\"");
                files.push(path);
            }
            2 => {
                let (directory, _) = path.rsplit_once('/').unwrap_or(("", ""));
                let slash = if directory.is_empty() { "" } else { "/" };
                let moved = format!("{directory}{slash}moved{number}");
                let _ = writeln!(text, "rename \"a/{path}\" \"a/{moved}\"");
                files.push(moved);
            }
            _ => {
                let _ = writeln!(text, "write \"a/d/over{number}\" \"over\"\nrename \"a/d/over{number}\" \"a/{path}\"");
                files.push(path);
            }
        }
    }
    Ok(())
}

/// Whatever a generated program holds is there afterwards; the way of making mounts is a part of
/// the variation. Always the same programs: others are for campaigns.
pub(crate) fn generated_variations_come_back() -> Result<(), Failed> {
    let mut rig = Rig::new(false)?;
    for seed in 0..VARIATIONS {
        let noise = noise(seed);
        let mut u = Unstructured::new(&noise);
        let text = variation(&mut u)?;
        let way = if u.arbitrary()? { DetachMethod::Tree } else { DetachMethod::Bind };
        let (judgement, report) = run(&mut rig, &scenario(&text)?, way)?;
        if judgement.verdict != Verdict::Pass {
            let facts = (&judgement.verdict, &judgement.reason, &judgement.quotes, &report.leftovers);
            return Err(format!("variation {seed}, by {way:?}: {facts:?}\n{text}").into());
        }
    }
    Ok(())
}
