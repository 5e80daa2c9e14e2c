//! From a trial's report to a verdict.
//!
//! - [`verdict`]: the words for what became of a trial; [`kind`]: how it failed; [`tally`]: how
//!   they are counted
//! - [`comparisons`]: the table of everything that is compared, and of what is not
//! - [`failed_restore`]: what a restore that failed did besides
//! - `memory`: the guest that ran out of it
//! - [`expectations`]: what is known to fail
//! - [`signature`]: which failures are the same
//!
//! The judge knows only what was received. What is missing is an error, never a pass: a guest
//! that says nothing has proven nothing.

mod ablation;
pub mod comparisons;
mod details;
pub mod difference;
pub mod expectations;
mod facts;
pub mod failed_restore;
pub mod kind;
mod lifecycle;
mod memory;
mod objects;
mod prepared;
mod probes;
pub mod range;
pub(crate) mod refusal;
mod refused;
pub mod signature;
mod splat;
mod surroundings;
pub mod tally;
#[cfg(test)]
mod tests;
pub mod verdict;
mod wording;

use protocol::Observation;
use protocol::message::{ActionReport, Lifecycle, SetupFailure, TrialReport};
use scenarios::{Outcome, Scenario};

pub use ablation::Ablation;
pub use comparisons::Mode;
pub use difference::{Difference, Side};
pub use expectations::Expectations;
use lifecycle::LifecycleJudge;
pub use signature::Signature;
pub use verdict::{FailureKind, Group, Judgement, Severity, Tally, Trial, Verdict};

/// The most differences that a judgement keeps.
pub const DIFFERENCE_LIMIT: usize = 200;

/// The most lines of logs that a judgement quotes.
pub const QUOTE_LIMIT: usize = 20;

/// What the judge must know of a trial besides its report.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// What was done to the process: decides which actions the report must have.
    pub lifecycle: Lifecycle,
    /// `/proc/sys/kernel/tainted` before the trial, from the agent's greeting or the trial before.
    pub tainted_before: u64,
    /// Whether probes were asked for: then the report must have them.
    pub probed: bool,
}

/// The judge. The default one compares everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judge {
    /// The name of a comparison to leave out, for tests of the judge itself.
    pub disabled: Option<&'static str>,
}

/// Judges a trial with every comparison.
pub fn judge(scenario: &Scenario, context: Context, report: &TrialReport) -> Judgement {
    Judge::default().judge(scenario, context, report)
}

impl Judge {
    /// Judges a trial. Expectations are applied afterwards, by [`Expectations::apply`].
    pub fn judge(&self, scenario: &Scenario, context: Context, report: &TrialReport) -> Judgement {
        let mut judgement = self.without_quotes(scenario, context, report);
        if !matches!(judgement.verdict, Verdict::Pass | Verdict::Unsupported) {
            // The complaints of a dump that the harness spoilt are expected.
            let is_meant = |one: &&ActionReport| !one.action.is_spoilt() || !one.action.ended_well(&one.end);
            let meant = report.actions.iter().filter(is_meant);
            let lines = meant.flat_map(|action| &action.error_lines);
            let kernel = report.kernel_log.iter().filter(|line| splat::is_splat(line));
            judgement.quotes = lines.chain(kernel).take(QUOTE_LIMIT).cloned().collect();
        }
        judgement
    }

    fn without_quotes(&self, scenario: &Scenario, context: Context, report: &TrialReport) -> Judgement {
        if let Some(reason) = splat::splat(&report.kernel_log, context.tainted_before, report.tainted) {
            return Judgement::plain(Verdict::Fail(FailureKind::KernelSplat), reason);
        }
        let victims = memory::victims(&report.kernel_log);
        let judgement = match victims.iter().find(|victim| victim.is_the_program()) {
            // Nothing is known of a process that the kernel killed.
            Some(_) => Judgement::plain(Verdict::Error, String::new()),
            None => self.with_memory_enough(scenario, context, report),
        };
        memory::named(judgement, &victims)
    }

    fn with_memory_enough(&self, scenario: &Scenario, context: Context, report: &TrialReport) -> Judgement {
        let before = match before(report) {
            Ok(before) => before,
            Err(judgement) => return judgement,
        };
        let lifecycle = LifecycleJudge { judge: self, before, report, probed: context.probed };
        let judged = match &scenario.outcome {
            _ if !context.lifecycle.has_a_subject() => lifecycle.restored(context.lifecycle),
            Outcome::Restored => lifecycle.restored(context.lifecycle),
            Outcome::Refused { reason } => lifecycle.refused(context.lifecycle, reason),
        };
        judged.unwrap_or_else(|silence| Judgement::plain(Verdict::Error, silence.0))
    }
}

/// How the reason of a trial begins in which an `assert` line did not hold.
const NO_SITUATION: &str = "the situation did not come about";

/// Whether a step or an `assert` line of the program failed, before anything was done to the
/// process: of all errors the one that says something about the kernel.
pub fn is_of_the_program(judgement: &Judgement) -> bool {
    let said = judgement.said();
    judgement.verdict == Verdict::Error && (said.starts_with(NO_SITUATION) || said.starts_with("line "))
}

/// The observation before everything, if the program got that far.
fn before(report: &TrialReport) -> Result<&Observation, Judgement> {
    match &report.setup_failure {
        Some(SetupFailure { missing: Some(missing), what, .. }) => {
            return Err(Judgement::plain(Verdict::Unsupported, format!("no {missing} here: {what}")));
        }
        Some(SetupFailure { line, what, .. }) => {
            let line = if *line == 0 { String::new() } else { format!("line {line}: ") };
            return Err(Judgement::plain(Verdict::Error, format!("{line}{what}")));
        }
        None => {}
    }
    if let Some(first) = report.failed_assertions.first() {
        let more = match report.failed_assertions.len() - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        let reason =
            format!("{NO_SITUATION}: line {}: expected {}, got {}{more}", first.line, first.expected, first.got);
        return Err(Judgement::plain(Verdict::Error, reason));
    }
    let silence = || Judgement::plain(Verdict::Error, "the agent sent no observation from before the first action");
    let before = report.before.as_ref().ok_or_else(silence)?;
    if before.inside.objects.is_empty() || before.outside.objects.is_empty() || before.mounts.is_empty() {
        return Err(Judgement::plain(Verdict::Error, "the agent saw no objects or no mounts: nothing can be compared"));
    }
    Ok(before)
}
