//! `fuzz`: a campaign.

mod view;

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use scenarios::generate::Without;

use crate::args::{AxesArgs, MachineArgs};
use crate::exit;
use crate::fuzz::share::states;
use crate::fuzz::{Place, Request, Setup, State};
use crate::subject::{self, Subject};
use crate::usage::Usage;
use view::View;

/// Find what no scenario covers: run generated programs, for hours, unattended.
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
  zdtm-detached fuzz --share /mnt/campaign --subject src:../criu --time 8h   on every machine: they learn from each other
  zdtm-detached fuzz --share /mnt/campaign --merged              what they found together

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
    /// Be a member of a campaign that several processes share in this folder, on one machine or
    /// many
    ///
    /// Each member draws other programs, has a folder of its own in there for state and findings,
    /// and takes over what the others found interesting or broken. What one found the others count
    /// only. The members may come, go and be killed at any time; all is in DIR/index.html.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["state", "exhaustive"])]
    pub share: Option<PathBuf>,
    /// This member's name, the same when it is started again [default: the first of member-1,
    /// member-2, ... that no running process has]
    #[arg(long, value_name = "NAME", requires = "share")]
    pub member: Option<String>,
    /// Run nothing: report what the members of --share have found together
    #[arg(long, requires = "share", conflicts_with = "member")]
    pub merged: bool,
    /// How the end is reported
    #[arg(long, value_enum, default_value = "human")]
    pub format: FuzzFormat,
    /// How many programs go into one process; 0 for none [default: 64 with criu, 32 without]
    #[arg(long, value_name = "N")]
    pub pack: Option<usize>,
    /// What programs run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// How the end is reported.
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
    if let (true, Some(folder)) = (args.merged, &args.share) {
        return merged(folder, args.format);
    }
    let session = args.machines.session()?;
    let setup = Setup::new(&session, request(args))?;
    let mut view = View::new(setup.folder(), args.format, setup.state(), setup.goes_on());
    let state = setup.run(&mut |state| view.show(state))?;
    view.end(&state)?;
    Ok(match () {
        () if crate::process::interrupt::requested() => exit::INTERRUPTED,
        () if state.buckets.is_empty() && state.every_program_fails.is_none() => exit::AS_EXPECTED,
        () => exit::FAILED,
    })
}

/// Reports what all members found; the exit status.
fn merged(folder: &Path, format: FuzzFormat) -> anyhow::Result<u8> {
    let members = states(folder)?;
    let first = members.first().map(|(_, state)| &state.what);
    if let Some((name, other)) = members.iter().find(|(_, state)| Some(&state.what) != first) {
        let first = first.expect("there are two");
        let what = format!("--share {}: {name} is of {}, and others are of {first}", folder.display(), other.what);
        return Err(Usage(what).into());
    }
    if members.is_empty() {
        return Err(Usage(format!("--share {}: it has no member's folder with a state.json", folder.display())).into());
    }
    let state = State::together(members.iter().map(|(_, state)| state));
    view::print(&state, format, |bucket| {
        let has_it = |(_, state): &&(String, State)| {
            state.buckets.iter().any(|own| own.signature == bucket.signature && own.steps == bucket.steps)
        };
        let member = members.iter().find(has_it).map_or("", |(name, _)| name);
        folder.join(member)
    })?;
    Ok(if state.buckets.is_empty() { exit::AS_EXPECTED } else { exit::FAILED })
}

fn request(args: &FuzzArgs) -> Request {
    let axes = args.axes.axes();
    let FuzzArgs { subject, patch, differential, time, programs, first, exhaustive, seed, controls, .. } = args.clone();
    let FuzzArgs { without, corpus, known, past, state, share, member, pack, .. } = args.clone();
    let place = match share {
        Some(folder) => Place::Shared { folder, member },
        None => Place::Own(state),
    };
    Request {
        subject,
        patch,
        axes,
        differential,
        time,
        programs,
        first,
        exhaustive,
        seed,
        controls,
        without,
        corpus,
        known,
        past,
        place,
        pack,
    }
}
