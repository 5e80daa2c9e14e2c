//! Reads what `zdtm.py` writes: the TAP of `--report` (class `Launcher` of `test/zdtm.py`), and the
//! log of a test program, `NAME.out` (`pass`, `fail`, `skip` and `pr_perror` of
//! `test/zdtm/lib/zdtmtst.h`).

use std::path::{Path, PathBuf};

use protocol::limits::{REPORT_BYTES, REPORT_LINES};
use yaml_rust2::parser::{Event, EventReceiver, Parser};

use super::{ZdtmResult, ZdtmTest};
use crate::limited;

/// What a line of the output has that says what went wrong: criu's errors, and those of the test
/// programs.
const ERRORS: [&str; 3] = ["Error (", "FAIL: ", "ERR: "];

/// Why a file of zdtm's cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ZdtmError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{}:{line}: {what}", .file.display())]
    Shape {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
}

/// Whether this is a file of zdtm's, by its name: `criu-testreport.tap`, `env00.out`.
pub fn is_of_zdtm(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "tap" || extension == "out")
}

/// The tests in files of zdtm's. The log of a test that a report has adds to what is said there.
///
/// # Errors
/// A file cannot be read, or is something else.
pub fn read_all(files: &[PathBuf]) -> Result<Vec<ZdtmTest>, ZdtmError> {
    let (logs, reports): (Vec<_>, Vec<_>) =
        files.iter().partition(|file| file.extension().is_some_and(|extension| extension == "out"));
    let mut tests = Vec::new();
    for file in reports {
        let shape = |(line, what)| ZdtmError::Shape { file: file.clone(), line, what };
        tests.extend(tap(&text(file)?, &file.display().to_string()).map_err(shape)?);
    }
    for file in logs {
        let log = log(&text(file)?, file);
        match tests.iter_mut().find(|test| test.name == log.name) {
            None => tests.push(log),
            Some(test) if test.result == ZdtmResult::Failed => test.log.extend(log.log),
            Some(_) => {}
        }
    }
    for test in &mut tests {
        test.log.truncate(REPORT_LINES);
    }
    Ok(tests)
}

fn text(file: &Path) -> Result<String, ZdtmError> {
    limited::read(file, REPORT_BYTES).map_err(|source| ZdtmError::Read { file: file.to_owned(), source })
}

/// The tests of a TAP report; a line number, from 1, and what is wrong there. A report that ends
/// before its plan has a failure for that.
pub(crate) fn tap(text: &str, from: &str) -> Result<Vec<ZdtmTest>, (usize, String)> {
    let mut lines = text.lines().enumerate();
    if lines.next().is_none_or(|(_, line)| line != "TAP version 13") {
        return Err((1, "no TAP report of zdtm.py: the first line of one is `TAP version 13`; of a run of this program give the JSON report".to_owned()));
    }
    let mut tests: Vec<ZdtmTest> = Vec::new();
    let mut planned = 0;
    while let Some((index, line)) = lines.next() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(count) = line.strip_prefix("1..") {
            planned = count.parse().map_err(|_| (index + 1, format!("{line:?} is no plan")))?;
        } else if line == "---" {
            let block: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "...").collect();
            let test = tests.last_mut().ok_or((index + 1, "details of no test".to_owned()))?;
            explain(test, &output(&block.join("\n")));
        } else {
            let wrong = || (index + 1, "neither `ok N - NAME` nor `not ok N - NAME`".to_owned());
            tests.push(result(line, from).ok_or_else(wrong)?);
        }
    }
    if tests.len() < planned {
        let reason = format!("{} of {planned} tests are in the report: it breaks off", tests.len());
        let (flavor, log, from) = (None, Vec::new(), from.to_owned());
        tests.push(ZdtmTest { name: "zdtm.py".to_owned(), result: ZdtmResult::Failed, flavor, reason, log, from });
    }
    Ok(tests)
}

