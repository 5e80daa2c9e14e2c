//! What `zdtm.py` says of a test (`do_run_test` and `Launcher` of `test/zdtm.py`), and what it
//! comes to. A verdict needs both its line and a fitting exit status. A test that fails before the
//! checkpoint says nothing about criu.

use protocol::limits::REPORT_LINES;

/// What one side says of a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// It passed.
    Passed,
    /// It failed.
    Failed,
    /// Nothing is known.
    Unknown,
}

impl Word {
    /// For reports.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Passed => "pass",
            Self::Failed => "fail",
            Self::Unknown => "unknown",
        }
    }
}

/// The steps at which a test can fail once `zdtm.py` has called criu, or has compared.
const AFTER_ITS_START: [&str; 8] = [
    "CRIU ",
    "criu ",
    "result check",
    "fds compare",
    "maps compare",
    "mounts compare",
    "link remaps left",
    "unexpected success",
];

/// Lines of criu's logs that `zdtm.py` quotes, and of the test's own.
const ERRORS: [&str; 3] = ["Error (", "FAIL: ", "ERR: "];

/// The verdict of `zdtm.py` on the test `name`, and the step at which it failed or why there is no
/// verdict.
pub fn verdict(name: &str, status: i32, text: &str) -> (Word, String) {
    let place = format!("Test zdtm/static/{name} ");
    let said = text.lines().rev().find_map(|line| line.split_once(&place).map(|(_, rest)| rest));
    let said = said.map(|said| said.trim_end_matches(['#', '=', ' ']));
    match (said, status) {
        (Some("PASS"), 0) => (Word::Passed, String::new()),
        (Some("PASS"), _) => (Word::Unknown, format!("zdtm.py says PASS and ends with status {status}")),
        (Some(said), 0) => (Word::Unknown, format!("zdtm.py says {said:.200} and ends with status 0")),
        (Some(said), _) => match said.strip_prefix("FAIL at ") {
            Some(step) if AFTER_ITS_START.iter().any(|known| step.starts_with(known)) => {
                (Word::Failed, step.to_owned())
            }
            Some(step) => (Word::Unknown, format!("it fails before the checkpoint, at {step}")),
            None => (Word::Unknown, format!("zdtm.py says {said:.200}")),
        },
        (None, _) => {
            let skipped = text.lines().rev().find(|line| line.starts_with("Skipping "));
            let last = text.lines().rev().map(str::trim).find(|line| !line.is_empty() && !line.starts_with("zdtm-det"));
            let why = skipped.or(last).unwrap_or("it says nothing");
            (Word::Unknown, format!("zdtm.py gives no verdict (status {status}): {why:.200}"))
        }
    }
}

/// The lines of its output that say what went wrong.
pub fn errors(text: &str) -> Vec<String> {
    let is_error = |line: &&str| ERRORS.iter().any(|error| line.contains(error));
    text.lines().map(str::trim).filter(is_error).take(REPORT_LINES).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `zdtm.py`'s lines for a failure: `print_sep` of `test/zdtm.py`.
    fn failed_at(step: &str) -> String {
        format!(
            "Run criu dump\n########## Test zdtm/static/a FAIL at {step} ##########\nTest output: ====\n## FAIL ##\n"
        )
    }

    #[test]
    fn a_verdict_needs_its_line_and_a_fitting_status() {
        let passed = "Start test\n================ Test zdtm/static/a PASS ================\n";
        assert_eq!(verdict("a", 0, passed), (Word::Passed, String::new()));
        assert_eq!(verdict("a", 1, &failed_at("CRIU dump")), (Word::Failed, "CRIU dump".to_owned()));
        assert_eq!(verdict("a", 1, &failed_at("result check")).0, Word::Failed);
        let unknown = [(1, passed), (0, failed_at("CRIU dump").as_str()), (0, ""), (1, "")].map(|(status, text)| {
            let (word, why) = verdict("a", status, text);
            assert!(!why.is_empty());
            word
        });
        assert_eq!(unknown, [Word::Unknown; 4]);
        // It is another test's.
        assert_eq!(verdict("b", 0, passed).0, Word::Unknown);
    }

    #[test]
    fn what_fails_before_the_checkpoint_is_no_verdict_on_criu() {
        let make = failed_at("['make', '--no-print-directory', '-C', 'zdtm/static', 'a.pid']");
        let (word, why) = verdict("a", 1, &make);
        assert_eq!(word, Word::Unknown);
        assert!(why.starts_with("it fails before the checkpoint, at ['make'"), "{why}");
        let skipped = "Skipping zdtm/static/a (no flavors)\n\nzdtm-detached 0f 1 0\n";
        let (word, why) = verdict("a", 0, skipped);
        assert_eq!(word, Word::Unknown);
        assert_eq!(why, "zdtm.py gives no verdict (status 0): Skipping zdtm/static/a (no flavors)");
        assert!(verdict("a", 1, "Traceback\nKeyError: 'x'\n").1.ends_with("KeyError: 'x'"));
    }

    #[test]
    fn errors_are_lines_that_say_so() {
        let text = "b'(00.1) Error (criu/files.c:1): No\\n'\nx\n  1: FAIL: a.c:3: not so (errno = 2)\n";
        assert_eq!(errors(text), ["b'(00.1) Error (criu/files.c:1): No\\n'", "1: FAIL: a.c:3: not so (errno = 2)"]);
    }
}
