//! `bench`: this rig's own figures, each beside the bare work, measured in the same minutes on the
//! same machine.
//!
//! Absolute times say what the machine is and how busy it is; only ratios say what the harness is.
//! `measure` takes the figures, this file chooses and prints them.

mod change;
mod failing;
mod measure;
mod packed;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::args::MachineArgs;
use crate::machine::Backend;
use crate::subject::Parts;
use measure::Bench;

/// Measure this rig: VMs, trials, and what they cost more than bare dumps and restores.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A ratio has `x` for its unit and says of what. Absolute times hold for this machine as busy as it is now.

Examples:
  zdtm-detached bench
  zdtm-detached bench --failing --criu ../criu     what failures cost, and a changed line of criu
  zdtm-detached bench --format json --long")]
pub struct BenchArgs {
    /// How the figures are written
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// Kernel of the manifest [default: 6.12]
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Option<String>,
    /// Trials for each median
    #[arg(long, value_name = "N", default_value = "11", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub trials: u32,
    /// Only how many programs a second go through packs
    #[arg(long)]
    pub packed: bool,
    /// Only what failures cost: trials a second where each restore fails, and where each succeeds
    #[arg(long, conflicts_with = "packed")]
    pub failing: bool,
    /// How long it takes from a changed line of this criu tree to the verdict of one scenario, too;
    /// the tree is copied
    #[arg(long, value_name = "DIR")]
    pub criu: Option<PathBuf>,
    /// Go on to 1,000 trials in one VM, which takes some minutes
    #[arg(long)]
    pub long: bool,
    /// What is measured
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// How the figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A line each
    Human,
    /// One JSON document
    Json,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// `ms`, `MiB`, `1/s`; `x` for a ratio.
    pub unit: &'static str,
    /// For a ratio, the name of the figure that is 1.
    pub ratio_to: Option<String>,
}

/// The JSON document.
#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    figures: &'a [Figure],
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps a figure from being taken.
pub fn run(args: &BenchArgs) -> anyhow::Result<u8> {
    if args.machines.backend == Backend::Host {
        return Err(crate::usage::Usage("bench measures VMs; leave --backend away".to_owned()).into());
    }
    let session = args.machines.session()?;
    let kernel = args.kernel.clone().unwrap_or_else(|| session.store().manifest().defaults.kernel.clone());
    let spec = session.vm(&kernel, &Parts::plain(session.store()))?;
    let mut bench = Bench::new(spec, &session, &kernel, args)?;
    let outcome = take(&mut bench);
    write(args.format, &bench.figures, &mut io::stdout())?;
    outcome.map(|()| 0)
}

fn take(bench: &mut Bench<'_>) -> anyhow::Result<()> {
    let BenchArgs { packed, failing, ref criu, .. } = *bench.args;
    if !packed && !failing {
        bench.take_all()?;
    }
    if !failing {
        bench.packed()?;
    }
    if !packed {
        bench.failing()?;
    }
    match criu {
        Some(criu) => bench.change(criu),
        None => Ok(()),
    }
}

fn write(format: Format, figures: &[Figure], out: &mut dyn Write) -> io::Result<()> {
    if format == Format::Json {
        let text = serde_json::to_string_pretty(&Document { version: 1, figures }).expect("strings and numbers");
        return writeln!(out, "{text}");
    }
    let width = figures.iter().map(|figure| figure.name.len()).max().unwrap_or(0);
    for Figure { name, value, unit, ratio_to } in figures {
        let to = ratio_to.as_ref().map(|to| format!("  of {to}")).unwrap_or_default();
        let digits = if *unit == "x" { 2 } else { 1 };
        writeln!(out, "{name:<width$}  {value:>9.digits$} {unit}{to}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn written(format: Format) -> String {
        let figure = |name: &str, value, unit, ratio_to: Option<&str>| Figure {
            name: name.to_owned(),
            value,
            unit,
            ratio_to: ratio_to.map(str::to_owned),
        };
        let figures = [
            figure("bare dump and restore", 412.34, "ms", None),
            figure("trial, ratio", 1.234, "x", Some("bare dump and restore")),
        ];
        let mut out = Vec::new();
        write(format, &figures, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn for_people() {
        expect![[r#"
            bare dump and restore      412.3 ms
            trial, ratio                1.23 x  of bare dump and restore
        "#]]
        .assert_eq(&written(Format::Human));
    }

    #[test]
    fn for_programs() {
        expect![[r#"
            {
              "version": 1,
              "figures": [
                {
                  "name": "bare dump and restore",
                  "value": 412.34,
                  "unit": "ms",
                  "ratio_to": null
                },
                {
                  "name": "trial, ratio",
                  "value": 1.234,
                  "unit": "x",
                  "ratio_to": "bare dump and restore"
                }
              ]
            }
        "#]]
        .assert_eq(&written(Format::Json));
    }
}
