//! Programs that run to their end: cargo, and unpacked ones.
//!
//! Always with the C locale, without a terminal, and with an error that carries the end of what the
//! program said.

use std::process::{Command, Output, Stdio};

use std::io;

/// How many of the last lines of a failed program's output an error carries.
const LINES: usize = 15;

/// Why the command gave no output.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// A program of the host is not there.
    #[error("cannot start `{program}` ({error}); it comes with Debian's package {package}")]
    NoProgram {
        /// Its name.
        program: String,
        /// The package that has it.
        package: &'static str,
        /// Why it did not start.
        #[source]
        error: io::Error,
    },
    /// A program said that it failed.
    #[error("{what} failed ({status}).{advice}\n{output}")]
    Failed {
        /// What was tried, with the program's name.
        what: String,
        /// How it ended.
        status: String,
        /// What to do, starting with a space; may be empty.
        advice: String,
        /// The end of its output.
        output: String,
    },
}

/// Runs a program to its end and gives its standard output.
///
/// `what` is for the error ("making the blank filesystem ext4-0"), `package` the Debian package
/// that has the program, `advise` turns the output of a failed program into what to do.
///
/// # Errors
/// The program is not there or fails.
pub(crate) fn run(
    command: &mut Command,
    what: &str,
    package: &'static str,
    advise: impl FnOnce(&str) -> &'static str,
) -> Result<String, CommandError> {
    let Output { status, stdout, stderr } =
        command.env("LC_ALL", "C").stdin(Stdio::null()).output().map_err(|error| CommandError::NoProgram {
            program: command.get_program().to_string_lossy().into_owned(),
            package,
            error,
        })?;
    let stdout = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(stdout);
    }
    let stderr = String::from_utf8_lossy(&stderr);
    let text = if stderr.trim().is_empty() { stdout.as_str() } else { &stderr };
    Err(CommandError::Failed {
        what: what.to_owned(),
        status: status.to_string(),
        advice: advise(text).to_owned(),
        output: last_lines(text),
    })
}

/// Nothing to advise.
pub(crate) fn no_advice(_: &str) -> &'static str {
    ""
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    lines[from..].iter().map(|line| format!("  | {line}\n")).collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_how_and_what_was_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo 'no such suite' >&2; exit 3"]);
        let error = run(&mut command, "asking for a suite", "dash", |_| " Try another.").unwrap_err();
        expect_test::expect![[r#"
            asking for a suite failed (exit status: 3). Try another.
              | no such suite"#]]
        .assert_eq(&error.to_string());
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = run(&mut Command::new("apt-got"), "update", "apt", no_advice).unwrap_err();
        expect_test::expect![
            "cannot start `apt-got` (No such file or directory (os error 2)); it comes with Debian's package apt"
        ]
        .assert_eq(&error.to_string());
    }
}
