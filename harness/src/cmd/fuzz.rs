//! `fuzz`: a campaign.

use std::collections::{BTreeSet, VecDeque};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget};
use protocol::message::{Flavor, Lifecycle};
use scenarios::Program;
use scenarios::live::Terms;
use serde::Serialize;

use super::Usage;
use super::machines::MachineArgs;
use super::plan::{self, Axes};
use super::run::progress;
use crate::fuzz::draw::Wanted;
use crate::fuzz::page::{duration, page};
use crate::fuzz::{Campaign, Seen, Settings, Signature, State, buckets};
use crate::judge::range::Version;
use crate::judge::{Judgement, Trial, Verdict};
use crate::machine::Backend;
use crate::run::Work;
use crate::subject::{self, Manner, Subject};

/// A log gets a line so often.
const HEARTBEAT: Duration = Duration::from_secs(30);
/// The page is written so often.
const PAGE: Duration = Duration::from_secs(10);

/// Find what nobody wrote down: run generated programs, for hours, unattended.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached fuzz --subject src:../criu --time 8h
  zdtm-detached fuzz --controls --time 30m                       Debian's criu, ordinary files only
  zdtm-detached fuzz --subject reference --backend host          the engine on this machine's own kernel: fast
  zdtm-detached fuzz --subject reference+fault:undeleted --backend host --first --time 1m

