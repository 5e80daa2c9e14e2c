//! Takes the figures.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use protocol::message::{Engine, Event, Probing, Request, TrialRequest};

use super::exchange::{PROGRAM, Stages, engine, exchange, median, ms, request};
use super::{Figure, Settings};
use crate::process::memory;
use crate::session::{Session, progress};
use crate::subject::Parts;
use crate::vm::template_cache::TemplateHandle;
use crate::vm::{TemplateCache, Vm, VmSpec};

/// How long anything may take under KVM; it is a limit, not a measure.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Copies that are started for the median.
const COPIES: usize = 5;

const BARE: &str = "bare dump and restore";
const TRIAL: &str = "trial with criu";
const PROBED: &str = "trial with criu and probes";
const REFERENCE: &str = "trial with the reference engine";
const COLD: &str = "cold boot to first message";

/// The figures so far and what they are taken from.
pub struct Bench<'a> {
    figures: Vec<Figure>,
    spec: VmSpec,
    pub(super) session: &'a Session,
    pub(super) kernel: String,
    settings: Settings,
    pub(super) work: PathBuf,
    next: u64,
}

impl<'a> Bench<'a> {
    /// Prepares what is measured.
    ///
    /// # Errors
    /// An image cannot be built, or the wanted accelerator does not work.
    pub fn new(session: &'a Session, settings: Settings) -> anyhow::Result<Self> {
        let default = session.store().manifest().defaults.kernel();
        let kernel = settings.kernel.clone().unwrap_or_else(|| default.to_owned());
        let spec = session.vm(&kernel, &Parts::plain(session.store()))?;
        let work = session.folder()?.to_owned();
        Ok(Self { figures: Vec::new(), spec, session, kernel, settings, work, next: 1 })
    }

    /// Takes all figures that the settings name.
    ///
    /// # Errors
    /// What keeps one from being taken; those before it are there.
    pub fn take(&mut self) -> anyhow::Result<()> {
        let Settings { packed, failing, criu, .. } = self.settings.clone();
        if !packed && !failing {
            self.take_all()?;
        }
        if !failing {
            self.packed()?;
        }
        if !packed {
            self.failing()?;
        }
        match criu {
            Some(criu) => self.change(&criu),
            None => Ok(()),
        }
    }

    /// Those that were taken.
    pub fn figures(&self) -> &[Figure] {
        &self.figures
    }

    fn take_all(&mut self) -> anyhow::Result<()> {
        self.boot()?;
        let template = self.template()?;
        let mut vm = self.copies(&template)?;
        self.warm_trials(&mut vm)?;
        self.growth(&mut vm)?;
        self.memory(&vm);
        self.two(vm, &template)?;
        self.one_scenario()
    }

    pub(super) fn figure(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.figures.push(Figure { name: name.into(), value, unit, ratio_to: None });
    }

    pub(super) fn ratio(&mut self, name: impl Into<String>, value: f64, to: &str) {
        self.figures.push(Figure { name: name.into(), value, unit: "x", ratio_to: Some(to.to_owned()) });
    }

    fn deadline(&self) -> Instant {
        Instant::now()
            + TIME_LIMIT.mul_f64(self.spec.accelerator.timeout_scale() * self.session.settings().timeout_scale)
    }

    fn spec(&mut self) -> VmSpec {
        self.next += 1;
        VmSpec { directory: self.work.join(format!("bench-{}", self.next)), ..self.spec.clone() }
    }

    fn boot(&mut self) -> anyhow::Result<()> {
        let (spec, deadline) = (self.spec(), self.deadline());
        let start = Instant::now();
        Vm::boot(&spec, deadline)?;
        self.figure(COLD, ms(start.elapsed()), "ms");
        Ok(())
    }

    /// Makes one in a cache of its own for its price, then uses the one that every run uses.
    fn template(&mut self) -> anyhow::Result<TemplateHandle> {
        let (spec, deadline) = (self.spec(), self.deadline());
        let beside = Some(Path::new("/dev/shm")).filter(|path| path.is_dir()).unwrap_or(&self.work);
        let folder = tempfile::Builder::new().prefix("zdtm-detached-bench-").tempdir_in(beside)?;
        let template_cache = TemplateCache::at(folder.path(), std::sync::Arc::new(crate::cache::progress::silent));
        let start = Instant::now();
        drop(template_cache.template(&spec, deadline)?);
        let took = ms(start.elapsed());
        let size = template_cache.all()?.iter().map(|(_, size, _)| *size).sum::<u64>();
        self.figure("template made", took, "ms");
        self.figure("template in memory", size as f64 / f64::from(1 << 20), "MiB");
        let (spec, deadline) = (self.spec(), self.deadline());
        Ok(self.session.settings().template_cache(progress())?.template(&spec, deadline)?)
    }

