//! How a run's results are told: reports, colours, how much. Shared by the commands that have results.

use std::io::{self, Write};

use clap::Args;

use crate::report::terminal::{ColourChoice, Detail, Look, Terminal};
use crate::report::{Destination, Reporters, Wanted};

/// Where results go and how they look.
#[derive(Args, Clone, Debug, Default)]
pub struct TellingArgs {
    /// Write reports: json=FILE, html=FILE, junit=FILE, tap=FILE, github=-; separated by commas, or given more than once
    #[arg(long, value_name = "FORMAT=FILE", value_delimiter = ',')]
    pub report: Vec<Wanted>,
    /// Colours: on a terminal, always, or never
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColourChoice,
    /// No line for what is as expected; the table and what failed
    #[arg(short, long, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say under each expected failure, too, why it is one
    #[arg(short, long)]
    pub verbose: bool,
}

impl TellingArgs {
    /// The terminal's report and the others. It stands on standard error when another one takes standard output.
    ///
    /// # Errors
    /// A report's file cannot be written.
    pub fn open(&self, usual: Detail) -> anyhow::Result<(Terminal<Box<dyn Write>>, Reporters)> {
        let mut reporters = Reporters::default();
        for wanted in &self.report {
            reporters.add(wanted.open()?);
        }
        let taken = self.report.iter().any(|wanted| wanted.to == Destination::Stdout);
        let out: Box<dyn Write> = if taken { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        let detail = match (self.quiet, self.verbose) {
            (true, _) => Detail::Failures,
            (_, true) => Detail::Reasons,
            _ => usual,
        };
        Ok((Terminal::new(out, Look::detect(self.color, detail, taken)), reporters))
    }
}
