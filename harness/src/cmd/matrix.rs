//! `matrix`: the catalogue with everything that README offers, so that each offer has a green run.

use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use super::run::{self, Listener, RunArgs};
use crate::judge::Tally;
use crate::notices::{print, say};
use crate::report::Finished;
use crate::usage::Usage;

/// What README offers: subject, kernel, flavor, lifecycle.
const ROWS: &[[&str; 4]] = &[
    ["debian:trixie", "6.12", "ns", "dump-restore"],
    ["debian:trixie", "6.1", "ns", "dump-restore"],
    ["debian:trixie", "7.3", "ns", "dump-restore"],
    ["debian:bookworm", "6.1", "ns", "dump-restore"],
    ["debian:sid", "7.3", "ns", "dump-restore"],
    ["debian:experimental", "7.3", "ns", "dump-restore"],
    ["debian:trixie", "6.12", "host", "dump-restore"],
    ["debian:trixie", "6.12", "userns", "dump-restore"],
    ["debian:experimental", "7.3", "userns", "dump-restore"],
    ["debian:trixie", "6.12", "ns", "leave-running"],
    ["debian:trixie", "6.12", "ns", "three-times"],
    ["debian:trixie", "6.12", "ns", "leave-running-dump"],
    ["debian:trixie", "6.12", "ns", "leave-stopped"],
    ["debian:trixie", "6.12", "ns", "pre-dump"],
    ["debian:trixie", "6.12", "ns", "compat-mode"],
    ["debian:trixie", "6.12", "ns", "failed-dump"],
    ["debian:trixie", "6.12", "ns", "killed-dump"],
    ["reference", "6.1", "ns", "dump-restore"],
    ["reference", "6.12", "ns", "dump-restore"],
    ["reference", "7.3", "ns", "dump-restore"],
    ["reference", "6.1", "userns", "dump-restore"],
    ["reference", "6.12", "userns", "dump-restore"],
    ["reference", "7.3", "userns", "dump-restore"],
];

/// Run the catalogue with every subject, kernel, flavor and lifecycle that README offers.
///
/// Each row is a run of its own, with what is known to fail, and must end as expected. It takes
/// minutes a row; --only chooses some. The table is printed at the end, and written as a document
/// with --write. Rows that were not run this time keep their line in the document.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached matrix
  zdtm-detached matrix --only debian:sid --only host
  zdtm-detached matrix --write docs/MATRIX.md

Exit status: 0 every row is as expected, otherwise the worst of the rows'.")]
pub struct MatrixArgs {
    /// Only rows that have this word: a subject, a kernel, a flavor or a lifecycle; may be given
    /// more than once
    #[arg(long, value_name = "WORD")]
    pub only: Vec<String>,
    /// Scenarios, as for `run` [default: all]
    pub what: Vec<String>,
    /// Write the table to this document
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// VMs that run at the same time [default: one for each core]
    #[arg(short = 'j', value_name = "VMS")]
    pub jobs: Option<usize>,
}

/// Runs the rows; the exit status.
///
/// # Errors
/// A word that chooses no row, or a document that cannot be written.
pub fn run(args: &MatrixArgs) -> anyhow::Result<u8> {
    let wanted = |row: &&[&str; 4]| args.only.is_empty() || args.only.iter().any(|word| row.contains(&word.as_str()));
    let rows: Vec<&[&str; 4]> = ROWS.iter().filter(wanted).collect();
    if rows.is_empty() {
        return Err(Usage(format!(
            "no row has {}; `zdtm-detached matrix --help` says what there is",
            args.only.join(" or ")
        ))
        .into());
    }
    let (mut lines, mut worst) = (Vec::new(), 0);
    for (number, row) in rows.iter().enumerate() {
        say(&format!("[{}/{}] {}", number + 1, rows.len(), row.join(", ")));
        let start = Instant::now();
        let (sender, receiver) = channel();
        let status = one(args, row, sender)?;
        worst = worst.max(status);
        if crate::process::interrupt::requested() {
            // A row that was broken off says nothing.
            break;
        }
        let ends: Vec<Finished> = receiver.try_iter().collect();
        lines.push(line(row, &ends, status, start.elapsed().as_secs()));
        if let Some(file) = &args.write {
            let old = std::fs::read_to_string(file).unwrap_or_default();
            std::fs::write(file, document(&old, &lines)).with_context(|| format!("writing {}", file.display()))?;
        }
    }
    print(&document("", &lines))?;
    Ok(worst)
}

