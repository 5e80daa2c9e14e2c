//! The command line: an enum and a match, and one small file per subcommand.

pub mod bench;
pub mod bisect_step;
pub mod bless;
pub mod doctor;
pub mod fuzz;
pub mod gate;
pub mod generate;
pub mod image;
pub mod list;
pub mod machines;
mod one;
pub mod plan;
pub mod replay;
pub mod report;
pub mod run;
pub mod select;
pub mod selftest;
pub mod share;
pub mod shell;
pub mod shrink;
pub mod telling;
mod watch;

use clap::{Parser, Subcommand};

/// Checkpoint and restore of files on lazily unmounted mounts: scenarios, VMs, verdicts.
#[derive(Debug, Parser)]
#[command(name = "zdtm-detached", version)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// One for each file in this folder.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios: checkpoint, restore, compare
    Run(run::RunArgs),
    /// Compare two subjects: what got worse, what got better
    Gate(gate::GateArgs),
    /// Test the CRIU tree of this directory as one step of `git bisect run`
    BisectStep(bisect_step::BisectStepArgs),
    /// Run a trial of an earlier run once more, exactly as it was
    Replay(replay::ReplayArgs),
    /// Open a shell in a VM, beside the process of a trial
    Shell(shell::ShellArgs),
    /// Find a short program that fails in the same way as a scenario
    Shrink(shrink::ShrinkArgs),
    /// Merge saved results, and write them in other formats
    Report(report::ReportArgs),
    /// Record in the file of known failures what results prove
    Bless(bless::BlessArgs),
    /// Prove that the judge catches mistakes: the reference engine with every known fault
    Selftest(selftest::SelftestArgs),
    /// Find what nobody wrote down: run generated programs, for hours, unattended
    Fuzz(fuzz::FuzzArgs),
    /// Measure this rig: VMs, trials, and what they cost more than bare dumps and restores
    Bench(bench::BenchArgs),
    /// List scenarios
    List(list::ListArgs),
    /// Show a scenario's program, what it needs and what it expects
    Show(list::ShowArgs),
    /// List, build, verify and remove the images that VMs are made of
    Image(image::ImageArgs),
    /// Check what this machine has and what it lacks
    Doctor(doctor::Args),
    /// Write completions for a shell, man pages, or what the fuzz targets begin with
    Generate(generate::GenerateArgs),
}

/// Carries a command out; the exit status.
///
/// # Errors
/// What kept it from being carried out; [`Usage`] for a mistake of the user.
pub fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::BisectStep(args) => Ok(bisect_step::run(&args)),
        Command::Gate(args) => gate::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::List(args) => list::list(&args),
        Command::Show(args) => list::show(&args),
        Command::Image(args) => {
            let whole = image::run(&args, run::progress(), &mut std::io::stdout())?;
            Ok(if whole { 0 } else { 3 })
        }
        Command::Bless(args) => bless::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Shell(args) => shell::run(&args),
        Command::Shrink(args) => shrink::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Generate(args) => generate::run(&args),
        Command::Doctor(args) => doctor::run(&args, &mut std::io::stdout()),
    }
}

/// A mistake of the user: told without a backtrace, exit status 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);
