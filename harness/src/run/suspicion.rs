//! Which trials cost their machine.

use protocol::message::TrialReport;

use crate::judge::{FailureKind, Judgement, Verdict};

/// Whether the machine may not serve the next trial: something stays behind, the kernel complained,
/// or the trial ended in an unexpected way that says nothing of the machine. What criu
/// got wrong about a process has ended with that process, and the guest has looked for all that is
/// left.
pub(super) fn suspicious(judgement: &Judgement, report: &TrialReport) -> bool {
    if !report.leftovers.is_empty() || !report.kernel_log.is_empty() {
        return true;
    }
    match judgement.verdict {
        Verdict::Pass | Verdict::Xfail(_) | Verdict::Xpass | Verdict::Improved | Verdict::Unsupported => false,
        Verdict::Fail(kind) | Verdict::ChangedFail(kind) => {
            use FailureKind::{Crash, Hang, HarmedByDump, KernelSplat, Litter};
            matches!(kind, Crash | HarmedByDump | Hang | KernelSplat | Litter)
        }
        _ => true,
    }
}