/// `ok 1 - NAME`, `ok 2 - NAME # SKIP why`, `not ok 3 - NAME # flavor ns`
fn result(line: &str, from: &str) -> Option<ZdtmTest> {
    let (is_ok, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(" - ")?;
    number.parse::<u64>().ok()?;
    let (name, directive) = rest.split_once(" # ").unwrap_or((rest, ""));
    let skipped = directive.strip_prefix("SKIP").map(str::trim);
    let (result, reason) = match (is_ok, skipped) {
        (true, Some(why)) => (ZdtmResult::Skipped, why.to_owned()),
        (true, None) => (ZdtmResult::Passed, String::new()),
        (false, _) => (ZdtmResult::Failed, "it failed".to_owned()),
    };
    let flavor = directive.strip_prefix("flavor ").map(|flavor| flavor.trim().to_owned());
    Some(ZdtmTest { name: name.to_owned(), result, flavor, reason, log: Vec::new(), from: from.to_owned() })
}

/// The text behind `output` in the details of a test. Only plain values are taken, so a name for
/// another value, which YAML allows, does nothing.
fn output(block: &str) -> String {
    #[derive(Default)]
    struct Texts(Vec<String>);
    impl EventReceiver for Texts {
        fn on_event(&mut self, event: Event) {
            if let Event::Scalar(text, ..) = event {
                self.0.push(text);
            }
        }
    }
    let mut texts = Texts::default();
    // What is no YAML is shown as it stands.
    match Parser::new_from_str(block).load(&mut texts, false) {
        Ok(()) => texts.0.into_iter().skip_while(|text| text.trim() != "output").nth(1).unwrap_or_default(),
        Err(_) => block.to_owned(),
    }
}

/// Takes from a test's output where it failed, and the errors in it.
fn explain(test: &mut ZdtmTest, output: &str) {
    let mark = format!("Test {} FAIL at ", test.name);
    let place = output.lines().find_map(|line| line.split_once(&mark));
    match place {
        Some((_, place)) => test.reason = format!("failed at {}", place.trim_end_matches(['#', ' '])),
        None => {
            let last = output.lines().rev().map(str::trim).find(|line| !line.is_empty());
            last.unwrap_or("it failed").clone_into(&mut test.reason);
        }
    }
    test.log.extend(errors(output));
}

fn errors(output: &str) -> impl Iterator<Item = String> + '_ {
    let is_error = |line: &&str| ERRORS.iter().any(|error| line.contains(error));
    output.lines().map(str::trim).filter(is_error).take(REPORT_LINES).map(plain_line)
}

/// A line of criu's log, which zdtm.py prints as Python's `b'...'`.
fn plain_line(line: &str) -> String {
    let inner = |quote: &str| line.strip_prefix('b')?.strip_prefix(quote)?.strip_suffix(quote);
    let text = inner("'").or_else(|| inner("\""));
    text.map_or_else(|| line.to_owned(), |text| text.replace("\\'", "'"))
}

/// The result that a test program wrote into its log.
pub(crate) fn log(text: &str, file: &Path) -> ZdtmTest {
    let from = file.display().to_string();
    let path = file.with_extension("").display().to_string();
    // As zdtm.py calls it, from the folder `test`.
    let name = path.rfind("zdtm/").map_or(path.as_str(), |at| &path[at..]).to_owned();
    let said = |line: &str| {
        let message = |word: &str| line.split_once(word).map(|(_, rest)| rest.trim().to_owned());
        match () {
            () if line.trim_end().ends_with(": PASS") => Some((ZdtmResult::Passed, String::new())),
            () => message("FAIL: ")
                .map(|why| (ZdtmResult::Failed, why))
                .or_else(|| message("SKIP: ").map(|why| (ZdtmResult::Skipped, why))),
        }
    };
    let silent = || (ZdtmResult::Failed, "its log says neither PASS nor FAIL".to_owned());
    let (result, reason) = text.lines().rev().find_map(said).unwrap_or_else(silent);
    let log = if result == ZdtmResult::Failed { errors(text).collect() } else { Vec::new() };
    ZdtmTest { name, result, flavor: None, reason, log, from }
}
