//! The command line: an enum and a match.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use harness::cmd::{Usage, bench, doctor, image, list, run, selftest};

/// Checkpoint and restore of files on lazily unmounted mounts: scenarios, VMs, verdicts.
#[derive(Parser)]
#[command(name = "zdtm-detached", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios: checkpoint, restore, compare
    Run(run::RunArgs),
    /// Prove that the judge catches mistakes: the reference engine with every known fault
    Selftest(selftest::SelftestArgs),
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
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("error: {}", told(&error));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 3 })
        }
    }
}

/// An error with its causes, each told once: many already say their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

fn dispatch(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Selftest(args) => selftest::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::List(args) => list::list(&args),
        Command::Show(args) => list::show(&args),
        Command::Image(args) => {
            let whole = image::run(&args, run::progress(), &mut std::io::stdout())?;
            Ok(if whole { 0 } else { 3 })
        }
        Command::Doctor(args) => doctor::run(&args, &mut std::io::stdout()),
    }
}
