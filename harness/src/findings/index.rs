//! All findings as one document, by what they cost.

use std::fmt::Write;

use super::Finding;
use crate::judge::kind::Severity;

const HEAD: &str = "\
# Findings

What the catalogue and campaigns have shown about CRIU: [README](../README.md) says how to find more. Each is a bug report with the
smallest program, made by `zdtm-detached finding new` and run again by `zdtm-detached finding check`. This table is made by
`zdtm-detached finding index --write`.
";

/// What stands at each severity, the worst first.
const PARTS: [(Severity, &str); 4] = [
    (Severity::Harmed, "Harmed: criu crashes, or the dump harms the process"),
    (Severity::Wrong, "Silently wrong: criu says that it succeeded"),
    (Severity::Lost, "Lost: the dump succeeds, the restore fails"),
    (Severity::Refused, "Refused: the dump fails, the process lives on"),
];

/// The document.
pub fn document(findings: &[Finding]) -> String {
    let mut out = HEAD.to_owned();
    for (severity, heading) in PARTS {
        let of_severity: Vec<&Finding> = findings.iter().filter(|one| one.severity() == Some(severity)).collect();
        if of_severity.is_empty() {
            continue;
        }
        let _ = write!(
            out,
            "\n## {heading}\n| | finding | seen with | cause | upstream |\n| --- | --- | --- | --- | --- |\n"
        );
        for one in of_severity {
            let cause = if one.cause.is_empty() { "" } else { "known" };
            let _ = writeln!(
                out,
                "| {:03} | [{}](findings/{}) | {} | {cause} | {} |",
                one.number,
                one.title,
                one.file_name(),
                one.seen,
                one.upstream
            );
        }
    }
    out
}
