//! Does KVM work here? What runs the guests' code: KVM where it works, TCG everywhere.
//!
//! `/dev/kvm` can be there, open, make a VM, and still never run the guest's first instruction. So
//! nothing but a boot of the real kernel proves that KVM works: a line on its console, or the
//! agent's first message. A QEMU that is still alive proves nothing. The answer is kept for as long
//! as the host is not rebooted.

mod cached_probe;
mod probe;

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::cached_probe::CachedProbe;
pub use self::probe::{PROBE_TIME_LIMIT, ProbeOutcome, probe};
use super::accelerator::{Accelerator, AcceleratorChoice};
use super::error::VmError;
use super::machine::VmSpec;
use crate::architecture::{Architecture, HOST};

const DEVICE: &str = "/dev/kvm";

/// What was chosen and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What to use.
    pub accelerator: Accelerator,
    /// Why, as a clause: `kvm: no output within 5 s, using tcg`.
    pub reason: String,
}

/// KVM was asked for and does not work.
#[derive(Debug, thiserror::Error)]
pub enum AccelError {
    /// It was tried.
    #[error("--accel kvm: {0}; use --accel auto or tcg, or repair {DEVICE}")]
    NoKvm(String),
    /// It could not be tried.
    #[error("cannot try KVM: {0}")]
    Probe(#[source] Box<VmError>),
}

/// Whether KVM works here, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Finding {
    works: bool,
    why: String,
}

/// Decides what runs the guests' code. `spec` is what the probe boots, in a temporary directory of
/// its own; its accelerator and directory are ignored.
///
/// What cost time to find is kept in `cache_dir`. An explicit `kvm` does not trust a kept bad
/// finding and tries again.
///
/// # Errors
/// `kvm` was asked for and does not work; the probe could not be made or was interrupted.
pub fn choose(choice: AcceleratorChoice, spec: &VmSpec, cache_dir: &Path) -> Result<Decision, AccelError> {
    let memory = CachedProbe::new(cache_dir, &spec.qemu.version);
    let device = same_processor(spec.architecture).and_then(|()| open_device());
    let kept = memory.as_ref().filter(|_| device.is_ok()).and_then(CachedProbe::recall);
    let find = || {
        if let Err(why) = device {
            return Ok(Finding { works: false, why });
        }
        let outcome = probe(spec, PROBE_TIME_LIMIT)?;
        let finding = probe::judge(&outcome);
        // A QEMU that ends at once is soon found again, and the cause may be another one than KVM.
        if let (Some(memory), false) = (&memory, matches!(outcome, ProbeOutcome::Ended { .. })) {
            memory.keep(&finding);
        }
        Ok(finding)
    };
    decide(choice, kept, find)
}

fn decide(
    choice: AcceleratorChoice,
    kept: Option<Finding>,
    find: impl FnOnce() -> Result<Finding, VmError>,
) -> Result<Decision, AccelError> {
    if choice == AcceleratorChoice::Tcg {
        return Ok(Decision { accelerator: Accelerator::Tcg, reason: "tcg was asked for".to_owned() });
    }
    let kept = kept.filter(|finding| finding.works || choice == AcceleratorChoice::Auto);
    let finding = match kept {
        Some(finding) => Finding { why: format!("{} (found since the last reboot)", finding.why), ..finding },
        None => find().map_err(|error| AccelError::Probe(Box::new(error)))?,
    };
    match finding {
        Finding { works: true, why } => Ok(Decision { accelerator: Accelerator::Kvm, reason: format!("kvm: {why}") }),
        Finding { why, .. } if choice == AcceleratorChoice::Kvm => Err(AccelError::NoKvm(why)),
        Finding { why, .. } => Ok(Decision { accelerator: Accelerator::Tcg, reason: format!("kvm: {why}, using tcg") }),
    }
}

/// KVM runs the host's own code only.
fn same_processor(guest: Architecture) -> Result<(), String> {
    match guest == HOST {
        true => Ok(()),
        false => Err(format!("this {HOST} host runs no code for {guest}")),
    }
}

