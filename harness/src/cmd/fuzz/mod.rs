//! `fuzz`: a campaign.

mod view;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use protocol::message::{Flavor, Lifecycle};
use scenarios::Program;
use scenarios::live::{Limits, Without};

use crate::args::AxesArgs;
use crate::args::MachineArgs;
use crate::exit;
use crate::fuzz::draw::Wanted;
use crate::fuzz::{Campaign, Every, KnownFailures, Settings, Side, State, buckets};
use crate::judge::{Signature, Trial};
use crate::machine::Backend;
use crate::plan;
use crate::run::Policy;
use crate::session::KnownFailures as Expected;
use crate::subject::{self, ReferenceOptions, Subject};
use crate::usage::Usage;
use view::View;

/// Find what nobody wrote down: run generated programs, for hours, unattended.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached fuzz --subject src:../criu --time 8h
  zdtm-detached fuzz --subject src:../criu+coverage --time 8h    built to count its branches: new ones are interesting, too
  zdtm-detached fuzz --controls --time 30m                       Debian's criu, ordinary files only
  zdtm-detached fuzz --controls --without overlay,ramfs          and nothing of what it is known not to do
  zdtm-detached fuzz --kernel 6.12 --kernel 7.3 --time 8h        a VM with each, side by side
  zdtm-detached fuzz --differential --subject git:../criu@v4.1 --subject src:../criu --controls
  zdtm-detached fuzz --lifecycle three-times --lifecycle leave-running-dump
  zdtm-detached fuzz --subject reference --backend host          the engine on this machine's own kernel: fast
  zdtm-detached fuzz --subject reference+fault:undeleted --backend host --first --time 1m
  zdtm-detached fuzz --subject src:../criu --past CAUSE          go on past what every program fails by
  zdtm-detached fuzz --exhaustive 5 --subject src:../criu        nothing at random: every short program, then it ends

