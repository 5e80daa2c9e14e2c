//! `finding`: bug reports out of failed trials, and whether they still hold.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use protocol::message::{Flavor, Lifecycle};
use scenarios::text::print_scenario;

use super::run::{self, Chosen, Listener, RunArgs};
use super::saved_trial::{self, SHRUNK};
use crate::compare::failure;
use crate::exit;
use crate::export::c_program;
use crate::findings::check::{Outcome, happens, summary};
use crate::findings::{self, Finding, INDEX, index};
use crate::image::tree;
use crate::judge::kind::Severity;
use crate::notices::{print, say};
use crate::plan::select::select;
use crate::process::work_folder::WorkFolder;
use crate::report::Finished;
use crate::sanitize::{sanitized, sanitized_lines};
use crate::session::ExpectationsSource;
use crate::subject::Subject;
use crate::usage::Usage;

/// Bug reports: make one of a failed trial, and check that each still holds.
///
/// A finding is a file in docs/findings/ with the smallest program that shows one mistake of CRIU,
/// what happens, and the cause as far as it is known. docs/FINDINGS.md is the table of all of them.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached finding new zdtm-results/TRIAL --title 'A bind of a removed directory comes back with mode 0600'
  zdtm-detached finding check                          every finding, with the subject that it was seen with
  zdtm-detached finding check 3 17 --subject src:../criu      does this tree have them, too?
  zdtm-detached finding export 1 > report.md           for CRIU's maintainers, with a program in C
  zdtm-detached finding index --write                  the table, docs/FINDINGS.md

Exit status: 0 all as recorded, 1 one is not, 2 wrong usage, 3 infrastructure.")]
pub struct FindingArgs {
    #[command(subcommand)]
    what: What,
    /// Source tree with scenarios and findings, or `embedded` for the one in this program [default:
    /// the checkout that this program was built from, else `embedded`]
    #[arg(long, value_name = "DIR", global = true, env = "ZDTM_DETACHED_TREE")]
    tree: Option<PathBuf>,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Make a finding of the folder of a failed trial, of its program.min.scn if `shrink` made one
    New {
        /// The trial's folder
        folder: PathBuf,
        /// One line: what is wrong
        #[arg(long)]
        title: String,
        /// Where in CRIU, and why, if it is known
        #[arg(long, default_value = "")]
        cause: String,
    },
    /// Run findings again and say of each whether it still shows
    Check {
        /// Their numbers [default: all]
        number: Vec<u32>,
        /// Try this subject instead of the recorded one
        #[arg(long, value_name = "SUBJECT")]
        subject: Option<Subject>,
        /// Try this kernel instead of the recorded one
        #[arg(long, value_name = "KERNEL")]
        kernel: Option<String>,
        /// Record with which criu each was seen
        #[arg(long, conflicts_with_all = ["subject", "kernel"])]
        write: bool,
        /// VMs that run at the same time [default: one for each core]
        #[arg(short = 'j', value_name = "VMS")]
        jobs: Option<usize>,
    },
    /// Print a finding for CRIU's maintainers: its text, and its program in C that stands alone
    Export {
        /// Its number
        number: u32,
    },
    /// Print the table of all findings
    Index {
        /// Write it to docs/FINDINGS.md instead
        #[arg(long)]
        write: bool,
    },
}

impl What {
    fn writes(&self) -> bool {
        match self {
            Self::New { .. } => true,
            Self::Check { write, .. } | Self::Index { write } => *write,
            Self::Export { .. } => false,
        }
    }
}