    fn copies(&mut self, template: &TemplateHandle) -> anyhow::Result<Vm> {
        let (mut whole, mut wake) = (Vec::new(), Vec::new());
        let mut last = None;
        for _ in 0..COPIES {
            let (spec, deadline) = (self.spec(), self.deadline());
            let start = Instant::now();
            let paused = template.template().copy(&spec, deadline)?;
            let loaded = Instant::now();
            last = Some(paused.wake(deadline)?);
            whole.push(ms(start.elapsed()));
            wake.push(ms(loaded.elapsed()));
        }
        let whole = median(&mut whole);
        self.figure("clone to first reply", whole, "ms");
        let cold = self.value(COLD);
        self.ratio("clone to first reply, ratio", whole / cold, COLD);
        self.figure("clone that waited, to first reply", median(&mut wake), "ms");
        last.context("there is at least one copy")
    }

    fn warm_trials(&mut self, vm: &mut Vm) -> anyhow::Result<()> {
        let first = self.trial(vm, Engine::Criu { assisted: false }, None)?;
        self.figure("first trial in a clone", ms(first), "ms");
        self.bare(vm)?;
        let (mut bare, mut trial, mut stages) = (Vec::new(), Vec::new(), BTreeMap::new());
        let (mut probed, mut probed_stages) = (Vec::new(), BTreeMap::new());
        let start = Instant::now();
        let mut in_trials = Duration::ZERO;
        // By turns, so that a busy machine is busy for both. Each trial comes after bare work: what
        // the kernel puts off until after an end is the same for both then.
        for _ in 0..self.settings.trials {
            bare.push(ms(self.bare(vm)?));
            let took = self.trial(vm, Engine::Criu { assisted: false }, Some(&mut stages))?;
            in_trials += took;
            trial.push(ms(took));
            bare.push(ms(self.bare(vm)?));
            probed.push(ms(self.probed(vm, &mut probed_stages)?));
            self.alive(start)?;
        }
        let (bare, trial) = (median(&mut bare), median(&mut trial));
        self.figure(BARE, bare, "ms");
        self.figure(TRIAL, trial, "ms");
        self.ratio("trial with criu, ratio", trial / bare, BARE);
        for (stage, mut took) in stages {
            self.figure(format!("trial with criu, stage {stage}"), median(&mut took), "ms");
        }
        let probed = median(&mut probed);
        self.figure(PROBED, probed, "ms");
        self.ratio("trial with criu and probes, ratio", probed / trial, TRIAL);
        for stage in ["probes", "twin"] {
            let took = probed_stages.get_mut(stage).with_context(|| format!("no trial came to the stage {stage}"))?;
            self.figure(format!("trial with criu and probes, stage {stage}"), median(took), "ms");
        }
        self.figure("trials with criu, warm", f64::from(self.settings.trials) / in_trials.as_secs_f64(), "1/s");
        let (mut reference, mut stages) = (Vec::new(), BTreeMap::new());
        self.trial(vm, engine(), None)?;
        for _ in 0..self.settings.trials {
            reference.push(ms(self.trial(vm, engine(), Some(&mut stages))?));
        }
        let reference = median(&mut reference);
        self.figure(REFERENCE, reference, "ms");
        self.ratio("trial with the reference engine, ratio", reference / bare, BARE);
        for (stage, mut took) in stages {
            self.figure(format!("trial with the reference engine, stage {stage}"), median(&mut took), "ms");
        }
        Ok(())
    }

    /// The same work ten times and a hundred times as often, in one VM.
    fn growth(&mut self, vm: &mut Vm) -> anyhow::Result<()> {
        let counts: &[u32] = if self.settings.long { &[10, 100, 1000] } else { &[10, 100] };
        let mut before: Option<(String, f64)> = None;
        for &count in counts {
            let start = Instant::now();
            for _ in 0..count {
                self.trial(vm, engine(), None)?;
            }
            let total = ms(start.elapsed());
            let name = format!("{count} trials with the reference engine");
            self.figure(name.clone(), total, "ms");
            if let Some((fewer, fewer_total)) = &before {
                self.ratio(format!("{name}, ratio"), total / fewer_total, fewer);
            }
            before = Some((name, total));
        }
        Ok(())
    }

    fn memory(&mut self, vm: &Vm) {
        if let Some(memory) = memory::memory_of(vm.pid()) {
            self.figure(
                "memory of a clone after all this, beyond the template",
                memory.private_kib as f64 / 1024.0,
                "MiB",
            );
            self.figure(
                "memory of a clone after all this, with its part of the template",
                memory.proportional_kib as f64 / 1024.0,
                "MiB",
            );
        }
    }