All is in the folder (--state) after every batch: state.json, from which the same command goes on; findings/*.scn, each with how to
run it; index.html. A file of findings/ copied into the catalogue is a regression test.

Programs are drawn without what is found to be broken, most of the time. Where every program fails by one cause the campaign
says so within a minute and ends; --past CAUSE goes on, with what else there is.

Exit status: 0 nothing was found, 1 something was, 2 wrong usage, 3 infrastructure, 130 interrupted.")]
pub struct FuzzArgs {
    /// What is tested
    #[arg(long, value_name = "SUBJECT", env = "ZDTM_DETACHED_SUBJECT", long_help = subject::HELP)]
    pub subject: Vec<Subject>,
    /// Patch on top of a src: or git: subject; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    /// Kernels, which share the machines as subjects do; one flavor; lifecycles in turn
    #[command(flatten)]
    pub axes: AxesArgs,
    /// Run every program with each kernel and each subject: a finding is what they do not agree
    /// about
    #[arg(long)]
    pub differential: bool,
    /// End after this time: 90s, 30m, 8h [default: never]
    #[arg(long, value_name = "T", value_parser = time)]
    pub time: Option<Duration>,
    /// End after so many programs
    #[arg(long, value_name = "N")]
    pub programs: Option<u64>,
    /// End with the first finding, once it is shrunk
    #[arg(long)]
    pub first: bool,
    /// Run every program with up to so many steps of a small vocabulary, the shortest first, each
    /// once, then end
    ///
    /// Instead of programs that are drawn. The vocabulary: mounts of tmpfs, bind, umount-lazy,
    /// mkdir, write, symlink, link, rename, unlink, rmdir, chdir, open, dup; three names, in paths
    /// of at most two. Only what is certain to be restorable. With something detached the shortest
    /// have 4 steps; 5 are 2,533 programs, 6 are 132,115. docs/FUZZING.md says what is left out.
    #[arg(long, value_name = "DEPTH", value_parser = clap::value_parser!(u8).range(1..), conflicts_with_all = ["seed", "corpus"])]
    pub exhaustive: Option<u8>,
    /// Of the programs; a campaign that goes on keeps its own [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Only programs with nothing on detached mounts
    #[arg(long)]
    pub controls: bool,
    /// Steps, filesystems and `odd-names` that no program has, with commas in between: what the
    /// engine is known not to do would only cost time
    #[arg(long, value_name = "WORDS", default_value = "")]
    pub without: Without,
    /// Programs to begin with: scenario files in a folder, the catalogue for instance
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Findings that are known, a signature on each line: they are counted only
    #[arg(long, value_name = "FILE")]
    pub known: Option<PathBuf>,
    /// A cause by which every program fails, as the campaign says it: known, and the campaign goes
    /// on; may be given more than once
    #[arg(long, value_name = "CAUSE")]
    pub past: Vec<String>,
    /// Folder of the campaign's state
    #[arg(long, value_name = "DIR", default_value = "zdtm-fuzz")]
    pub state: PathBuf,
    /// How the end is told
    #[arg(long, value_enum, default_value = "human")]
    pub format: FuzzFormat,
    /// How many programs go into one process; 0 for none [default: 64 with criu, 32 without]
    #[arg(long, value_name = "N")]
    pub pack: Option<usize>,
    /// What programs run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// So many of 256 programs of a campaign for criu without detached mounts may have disks, and so
/// many tmpfs. A disk takes as long as three programs without, a tmpfs, for which criu starts three
/// helpers, as five.
const DISKS: u8 = 10;
const MEMORY: u16 = 8;

/// So many of 256 programs may need a process of their own. Most of a checkpoint's time is the
/// process's, not the program's, with criu even more so.
const ALONE: u8 = 5;
const ALONE_WITH_CRIU: u8 = 2;

/// Programs of one process with criu: what it does for the process takes as long as some forty
/// programs.
const PACK_WITH_CRIU: usize = 64;

/// One of so many programs goes through another lifecycle, alone as well.
const OTHER_LIFECYCLE: u64 = 192;
const OTHER_LIFECYCLE_WITH_CRIU: u64 = 512;

/// How the end is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FuzzFormat {
    /// For people
    Human,
    /// One JSON document (docs/FORMATS.md)
    Json,
}

fn time(word: &str) -> Result<Duration, String> {
    let wrong = || "a number with s, m or h behind it: 90s, 30m, 8h".to_owned();
    let (number, unit) = word.split_at(word.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(word.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// Fuzzes; the exit status.
///
/// # Errors
/// What keeps programs from running, or the state from being saved.
pub fn run(args: &FuzzArgs) -> anyhow::Result<u8> {
    let session = args.machines.session()?;
    let subjects = session.subjects(&args.subject, &args.patch)?;
    session.check_backend(&subjects)?;
    let kernels = session.kernels(&args.axes.axes())?;
    let flavor = plan::single("--flavor", &args.axes.flavor, Some(Flavor::Ns))?;
    let expectations = session.expectations(&Expected::Project)?;
    let mut known = match &args.known {
        Some(file) => buckets::known(file).map_err(|error| Usage(format!("--known {}: {error}", file.display())))?,
        None => BTreeSet::new(),
    };
    known.extend(args.past.iter().map(|cause| Signature(cause.trim().to_owned())));
    let corpus = args.corpus.as_deref().map(corpus).transpose()?.unwrap_or_default();
    let pairs: Vec<(&String, &Subject)> =
        kernels.iter().flat_map(|kernel| subjects.iter().map(move |subject| (kernel, subject))).collect();
    if args.differential && pairs.len() < 2 {
        let what = "--differential compares: give --kernel or --subject more than once";
        return Err(Usage(what.to_owned()).into());
    }
    let side = |(kernel, subject): &(&String, &Subject)| Side {
        name: match (kernels.len(), subjects.len()) {
            (1, _) => subject.to_string(),
            (_, 1) => (*kernel).clone(),
            _ => format!("{subject} on {kernel}"),
        },
        trial: Trial {
            scenario: String::new(),
            family: "fuzz".to_owned(),
            flavor,
            lifecycle: Lifecycle::DumpRestore,
            kernel: (*kernel).clone(),
            subject: subject.to_string(),
        },
        engine: subject.engine(ReferenceOptions::default()),
    };
    let sides: Vec<Side> = pairs.iter().map(side).collect();
    let what = what(args, &subjects, &kernels, flavor) + &every(args, sides.len())?;
    let state = State::load(&args.state, &what).map_err(|error| Usage(error.to_string()))?;
    let goes_on = state.is_some();
    let mut state = state.unwrap_or_else(|| State::new(what, args.seed.unwrap_or(1)));
    if goes_on && args.seed.is_some_and(|seed| seed != state.seed) {
        let was = state.seed;
        return Err(Usage(format!(
            "the campaign in {} has seed {was}; give the new one a folder (--state)",
            args.state.display()
        ))
        .into());
    }
    let parts: Vec<_> = subjects.iter().map(|subject| subject.prepare(session.store())).collect::<Result<_, _>>()?;
    let own = args.machines.backend == Backend::Vm || crate::host::is_root();
    let limits = Limits {
        own_root: flavor != Flavor::Host,
        privileged: own,
        disks: own,
        without: args.without,
        ..Limits::default()
    };
    let workers = session.workers(usize::MAX);
    let workers = if args.differential { workers.div_ceil(sides.len()) } else { workers.max(sides.len()) };
    let is_criu = subjects.iter().any(|subject| !subject.is_reference());
    let pack = args.pack.unwrap_or(if is_criu { PACK_WITH_CRIU } else { crate::run::PACK });
    let batch = if pack > 1 { pack * 2 } else { 16 };
    // Where nothing is detached there is as much to see on binds, at several times the speed.
    let (disks, memory) = match args.machines.backend {
        Backend::Vm if args.controls && is_criu => (DISKS, MEMORY),
        Backend::Vm => (64, 256),
        Backend::Host => (16, 256),
    };
    let (alone, other_lifecycle) = match is_criu {
        true => (ALONE_WITH_CRIU, OTHER_LIFECYCLE_WITH_CRIU),
        false => (ALONE, OTHER_LIFECYCLE),
    };
    let wanted = Wanted { limits, disks, memory, alone, controls: args.controls };
    let depth = args.exhaustive.map(usize::from);
    let every = depth.map(|depth| Every::new(depth, wanted, args.programs, &mut state));
    let lifecycles = match (&args.axes.lifecycle[..], &every) {
        ([], Some(_)) => vec![Lifecycle::DumpRestore],
        (given, _) => given.to_vec(),
    };
    let known_failures = KnownFailures::default();
    state
        .buckets
        .iter()
        .map(|bucket| &bucket.signature)
        .chain(&known)
        .for_each(|signature| known_failures.add(signature));
    let settings = Settings {
        folder: args.state.clone(),
        time: args.time,
        programs: args.programs,
        first: args.first,
        workers,
        batch,
        wanted,
        every: every.as_ref(),
        sides,
        differential: args.differential,
        lifecycles,
        other_lifecycle,
        known,
        known_failures: &known_failures,
    };
    // Programs of every filesystem may come up.
    let catalogue = session.catalogue()?;
    let of_side = |(number, (kernel, _)): (usize, &(&String, &Subject))| {
        let parts = &parts[number % parts.len()];
        session.machines(kernel, parts, &catalogue, &format!("fuzz-{number}"))
    };
    let specs: Vec<_> = pairs.iter().enumerate().map(of_side).collect::<Result<_, _>>()?;
    let pool = session.pool(
        Arc::new(move |worker: usize| specs[worker % specs.len()](worker)),
        Box::new(|trial, criu, judgement| known_failures.expect(expectations.apply_anywhere(trial, criu, judgement))),
        Policy { campaign: true, retries: 1, pack, ..Policy::default() },
    );
    let mut view = View::new(args, &state, goes_on);
    let state = Campaign::new(&settings, &pool, state, corpus).run(&mut |state| view.show(state))?;
    view.end(&state)?;
    Ok(match () {
        () if crate::process::interrupt::requested() => exit::INTERRUPTED,
        () if state.buckets.is_empty() && state.every_program_fails.is_none() => exit::AS_EXPECTED,
        () => exit::FAILED,
    })
}

/// What is tested and how, in one line: a campaign goes on only with the same.
fn what(args: &FuzzArgs, subjects: &[Subject], kernels: &[String], flavor: Flavor) -> String {
    let subjects: Vec<String> = subjects.iter().map(Subject::to_string).collect();
    let lifecycles: Vec<&str> = match &args.axes.lifecycle[..] {
        [] => vec![Lifecycle::DumpRestore.word()],
        given => given.iter().map(|lifecycle| lifecycle.word()).collect(),
    };
    format!(
        "{} on {}, {} {}{}{}",
        subjects.join(" and "),
        kernels.join(" and "),
        flavor.word(),
        lifecycles.join(" and "),
        if args.controls { ", controls" } else { "" },
        if args.differential { ", compared" } else { "" },
    )
}

/// What is said of a campaign that runs every program: what its programs' numbers depend on.
fn every(args: &FuzzArgs, sides: usize) -> Result<String, Usage> {
    let Some(depth) = args.exhaustive else { return Ok(String::new()) };
    if sides > 1 && !args.differential {
        return Err(Usage(
            "--exhaustive runs each program once: name one --kernel and one --subject, or --differential".to_owned(),
        ));
    }
    if args.axes.lifecycle.len() > 1 {
        return Err(Usage("--exhaustive runs each program once: name one --lifecycle".to_owned()));
    }
    let without = args.without.to_string();
    let without = if without.is_empty() { without } else { format!(" without {without}") };
    Ok(format!(", every program with up to {depth} steps{without}"))
}

/// Programs of the scenario files in a folder and below it.
fn corpus(folder: &Path) -> Result<Vec<Program>, Usage> {
    let all = scenarios::catalogue::load(folder).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        Usage(format!("--corpus {}: {first}", folder.display()))
    })?;
    Ok(all.into_iter().map(|scenario| scenario.program).collect())
}
