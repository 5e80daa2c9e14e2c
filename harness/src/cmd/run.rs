//! `run`: the main job. Prepares what is missing, runs the chosen trials, prints the table.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use protocol::message::{Flavor, Lifecycle};
use scenarios::catalogue::{self, Filter};
use scenarios::program::Line;
use scenarios::{Scenario, Step};

use super::image::StoreArgs;
use crate::host::{HostAgent, HostSpec};
use crate::image::{Progress, Store, progress};
use crate::judge::range::Version;
use crate::judge::{Expectations, Judgement, Trial, Verdict};
use crate::machine::{Backend, MachineSpec};
use crate::report::terminal::{ColourChoice, Look, Terminal};
use crate::report::{Event, Finished, Reporter, Reporters, Wanted, artifacts};
use crate::run::{News, Over, Task};
use crate::vm::VmSpec;
use crate::vm::accel::{self, AcceleratorChoice};
use crate::vm::qemu::QemuProgram;

/// How long the first agent on the host may take to come up; it takes milliseconds.
const PROBE_TIME_LIMIT: Duration = Duration::from_secs(20);
/// Memory of a VM.
pub const MEMORY_MIB: u32 = 640;
/// The criu of the userland's Debian suite.
const SUBJECT: &str = "debian:trixie";
/// The reference engine, a part of the agent.
const REFERENCE: &str = "reference";

/// Run scenarios: checkpoint, restore, compare.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  zdtm-detached run 'deleted/*' --kernel 7.3\n  zdtm-detached run ./mine.scn --report json=report.json"
)]
pub struct RunArgs {
    /// Part of a scenario's name, a pattern with `*`, or a scenario file that ends in .scn; all when none is given
    pub what: Vec<String>,
    /// Kernel of the manifest; may be given more than once [default: 6.12]
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Vec<String>,
    /// What is tested [possible: debian:trixie]
    #[arg(long, value_name = "SUBJECT", default_value = SUBJECT)]
    pub subject: String,
    /// Namespaces of the process: ns or host; may be given more than once [default: ns]
    #[arg(long, value_parser = flavor)]
    pub flavor: Vec<Flavor>,
    /// What is done to the process: dump-restore or leave-running; may be given more than once [default: dump-restore]
    #[arg(long, value_parser = lifecycle)]
    pub lifecycle: Vec<Lifecycle>,
    /// On what: vm, or host for namespaces on this machine's own kernel, which is fast and for subject reference only
    #[arg(long, value_name = "BACKEND", default_value = "vm", env = "ZDTM_DETACHED_BACKEND")]
    pub backend: Backend,
    /// VMs, or agents on the host, that run at the same time [default: one for each core]
    #[arg(short = 'j', value_name = "VMS", env = "ZDTM_DETACHED_JOBS")]
    pub jobs: Option<usize>,
    /// Accelerator of the VMs
    #[arg(long, default_value = "auto", env = "ZDTM_DETACHED_ACCEL")]
    pub accel: AcceleratorChoice,
    /// QEMU to use: a path, or `host` for the one on PATH [default: one from Debian, in the cache]
    #[arg(long, value_name = "PATH", env = "ZDTM_DETACHED_QEMU")]
    pub qemu: Option<PathBuf>,
    /// Write a report: json=FILE
    #[arg(long, value_name = "FORMAT=FILE")]
    pub report: Vec<Wanted>,
    /// Folder for the artifacts of failed trials
    #[arg(long, value_name = "DIR", default_value = "zdtm-results")]
    pub keep: PathBuf,
    /// Images and where they come from
    #[command(flatten)]
    pub store: StoreArgs,
}

fn flavor(word: &str) -> Result<Flavor, String> {
    match word {
        "ns" => Ok(Flavor::Ns),
        "host" => Ok(Flavor::Host),
        _ => Err("known are ns and host".to_owned()),
    }
}

fn lifecycle(word: &str) -> Result<Lifecycle, String> {
    match word {
        "dump-restore" => Ok(Lifecycle::DumpRestore),
        "leave-running" => Ok(Lifecycle::LeaveRunning),
        _ => Err("known are dump-restore and leave-running".to_owned()),
    }
}

/// Tells on standard error what is being prepared.
pub fn progress() -> Arc<dyn Progress> {
    Arc::new(|step: progress::Step<'_>| match step {
        progress::Step::Start { text } | progress::Step::Note { text } => eprintln!("{text}"),
        progress::Step::End { .. } => {}
    })
}

