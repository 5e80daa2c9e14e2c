//! `bisect-step`: one step of `git bisect run`.
//!
//! git takes 0 for a good revision, 1 to 127 for a bad one, 125 for one that cannot be tested, and
//! ends the bisection at anything from 128. So nothing but a verdict may end with a number below
//! 128: a full disk does not make a revision bad.

use std::cell::RefCell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use clap::{Args, ValueEnum};

use super::run::{self, Chosen, RunArgs};
use crate::args::AxesArgs;
use crate::args::MachineArgs;
use crate::args::ShareArgs;
use crate::args::output::OutputArgs;
use crate::cache::error::ImageError;
use crate::image::OwnKernel;
use crate::judge::{FailureKind, Group, Verdict, is_of_the_program};
use crate::notices::say;
use crate::plan::select::select;
use crate::report::{Event, Reporter};
use crate::sources::Tree;
use crate::subject::Subject;
use crate::subject::criu::{Sources, Variant};
use crate::usage::Usage;
use crate::vm::VmError;

/// Ends the bisection.
pub const ABORT: u8 = 255;
/// This revision cannot be tested.
const SKIP: u8 = 125;
const INTERRUPTED: u8 = 130;

/// Test the CRIU tree of this directory, or a kernel, as one step of `git bisect run`.
///
/// Builds the tree as it is checked out, runs the chosen trials with it, and ends with the status
/// that git understands. A revision is good when all of them end as expected; choose trials that
/// tell good from bad, few of them. One that does not build is skipped.
///
/// With --subject the subject stays, and what changes from step to step is the kernel: a source
/// tree that is built here, `--kernel src:.`, or one that was built before, `--kernel path:FILE`.
/// One that does not build, cannot be used, or does not start, is skipped.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached bisect-step 'sharing/control*'
  zdtm-detached bisect-step deleted/control --on-hang skip --src ../criu

In a CRIU repository:
  git bisect start BAD GOOD && git bisect run zdtm-detached bisect-step 'sharing/control*'

In a Linux repository:
  git bisect start BAD GOOD
  git bisect run zdtm-detached bisect-step over-mount --subject reference --kernel src:.

Exit status: 0 good, 1 (or --bad-exit) bad, 125 cannot be tested, 255 infrastructure or wrong usage (ends the
bisection), 130 interrupted.")]
pub struct BisectStepArgs {
    /// Part of a scenario's name, a pattern with `*`, or a scenario file that ends in .scn; all
    /// when none is given
    pub what: Vec<String>,
    /// The tree
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub src: PathBuf,
    /// Patch on top of every revision; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub patch: Vec<PathBuf>,
    /// Debian suite to build every revision in, as `+build=SUITE` behind a subject
    #[arg(long, value_name = "SUITE")]
    pub build: Option<String>,
    /// Test this subject instead of a tree
    #[arg(long, value_name = "SUBJECT", conflicts_with_all = ["src", "patch", "build"])]
    pub subject: Option<Subject>,
    /// Kernel, flavor, lifecycle
    #[command(flatten)]
    pub axes: AxesArgs,
    /// What a revision is with which something hangs, and nothing else fails
    #[arg(long, value_enum, default_value = "bad")]
    pub on_hang: OnHang,
    /// Exit status for a bad revision
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=124))]
    pub bad_exit: u8,
    /// Folder for the artifacts of failed trials
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir().join("zdtm-results"))]
    pub keep: PathBuf,
    /// What trials run on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// What a hang means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnHang {
    /// The revision is bad
    Bad,
    /// The revision cannot be tested
    Skip,
    /// The bisection ends
    Abort,
}

