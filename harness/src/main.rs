//! The program: the command line's exit status, and what it says of an error.

use std::process::ExitCode;

use clap::Parser as _;
use harness::cmd::{Cli, Usage, bisect_step, dispatch};

fn main() -> ExitCode {
    let line = Cli::try_parse().unwrap_or_else(|error| {
        // For git a status of 2 would be a bad revision.
        let bisecting = error.use_stderr() && std::env::args().nth(1).is_some_and(|word| word == "bisect-step");
        let _ = error.print();
        std::process::exit(if bisecting { bisect_step::ABORT.into() } else { error.exit_code() })
    });
    match dispatch(line.command) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            if harness::interrupt::requested() {
                return ExitCode::from(130);
            }
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
