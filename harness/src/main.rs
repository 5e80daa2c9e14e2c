//! The program: the command line's exit status, and what it says of an error.

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};
use harness::cmd::{Cli, bisect_step, dispatch, settings};
use harness::notices::say;
use harness::plan::select::NoMatch;
use harness::usage::Usage;

/// Judging and generating programs is mostly many small texts: a campaign on the host runs a tenth
/// more of them with this than with the C library's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) fn main() -> ExitCode {
    // For git a status of 2 would be a bad revision.
    let bisecting = || std::env::args().nth(1).is_some_and(|word| word == "bisect-step");
    let line = match settings::apply(Cli::command()) {
        Ok(line) => line,
        Err(error) => {
            say(&format!("error: {error}"));
            return ExitCode::from(if bisecting() { bisect_step::ABORT } else { 2 });
        }
    };
    let parsed = line.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let line = parsed.unwrap_or_else(|error| {
        let _ = error.print();
        let bisecting = error.use_stderr() && bisecting();
        std::process::exit(if bisecting { bisect_step::ABORT.into() } else { error.exit_code() })
    });
    match dispatch(line.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            if harness::process::interrupt::requested() {
                return ExitCode::from(harness::exit::INTERRUPTED);
            }
            say(&format!("error: {}", render(&error)));
            ExitCode::from(match () {
                () if error.is::<Usage>() => harness::exit::USAGE,
                () if error.is::<NoMatch>() => harness::exit::NOTHING_RAN,
                () => harness::exit::INFRASTRUCTURE,
            })
        }
    }
}

/// An error with its causes, each printed once: many already say their cause themselves.
fn render(error: &anyhow::Error) -> String {
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
