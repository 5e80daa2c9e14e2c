//! A session: the images, the machines, the subjects and the known failures of one command, opened
//! from one description.
//!
//! - `store`: where images are kept
//! - `machines`: VMs, or agents on the host
//! - `subjects`: what is tested
//! - `expectations`: what is known to fail
//! - [`removal`]: what can go from the caches
//!
//! Everything that runs trials gets its workers here: [`Session::machines`] describes what they
//! start, [`Session::pool`] says how they run tasks on it. Which tasks is the business of
//! [`crate::plan`].

mod expectations;
mod machines;
pub mod removal;
mod store;
mod subjects;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use scenarios::Scenario;

use crate::cache::progress::{Progress, Step};
use crate::image::Store;
use crate::judge::Expectations;
use crate::machine::Backend;
use crate::notices::say;
use crate::plan::Axes;
use crate::plan::select::select;
use crate::process::work_folder::WorkFolder;
use crate::run::{Known, Machines, Policy, Pool};
use crate::subject::{Parts, Subject};
use crate::usage::Usage;
use crate::vm::VmSpec;
pub use expectations::ExpectationsSource;
pub use machines::{MEMORY_MIB, Settings, work_folder};
pub use store::StoreSettings;

/// Tells on standard error what is being prepared.
pub fn progress() -> Arc<dyn Progress> {
    Arc::new(|step: Step<'_>| match step {
        Step::Start { text } | Step::Note { text } => say(text),
        Step::End { .. } => {}
    })
}

/// What one command needs to run trials.
pub struct Session {
    settings: Settings,
    store: Store,
    tree: PathBuf,
    /// For the files of VMs; made when it is needed.
    folder: OnceLock<WorkFolder>,
}

impl Session {
    /// Opens the store and finds the source tree.
    ///
    /// # Errors
    /// The store or the tree does not exist.
    pub fn open(settings: Settings) -> anyhow::Result<Self> {
        let store = settings.store.open(progress())?;
        let tree = settings.store.tree()?;
        Ok(Self { settings, store, tree, folder: OnceLock::new() })
    }

    /// What it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The images.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The source tree.
    pub fn tree(&self) -> &Path {
        &self.tree
    }

    /// The whole catalogue.
    ///
    /// # Errors
    /// A file that is not a scenario.
    pub fn catalogue(&self) -> anyhow::Result<Vec<Scenario>> {
        select(&[], &self.tree)
    }

    /// The kernels that the axes name, each once.
    ///
    /// # Errors
    /// See [`Axes::kernels`].
    pub fn kernels(&self, axes: &Axes) -> anyhow::Result<Vec<String>> {
        axes.kernels(self.settings.backend, &self.store)
    }

    /// The subjects, each once, patched; the default one when the command line names none.
    ///
    /// # Errors
    /// [`Usage`]: a patch on what takes none, a file or suite that is not there.
    pub fn subjects(&self, given: &[Subject], patches: &[PathBuf]) -> Result<Vec<Subject>, Usage> {
        subjects::subjects(given, patches, &self.store)
    }

    /// What the backend cannot do is a mistake of the user.
    ///
    /// # Errors
    /// [`Usage`]
    pub fn check_backend(&self, subjects: &[Subject]) -> Result<(), Usage> {
        subjects::check_backend(self.settings.backend, subjects)
    }

    /// What is known to fail; an entry that names no scenario is a mistake in the file.
    ///
    /// # Errors
    /// [`Usage`] for the mistake.
    pub fn expectations(&self, from: &ExpectationsSource) -> anyhow::Result<Expectations> {
        expectations::expectations(&self.tree, from)
    }

    /// How many machines run at the same time.
    pub fn workers(&self, trials: usize) -> usize {
        self.settings.workers(trials)
    }

    /// What workers start for trials of these scenarios: VMs of this kernel with these parts, or
    /// agents on the host. `name` is that of the folder for their files.
    ///
    /// # Errors
    /// See [`Session::vms`] and [`Session::host_agents`].
    pub fn machines(
        &self,
        kernel: &str,
        parts: &Parts,
        scenarios: &[Scenario],
        name: &str,
    ) -> anyhow::Result<Machines<'static>> {
        match self.settings.backend {
            Backend::Host => self.host_agents(scenarios),
            Backend::Vm => self.vms(kernel, parts, name),
        }
    }

    /// VMs of this kernel with these parts.
    ///
    /// # Errors
    /// The images cannot be built, QEMU is missing, or the wanted accelerator does not work.
    pub fn vms(&self, kernel: &str, parts: &Parts, name: &str) -> anyhow::Result<Machines<'static>> {
        let work = self.folder()?.join(name);
        Ok(Arc::new(self.settings.vms(&self.store, kernel, parts, &work)?))
    }

    /// Agents on the host, for these scenarios.
    ///
    /// # Errors
    /// The agent or the images cannot be built, or this user may not make namespaces.
    pub fn host_agents(&self, scenarios: &[Scenario]) -> anyhow::Result<Machines<'static>> {
        Ok(Arc::new(self.settings.host_agents(&self.store, scenarios)?))
    }

    /// One VM, with the accelerator that works here.
    ///
    /// # Errors
    /// Those of [`Session::vms`].
    pub fn vm(&self, kernel: &str, parts: &Parts) -> anyhow::Result<VmSpec> {
        let mut spec = self.settings.vm(&self.store, kernel, parts, self.folder()?)?;
        spec.accelerator = self.settings.accelerator(&spec)?.accelerator;
        Ok(spec)
    }

    /// What workers share that run tasks on these machines. The factor on time limits is the
    /// session's.
    pub fn pool<'a>(&self, machines: Machines<'a>, known: Known<'a>, policy: Policy) -> Arc<Pool<'a>> {
        Pool::new(machines, known, Policy { timeout_scale: self.settings.timeout_scale, ..policy })
    }

    /// A folder for the files of VMs, gone with the session. Agents on the host need none, so that
    /// nothing of them can be left there.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn folder(&self) -> anyhow::Result<&Path> {
        if self.folder.get().is_none() {
            // Another thread may have been faster; its folder is as good.
            let _ = self.folder.set(work_folder()?);
        }
        Ok(self.folder.get().expect("it was set right above").path())
    }
}