    /// The same trials in one VM, then in two at once.
    fn two(&mut self, mut first: Vm, template: &TemplateHandle) -> anyhow::Result<()> {
        let (spec, deadline) = (self.spec(), self.deadline());
        let mut second = template.template().copy(&spec, deadline)?.wake(deadline)?;
        self.trial(&mut second, Engine::Criu { assisted: false }, None)?;
        let count = self.settings.trials;
        let numbers = self.next..;
        self.next += 4 * u64::from(count);
        let limit = self.deadline() - Instant::now();
        let batch = |vm: &mut Vm, from: u64| -> anyhow::Result<()> {
            (from..from + u64::from(count)).try_for_each(|number| {
                exchange(vm, request(number, Engine::Criu { assisted: false }, limit), None).map(drop)
            })
        };
        let start = Instant::now();
        batch(&mut first, numbers.start)?;
        let alone = start.elapsed();
        let start = Instant::now();
        let from = numbers.start + u64::from(count);
        std::thread::scope(|scope| {
            let other = scope.spawn(|| batch(&mut second, from));
            batch(&mut first, from).and(other.join().expect("it does not panic"))
        })?;
        let rate = f64::from(count) / alone.as_secs_f64();
        let both = 2.0 * f64::from(count) / start.elapsed().as_secs_f64();
        let name = "trials with criu, one VM";
        self.figure(name, rate, "1/s");
        self.figure("trials with criu, two VMs", both, "1/s");
        self.ratio("trials with criu, two VMs, ratio", both / rate, name);
        Ok(())
    }

    /// What a developer waits for.
    fn one_scenario(&mut self) -> anyhow::Result<()> {
        let file = self.write_scenario()?;
        let mut times = Vec::new();
        for _ in 0..COPIES {
            let start = Instant::now();
            self.run_one(&file, &[])?;
            times.push(ms(start.elapsed()));
        }
        self.figure("run of one scenario, from the start to its end", median(&mut times), "ms");
        Ok(())
    }

    /// A file with one scenario, which any criu restores.
    pub(super) fn write_scenario(&self) -> anyhow::Result<PathBuf> {
        let file = self.work.join("one.scn");
        std::fs::write(&file, format!("# One file.\noutcome restored\n\n{PROGRAM}assert fd0 link \"/f\"\n"))?;
        Ok(file)
    }

    /// `run` of a scenario, as a user types it; it must pass.
    pub(super) fn run_one(&self, file: &Path, arguments: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(std::env::current_exe()?);
        let accelerator = self.spec.accelerator.name();
        command.arg("run").arg(file).args(["-j1", "--accel", accelerator, "--keep"]).arg(self.work.join("keep"));
        command.args(arguments);
        let settings = self.session.settings();
        let store = &settings.store;
        let paths = [("--cache", &store.cache), ("--tree", &store.tree), ("--qemu", &settings.qemu)];
        for (flag, path) in paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
            command.arg(flag).arg(path);
        }
        let output = command.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("`run` of one scenario ended with {}:\n{said}", output.status);
        }
        Ok(())
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn trial(&mut self, vm: &mut Vm, engine: Engine, stages: Option<&mut Stages>) -> anyhow::Result<Duration> {
        let limit = self.deadline() - Instant::now();
        exchange(vm, request(self.number(), engine, limit), stages)
    }

    /// A trial that ends with probes of the process and of its twin.
    fn probed(&mut self, vm: &mut Vm, stages: &mut Stages) -> anyhow::Result<Duration> {
        let limit = self.deadline() - Instant::now();
        let plain = request(self.number(), Engine::Criu { assisted: false }, limit);
        exchange(vm, TrialRequest { probing: Probing::Always, ..plain }, Some(stages))
    }

    fn bare(&mut self, vm: &mut Vm) -> anyhow::Result<Duration> {
        let deadline = self.deadline();
        vm.send(&Request::Bare(request(self.number(), Engine::Criu { assisted: false }, deadline - Instant::now())))?;
        match vm.receive(deadline)? {
            Event::Bare { failure: None, durations_us, .. } => Ok(Duration::from_micros(durations_us.iter().sum())),
            other => bail!("a bare dump and restore: {other:.500?}"),
        }
    }

    fn alive(&self, since: Instant) -> anyhow::Result<()> {
        if crate::process::interrupt::requested() {
            bail!("interrupted after {:.1} s", since.elapsed().as_secs_f64());
        }
        Ok(())
    }

    fn value(&self, name: &str) -> f64 {
        self.figures.iter().find(|figure| figure.name == name).map_or(f64::NAN, |figure| figure.value)
    }
}
