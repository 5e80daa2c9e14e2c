//! `bless`: the file of known failures made to say what results prove.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::list::TreeArgs;
use super::report::read_all;
use crate::bless::{Note, TrialResult, bless};
use crate::exit;
use crate::image::Manifest;
use crate::judge::Verdict;
use crate::notices::print;
use crate::report::Finished;
use crate::report::merge::merge;
use crate::report::record::TrialRecord;
use crate::sanitize::sanitized;
use crate::usage::Usage;

/// Record in the file of known failures what results prove.
///
/// Rewrites scenarios/expectations.toml so that these results are as expected, and nothing else in
/// it: a new failure gets an entry for exactly the kernels, subjects and so on in which it was
/// seen, with a pattern for what was said, and what passes is taken out of the entries that speak
/// of its subject. Flaky trials, errors and what did not run prove nothing. Look at the difference
/// before you commit it: an entry says that a failure is CRIU's.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached bless report.json --dry-run
  zdtm-detached bless report.json --reason 'criu loses the lock' --link https://example.org/123
  zdtm-detached bless report.json --into branch.toml    what a feature branch is known to fail

Exit status: 0 written or nothing to write, 2 a wrong file or results that contradict each other.")]
pub struct BlessArgs {
    /// JSON reports, or folders that hold some
    #[arg(required = true, value_name = "RESULTS")]
    pub results: Vec<PathBuf>,
    /// Why new entries fail [default: what was seen]
    #[arg(long)]
    pub reason: Option<String>,
    /// Where that is discussed
    #[arg(long, value_name = "URL")]
    pub link: Option<String>,
    /// Print what would change, and write nothing
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Write to a file of your own, for `run --expectations`; when it is missing it is made from
    /// the project's
    #[arg(long, value_name = "FILE", visible_alias = "expectations")]
    pub into: Option<PathBuf>,
    #[command(flatten)]
    tree: TreeArgs,
}

/// Blesses; the exit status.
///
/// # Errors
/// Results or a file that cannot be read or written, or what they prove cannot be said.
pub fn run(args: &BlessArgs) -> anyhow::Result<u8> {
    let trials = merge(read_all(&args.results)?).trials;
    let tree = if args.into.is_some() { args.tree.locate() } else { args.tree.checkout() }?;
    let own = tree.join("scenarios/expectations.toml");
    let file = args.into.clone().unwrap_or_else(|| own.clone());
    let from = if file.exists() { &file } else { &own };
    let text = std::fs::read_to_string(from).with_context(|| format!("reading {}", from.display()))?;
    let kernels: Vec<String> = Manifest::read(&tree.join("vm-images/images.toml"))?.kernel.keys().cloned().collect();
    let proves_nothing = trials.iter().filter(|trial| trial.verdict().is_ok_and(says_nothing)).count();
    let results: Vec<TrialResult> = trials.into_iter().map(result).collect::<Result<_, _>>()?;
    let note = Note { reason: args.reason.clone(), link: args.link.clone() };
    let blessed = bless(&text, &file, &results, &kernels, &note).map_err(|error| Usage(error.to_string()))?;
    for change in &blessed.changes {
        print(&format!("{}\n", sanitized(&change.to_string())))?;
    }
    if proves_nothing > 0 {
        print(&format!("{proves_nothing} results prove nothing: flaky, unsupported, an error or not run\n"))?;
    }
    let name = file.display();
    let end = match (blessed.changes.is_empty(), args.dry_run) {
        (true, _) if file.exists() => format!("{name} says all that {} results prove", results.len()),
        (_, true) => format!("{name} would change (--dry-run)"),
        (_, false) => {
            std::fs::write(&file, blessed.text).with_context(|| format!("writing {name}"))?;
            format!("{name} is written; read the new reasons, and say the cause where it is known")
        }
    };
    print(&format!("{end}\n"))?;
    Ok(exit::AS_EXPECTED)
}

fn says_nothing(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Unsupported | Verdict::Error | Verdict::NotRun | Verdict::Flaky { .. })
}

fn result(record: TrialRecord) -> anyhow::Result<TrialResult> {
    let finished = Finished::try_from(record)?;
    let Finished { trial, criu, judgement, .. } = finished;
    Ok(TrialResult { trial, criu, verdict: judgement.verdict, why: judgement.said().to_owned() })
}
