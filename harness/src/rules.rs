//! The rules of `docs/KERNEL.md` on a kernel: each has a program, which is carried out there.
//!
//! A rule holds where its program ends as the document says: its assertions are true and everything
//! that the model predicts is observed, or its last step fails with the error that the document
//! names. The table by kernel at the end of the document is made of such runs (command `rules`),
//! and the tests run the same (`cargo test -p harness --test machines document`).

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use protocol::message::{Flavor, Lifecycle, Probing, Request, TrialReport, TrialRequest};
use scenarios::model::Model;
use scenarios::{Errno, Program, text};

use crate::machine::{Machine, MachineError};
use crate::oracle;
use crate::run::patience::{Patience, wait_for_report};
use crate::sanitize;
use crate::subject::{ReferenceOptions, Subject};

/// Where the table begins; it is the end of the document.
const HEADING: &str = "## By kernel\n";

/// The longest text of what differs, in characters.
const NOTE_LIMIT: usize = 300;

/// A rule of the document.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its first sentence.
    pub title: String,
    /// What shows it.
    pub program: Program,
    /// The error that the last step must give.
    pub refused: Option<Errno>,
}

/// What came of a rule on a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It does as the document says.
    Holds,
    /// It does something else.
    Differs(String),
    /// It lacks something that the program needs.
    Unsupported(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Differs(_) => "**differs**",
            Self::Unsupported(_) => "-",
        })
    }
}

/// The rules of a document.
///
/// # Errors
/// A program that is none, with its rule.
pub fn read(document: &str) -> Result<Vec<Rule>, String> {
    let mut parts = document.split("```scn\n");
    let mut before = parts.next().unwrap_or_default();
    let mut rules = Vec::new();
    for part in parts {
        let title = title(before).ok_or_else(|| format!("a program without a rule in bold before it:\n{part}"))?;
        let (source, after) = part.split_once("```").ok_or_else(|| format!("{title}: the program has no end"))?;
        let program = text::program(source).map_err(|faults| format!("{title}: {}", faults[0]))?;
        let refused = source.lines().find_map(|line| line.strip_prefix("# refused: "));
        let refused = refused.map(str::parse).transpose().map_err(|error| format!("{title}: {error}"))?;
        rules.push(Rule { title, program, refused });
        before = after;
    }
    Ok(rules)
}

/// The last text in bold that begins a line.
fn title(text: &str) -> Option<String> {
    let (_, rest) = text.rsplit_once("\n**")?;
    let (title, _) = rest.split_once("**")?;
    let words: Vec<&str> = title.split_whitespace().collect();
    Some(words.join(" ").trim_end_matches(['.', ',', ':']).to_owned())
}

impl Rule {
    /// Carries out the program; `number` is that of the trial, `limit` how long an action may take.
    ///
    /// # Errors
    /// The machine's.
    pub fn measure(&self, machine: &mut Machine, number: u64, limit: Duration) -> Result<Finding, MachineError> {
        let there = &machine.ready().filesystems;
        if let Some(missing) = self.program.filesystems().into_iter().find(|name| !there.contains(name)) {
            return Ok(Finding::Unsupported(format!("no filesystem {missing}")));
        }
        machine.send(&Request::Run(TrialRequest {
            trial: number,
            programs: vec![text::print_program_in_place(&self.program)],
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::LeaveRunning,
            engine: Subject::Reference(None).engine(ReferenceOptions::default()),
            action_timeout_ms: limit.as_millis().try_into().unwrap_or(u64::MAX),
            thorough: true,
            probing: Probing::Never,
        }))?;
        let patience = Patience::new(number, Lifecycle::LeaveRunning, limit);
        match wait_for_report(machine, number, &patience)?.alone() {
            Some(report) => Ok(self.judge(&report)),
            None => Err(machine.astray("no report of one program".to_owned())),
        }
    }

    /// Whether the report is what the document says.
    fn judge(&self, report: &TrialReport) -> Finding {
        if let Some(missing) = report.setup_failure.as_ref().and_then(|failure| failure.missing.as_ref()) {
            return Finding::Unsupported(format!("no {missing}"));
        }
        let last = self.program.steps.last().map_or(0, |line| line.number);
        let differs = match (&report.setup_failure, self.refused, &report.before) {
            (Some(failure), Some(errno), _) if failure.line == last && failure.errno == Some(errno) => None,
            (Some(failure), ..) => Some(format!("line {}: {}", failure.line, failure.what)),
            (None, Some(errno), _) => Some(format!("line {last}: it works, {errno} is expected")),
            (None, None, None) => Some("no observation".to_owned()),
            (None, None, Some(before)) => match Model::run(&self.program) {
                Err((step, refusal)) => Some(format!("the model refuses step {}: {refusal}", step + 1)),
                Ok(model) => {
                    let failed =
                        report.failed_assertions.iter().map(|failed| format!("{}: {}", failed.expected, failed.got));
                    failed.chain(oracle::compare(&model.predict(), before).differences).next()
                }
            },
        };
        differs.map_or(Finding::Holds, Finding::Differs)
    }
}