/// Whether `/dev/kvm` can be opened; why not. That it can be opened does not yet mean that it
/// works.
///
/// # Errors
/// The reason, with what to do.
pub fn open_device() -> Result<(), String> {
    match OpenOptions::new().read(true).write(true).open(DEVICE) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!("there is no {DEVICE}")),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err(format!("{DEVICE} may not be opened (add yourself to the group that owns it, often `kvm`)"))
        }
        Err(error) => Err(format!("{DEVICE} cannot be opened: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::probe::{ended, judge};
    use super::*;

    fn rendered(choice: AcceleratorChoice, kept: Option<&ProbeOutcome>, outcome: Option<&ProbeOutcome>) -> String {
        let find = || Ok(judge(outcome.expect("no probe is made")));
        match decide(choice, kept.map(judge), find) {
            Ok(Decision { accelerator, reason }) => format!("{} because {reason}", accelerator.name()),
            Err(error) => format!("error: {error}"),
        }
    }

    fn outcomes() -> [ProbeOutcome; 4] {
        let how = ended(
            "signal: 6 (SIGABRT)",
            "qemu-system-x86_64: error: failed to set MSR 0x491\nqemu-system-x86_64: kvm.c:3: Assertion `a' failed.\n\n",
        );
        let silent = ProbeOutcome::Silent { seconds: 5 };
        [ProbeOutcome::Ready { after_ms: 412 }, ProbeOutcome::Printed, ProbeOutcome::Ended { how }, silent]
    }

    #[test]
    fn auto_goes_by_the_proof() {
        let lines = outcomes().map(|outcome| rendered(AcceleratorChoice::Auto, None, Some(&outcome)));
        expect![[r#"
            kvm because kvm: a guest was ready after 412 ms
            kvm because kvm: a guest's kernel ran
            tcg because kvm: QEMU ended at once (signal: 6 (SIGABRT)): error: failed to set MSR 0x491, using tcg
            tcg because kvm: no output within 5 s, using tcg"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn explicit_kvm_fails_where_it_does_not_work() {
        let lines = outcomes().map(|outcome| rendered(AcceleratorChoice::Kvm, None, Some(&outcome)));
        expect![[r#"
            kvm because kvm: a guest was ready after 412 ms
            kvm because kvm: a guest's kernel ran
            error: --accel kvm: QEMU ended at once (signal: 6 (SIGABRT)): error: failed to set MSR 0x491; use --accel auto or tcg, or repair /dev/kvm
            error: --accel kvm: no output within 5 s; use --accel auto or tcg, or repair /dev/kvm"#]].assert_eq(&lines.join("\n"));
    }

    #[test]
    fn tcg_needs_no_probe() {
        assert_eq!(rendered(AcceleratorChoice::Tcg, None, None), "tcg because tcg was asked for");
    }

    #[test]
    fn a_kept_finding_saves_the_probe_but_explicit_kvm_tries_again_after_a_bad_one() {
        let [ready, _, _, silent] = outcomes();
        use AcceleratorChoice::{Auto, Kvm};
        let lines = [
            rendered(Auto, Some(&ready), None),
            rendered(Auto, Some(&silent), None),
            rendered(Kvm, Some(&ready), None),
            rendered(Kvm, Some(&silent), Some(&ready)),
        ];
        expect![[r#"
            kvm because kvm: a guest was ready after 412 ms (found since the last reboot)
            tcg because kvm: no output within 5 s (found since the last reboot), using tcg
            kvm because kvm: a guest was ready after 412 ms (found since the last reboot)
            kvm because kvm: a guest was ready after 412 ms"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn an_interrupted_probe_is_no_finding() {
        let error = decide(AcceleratorChoice::Auto, None, || Err(VmError::Interrupted)).unwrap_err();
        assert_eq!(error.to_string(), "cannot try KVM: interrupted");
    }
}