/// Carries it out; the exit status.
///
/// # Errors
/// [`Usage`]; a finding that cannot be read; what keeps a trial from running.
pub fn run(args: &FindingArgs) -> anyhow::Result<u8> {
    let tree = match args.what.writes() {
        true => tree::checkout(args.tree.as_deref()),
        false => tree::locate(args.tree.as_deref()),
    }?;
    let all = findings::read(&tree)?;
    match &args.what {
        What::New { folder, title, cause } => {
            let number = all.last().map_or(1, |last| last.number + 1);
            let path = findings::write(&tree, &new(folder, title, cause, number, &tree)?)?;
            print(&format!("{}: check it, then `zdtm-detached finding index --write`\n", path.display()))?;
            Ok(exit::AS_EXPECTED)
        }
        What::Check { number, subject, kernel, write, jobs } => {
            let wanted = choose(&all, number)?;
            let elsewhere = subject.is_some() || kernel.is_some();
            let subject = subject.as_ref().map(ToString::to_string);
            let results = check(&tree, &wanted, subject.as_deref(), kernel.as_deref(), *jobs)?;
            let mut out = io::stdout().lock();
            for (finding, result) in &results {
                let severity = finding.severity().map_or("", Severity::text);
                let (word, title) = (result.word(), sanitized(&finding.title));
                writeln!(out, "{:03}  {word:<7}  {severity:<22}  {title}", finding.number)?;
                if let Some(detail) = result.detail() {
                    writeln!(out, "     {}", sanitized(detail))?;
                }
                if let (true, Outcome::Shows { criu: Some(criu) }) = (*write, result) {
                    findings::write(&tree, &Finding { seen: format!("criu {criu}"), ..(*finding).clone() })?;
                }
            }
            writeln!(out, "result: {}", summary(&results))?;
            Ok(status(&results, elsewhere))
        }
        What::Export { number } => {
            for finding in choose(&all, &[*number])? {
                print(&report(finding)?)?;
            }
            Ok(exit::AS_EXPECTED)
        }
        What::Index { write } => {
            let document = index::document(&all);
            if *write {
                let path = tree.join(INDEX);
                std::fs::write(&path, document).with_context(|| format!("writing {}", path.display()))?;
            } else {
                print(&document)?;
            }
            Ok(exit::AS_EXPECTED)
        }
    }
}

/// A finding of a trial's folder, with the shrunk program where there is one.
fn new(folder: &Path, title: &str, cause: &str, number: u32, tree: &Path) -> anyhow::Result<Finding> {
    let (_, record) = saved_trial::read(folder)?;
    let finished = Finished::try_from(record).map_err(|error| Usage(format!("{}: {error}", folder.display())))?;
    let Finished { trial, judgement, criu, program, .. } = finished;
    let Some(signature) = failure(&judgement) else {
        let what = judgement.verdict.word();
        return Err(Usage(format!("{} is no failed trial: its verdict is {what}", folder.display())).into());
    };
    let shrunk = folder.join(SHRUNK);
    let program = match shrunk.is_file() {
        true => {
            let found = select(&[shrunk.display().to_string()], tree)?;
            found.first().map(print_scenario).unwrap_or_default()
        }
        false => program.unwrap_or_default(),
    };
    // The header lines are the finding's own.
    let (_, steps) = program.split_once("\n\n").unwrap_or_default();
    Ok(Finding {
        number,
        title: title.to_owned(),
        signature,
        subject: trial.subject,
        kernel: trial.kernel,
        flavor: trial.flavor,
        lifecycle: trial.lifecycle,
        seen: format!("criu {}", criu.unwrap_or_default()),
        upstream: "not reported".to_owned(),
        program: steps.trim().to_owned(),
        happens: happens(&judgement),
        cause: cause.to_owned(),
    })
}

/// A finding with its program in C.
fn report(finding: &Finding) -> Result<String, Usage> {
    let scenario = finding.scenario().map_err(Usage)?;
    let program = c_program(&scenario, &[]);
    let program = program.map_err(|refusal| Usage(format!("finding {} in C: {refusal}", finding.number)))?;
    let text = sanitized_lines(&findings::text::print(finding));
    Ok(format!("{text}\n## Program in C\n```c\n{program}```\n"))
}

fn choose<'a>(all: &'a [Finding], numbers: &[u32]) -> Result<Vec<&'a Finding>, Usage> {
    if all.is_empty() {
        return Err(Usage("there are no findings (docs/findings/)".to_owned()));
    }
    if let Some(unknown) = numbers.iter().find(|number| all.iter().all(|one| one.number != **number)) {
        return Err(Usage(format!("there is no finding {unknown}; `zdtm-detached finding index` lists them")));
    }
    Ok(all.iter().filter(|one| numbers.is_empty() || numbers.contains(&one.number)).collect())
}

/// With another subject or kernel any answer is good.
fn status(results: &[(&Finding, Outcome)], elsewhere: bool) -> u8 {
    let is = |test: fn(&Outcome) -> bool| results.iter().any(|(_, result)| test(result));
    match () {
        () if crate::process::interrupt::requested() => exit::INTERRUPTED,
        () if is(|result| matches!(result, Outcome::Unknown(_))) => exit::INFRASTRUCTURE,
        () if !elsewhere && is(|result| !matches!(result, Outcome::Shows { .. })) => exit::FAILED,
        () => exit::AS_EXPECTED,
    }
}