/// What was measured: by kernel, by the rule's title.
pub type Findings = BTreeMap<String, BTreeMap<String, Finding>>;

/// The document with this table at its end.
///
/// `kernels` are the columns: the name, and the release that the kernel itself gave.
pub fn document(old: &str, rules: &[Rule], kernels: &[(String, String)], findings: &Findings) -> String {
    let body = old.split_once(HEADING).map_or(old, |(body, _)| body).trim_end();
    format!("{body}\n\n{HEADING}\n{}", table(rules, kernels, findings))
}

/// The table alone, and what differs below it.
pub fn table(rules: &[Rule], kernels: &[(String, String)], findings: &Findings) -> String {
    let releases: Vec<String> = kernels.iter().map(|(name, release)| format!("{name}: {release}")).collect();
    let mut text = format!("Measured by `zdtm-detached rules`. {}.\n\n| rule |", releases.join(", "));
    kernels.iter().for_each(|(name, _)| text.push_str(&format!(" {name} |")));
    text.push_str(&format!("\n|{}\n", " --- |".repeat(kernels.len() + 1)));
    let mut notes = Vec::new();
    for Rule { title, .. } in rules {
        text.push_str(&format!("| {} |", title.replace('|', "\\|")));
        for (name, _) in kernels {
            let finding = findings.get(name).and_then(|of_kernel| of_kernel.get(title));
            text.push_str(&finding.map_or_else(|| "  |".to_owned(), |finding| format!(" {finding} |")));
            if let Some(Finding::Differs(why) | Finding::Unsupported(why)) = finding {
                notes.push(format!("- {name}, {title}: {}\n", sanitize::brief(why, NOTE_LIMIT)));
            }
        }
        text.push('\n');
    }
    if !notes.is_empty() {
        text.push('\n');
        text.push_str(&notes.concat());
    }
    text
}

#[cfg(test)]
mod tests {
    use protocol::message::SetupFailure;

    use super::*;

    const DOCUMENT: &str = "# Rules\n\nSome.\n\n**A mount is a mount.** It is,\nas this shows.\n```scn\nmount tmpfs a\n\
        fd0 = open a directory\nassert fd0 visible\n```\n\n**What is not there\ncannot be opened,** and says so.\n```scn\n\
        fd0 = open nothing\n# refused: ENOENT\n```\n";

    #[test]
    fn the_table_takes_the_place_of_the_old_one() {
        let rules = read(DOCUMENT).unwrap();
        let kernels = [("6.1".to_owned(), "6.1.0-9".to_owned()), ("own".to_owned(), "own".to_owned())];
        let mut findings = Findings::new();
        let mut add = |kernel: &str, rule: usize, finding| {
            findings.entry(kernel.to_owned()).or_default().insert(rules[rule].title.clone(), finding);
        };
        add("6.1", 0, Finding::Holds);
        add("6.1", 1, Finding::Unsupported("no filesystem btrfs".to_owned()));
        add("own", 0, Finding::Differs("fd0: link".to_owned()));
        let once = document(DOCUMENT, &rules, &kernels, &findings);
        expect_test::expect![[r#"
            ## By kernel

            Measured by `zdtm-detached rules`. 6.1: 6.1.0-9, own: own.

            | rule | 6.1 | own |
            | --- | --- | --- |
            | A mount is a mount | holds | **differs** |
            | What is not there cannot be opened | - |  |

            - own, A mount is a mount: fd0: link
            - 6.1, What is not there cannot be opened: no filesystem btrfs
        "#]]
        .assert_eq(&once[once.find(HEADING).unwrap()..]);
        assert_eq!(document(&once, &rules, &kernels, &findings), once);
        assert_eq!(read(&once).unwrap().len(), 2);
    }

    #[test]
    fn a_rule_holds_only_as_the_document_says() {
        let rule = &read(DOCUMENT).unwrap()[1];
        let report = |line, errno| {
            let what = "open nothing".to_owned();
            let failure = SetupFailure { line, what, missing: None, errno };
            TrialReport { setup_failure: Some(failure), ..TrialReport::default() }
        };
        let number = rule.program.steps[0].number;
        let enoent = "ENOENT".parse().ok();
        assert_eq!(rule.judge(&report(number, enoent)), Finding::Holds);
        assert!(matches!(rule.judge(&report(number, "EBUSY".parse().ok())), Finding::Differs(_)));
        assert!(matches!(rule.judge(&report(number + 1, enoent)), Finding::Differs(_)));
        let works = Finding::Differs(format!("line {number}: it works, ENOENT is expected"));
        assert_eq!(rule.judge(&TrialReport::default()), works);
    }

    #[test]
    fn a_document_with_a_mistake_says_where() {
        assert!(read("```scn\nmount tmpfs a\n```").unwrap_err().contains("without a rule"));
        let error = read("\n**R.**\n```scn\nmuont tmpfs a\n```").unwrap_err();
        assert!(error.starts_with("R: "), "{error}");
    }
}
