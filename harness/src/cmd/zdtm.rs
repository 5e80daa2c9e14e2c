//! `zdtm`: scenarios by CRIU's own test suite and by the harness, side by side.

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use scenarios::Scenario;

use crate::args::MachineArgs;
use crate::export::zdtm_test;
use crate::machine::Backend;
use crate::notices::{print, say};
use crate::plan::select::select;
use crate::plan::{Axes, single};
use crate::sanitize::{brief, sanitized};
use crate::subject::Subject;
use crate::usage::Usage;
use crate::zdtm::agreement::{Agreement, Control, Row};
use crate::zdtm::said::Word;
use crate::zdtm::{CONTROL, Exported, Settings, Sides};

/// Run scenarios by CRIU's own test suite, too: does zdtm.py say the same as this program?
///
/// Each scenario is exported as a test of zdtm (see `export --zdtm`) and built with the suite of
/// the CRIU tree. The tree's own zdtm.py runs it in a VM, in the flavor ns. The same criu runs the
/// same scenario as a trial, without probes. A table has both verdicts and how long each took.
///
/// A control, an ordinary file, runs by zdtm.py first. If that does not pass, nothing is known.
///
/// A test of zdtm compares less than a trial: neither times nor what is left behind. Differences
/// of that kind alone do not make a trial fail here; the lines below the table name them. Known
/// failures play no part. Scenarios that are no tests of zdtm in that flavor are listed with the
/// reason and do not count. A test that fails before the checkpoint is no disagreement: nothing is
/// known then.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached zdtm --subject src:../criu deleted/control@tmpfs deleted/unlinked@tmpfs,rdwr,whole
  zdtm-detached zdtm --subject git:../criu@v4.1 './mine.scn' --kernel 7.3
  zdtm-detached zdtm --subject src:../criu 'subdir-bind/*' --format json

Debian's sources: zdtm-detached image source criu --to ../criu

Exit status: 0 all agree, 1 one does not, 2 wrong usage, 3 unknown (the control, a test that does not start, a VM),
4 no scenario matches, 130 interrupted.")]
pub struct ZdtmArgs {
    /// A scenario's name or a part of it, a pattern with `*`, or a file that ends in .scn
    #[arg(required = true)]
    pub what: Vec<String>,
    /// What is tested: src:DIR or git:DIR@REV, as for `run`; its test suite is used, too
    #[arg(long, value_name = "SUBJECT", env = "ZDTM_DETACHED_SUBJECT")]
    pub subject: Subject,
    /// Kernel, as for `run` [default: 6.12]
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Vec<String>,
    /// How the result is reported
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
    /// The VMs; -j plays no part, two run by turns
    #[command(flatten)]
    pub machines: MachineArgs,
}

/// How the result is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// One JSON document (docs/FORMATS.md)
    Json,
}

/// Runs; the exit status.
///
/// # Errors
/// A mistake of the user, or what keeps any scenario from running.
pub fn run(args: &ZdtmArgs) -> anyhow::Result<u8> {
    if args.machines.backend == Backend::Host {
        return Err(Usage("zdtm.py needs a VM: leave --backend away".to_owned()).into());
    }
    let session = args.machines.session()?;
    let subject = session.subjects(std::slice::from_ref(&args.subject), &[])?.remove(0);
    let Subject::Sources(sources) = &subject else {
        let what = "zdtm.py and its library come from the tree under test: --subject src:DIR or git:DIR@REV; \
                    `image source criu --to DIR` gives Debian's";
        return Err(Usage(format!("{subject} is no source tree: {what}")).into());
    };
    let kernels = session.kernels(&Axes { kernel: args.kernel.clone(), ..Axes::default() })?;
    let kernel = single("--kernel", &kernels, None)?;
    let exported = Exported::of(&select(&args.what, session.tree())?);
    let control = select(&[CONTROL.to_owned()], session.tree())?;
    let control = control.first().context("the catalogue lacks the control")?;
    let test = zdtm_test(control, &[]).context(CONTROL)?;
    let settings = Settings { sources: (sources, &subject), kernel: &kernel };
    let mut sides = Sides::prepare(&session, &settings, &test, &exported)?;
    let criu = sides.criu().to_owned();
    let control = sides.control(control, &test)?;
    let rows = compare(&mut sides, &control, &exported)?;
    let unexpressed = exported.unexpressed;
    let kernel = kernel.clone();
    let agreement = Agreement { subject: subject.to_string(), criu, kernel, control, rows, unexpressed };
    report(&agreement, args.format)?;
    Ok(agreement.exit_status())
}

/// Every scenario, unless the control shows that nothing would be known.
fn compare(sides: &mut Sides<'_>, control: &Control, exported: &Exported) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if control.zdtm.word != Word::Passed {
        return Ok(rows);
    }
    say(&format!("control {} passes by zdtm.py, {:.1} s", control.scenario, control.zdtm.seconds));
    for (number, (scenario, test)) in exported.tests.iter().enumerate() {
        let row = sides.compare(scenario, test)?;
        say(&progress(number + 1, exported.tests.len(), scenario, &row));
        rows.push(row);
    }
    Ok(rows)
}

/// `[ 3/10] agree  deleted/unlinked@tmpfs  fail(dump-failed) 0.6 s, zdtm.py fail 12.3 s`
fn progress(number: usize, all: usize, scenario: &Scenario, row: &Row) -> String {
    let word = match row.agree() {
        Some(true) => "agree",
        Some(false) => "differ",
        None => "unknown",
    };
    let (harness, zdtm) = (&row.harness, &row.zdtm);
    let times = format!("{:.1} s, zdtm.py {} {:.1} s", harness.seconds, zdtm.word.text(), zdtm.seconds);
    sanitized(&format!("[{number}/{all}] {word:7} {}  {} {times}", scenario.name, harness.verdict))
}

fn report(agreement: &Agreement, format: Format) -> anyhow::Result<()> {
    let control = &agreement.control;
    if control.zdtm.word != Word::Passed {
        say(&format!("error: the control {} does not pass by zdtm.py: nothing is known", control.scenario));
        say(&format!("  {}: {}", control.zdtm.word.text(), brief(&control.zdtm.text, 500)));
        let lines: Vec<&str> = control.zdtm.log.lines().rev().take(LINES).collect();
        lines.iter().rev().for_each(|line| say(&format!("  | {}", sanitized(line))));
    }
    match format {
        Format::Json => print(&format!("{:#}\n", agreement.document()))?,
        Format::Human if control.zdtm.word == Word::Passed => print(&agreement.text())?,
        Format::Human => {}
    }
    Ok(())
}

/// So many of the last lines of a control that does not pass are printed.
const LINES: usize = 60;