/// Runs them, those that differ in nothing but the program together.
fn check<'a>(
    tree: &Path,
    wanted: &[&'a Finding],
    subject: Option<&str>,
    kernel: Option<&str>,
    jobs: Option<usize>,
) -> anyhow::Result<Vec<(&'a Finding, Outcome)>> {
    type Axes<'b> = (&'b str, &'b str, Flavor, Lifecycle);
    let axes = |finding: &&'a Finding| -> Axes<'_> {
        let (subject, kernel) = (subject.unwrap_or(&finding.subject), kernel.unwrap_or(&finding.kernel));
        (subject, kernel, finding.flavor, finding.lifecycle)
    };
    let mut groups: Vec<(Axes<'_>, Vec<&Finding>)> = Vec::new();
    for finding in wanted {
        match groups.iter_mut().find(|(of, _)| *of == axes(finding)) {
            Some((_, group)) => group.push(finding),
            None => groups.push((axes(finding), vec![finding])),
        }
    }
    let folder = WorkFolder::new().context("making a folder for the trials")?;
    let mut finished = BTreeMap::new();
    for ((subject, kernel, flavor, lifecycle), group) in groups {
        say(&format!(
            "{} of {}: {subject}, kernel {kernel}, {}, {lifecycle}",
            group.len(),
            wanted.len(),
            flavor.word()
        ));
        let words = ["--subject", subject, "--kernel", kernel, "--flavor", flavor.word(), "--lifecycle"];
        let words = words.into_iter().chain([lifecycle.word(), "--retries", "0"]);
        let mut args = RunArgs::typed(words)?;
        args.expectations = ExpectationsSource::None;
        args.machines.store.tree = Some(tree.to_owned());
        args.keep = folder.path().to_owned();
        args.machines.jobs = jobs.or(args.machines.jobs);
        let scenarios = group.iter().map(|finding| finding.scenario());
        let scenarios = scenarios.collect::<Result<Vec<_>, String>>().map_err(Usage)?;
        let (sender, receiver) = channel();
        run::chosen(
            &args,
            Chosen { scenarios, whole: false, listener: Some(Box::new(Listener(sender))), silent: true },
        )?;
        finished.extend(receiver.try_iter().map(|one| (one.trial.scenario.clone(), one)));
        if crate::process::interrupt::requested() {
            break;
        }
    }
    let outcome = |finding: &&'a Finding| {
        let name = finding.scenario().map(|scenario| scenario.name).unwrap_or_default();
        (*finding, Outcome::of(finding, finished.get(&name)))
    };
    Ok(wanted.iter().map(outcome).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_findings_are_exported_with_a_program_in_c() {
        let all = findings::read(&tree::locate(None).unwrap()).unwrap();
        let exported: Vec<_> = all.iter().filter_map(|finding| report(finding).ok()).collect();
        assert!(exported.len() * 10 >= all.len() * 8, "{} of {}", exported.len(), all.len());
        assert!(exported.iter().all(|text| text.contains("```c\n/*\n") && text.contains("int main(")));
    }

    #[test]
    fn a_finding_has_the_shrunk_program_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let record = serde_json::json!({
            "id": "x", "scenario": "x", "family": "", "flavor": "ns", "lifecycle": "dump-restore", "kernel": "6.12",
            "subject": "debian:trixie", "verdict": "fail", "kind": "dump-failed", "reason": "Error (a.c:1): no", "differences": [],
            "more_differences": 0, "log": [], "seconds": 0.1, "artifacts": null, "program": "# Whole.\noutcome restored\n\nmkdir a\nmkdir b\n",
        });
        std::fs::write(folder.path().join("verdict.json"), record.to_string()).unwrap();
        let whole = "# Whole.\noutcome restored\n\nmkdir a\nmkdir b\nassert cwd visible\n";
        std::fs::write(folder.path().join("program.scn"), whole).unwrap();
        let program = || {
            let tree = tree::locate(None).unwrap();
            new(folder.path(), "A title", "", 1, &tree).unwrap().program
        };
        assert_eq!(program(), "mkdir a\nmkdir b");
        let short = "# Short.\noutcome restored\n\nmkdir b\nassert cwd visible\n";
        std::fs::write(folder.path().join(SHRUNK), short).unwrap();
        assert_eq!(program(), "mkdir b\nassert cwd visible");
    }
}
