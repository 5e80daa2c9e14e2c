//! TAP 14 (testanything.org): an expected failure is `not ok` with a TODO, so that a reader does
//! not take it for a pass.

use std::fmt::Write;

use super::account_of;
use super::record::RunRecord;
use super::sanitize::sanitized;
use super::zdtm::ZdtmResult;

/// The document.
pub(super) fn render(run: &RunRecord) -> String {
    let mut out = format!("TAP version 14\n1..{}\n", run.trials.len() + run.zdtm.len());
    for (index, trial) in run.trials.iter().enumerate() {
        let (ok, directive) = match trial.verdict.as_str() {
            "pass" | "improved" => ("ok", String::new()),
            "xfail" => ("not ok", format!(" # TODO {}", escaped(&trial.reason))),
            "unsupported" | "not-run" => ("ok", format!(" # SKIP {}", escaped(&trial.reason))),
            _ => ("not ok", String::new()),
        };
        let _ = writeln!(out, "{ok} {} - {}{directive}", index + 1, escaped(&trial.id));
        if ok == "not ok" && directive.is_empty() {
            out.push_str("  ---\n");
            let kind = trial.kind.map_or_else(String::new, |kind| format!("({kind})"));
            // The 2: a text may begin with blanks, and its lines are indented by no more than that.
            let _ = writeln!(out, "  severity: fail\n  verdict: \"{}{kind}\"\n  message: |2", trial.verdict);
            for line in account_of(trial).lines() {
                let _ = writeln!(out, "    {line}");
            }
            out.push_str("  ...\n");
        }
    }
    for (index, test) in run.zdtm.iter().enumerate() {
        let (ok, directive) = match test.result {
            ZdtmResult::Passed => ("ok", String::new()),
            ZdtmResult::Skipped => ("ok", format!(" # SKIP {}", escaped(&test.reason))),
            ZdtmResult::Failed => ("not ok", String::new()),
        };
        let _ = writeln!(out, "{ok} {} - {}{directive}", run.trials.len() + index + 1, escaped(&test.name));
        if test.result == ZdtmResult::Failed {
            let _ = writeln!(out, "  ---\n  severity: fail\n  message: |2\n    {}", sanitized(&test.reason));
            for line in &test.log {
                let _ = writeln!(out, "    {}", sanitized(line));
            }
            out.push_str("  ...\n");
        }
    }
    out
}

/// On one line, harmless, and no `#` that starts a directive.
fn escaped(text: &str) -> String {
    sanitized(text).replace('\\', "\\\\").replace('#', "\\#")
}
