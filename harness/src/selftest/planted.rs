//! `selftest --fuzz`: a campaign for each fault, which knows nothing of the catalogue. It must find
//! the fault within a minute and hand over a short program, one that the engine without the fault
//! passes. Each is the command that a user would type.

use std::io::{self, Write as _};
use std::process::Command;

use anyhow::Context as _;
use protocol::Fault;
use protocol::fault::{self, Description};
use serde::{Deserialize, Serialize};

use super::{Format, Settings};
use crate::exit;
use crate::judge::range::Version;
use crate::machine::Backend;
use crate::session;
use crate::usage::Usage;

/// A campaign has so long.
const TIME: &str = "60s";
/// It begins with this number.
const SEED: &str = "1";
/// The most steps that a finding may have.
const STEPS: usize = 8;

/// What `fuzz --format json` says, as far as it is needed here.
#[derive(Deserialize)]
struct FuzzOutput {
    programs: u64,
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    first_seconds: f64,
    signature: String,
    steps: usize,
    program: String,
}

/// What became of one fault.
#[derive(Debug, Default, Serialize)]
struct Row {
    fault: &'static str,
    /// Until the finding; it is made smaller after that.
    seconds: Option<f64>,
    programs: u64,
    /// Of the smallest program.
    steps: Option<usize>,
    signature: Option<String>,
    program: Option<String>,
    /// Why it cannot be found here.
    not_tried: Option<&'static str>,
}

impl Row {
    fn is_good(&self) -> bool {
        self.steps.is_some_and(|steps| steps <= STEPS)
    }
}

/// Runs the campaigns one after the other; the exit status.
///
/// # Errors
/// A campaign could not be run, or the table not be written.
pub fn run(settings: &Settings, machines: &session::Settings, format: Format) -> anyhow::Result<u8> {
    if settings.fault.iter().any(|fault| matches!(fault, Fault::Lacks(_))) {
        anyhow::bail!(Usage("--fuzz looks for faults; a lack is nothing that has to be found".to_owned()));
    }
    let faults: Vec<&Description> =
        fault::ALL.iter().filter(|known| settings.fault.is_empty() || settings.fault.contains(&known.fault)).collect();
    let mut rows = Vec::new();
    let mut out = io::stdout();
    for fault in faults {
        if crate::process::interrupt::requested() {
            return Ok(exit::INTERRUPTED);
        }
        let row = campaign(settings, machines, fault)?;
        if format == Format::Human {
            writeln!(out, "{}", line(&row))?;
        }
        rows.push(row);
    }
    let good = rows.iter().filter(|row| row.is_good()).count();
    let tried = rows.iter().filter(|row| row.not_tried.is_none()).count();
    match format {
        Format::Human => writeln!(out, "{good} of {tried} found, in at most {STEPS} steps each")?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
    }
    Ok(u8::from(good < tried))
}

fn line(row: &Row) -> String {
    let Row { fault, programs, .. } = row;
    match (row.seconds, row.steps, &row.signature) {
        (Some(seconds), Some(steps), Some(signature)) => {
            let long = if row.is_good() { "" } else { "  TOO LONG" };
            format!("{fault:<26} {seconds:>5.1} s  {programs:>6} programs  {steps:>2} steps  {signature}{long}")
        }
        _ if row.not_tried.is_some() => format!("{fault:<26}     -  not tried: {}", row.not_tried.unwrap_or_default()),
        _ => format!("{fault:<26}     -    {programs:>6} programs  NOT FOUND"),
    }
}

fn campaign(settings: &Settings, machines: &session::Settings, fault: &'static Description) -> anyhow::Result<Row> {
    if machines.backend == Backend::Host && fault::NEEDS_STATMOUNT.contains(&fault.fault) && !is_new_enough() {
        let why = "this machine's kernel is older than 7.0: --backend vm --kernel 7.3";
        return Ok(Row { fault: fault.name, not_tried: Some(why), ..Row::default() });
    }
    let folder = tempfile::Builder::new().prefix("zdtm-detached-").tempdir().context("making a folder")?;
    let subject = format!("reference+fault:{}", fault.name);
    let mut command = this_program((settings, machines), fault, "fuzz", &subject)?;
    command.args(["--seed", SEED, "--time", TIME, "--first", "--format", "json", "--state"]).arg(folder.path());
    let output = command.output().context("running a campaign")?;
    let output: FuzzOutput = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("the campaign for {subject} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr))
    })?;
    let mut row = Row { fault: fault.name, programs: output.programs, ..Row::default() };
    for bucket in output.buckets {
        let file = folder.path().join("found.scn");
        std::fs::write(&file, &bucket.program).with_context(|| format!("writing {}", file.display()))?;
        let clean = this_program((settings, machines), fault, "run", "reference")?
            .arg(&file)
            .output()
            .context("running a finding")?;
        if clean.status.success() && row.steps.is_none_or(|steps| bucket.steps < steps) {
            row.seconds = Some(bucket.first_seconds);
            row.steps = Some(bucket.steps);
            row.signature = Some(bucket.signature);
            row.program = Some(bucket.program);
        }
    }
    Ok(row)
}

/// Whether this machine's kernel has statmount(STATMOUNT_BY_FD).
fn is_new_enough() -> bool {
    Version::find(&crate::host::kernel_name()).is_some_and(|version| version.release() >= (7, 0))
}

/// This program, on the machines that the fault is looked for on.
fn this_program(
    (settings, machines): (&Settings, &session::Settings),
    fault: &Description,
    name: &str,
    subject: &str,
) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("the name of this program")?);
    let backend = if machines.backend == Backend::Host { "host" } else { "vm" };
    command.args([name, "--subject", subject, "--backend", backend, "--lifecycle", fault.lifecycle.word()]);
    for (flag, value) in [("--kernel", settings.kernel.clone()), ("-j", machines.jobs.map(|jobs| jobs.to_string()))] {
        command.args(value.iter().flat_map(|value| [flag, value]));
    }
    Ok(command)
}