/// Runs, and returns the exit status. Errors are printed here: they have another status than
/// elsewhere.
pub fn run(args: &BisectStepArgs) -> u8 {
    let (status, why) = match step(args) {
        _ if crate::process::interrupt::requested() => (INTERRUPTED, "interrupted".to_owned()),
        Ok(ended) => verdict(&ended, args),
        Err(error) => {
            let own_kernel = args.axes.kernel.iter().any(|kernel| OwnKernel::is_named_by(kernel));
            let is_of_subject = |cause: &(dyn std::error::Error + 'static)| {
                matches!(cause.downcast_ref(), Some(ImageError::Subject { .. }))
                    || cause.is::<UnusableKernel>()
                    || own_kernel && matches!(cause.downcast_ref(), Some(VmError::NoBoot(_)))
            };
            let subject = error.chain().any(is_of_subject);
            (if subject { SKIP } else { ABORT }, format!("{error:#}"))
        }
    };
    let word = match status {
        0 => "good",
        SKIP => "cannot be tested",
        ABORT => "cannot go on",
        INTERRUPTED => "ended",
        _ => "bad",
    };
    say(&format!("bisect-step: {word}: {why}"));
    status
}

/// What came of the trials.
#[derive(Clone, Debug, Default)]
struct Ended {
    /// How many came to a verdict.
    trials: usize,
    /// The verdicts of those that failed.
    failed: Vec<Verdict>,
    /// Why the first program failed that did so before anything was done to its process.
    program: Option<String>,
}

/// Takes note of what fails.
struct Listener(Rc<RefCell<Ended>>);

impl Reporter for Listener {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if let Event::TrialFinished(finished) = event {
            let verdict = finished.judgement.verdict;
            let mut ended = self.0.borrow_mut();
            ended.trials += usize::from(verdict.group() != Group::Skipped);
            ended.failed.extend((verdict.group() == Group::Failed).then_some(verdict));
            if ended.program.is_none() && is_of_the_program(&finished.judgement) {
                ended.program = Some(finished.judgement.reason.clone());
            }
        }
        Ok(())
    }
}

/// A kernel of the user's that cannot be tested.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UnusableKernel(ImageError);

/// What is tested.
fn subject(args: &BisectStepArgs) -> Subject {
    args.subject.clone().unwrap_or_else(|| {
        Subject::Sources(Sources {
            tree: Tree::Folder(args.src.clone()),
            variant: Variant { suite: args.build.clone(), ..Variant::default() },
            patches: args.patch.clone(),
        })
    })
}

/// Builds and runs, until something fails.
fn step(args: &BisectStepArgs) -> anyhow::Result<Ended> {
    for kernel in args.axes.kernel.iter().filter(|kernel| OwnKernel::is_named_by(kernel)) {
        if let OwnKernel::Files(files) = kernel.parse().map_err(Usage)? {
            files.check().map_err(UnusableKernel)?;
        }
    }
    let tree = args.machines.settings().store.tree()?;
    let scenarios = select(&args.what, &tree)?;
    let ended = Rc::new(RefCell::new(Ended::default()));
    let listener: Option<Box<dyn Reporter>> = Some(Box::new(Listener(Rc::clone(&ended))));
    let run_args = RunArgs {
        group: crate::plan::group::Group::default(),
        what: args.what.clone(),
        visible: false,
        subject: vec![subject(args)],
        patch: Vec::new(),
        without_statmount: false,
        bind_mounts: false,
        expectations: crate::session::ExpectationsSource::Project,
        axes: args.axes.clone(),
        fail_fast: true,
        repeat: 1,
        pack: 0,
        confirm: crate::run::confirm::Wanted::All,
        retries: 1,
        thorough: false,
        no_probes: false,
        share: ShareArgs::default(),
        watch: false,
        keep: args.keep.clone(),
        output: OutputArgs::default(),
        machines: args.machines.clone(),
    };
    run::chosen(&run_args, Chosen { scenarios, whole: false, listener, silent: false })?;
    let ended = ended.borrow().clone();
    Ok(ended)
}