All is in the folder (--state) after every batch: state.json, from which the same command goes on; findings/*.scn, each with how to
run it; index.html. A file of findings/ copied into the catalogue is a regression test.

Exit status: 0 nothing was found, 1 something was, 2 wrong usage, 3 infrastructure, 130 interrupted.")]
pub struct FuzzArgs {
    /// What is tested
    #[arg(long, value_name = "SUBJECT", default_value = subject::DEBIAN, env = "ZDTM_DETACHED_SUBJECT", long_help = subject::HELP)]
    pub subject: Subject,
    /// Patch on top of a src: or git: subject; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    /// Kernel, flavor, lifecycle: one of each
    #[command(flatten)]
    pub axes: Axes,
    /// End after this time: 90s, 30m, 8h [default: never]
    #[arg(long, value_name = "T", value_parser = time)]
    pub time: Option<Duration>,
    /// End after so many programs
    #[arg(long, value_name = "N")]
    pub programs: Option<u64>,
    /// End with the first finding, once it is shrunk
    #[arg(long)]
    pub first: bool,
    /// Of the programs; a campaign that goes on keeps its own [default: 1]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// Only programs with nothing on detached mounts
    #[arg(long)]
    pub controls: bool,
    /// Programs to begin with: scenario files in a folder, the catalogue for instance
    #[arg(long, value_name = "DIR")]
    pub corpus: Option<PathBuf>,
    /// Findings that are known, a signature on each line: they are counted only
    #[arg(long, value_name = "FILE")]
    pub known: Option<PathBuf>,
    /// Folder of the campaign's state
    #[arg(long, value_name = "DIR", default_value = "zdtm-fuzz")]
    pub state: PathBuf,
    /// How the end is told
    #[arg(long, value_enum, default_value = "human")]
    pub format: FuzzFormat,
    /// How many programs go into one process; 0 for none
    #[arg(long, value_name = "N", default_value_t = crate::run::PACK)]
    pub pack: usize,
    /// What programs run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

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
    crate::interrupt::install().context("installing the signal handlers")?;
    let store = args.machines.store.open(progress())?;
    let subjects = plan::subjects(std::slice::from_ref(&args.subject), &args.patch, &store)?;
    let subject = &subjects[0];
    plan::check_backend(args.machines.backend, &subjects)?;
    let kernel = plan::single("--kernel", &args.axes.kernels(args.machines.backend, &store)?, None)?;
    let flavor = plan::single("--flavor", &args.axes.flavor, Some(Flavor::Ns))?;
    let lifecycle = plan::single("--lifecycle", &args.axes.lifecycle, Some(Lifecycle::DumpRestore))?;
    let tree = crate::image::tree::locate(args.machines.store.tree.as_deref())?;
    let expectations = plan::expectations(&tree)?;
    let known = match &args.known {
        Some(file) => buckets::known(file).map_err(|error| Usage(format!("--known {}: {error}", file.display())))?,
        None => BTreeSet::new(),
    };
    let corpus = args.corpus.as_deref().map(corpus).transpose()?.unwrap_or_default();
    let trial = Trial {
        scenario: String::new(),
        family: "fuzz".to_owned(),
        flavor,
        lifecycle,
        kernel: kernel.clone(),
        subject: subject.to_string(),
    };
    let controls = if args.controls { ", controls" } else { "" };
    let what = format!(
        "{subject} on {kernel}, {}{controls}",
        &trial.to_string()[1..].split('/').take(2).collect::<Vec<_>>().join(" ")
    );
    let state = State::load(&args.state, &what).map_err(|error| Usage(error.to_string()))?;
    let goes_on = state.is_some();
    let state = state.unwrap_or_else(|| State::new(what, args.seed.unwrap_or(1)));
    if goes_on && args.seed.is_some_and(|seed| seed != state.seed) {
        let was = state.seed;
        return Err(Usage(format!(
            "the campaign in {} has seed {was}; give the new one a folder (--state)",
            args.state.display()
        ))
        .into());
    }
    let parts = subject.prepare(&store)?;
    let folder = args.machines.work_folder()?;
    let own = args.machines.backend == Backend::Vm || crate::host::is_root();
    let terms = Terms { own_root: flavor != Flavor::Host, privileged: own, disks: own, ..Terms::default() };
    let workers = args.machines.workers(usize::MAX);
    let batch = if args.pack > 1 { args.pack * 2 } else { 16 };
    let disks = if args.machines.backend == Backend::Vm { 64 } else { 16 };
    let wanted = Wanted { terms, disks, controls: args.controls };
    let engine = subject.engine(Manner::default());
    let seen = Seen::default();
    for bucket in state.buckets.iter() {
        if let Ok(kind) = bucket.verdict.trim_start_matches("fail(").trim_end_matches(')').parse() {
            seen.add(&bucket.signature, Verdict::Fail(kind));
        }
    }
    let settings = Settings {
        folder: args.state.clone(),
        time: args.time,
        programs: args.programs,
        first: args.first,
        workers,
        batch,
        wanted,
        engine,
        trial,
        known,
        seen: &seen,
    };
    // Programs of every filesystem may come up.
    let catalogue = super::select::select(&[], &tree)?;
    let specs = args.machines.specs(&store, &catalogue, &kernel, &parts, &folder.join("fuzz"))?;
    let stop = AtomicBool::new(false);
    let queue = Mutex::new(VecDeque::new());
    let known = |trial: &Trial, criu: Option<&str>, judgement: Judgement| {
        seen.expect(expectations.apply_anywhere(trial, criu.and_then(Version::find).as_ref(), judgement))
    };
    let work = Work {
        tasks: &queue,
        specs: &*specs,
        known: &known,
        stop: &stop,
        timeout_scale: args.machines.timeout_scale,
        retries: 1,
        repeat: 1,
        pack: args.pack,
    };
    let mut view = View::new(args, &state, goes_on);
    let state = Campaign::new(&settings, &work, state, corpus).run(&mut |state| view.show(state))?;
    view.end(&state)?;
    Ok(match () {
        () if crate::interrupt::requested() => 130,
        () if state.buckets.is_empty() => 0,
        () => 1,
    })
}

/// Programs of the scenario files in a folder and below it.
fn corpus(folder: &Path) -> Result<Vec<Program>, Usage> {
    let all = scenarios::catalogue::load(folder).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        Usage(format!("--corpus {}: {first}", folder.display()))
    })?;
    Ok(all.into_iter().map(|scenario| scenario.program).collect())
}

/// Who is told, and how.
struct View<'a> {
    args: &'a FuzzArgs,
    bar: Option<ProgressBar>,
    start: (Instant, u64),
    told: Instant,
    paged: Option<Instant>,
    buckets: BTreeSet<Signature>,
    last: Option<Instant>,
}

impl<'a> View<'a> {
    fn new(args: &'a FuzzArgs, state: &State, goes_on: bool) -> Self {
        let how =
            if goes_on { format!("goes on after {} programs", state.programs) } else { format!("seed {}", state.seed) };
        eprintln!("{}; {how}; {}/", state.what, args.state.display());
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let buckets = state.buckets.iter().map(|bucket| bucket.signature.clone()).collect();
        let now = Instant::now();
        Self { args, bar, start: (now, state.programs), told: now, paged: None, buckets, last: None }
    }

    fn show(&mut self, state: &State) {
        for bucket in state.buckets.iter().filter(|bucket| !self.buckets.contains(&bucket.signature)) {
            let line = format!("finding: {} ({} steps)", bucket.signature, bucket.steps);
            match &self.bar {
                Some(bar) => bar.println(line),
                None => eprintln!("{line}"),
            }
            self.last = Some(Instant::now());
        }
        self.buckets.extend(state.buckets.iter().map(|bucket| bucket.signature.clone()));
        let line = self.line(state);
        if let Some(bar) = &self.bar {
            bar.set_message(line);
        } else if self.told.elapsed() >= HEARTBEAT {
            self.told = Instant::now();
            eprintln!("{line}");
        }
        if self.paged.is_none_or(|paged| paged.elapsed() >= PAGE) {
            self.paged = Some(Instant::now());
            // The page is for looking at; whoever needs it is told at the end if it cannot be written.
            let _ = std::fs::write(self.args.state.join("index.html"), page(state));
        }
    }

    fn line(&self, state: &State) -> String {
        let (start, before) = self.start;
        let rate = (state.programs - before) as f64 / start.elapsed().as_secs_f64().max(0.001);
        let last = self
            .last
            .map_or_else(String::new, |last| format!(", the last {} ago", duration(last.elapsed().as_secs_f64())));
        format!(
            "{} programs, {rate:.1}/s, {} features, {} findings{last}, {} known, {} resets",
            state.programs,
            state.features.len(),
            state.buckets.len(),
            state.known.values().sum::<u64>(),
            state.resets
        )
    }

    fn end(&mut self, state: &State) -> anyhow::Result<()> {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        let file = self.args.state.join("index.html");
        std::fs::write(&file, page(state)).with_context(|| format!("writing {}", file.display()))?;
        let mut out = std::io::stdout().lock();
        match self.args.format {
            FuzzFormat::Json => {
                serde_json::to_writer(&mut out, &Document::of(state))?;
                writeln!(out)?;
            }
            FuzzFormat::Human => {
                for bucket in state.buckets.iter() {
                    let file = self.args.state.join(format!("findings/{}.scn", bucket.signature.file_name()));
                    writeln!(
                        out,
                        "{:>6} x  {}\n          {} steps: {}",
                        bucket.count,
                        bucket.signature,
                        bucket.steps,
                        file.display()
                    )?;
                }
                for (signature, count) in &state.known {
                    writeln!(out, "{count:>6} x  known: {signature}")?;
                }
                writeln!(out, "{}", self.line(state))?;
            }
        }
        Ok(())
    }
}

/// `--format json`
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    programs: u64,
    seconds: f64,
    programs_per_second: f64,
    features: usize,
    resets: u64,
    flaky: u64,
    unusable: u64,
    buckets: Vec<Row<'a>>,
    known: &'a std::collections::BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct Row<'a> {
    signature: &'a Signature,
    count: u64,
    steps: usize,
    verdict: &'a str,
    reason: &'a str,
    program: &'a str,
}

impl<'a> Document<'a> {
    fn of(state: &'a State) -> Self {
        let row = |bucket: &'a buckets::Bucket| Row {
            signature: &bucket.signature,
            count: bucket.count,
            steps: bucket.steps,
            verdict: &bucket.verdict,
            reason: &bucket.reason,
            program: &bucket.program,
        };
        Self {
            version: 1,
            programs: state.programs,
            seconds: state.seconds,
            programs_per_second: state.programs as f64 / state.seconds.max(0.001),
            features: state.features.len(),
            resets: state.resets,
            flaky: state.flaky,
            unusable: state.unusable,
            buckets: state.buckets.iter().map(row).collect(),
            known: &state.known,
        }
    }
}
