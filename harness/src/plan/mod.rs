//! Which trials a run has: which scenarios, which kernels, which combinations, which share of them.

pub mod group;
pub mod select;
pub mod share;

use std::collections::HashSet;

use anyhow::Context as _;
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;

use self::group::{Group, telling};
use crate::image::{OWN_KERNEL_FORMS, OwnKernel, Store};
use crate::judge::Trial;
use crate::machine::Backend;
use crate::run::Task;
use crate::subject::{ReferenceOptions, Subject};
use crate::usage::Usage;

/// What a trial is besides its scenario and its subject; the default where the user names none.
#[derive(Clone, Debug, Default)]
pub struct Axes {
    /// Kernels of the manifest.
    pub kernel: Vec<String>,
    /// Namespaces of the process.
    pub flavor: Vec<Flavor>,
    /// What is done to the process.
    pub lifecycle: Vec<Lifecycle>,
    /// How much is run where nothing is named.
    pub group: Group,
}

/// The name of a kernel; one of the user's own is taken into the store.
fn name_of(kernel: &str, store: &Store) -> anyhow::Result<String> {
    if OwnKernel::is_named_by(kernel) {
        let own: OwnKernel = kernel.parse().map_err(Usage)?;
        let added = store.add_kernel(&own);
        return match own {
            OwnKernel::Files(_) => added.map_err(|error| Usage(format!("--kernel {kernel}: {error}")).into()),
            OwnKernel::Sources(_) => added.context("--kernel"),
        };
    }
    let known = store.kernel_names();
    match known.iter().any(|name| name == kernel) {
        true => Ok(kernel.to_owned()),
        false => {
            let known = known.join(", ");
            let why = format!("there is no kernel {kernel}; known are {known}; one of your own is {OWN_KERNEL_FORMS}");
            Err(Usage(why).into())
        }
    }
}

impl Axes {
    /// The kernels by name, each once.
    ///
    /// # Errors
    /// [`Usage`] for one that is not there, and for any with the host's own; one of the user's own
    /// that does not build.
    pub fn kernels(&self, backend: Backend, store: &Store) -> anyhow::Result<Vec<String>> {
        if backend == Backend::Host {
            if !self.kernel.is_empty() {
                let what = "--backend host uses this machine's own kernel; --kernel (or ZDTM_DETACHED_KERNEL, or kernel in \
                            zdtm-detached.toml) needs a VM";
                return Err(Usage(what.to_owned()).into());
            }
            return Ok(vec![crate::host::kernel_name()]);
        }
        if self.kernel.is_empty() {
            return Ok(vec![store.manifest().defaults.kernel().to_owned()]);
        }
        let kernels = self.kernel.iter().map(|kernel| name_of(kernel, store)).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(each_once(&kernels))
    }

    /// Those that were asked for; else the default one, or those that the scenario is about, where
    /// it is about others.
    fn lifecycles_of(&self, scenario: &Scenario) -> Vec<Lifecycle> {
        if !self.lifecycle.is_empty() {
            return self.lifecycle.clone();
        }
        let own = scenario.requires.lifecycles.iter().copied();
        let own: Vec<Lifecycle> = own.collect();
        if own.is_empty() || own.contains(&Lifecycle::DumpRestore) { vec![Lifecycle::DumpRestore] } else { own }
    }

    /// Every combination of scenario, flavor and lifecycle.
    pub fn combinations<'a>(&self, scenarios: &'a [Scenario]) -> Vec<(&'a Scenario, Flavor, Lifecycle)> {
        // Not for the default group: it costs time, and is not needed there.
        let telling = if self.group == Group::Default { HashSet::new() } else { telling(scenarios) };
        let is_telling = |scenario: &Scenario| telling.contains(&*scenario.name);
        let mut all = Vec::new();
        for scenario in scenarios.iter().filter(|one| self.group != Group::Quick || is_telling(one)) {
            let flavors = if self.flavor.is_empty() { self.group.flavors(scenario) } else { &self.flavor };
            for &flavor in flavors {
                let more = flavor == Flavor::Ns && self.lifecycle.is_empty() && is_telling(scenario);
                let lifecycles = if more { self.group.lifecycles(scenario) } else { None };
                let lifecycles = lifecycles.unwrap_or_else(|| self.lifecycles_of(scenario));
                all.extend(lifecycles.into_iter().map(|lifecycle| (scenario, flavor, lifecycle)));
            }
        }
        all
    }

    /// The same as tasks, on this kernel.
    pub fn tasks(
        &self,
        kernel: &str,
        subject: &Subject,
        reference_options: ReferenceOptions,
        scenarios: &[Scenario],
    ) -> Vec<Task> {
        let task = |(scenario, flavor, lifecycle): (&Scenario, _, _)| {
            let trial = Trial {
                scenario: scenario.name.clone(),
                family: scenario.family.clone(),
                flavor,
                lifecycle,
                kernel: kernel.to_owned(),
                subject: subject.to_string(),
            };
            Task { trial, scenario: scenario.clone(), engine: subject.engine(reference_options) }
        };
        self.combinations(scenarios).into_iter().map(task).collect()
    }
}

/// The one value of an axis, for what is about one trial or one machine.
///
/// # Errors
/// [`Usage`]: there are more.
pub fn single<T: Clone>(flag: &str, given: &[T], default: Option<T>) -> Result<T, Usage> {
    match (given, default) {
        ([one], _) => Ok(one.clone()),
        ([], Some(default)) => Ok(default),
        _ => Err(Usage(format!("{flag} may stand once only: this command takes one"))),
    }
}

pub(crate) fn each_once<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut once: Vec<T> = Vec::new();
    for one in all {
        if !once.contains(one) {
            once.push(one.clone());
        }
    }
    once
}