/// What the failures make of the revision. One that is for sure decides; what says nothing about it
/// comes last.
fn verdict(ended: &Ended, args: &BisectStepArgs) -> (u8, String) {
    let first = |fits: &dyn Fn(Verdict) -> bool| ended.failed.iter().copied().find(|verdict| fits(*verdict));
    let hang = |verdict: Verdict| verdict.kind() == Some(FailureKind::Hang);
    if let Some(sure) = first(&|verdict| !hang(verdict) && !matches!(verdict, Verdict::Error | Verdict::Flaky { .. })) {
        return (args.bad_exit, sure.to_string());
    }
    let is_own = |kernel: &String| OwnKernel::is_named_by(kernel);
    if let Some(error) = first(&|verdict| verdict == Verdict::Error) {
        if let Some(why) = ended.program.as_ref().filter(|_| args.axes.kernel.iter().any(is_own)) {
            return (args.bad_exit, format!("this kernel does something else: {why}"));
        }
        if args.axes.kernel.iter().any(is_own) {
            return (SKIP, format!("{error}: this kernel is no good for a trial, or the harness is at fault"));
        }
        return (ABORT, format!("{error}: the harness is at fault, not the revision"));
    }
    if let Some(hang) = first(&hang) {
        let status = match args.on_hang {
            OnHang::Bad => args.bad_exit,
            OnHang::Skip => SKIP,
            OnHang::Abort => ABORT,
        };
        return (status, hang.to_string());
    }
    match ended.failed.first() {
        Some(flaky) => (SKIP, format!("{flaky}: not always the same")),
        None if ended.trials == 0 => (SKIP, "no trial ran".to_owned()),
        None => (0, format!("{} trials as expected", ended.trials)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::judge::Judgement;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: BisectStepArgs,
    }

    fn status(options: &[&str], failed: &[Verdict]) -> u8 {
        let line = Line::parse_from(["bisect-step"].iter().chain(options));
        verdict(&Ended { trials: 3, failed: failed.to_vec(), program: None }, &line.args).0
    }

    const FAIL: Verdict = Verdict::Fail(FailureKind::WrongPath);
    const HANG: Verdict = Verdict::ChangedFail(FailureKind::Hang);
    const FLAKY: Verdict = Verdict::Flaky { passed: 1, runs: 2 };

    #[test]
    fn each_verdict_has_its_meaning_for_git() {
        assert_eq!(status(&[], &[]), 0);
        assert_eq!(status(&[], &[FLAKY, Verdict::Error, FAIL]), 1);
        assert_eq!(status(&["--bad-exit", "7"], &[Verdict::Xpass]), 7);
        assert_eq!(status(&[], &[FLAKY]), 125);
        assert_eq!(status(&[], &[FLAKY, Verdict::Error]), 255);
    }

    #[test]
    fn a_hang_means_what_the_user_says() {
        assert_eq!(["bad", "skip", "abort"].map(|word| status(&["--on-hang", word], &[HANG])), [1, 125, 255]);
        assert_eq!(status(&["--on-hang", "skip"], &[HANG, FAIL]), 1);
    }

    /// A step or an assertion that fails is the kernel's doing where the kernel is what changes.
    #[test]
    fn a_kernel_that_does_something_else_is_bad() {
        let status = |kernel: &str, program: Option<&str>| {
            let line = Line::parse_from(["bisect-step", "--subject", "reference", "--kernel", kernel]);
            let program = program.map(str::to_owned);
            verdict(&Ended { trials: 1, failed: vec![Verdict::Error], program }, &line.args).0
        };
        let why = Some("the situation did not come about: line 9");
        for own in ["src:.", "git:../linux@v6.12", "path:bzImage"] {
            assert_eq!((status(own, why), status(own, None)), (1, 125), "{own}");
        }
        assert_eq!(status("6.12", why), 255);
        let judgement = |verdict, why: &str| is_of_the_program(&Judgement::plain(verdict, why));
        assert!(judgement(Verdict::Error, "the situation did not come about: line 9: expected a, got b"));
        assert!(judgement(Verdict::Error, "line 7: umount-lazy b: EINVAL"));
        assert!(!judgement(Verdict::Error, "the guest died") && !judgement(FAIL, "line 7: x"));
    }

    #[test]
    fn nothing_that_ran_says_nothing() {
        let line = Line::parse_from(["bisect-step"]);
        assert_eq!(verdict(&Ended::default(), &line.args).0, 125);
    }
}