/// The scenarios that the words choose: of the catalogue by name, and files by path.
///
/// # Errors
/// A file that cannot be read or is no scenario.
pub fn select(what: &[String], tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    let told = |faults: Vec<scenarios::diagnostic::Diagnostic>| {
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        super::Usage(text.join("\n"))
    };
    let (files, filters): (Vec<&String>, Vec<&String>) = what.iter().partition(|word| word.ends_with(".scn"));
    let mut chosen = Vec::new();
    if files.is_empty() || !filters.is_empty() {
        let filters: Vec<Filter> = filters.into_iter().map(Filter::new).collect();
        let all = catalogue::load(&tree.join("scenarios/catalogue")).map_err(told)?;
        chosen.extend(all.into_iter().filter(|s| filters.is_empty() || Filter::any(&filters, &s.name)));
    }
    for file in files {
        chosen.extend(catalogue::load_file(Path::new(file)).map_err(told)?);
    }
    Ok(chosen)
}

/// Runs; the exit status.
///
/// # Errors
/// What keeps any trial from running.
pub fn run(args: &RunArgs) -> anyhow::Result<u8> {
    check_backend(args)?;
    crate::interrupt::install().context("installing the signal handlers")?;
    let store = args.store.open(progress())?;
    let tree = crate::image::tree::locate(args.store.tree.as_deref())?;
    let scenarios = select(&args.what, &tree)?;
    if scenarios.is_empty() {
        eprintln!("no scenario matches; `zdtm-detached list` shows all names");
        println!("result: 0 passed, 0 failed, 0 skipped");
        return Ok(4);
    }
    let expectations = Expectations::load(&tree.join("scenarios/expectations.toml"))?;
    let mut reporters = Reporters::default();
    for wanted in &args.report {
        reporters.add(wanted.open()?);
    }
    let mut terminal = Terminal::new(io::stdout(), Look::detect(ColourChoice::Auto));
    let kernels = match args.backend {
        Backend::Host => vec![crate::host::kernel_name()],
        Backend::Vm if args.kernel.is_empty() => vec![store.manifest().defaults.kernel.clone()],
        Backend::Vm => args.kernel.clone(),
    };
    let mut tell = |terminal: &mut Terminal<io::Stdout>, event: &Event| -> io::Result<()> {
        terminal.event(event)?;
        reporters.event(event)
    };
    let start = Instant::now();
    let plan: Vec<(String, Vec<Task>)> =
        kernels.iter().map(|kernel| (kernel.clone(), tasks(args, kernel, &scenarios))).collect();
    tell(&mut terminal, &Event::RunStarted { trials: plan.iter().map(|(_, tasks)| tasks.len()).sum() })?;
    let mut work = None;
    for (kernel, tasks) in plan {
        let workers = workers(args, tasks.len());
        let next_spec: Box<dyn Fn(usize) -> MachineSpec + Sync> = match args.backend {
            Backend::Host => Box::new(host_spec(&store, &tasks)?),
            Backend::Vm => {
                if work.is_none() {
                    work = Some(temporary_folder()?);
                }
                let work = work.as_ref().expect("it was made right above");
                Box::new(vm_specs(args, &store, &kernel, work.path())?)
            }
        };
        let queue = Mutex::new(VecDeque::from(tasks));
        let known = |trial: &Trial, criu: Option<&str>, judgement: Judgement| {
            expectations.apply(trial, criu.and_then(Version::find).as_ref(), judgement)
        };
        std::thread::scope(|scope| -> anyhow::Result<()> {
            for news in crate::run::start(scope, &queue, workers, &*next_spec, &known) {
                match news {
                    News::Started(task) => tell(&mut terminal, &Event::TrialStarted { trial: task.trial })?,
                    News::Over(over) => {
                        let finished = finish(*over, &args.keep)?;
                        tell(&mut terminal, &Event::TrialFinished(Box::new(finished)))?;
                    }
                }
            }
            Ok(())
        })?;
    }
    let interrupted = crate::interrupt::requested();
    tell(&mut terminal, &Event::RunFinished { seconds: start.elapsed().as_secs_f64(), interrupted })?;
    io::stdout().flush()?;
    Ok(terminal.tally().exit_status(interrupted))
}

/// What the backend cannot do is a mistake of the user.
fn check_backend(args: &RunArgs) -> Result<(), super::Usage> {
    let subject = args.subject.as_str();
    let mistake = match args.backend {
        Backend::Vm if subject == SUBJECT => return Ok(()),
        Backend::Vm => format!("unknown subject {subject:?}; known is {SUBJECT}"),
        Backend::Host if subject != REFERENCE => format!(
            "--backend host is for --subject {REFERENCE} only, not for {subject}: criu acts on the whole machine (it \
             freezes, kills and traces processes, and loads modules), so it gets one of its own; leave --backend away"
        ),
        Backend::Host if !args.kernel.is_empty() => {
            "--backend host uses this machine's own kernel; --kernel needs a VM".to_owned()
        }
        Backend::Host => return Ok(()),
    };
    Err(super::Usage(mistake))
}

fn workers(args: &RunArgs, tasks: usize) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    args.jobs.unwrap_or(cores).clamp(1, tasks.max(1))
}

