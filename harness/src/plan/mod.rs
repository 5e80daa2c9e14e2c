//! From the command line to trials: which kernels, which subjects, which combinations; what is
//! known about them.

pub mod select;
pub mod share;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;
use scenarios::visible::control_name;

use crate::image::Store;
use crate::judge::{Expectations, Trial};
use crate::machine::Backend;
use crate::run::Task;
use crate::subject::{self, ReferenceOptions, Subject};
use crate::usage::Usage;
use select::select;

/// What a trial is besides its scenario and its subject.
#[derive(Args, Clone, Debug, Default)]
pub struct Axes {
    /// Kernel of the manifest; may be given more than once [default: 6.12]
    #[arg(long, value_name = "KERNEL", env = "ZDTM_DETACHED_KERNEL")]
    pub kernel: Vec<String>,
    /// Namespaces of the process: ns or host; may be given more than once [default: ns]
    #[arg(long, value_parser = str::parse::<Flavor>)]
    pub flavor: Vec<Flavor>,
    /// What is done to the process: dump-restore, leave-running or another, see --help; may be
    /// given more than once
    #[arg(long, value_parser = str::parse::<Lifecycle>, long_help = lifecycles())]
    pub lifecycle: Vec<Lifecycle>,
}

/// Each lifecycle with what it is.
fn lifecycles() -> String {
    let width = Lifecycle::ALL.iter().map(|lifecycle| lifecycle.word().len()).max().unwrap_or_default();
    let line = |lifecycle: &Lifecycle| format!("\n  {lifecycle:width$}  {}", lifecycle.text());
    let all: String = Lifecycle::ALL.iter().map(line).collect();
    format!("What is done to the process; may be given more than once [default: dump-restore]{all}")
}

impl Axes {
    /// The kernels by name, each once.
    ///
    /// # Errors
    /// [`Usage`] for one that is not there, and for any with the host's own.
    pub fn kernels(&self, backend: Backend, store: &Store) -> Result<Vec<String>, Usage> {
        let known = &store.manifest().kernel;
        if backend == Backend::Host {
            if !self.kernel.is_empty() {
                let what = "--backend host uses this machine's own kernel; --kernel (or ZDTM_DETACHED_KERNEL, or kernel in \
                            zdtm-detached.toml) needs a VM";
                return Err(Usage(what.to_owned()));
            }
            return Ok(vec![crate::host::kernel_name()]);
        }
        if let Some(kernel) = self.kernel.iter().find(|&kernel| !known.contains_key(kernel)) {
            let known: Vec<&str> = known.keys().map(String::as_str).collect();
            return Err(Usage(format!("there is no kernel {kernel}; vm-images/images.toml has {}", known.join(", "))));
        }
        let default = std::slice::from_ref(&store.manifest().defaults.kernel);
        Ok(each_once(if self.kernel.is_empty() { default } else { &self.kernel }))
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

    /// Every combination of scenario, flavor and lifecycle on this kernel.
    pub fn tasks(
        &self,
        kernel: &str,
        subject: &Subject,
        reference_options: ReferenceOptions,
        scenarios: &[Scenario],
    ) -> Vec<Task> {
        let flavors = if self.flavor.is_empty() { &[Flavor::Ns][..] } else { &self.flavor };
        let mut tasks = Vec::new();
        for scenario in scenarios {
            for &flavor in flavors {
                for lifecycle in self.lifecycles_of(scenario) {
                    let trial = Trial {
                        scenario: scenario.name.clone(),
                        family: scenario.family.clone(),
                        flavor,
                        lifecycle,
                        kernel: kernel.to_owned(),
                        subject: subject.to_string(),
                    };
                    tasks.push(Task { trial, scenario: scenario.clone(), engine: subject.engine(reference_options) });
                }
            }
        }
        tasks
    }
}

/// The subjects of a command line, each once, patched; the default one when there is none.
///
/// # Errors
/// [`Usage`]: a patch on what takes none, a file or suite that is not there.
pub fn subjects(given: &[Subject], patches: &[PathBuf], store: &Store) -> Result<Vec<Subject>, Usage> {
    let default = [Subject::Debian(store.manifest().defaults.userland.clone())];
    let given = if given.is_empty() { &default[..] } else { given };
    let patched = given.iter().map(|subject| subject.clone().patched(patches));
    let subjects: Vec<Subject> =
        patched.collect::<Result<_, _>>().map_err(|error| Usage(format!("--patch: {error}")))?;
    match subjects.iter().find_map(|subject| subject.mistake(store)) {
        Some(mistake) => Err(Usage(mistake)),
        None => Ok(each_once(&subjects)),
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

fn each_once<T: Clone + PartialEq>(all: &[T]) -> Vec<T> {
    let mut once: Vec<T> = Vec::new();
    for one in all {
        if !once.contains(one) {
            once.push(one.clone());
        }
    }
    once
}

/// What the backend cannot do is a mistake of the user.
///
/// # Errors
/// [`Usage`]
pub fn check_backend(backend: Backend, subjects: &[Subject]) -> Result<(), Usage> {
    let Some(subject) = subjects.iter().find(|subject| !subject.is_reference()) else { return Ok(()) };
    if backend == Backend::Vm {
        return Ok(());
    }
    Err(Usage(format!(
        "--backend host is for --subject {} only, not for {subject}: criu acts on the whole machine (it freezes, \
         kills and traces processes, and loads modules), so it gets one of its own; leave --backend away",
        subject::REFERENCE
    )))
}

/// Where what is known to fail is read from: `--expectations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KnownFailures {
    /// `scenarios/expectations.toml` of the source tree.
    #[default]
    Project,
    /// A file of the user's.
    File(PathBuf),
    /// Nothing is known: whatever fails is a failure.
    None,
}

impl FromStr for KnownFailures {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(if word == "none" { Self::None } else { Self::File(PathBuf::from(word)) })
    }
}

/// What is known to fail; an entry that names no scenario is a mistake in the file.
///
/// # Errors
/// [`Usage`] for the mistake.
pub fn expectations(tree: &Path, from: &KnownFailures) -> anyhow::Result<Expectations> {
    let file = match from {
        KnownFailures::Project => tree.join("scenarios/expectations.toml"),
        KnownFailures::File(file) => file.clone(),
        KnownFailures::None => return Ok(Expectations::default()),
    };
    let expectations = Expectations::load(&file).map_err(|error| Usage(error.to_string()))?;
    let mut names: Vec<String> = select(&[], tree)?.into_iter().map(|scenario| scenario.name).collect();
    // The names that controls would have: to derive them takes a second.
    names.extend(names.iter().map(|name| control_name(name)).collect::<Vec<_>>());
    let stale = expectations.stale(names.iter().map(String::as_str));
    if stale.is_empty() {
        return Ok(expectations);
    }
    let lines: Vec<String> = stale.iter().map(ToString::to_string).collect();
    Err(Usage(lines.join("\n")).into())
}
