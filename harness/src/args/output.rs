//! The options that say how results are printed: reports, colours, how much. Shared by the commands
//! with results.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};

use clap::Args;

use crate::report::comparison::Comparison;
use crate::report::terminal::{ColourChoice, Detail, Look, Terminal};
use crate::report::{Destination, Reporters, Wanted};
use crate::usage::Usage;

/// Where results go and how they look.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Write reports: json=FILE, html=FILE, junit=FILE, tap=FILE, github=-; separated by commas, or
    /// given more than once
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

impl OutputArgs {
    /// The terminal's report and the others. It goes to standard error when another report takes
    /// standard output.
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

/// Where a comparison goes besides the terminal.
pub struct Comparisons<'a>(&'a [Wanted]);

/// Opens the reports of a comparison; what cannot be written is found out now and not after an
/// hour.
///
/// # Errors
/// [`Usage`]: a format that is for one run only, or a file that cannot be written.
pub fn comparisons(wanted: &[Wanted]) -> Result<Comparisons<'_>, Usage> {
    for wanted in wanted {
        if !Comparison::FORMATS.contains(&wanted.format()) {
            let known = Comparison::FORMATS.join(" or ");
            return Err(Usage(format!("--report {}: a comparison is written as {known}", wanted.format())));
        }
        if let Destination::File(file) = &wanted.to {
            // What it holds stays until there is something better: it may be what is to be read.
            OpenOptions::new().create(true).append(true).open(file).map_err(|error| {
                Usage(format!("cannot write the {} report to {}: {error}", wanted.format(), file.display()))
            })?;
        }
    }
    Ok(Comparisons(wanted))
}

impl Comparisons<'_> {
    /// Whether a report goes to standard output; then the text goes to standard error.
    pub fn take_stdout(&self) -> bool {
        self.0.iter().any(|wanted| wanted.to == Destination::Stdout)
    }

    /// Writes the files with what is complete, so that an unexpected end loses nothing. What
    /// cannot be written now is an error at the end.
    pub fn write_so_far(&self, comparison: &Comparison) {
        for wanted in self.0 {
            if let (Destination::File(file), Some(text)) = (&wanted.to, comparison.in_format(wanted.format())) {
                let _ = fs::write(file, text);
            }
        }
    }

    /// Writes them, and the text for the caller.
    ///
    /// # Errors
    /// What cannot be written.
    pub fn write(self, comparison: &Comparison, text: &str) -> io::Result<()> {
        let taken = self.take_stdout();
        for wanted in self.0 {
            let text = comparison.in_format(wanted.format()).expect("only formats that it has were opened");
            match &wanted.to {
                Destination::File(file) => fs::write(file, text)?,
                Destination::Stdout => io::stdout().lock().write_all(text.as_bytes())?,
            }
        }
        if taken { io::stderr().write_all(text.as_bytes()) } else { io::stdout().lock().write_all(text.as_bytes()) }
    }
}
