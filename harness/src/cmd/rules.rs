//! `rules`: the rules of `docs/KERNEL.md` by kernel, measured.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context as _;
use clap::Args;

use crate::args::MachineArgs;
use crate::exit;
use crate::machine::Machine;
use crate::notices::{print, say};
use crate::plan::Axes;
use crate::rules::{self, Finding, Findings, Rule};
use crate::run::{ACTION_TIME_LIMIT, BOOT_TIME_LIMIT};
use crate::session::Session;
use crate::subject::Parts;
use crate::usage::Usage;
use scenarios::Scenario;

/// The document with the rules, in the source tree.
const DOCUMENT: &str = "docs/KERNEL.md";

/// Measure the rules of docs/KERNEL.md, by kernel.
///
/// The document says what the kernel does with mounts and names, and has a program for each rule.
/// All of them are carried out on each kernel; a table says where a rule holds. A program that
/// needs a filesystem which a kernel lacks has a dash.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached rules                                  all kernels of the manifest
  zdtm-detached rules --kernel src:../linux            a kernel that is built here
  zdtm-detached rules --write docs/KERNEL.md           with the table put in the place of the document's

Exit status: 0 every rule holds, 1 one differs, 3 infrastructure.")]
pub struct RulesArgs {
    /// Kernel, as for `run`; may be given more than once [default: all of the manifest]
    #[arg(long, value_name = "KERNEL")]
    pub kernel: Vec<String>,
    /// Write the table to the end of this document
    #[arg(long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// What they are carried out on
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// Measures; the exit status.
///
/// # Errors
/// The document is not good, a kernel does not come up, a machine dies.
pub fn run(args: &RulesArgs) -> anyhow::Result<u8> {
    let session = args.machines.session()?;
    let path = session.tree().join(DOCUMENT);
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let rules = rules::read(&text).map_err(|why| Usage(format!("{}: {why}", path.display())))?;
    let all = || session.store().manifest().kernel.keys().cloned().collect();
    let kernel = if args.kernel.is_empty() { all() } else { args.kernel.clone() };
    let names = session.kernels(&Axes { kernel, ..Axes::default() })?;
    let (mut kernels, mut findings) = (Vec::new(), Findings::new());
    for (number, name) in names.iter().enumerate() {
        let start = Instant::now();
        let (release, of_kernel) = measure(&session, name, number, &rules).with_context(|| format!("kernel {name}"))?;
        let holds = of_kernel.values().filter(|finding| **finding == Finding::Holds).count();
        let seconds = start.elapsed().as_secs_f64();
        say(&format!("kernel {name}: {holds} of {} rules hold, {seconds:.1} s", rules.len()));
        kernels.push((name.clone(), release));
        findings.insert(name.clone(), of_kernel);
    }
    print(&rules::table(&rules, &kernels, &findings))?;
    if let Some(file) = &args.write {
        let old = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let new = rules::document(&old, &rules, &kernels, &findings);
        std::fs::write(file, new).with_context(|| format!("writing {}", file.display()))?;
    }
    let differs =
        findings.values().flat_map(|of_kernel| of_kernel.values()).any(|one| matches!(one, Finding::Differs(_)));
    Ok(if differs { exit::FAILED } else { exit::AS_EXPECTED })
}

/// All rules on one kernel, in one machine: the release that it gives, and what came of each.
fn measure(
    session: &Session,
    kernel: &str,
    number: usize,
    rules: &[Rule],
) -> anyhow::Result<(String, BTreeMap<String, Finding>)> {
    let scenarios: Vec<_> = rules.iter().map(|rule| Scenario::generated(&*rule.title, rule.program.clone())).collect();
    let machines = session.machines(kernel, &Parts::plain(session.store()), &scenarios, &number.to_string())?;
    let spec = machines(0);
    let scale = spec.timeout_scale() * session.settings().timeout_scale;
    let mut machine = Machine::boot(&spec, Instant::now() + BOOT_TIME_LIMIT.mul_f64(scale))?;
    let limit = ACTION_TIME_LIMIT.mul_f64(scale);
    let mut findings = BTreeMap::new();
    for (trial, rule) in (1..).zip(rules) {
        let finding = rule.measure(&mut machine, trial, limit).with_context(|| format!("rule {:?}", rule.title))?;
        findings.insert(rule.title.clone(), finding);
    }
    Ok((machine.ready().kernel.clone(), findings))
}