/// One row.
fn one(args: &MatrixArgs, row: &[&str; 4], sender: Sender<Finished>) -> anyhow::Result<u8> {
    let [subject, kernel, flavor, lifecycle] = row;
    let mut words =
        vec!["--subject", subject, "--kernel", kernel, "--flavor", flavor, "--lifecycle", lifecycle, "--quiet"];
    if *subject == "reference" {
        words.extend(["--pack", "auto"]);
    }
    let mut run_args = RunArgs::typed(words)?;
    run_args.what.clone_from(&args.what);
    run_args.machines.jobs = args.jobs.or(run_args.machines.jobs);
    run::heard(&run_args, Box::new(Listener(sender)))
}

/// The row's line in the table.
fn line(row: &[&str; 4], ends: &[Finished], status: u8, seconds: u64) -> String {
    let mut tally = Tally::default();
    ends.iter().for_each(|end| tally.add(end.judgement.verdict));
    let criu = ends.iter().find_map(|end| end.criu.clone()).unwrap_or_else(|| "-".to_owned());
    let end = if status == 0 { "as expected".to_owned() } else { format!("**status {status}**") };
    let counts = ["pass", "xfail"].map(|word| tally.of(word).to_string()).join(" | ");
    let (failed, skipped) = (tally.failed(), tally.skipped());
    format!("| {} | {criu} | {counts} | {failed} | {skipped} | {seconds} | {end} |", row.join(" | "))
}

const HEAD: &str = "\
# What was run

The catalogue with every subject, kernel, flavor and lifecycle that [README](../README.md) offers, made by
`zdtm-detached matrix --write docs/MATRIX.md`. Times are of two cores without KVM. Rows that are not here were not run.

| subject | kernel | flavor | lifecycle | criu | pass | xfail | failed | skipped | seconds | |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
";

/// The document with these lines; what else it said of other rows stays.
fn document(old: &str, lines: &[String]) -> String {
    let line_of = |row: &[&str; 4]| {
        let start = format!("| {} |", row.join(" | "));
        let new = lines.iter().find(|line| line.starts_with(&start)).map(String::as_str);
        new.or_else(|| old.lines().find(|line| line.starts_with(&start))).map(|line| format!("{line}\n"))
    };
    let lines: String = ROWS.iter().filter_map(line_of).collect();
    format!("{HEAD}{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::finished;
    use crate::judge::{Judgement, Verdict};

    #[test]
    fn rows_that_were_not_run_keep_their_line() {
        let passed = Finished { criu: Some("4.1.1".into()), ..finished("a/b", Judgement::plain(Verdict::Pass, "")) };
        let ends = || vec![passed.clone()];
        let old = document("", &[line(&ROWS[1], &ends(), 0, 7), line(&ROWS[0], &[], 3, 1)]);
        let new = document(&old, &[line(&ROWS[0], &ends(), 0, 9)]);
        let table: Vec<&str> = new.lines().skip(7).collect();
        expect_test::expect![[r#"
            | debian:trixie | 6.12 | ns | dump-restore | 4.1.1 | 1 | 0 | 0 | 0 | 9 | as expected |
            | debian:trixie | 6.1 | ns | dump-restore | 4.1.1 | 1 | 0 | 0 | 0 | 7 | as expected |"#]]
        .assert_eq(&table.join("\n"));
    }

    #[test]
    fn every_row_is_understood() {
        for [subject, kernel, flavor, lifecycle] in ROWS {
            let words = ["--subject", subject, "--kernel", kernel, "--flavor", flavor, "--lifecycle", lifecycle];
            assert!(RunArgs::typed(words).is_ok(), "{words:?}");
        }
    }
}
