//! This rig's own figures, each beside the bare work, measured in the same minutes on the same
//! machine.
//!
//! Absolute times say what the machine is and how busy it is; only ratios say what the harness is.
//!
//! - `exchange`: one trial
//! - `measure`: boots, copies, trials
//! - `packed`: programs a second in packs
//! - `failing`: what failures cost
//! - `change`: from a changed line of criu to a verdict

mod change;
mod exchange;
mod failing;
mod measure;
mod packed;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use serde::Serialize;

pub use measure::Bench;

/// What is measured, and how often.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Kernel of the manifest.
    pub kernel: Option<String>,
    /// Trials for each median.
    pub trials: u32,
    /// Only how many programs a second go through packs.
    pub packed: bool,
    /// Only what failures cost.
    pub failing: bool,
    /// A criu tree that is changed and built.
    pub criu: Option<PathBuf>,
    /// Go on to 1,000 trials in one VM.
    pub long: bool,
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

/// Writes the figures.
///
/// # Errors
/// The writer's.
pub fn write(format: Format, figures: &[Figure], out: &mut dyn Write) -> io::Result<()> {
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
