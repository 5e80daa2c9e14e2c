//! From settings to what workers run trials on: the backend, the accelerator, QEMU, the images.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use scenarios::program::Line;
use scenarios::{Scenario, Step};

use super::store::StoreSettings;
use crate::architecture::{Architecture, HOST};
use crate::cache::progress::Progress;
use crate::host::{self, HostAgent, HostSpec};
use crate::image::Store;
use crate::machine::{Backend, MachineSpec};
use crate::notices::say;
use crate::process::work_folder::WorkFolder;
use crate::run::Machines;
use crate::subject::Parts;
use crate::usage::Usage;
use crate::vm::kvm::{self, Decision};
use crate::vm::qemu::QemuProgram;
use crate::vm::template_cache::NoTemplate;
use crate::vm::{Accelerator, AcceleratorChoice};
use crate::vm::{Clones, TemplateCache, VmError, VmSpec};

/// How long the first agent on the host may take to come up; it takes milliseconds.
const PROBE_TIME_LIMIT: Duration = Duration::from_secs(20);

/// How long a template may take under KVM: a boot, every module, a checkpoint.
const TEMPLATE_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Memory of a VM.
pub const MEMORY_MIB: u32 = 640;

/// What trials run on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// VMs, or agents on the host.
    pub backend: Backend,
    /// How many run at the same time, where it is said.
    pub jobs: Option<usize>,
    /// Accelerator of the VMs.
    pub accelerator: AcceleratorChoice,
    /// Every VM boots; none is copied.
    pub cold: bool,
    /// QEMU to use instead of the one in the cache.
    pub qemu: Option<PathBuf>,
    /// Factor on all time limits.
    pub timeout_scale: f64,
    /// Images.
    pub store: StoreSettings,
}