fn temporary_folder() -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new().prefix("zdtm-detached-").tempdir().context("a temporary folder for VMs")
}

/// The agent on the host, with blank filesystems when a program needs them and may mount them.
fn host_spec(store: &Store, tasks: &[Task]) -> anyhow::Result<impl Fn(usize) -> MachineSpec + Sync + use<>> {
    let on_disk = |line: &Line| matches!(&line.step, Step::Mount { filesystem, .. } if filesystem.needs_disk());
    let disks = tasks.iter().any(|task| task.scenario.program.steps.iter().any(on_disk));
    let userland = store.manifest().defaults.userland.as_str();
    let image = store.host_image((disks && nix::unistd::geteuid().is_root()).then_some(userland))?;
    let spec = HostSpec { agent: image.agent, blank: image.blank };
    let who = if nix::unistd::geteuid().is_root() {
        "as root"
    } else {
        "in a user namespace: no block devices, device nodes or other users"
    };
    let probe = HostAgent::boot(&spec, Instant::now() + PROBE_TIME_LIMIT).with_context(|| {
        format!("no trial can run on this machine's own kernel ({who}); `--backend vm` needs no rights")
    })?;
    let ready = probe.ready();
    eprintln!("on this machine's own kernel {}, {who}; filesystems: {}", ready.kernel, ready.filesystems.join(", "));
    Ok(move |_: usize| MachineSpec::Host(spec.clone()))
}

/// VMs of one kernel, each with a folder of its own below `work`.
fn vm_specs(
    args: &RunArgs,
    store: &Store,
    kernel: &str,
    work: &Path,
) -> anyhow::Result<impl Fn(usize) -> MachineSpec + Sync + use<>> {
    let image = store.boot_image(kernel, &store.manifest().defaults.userland)?;
    let mut spec = VmSpec {
        qemu: qemu(args, store)?,
        accelerator: accel::Accelerator::Tcg,
        kernel: image.kernel,
        initramfs: image.initramfs,
        memory_mib: MEMORY_MIB,
        directory: work.join("probe"),
        extra_cmdline: String::new(),
    };
    let cache = args.store.cache.clone().map_or_else(crate::image::default_cache_dir, Ok)?;
    spec.accelerator = accel::choose(args.accel, &spec, &cache)?.accelerator;
    let boots = AtomicUsize::new(0);
    let (kernel, work) = (kernel.to_owned(), work.to_owned());
    Ok(move |number: usize| {
        let boot = boots.fetch_add(1, Ordering::Relaxed);
        let directory = work.join(format!("{kernel}-vm{number}-{boot}"));
        MachineSpec::Vm(Box::new(VmSpec { directory, ..spec.clone() }))
    })
}

fn qemu(args: &RunArgs, store: &Store) -> anyhow::Result<QemuProgram> {
    if let Some(path) = &args.qemu {
        return Ok(QemuProgram::of_host(path)?);
    }
    let private = store.qemu()?;
    let libraries = private.library_path.to_string_lossy();
    Ok(QemuProgram::private(&private.loader, &libraries, &private.program, &private.data_dir, &private.version))
}

/// Every combination that a scenario's requirements allow on this kernel.
fn tasks(args: &RunArgs, kernel: &str, scenarios: &[Scenario]) -> Vec<Task> {
    let flavors = if args.flavor.is_empty() { &[Flavor::Ns][..] } else { &args.flavor };
    let lifecycles = if args.lifecycle.is_empty() { &[Lifecycle::DumpRestore][..] } else { &args.lifecycle };
    let mut tasks = Vec::new();
    for scenario in scenarios {
        for &flavor in flavors {
            for &lifecycle in lifecycles {
                let trial = Trial {
                    scenario: scenario.name.clone(),
                    family: scenario.family.clone(),
                    flavor,
                    lifecycle,
                    kernel: kernel.to_owned(),
                    subject: args.subject.clone(),
                };
                tasks.push(Task { trial, scenario: scenario.clone() });
            }
        }
    }
    tasks
}

/// Keeps the artifacts of what failed.
fn finish(over: Over, keep: &Path) -> anyhow::Result<Finished> {
    let judgement = over.judgement;
    let file = over.task.scenario.file.clone().filter(|_| over.task.trial.family.is_empty());
    let bad = !matches!(judgement.verdict, Verdict::Pass | Verdict::Xfail(_) | Verdict::Unsupported | Verdict::NotRun);
    let mut finished = Finished { trial: over.task.trial, file, judgement, seconds: over.seconds, artifacts: None };
    if bad {
        let program = scenarios::text::print_scenario(&over.task.scenario);
        let files = over.traces.files();
        let extras: Vec<_> = files.iter().map(|(name, bytes)| artifacts::Extra { name, bytes }).collect();
        finished.artifacts = Some(artifacts::write(keep, &finished, &program, over.report.as_ref(), &extras)?);
    }
    Ok(finished)
}
