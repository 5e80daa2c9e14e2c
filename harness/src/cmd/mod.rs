//! The command line: an enum and a match, and one small file per subcommand.

pub mod assist;
pub mod bench;
pub mod bisect_step;
pub mod bless;
mod coverage;
pub mod doctor;
pub mod export;
pub mod finding;
pub mod fuzz;
pub mod gate;
pub mod generate;
mod generate_archive;
pub mod image;
mod image_bundle;
pub mod list;
pub mod matrix;
pub mod replay;
pub mod report;
pub mod rules;
pub mod run;
mod saved_trial;
pub mod selftest;
pub mod settings;
pub mod shell;
pub mod shrink;
pub mod soak;
pub mod torture;
mod watch;
pub mod zdtm;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::session::progress;

/// Checkpoint and restore of files on lazily unmounted mounts: scenarios, VMs, verdicts.
#[derive(Debug, Parser)]
#[command(name = "zdtm-detached", version)]
pub struct Cli {
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// One for each file in this folder. What a command is for stands at its arguments: a text here
/// would hide that one in the command's own help.
#[allow(missing_docs, reason = "see above")]
#[derive(Debug, Subcommand)]
pub enum Command {
    Run(run::RunArgs),
    Gate(gate::GateArgs),
    Matrix(matrix::MatrixArgs),
    Rules(rules::RulesArgs),
    BisectStep(bisect_step::BisectStepArgs),
    Replay(replay::ReplayArgs),
    Shell(shell::ShellArgs),
    Shrink(shrink::ShrinkArgs),
    Report(report::ReportArgs),
    Bless(bless::BlessArgs),
    Selftest(selftest::SelftestArgs),
    Fuzz(fuzz::FuzzArgs),
    Finding(finding::FindingArgs),
    Assist(assist::AssistArgs),
    Bench(bench::BenchArgs),
    #[command(hide = true)]
    Soak(soak::SoakArgs),
    #[command(hide = true)]
    Torture(torture::TortureArgs),
    List(list::ListArgs),
    Show(list::ShowArgs),
    Export(export::ExportArgs),
    Zdtm(zdtm::ZdtmArgs),
    Image(image::ImageArgs),
    Doctor(doctor::Args),
    Generate(generate::GenerateArgs),
}

impl Command {
    /// Whether it can run trials: such a command cleans up before it ends by a signal.
    fn runs_trials(&self) -> bool {
        match self {
            Self::Run(_) | Self::Gate(_) | Self::Matrix(_) | Self::Rules(_) | Self::BisectStep(_) | Self::Replay(_) => {
                true
            }
            Self::Shell(_) | Self::Shrink(_) | Self::Selftest(_) | Self::Fuzz(_) | Self::Bench(_) => true,
            Self::Finding(_) | Self::Soak(_) | Self::Torture(_) | Self::Zdtm(_) => true,
            Self::Report(_) | Self::Bless(_) | Self::List(_) | Self::Show(_) | Self::Image(_) => false,
            Self::Doctor(_) | Self::Generate(_) | Self::Assist(_) | Self::Export(_) => false,
        }
    }

    /// Whether it has nothing left to do when no one reads on, as in `generate man | head`.
    fn only_prints(&self) -> bool {
        matches!(self, Self::List(_) | Self::Show(_) | Self::Generate(_))
    }
}

/// Carries a command out; the exit status.
///
/// # Errors
/// What kept it from being carried out; [`Usage`](crate::usage::Usage) for a mistake of the user.
pub fn dispatch(command: Command) -> anyhow::Result<u8> {
    if command.runs_trials() {
        crate::process::interrupt::install().context("installing the signal handlers")?;
    }
    if command.only_prints() {
        crate::process::sys::end_by_broken_pipes().context("setting up a signal")?;
    }
    match command {
        Command::Run(args) => run::run(&args),
        Command::BisectStep(args) => Ok(bisect_step::run(&args)),
        Command::Gate(args) => gate::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::Rules(args) => rules::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Finding(args) => finding::run(&args),
        Command::Assist(args) => assist::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Soak(args) => soak::run(&args),
        Command::Torture(args) => torture::run(&args),
        Command::List(args) => list::list(&args),
        Command::Show(args) => list::show(&args),
        Command::Export(args) => export::run(&args),
        Command::Zdtm(args) => zdtm::run(&args),
        Command::Image(args) => {
            let whole = image::run(&args, progress(), &mut std::io::stdout())?;
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