impl Settings {
    /// How many machines run at the same time.
    pub fn workers(&self, trials: usize) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let each = if self.backend == Backend::Host { 2 } else { 1 };
        self.jobs.unwrap_or(cores * each).clamp(1, trials.max(1))
    }

    /// The agent on the host, with blank filesystems when a program needs them and may mount them.
    /// A first one is started: what this machine lacks is printed once, before the first trial.
    ///
    /// # Errors
    /// The agent or the images cannot be built, or this user may not make namespaces.
    pub fn host_agents(
        &self,
        store: &Store,
        scenarios: &[Scenario],
    ) -> anyhow::Result<impl Fn(usize) -> MachineSpec + Send + Sync + use<>> {
        let on_disk = |line: &Line| matches!(&line.step, Step::Mount { filesystem, .. } if filesystem.needs_disk());
        let disks = scenarios.iter().any(|scenario| scenario.program.steps.iter().any(on_disk));
        let userland = store.manifest().defaults.userland.as_str();
        let image = store.host_image((disks && host::is_root()).then_some(userland))?;
        let spec = HostSpec { agent: image.agent, blank: image.blank };
        let probe = HostAgent::boot(&spec, Instant::now() + PROBE_TIME_LIMIT.mul_f64(self.timeout_scale));
        let probe = probe.context("trying the agent on this machine's own kernel")?;
        let rights = match host::is_root() {
            true => "as root",
            false => "in a user namespace: no block devices, device nodes, other users or mappings",
        };
        say(&format!("on this machine's own kernel {}, {rights}", probe.ready().kernel));
        Ok(move |_: usize| MachineSpec::Host(spec.clone()))
    }

    /// What workers start: VMs of this kernel with these parts, or the agent on the host.
    ///
    /// # Errors
    /// See [`Settings::host_agents`] and [`Settings::vms`].
    pub fn specs(
        &self,
        store: &Store,
        scenarios: &[Scenario],
        kernel: &str,
        parts: &Parts,
        work: &Path,
    ) -> anyhow::Result<Machines<'static>> {
        Ok(match self.backend {
            Backend::Host => Arc::new(self.host_agents(store, scenarios)?),
            Backend::Vm => Arc::new(self.vms(store, kernel, parts, work)?),
        })
    }

    /// VMs of one kernel and one subject, each with a folder of its own below `work`.
    ///
    /// # Errors
    /// The images cannot be built, QEMU is missing, or the wanted accelerator does not work.
    pub fn vms(
        &self,
        store: &Store,
        kernel: &str,
        parts: &Parts,
        work: &Path,
    ) -> anyhow::Result<impl Fn(usize) -> MachineSpec + Send + Sync + use<>> {
        let mut spec = self.vm(store, kernel, parts, work)?;
        spec.accelerator = self.accelerator(&spec)?.accelerator;
        let clones = if self.cold { None } else { self.clones(&spec, work)? };
        let boots = AtomicUsize::new(0);
        let (kernel, work) = (kernel.to_owned(), work.to_owned());
        Ok(move |number: usize| {
            let boot = boots.fetch_add(1, Ordering::Relaxed);
            let directory = work.join(format!("{kernel}-vm{number}-{boot}"));
            let spec = Box::new(VmSpec { directory, ..spec.clone() });
            match &clones {
                Some(clones) => MachineSpec::Clone(spec, Arc::clone(clones)),
                None => MachineSpec::Vm(spec),
            }
        })
    }

    /// Copies of a VM; `None` where copies are impossible, with the reason on standard error.
    fn clones(&self, spec: &VmSpec, work: &Path) -> anyhow::Result<Option<Arc<Clones>>> {
        let limit = TEMPLATE_TIME_LIMIT.mul_f64(spec.accelerator.timeout_scale() * self.timeout_scale);
        match self.template_cache(super::progress())?.template(spec, Instant::now() + limit) {
            Ok(kept) => {
                report_cold(kept.template().cold(), spec.criu.is_none());
                Ok(Some(Arc::new(Clones::new(kept, spec.clone(), work))))
            }
            Err(NoTemplate::Vm(error @ (VmError::Interrupted | VmError::NoBoot(_)))) => Err(error.into()),
            Err(error) => {
                say(&format!("no saved VM to copy, booting each: {error}"));
                Ok(None)
            }
        }
    }

    /// Where templates are kept.
    pub fn template_cache(&self, progress: Arc<dyn Progress>) -> anyhow::Result<TemplateCache> {
        Ok(TemplateCache::of_cache(&self.store.cache_dir()?, progress))
    }

    /// A VM as the accelerator's probe boots it.
    pub fn vm(&self, store: &Store, kernel: &str, parts: &Parts, work: &Path) -> anyhow::Result<VmSpec> {
        let image = store.boot_image(kernel, &parts.userland, parts.tools)?;
        if parts.criu.is_some() && image.architecture != HOST {
            let what = "a criu of your own runs on kernels for the architecture of this host";
            let other = format!(
                "{what}, {HOST}; {kernel} is for {}: take debian:SUITE, or another --kernel",
                image.architecture
            );
            return Err(Usage(other).into());
        }
        Ok(VmSpec {
            qemu: self.qemu(store, image.architecture)?,
            architecture: image.architecture,
            accelerator: Accelerator::Tcg,
            kernel: image.kernel,
            initramfs: image.initramfs,
            memory_mib: MEMORY_MIB,
            directory: work.join("probe"),
            extra_cmdline: String::new(),
            criu: parts.criu.clone(),
        })
    }

    /// Whether VMs run on KVM or on TCG.
    ///
    /// # Errors
    /// The wanted one does not work.
    pub fn accelerator(&self, spec: &VmSpec) -> anyhow::Result<Decision> {
        Ok(kvm::choose(self.accelerator, spec, &self.store.cache_dir()?)?)
    }

    /// QEMU for such guests: the one that was named, or the one in the cache.
    ///
    /// # Errors
    /// The named one does not run, or the cache has none and it cannot be made.
    pub fn qemu(&self, store: &Store, guests: Architecture) -> anyhow::Result<QemuProgram> {
        if let Some(path) = &self.qemu {
            return Ok(QemuProgram::of_host(path, guests)?);
        }
        let private = store.qemu(guests)?;
        let libraries = private.library_path.to_string_lossy();
        Ok(QemuProgram::private(&private.loader, &libraries, &private.program, &private.data_dir, &private.version))
    }
}

/// Reports once what of the warm-up of a saved VM failed: the subject's doing, or that of its
/// userland's criu where `own` is false.
fn report_cold(cold: &[String], own: bool) {
    static REPORTED: Mutex<BTreeSet<Vec<String>>> = Mutex::new(BTreeSet::new());
    let Some(first) = cold.first() else { return };
    if !REPORTED.lock().unwrap_or_else(PoisonError::into_inner).insert(cold.to_vec()) {
        return;
    }
    let with = if own { "this subject" } else { "the userland's own criu" };
    let more = if cold.len() == 1 { String::new() } else { format!(" (and {} more)", cold.len() - 1) };
    say(&format!("even the warm-up fails with {with}: {first}{more}"));
}

/// A folder for the files of VMs, gone when the run ends.
///
/// # Errors
/// It cannot be made.
pub fn work_folder() -> anyhow::Result<WorkFolder> {
    WorkFolder::new().with_context(|| {
        format!("making a folder for VMs in {}; TMPDIR names another place", std::env::temp_dir().display())
    })
}
