//! From what a user asks for to a campaign: its sides, its state, what its programs are like.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::fcntl::Flock;
use protocol::message::{Flavor, Lifecycle};
use scenarios::Program;
use scenarios::generate::{Limits, Without};

use super::buckets;
use super::campaign::{Campaign, Settings};
use super::draw::Wanted;
use super::every::Every;
use super::known::KnownFailures;
use super::share::Share;
use super::sides::Side;
use super::state::State;
use crate::judge::range::Version;
use crate::judge::{Expectations, Signature, Trial};
use crate::machine::Backend;
use crate::plan::{Axes, single};
use crate::process::work_folder::{Wait, lock_folder};
use crate::run::{Machines, PACK, Policy};
use crate::session::{ExpectationsSource, Session};
use crate::subject::{ReferenceOptions, Subject};
use crate::usage::Usage;

/// How many of 256 programs of a campaign for criu without detached mounts may have disks. A disk
/// takes as long as three programs without.
const DISKS: u8 = 10;
/// How many of 256 programs may have a tmpfs. It takes as long as five programs without: criu
/// starts three helpers for it.
const MEMORY: u16 = 8;

/// How many of 256 programs may need a process of their own. Most of a checkpoint's time is the
/// process's, not the program's, with criu even more so.
const ALONE: u8 = 5;
const ALONE_WITH_CRIU: u8 = 2;

/// Programs of one process with criu: what it does for the process takes as long as some forty
/// programs.
const PACK_WITH_CRIU: usize = 64;

/// One in this number of programs goes through another lifecycle, alone as well.
const OTHER_LIFECYCLE: u64 = 192;
const OTHER_LIFECYCLE_WITH_CRIU: u64 = 512;

/// Where a campaign's state is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In this folder.
    Own(PathBuf),
    /// In a folder of this one, which other members share.
    Shared {
        /// That of all members.
        folder: PathBuf,
        /// The name of this one; without it, one that is free.
        member: Option<String>,
    },
}

impl Place {
    /// Locks the campaign's folder, and joins the others.
    fn take(&self) -> Result<(PathBuf, Option<Share>, Flock<File>), Usage> {
        match self {
            Self::Own(folder) => Ok((folder.clone(), None, lock(folder)?)),
            Self::Shared { folder, member } => {
                let (share, lock) = Share::join(folder, member.as_deref())?;
                Ok((share.own_folder(), Some(share), lock))
            }
        }
    }
}

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// What is tested.
    pub subject: Vec<Subject>,
    /// Patches on top of it.
    pub patch: Vec<PathBuf>,
    /// Kernels, one flavor, lifecycles in turn.
    pub axes: Axes,
    /// Every program runs with each kernel and each subject.
    pub differential: bool,
    /// The campaign ends after this time.
    pub time: Option<Duration>,
    /// The number of programs after which it ends.
    pub programs: Option<u64>,
    /// It ends with the first finding.
    pub first: bool,
    /// Every program with up to this number of steps, instead of drawn ones.
    pub exhaustive: Option<u8>,
    /// Of the programs.
    pub seed: Option<u64>,
    /// Only programs with nothing on detached mounts.
    pub controls: bool,
    /// What no program has.
    pub without: Without,
    /// Folder of programs to begin with.
    pub corpus: Option<PathBuf>,
    /// File of findings that are known.
    pub known: Option<PathBuf>,
    /// Causes that the campaign goes past.
    pub past: Vec<String>,
    /// Where the campaign's state is.
    pub place: Place,
    /// Programs of one process.
    pub pack: Option<usize>,
}

/// A campaign that is ready to begin.
pub struct Setup<'a> {
    session: &'a Session,
    request: Request,
    is_criu: bool,
    wanted: Wanted,
    every: Option<Every>,
    expectations: Expectations,
    known: BTreeSet<Signature>,
    corpus: Vec<Program>,
    sides: Vec<Side>,
    machines: Vec<Machines<'static>>,
    folder: PathBuf,
    share: Option<Share>,
    state: State,
    goes_on: bool,
    /// Of the state's folder, until the campaign is over.
    _lock: Flock<File>,
}

impl<'a> Setup<'a> {
    /// Prepares what the campaign runs on, and reads what it goes on with.
    ///
    /// # Errors
    /// [`Usage`], or what keeps programs from running.
    pub fn new(session: &'a Session, request: Request) -> anyhow::Result<Self> {
        let subjects = session.subjects(&request.subject, &request.patch)?;
        session.check_backend(&subjects)?;
        let kernels = session.kernels(&request.axes)?;
        let flavor = single("--flavor", &request.axes.flavor, Some(Flavor::Ns))?;
        let expectations = session.expectations(&ExpectationsSource::Project)?;
        let mut known = match &request.known {
            Some(file) => {
                buckets::known(file).map_err(|error| Usage(format!("--known {}: {error}", file.display())))?
            }
            None => BTreeSet::new(),
        };
        known.extend(request.past.iter().map(|cause| Signature(cause.trim().to_owned())));
        let mut corpus = request.corpus.as_deref().map(corpus).transpose()?.unwrap_or_default();
        let sides = sides(&kernels, &subjects, flavor);
        if request.differential && sides.len() < 2 {
            let what = "--differential compares: give --kernel or --subject more than once";
            return Err(Usage(what.to_owned()).into());
        }
        let what = what(&request, &subjects, &kernels, flavor) + &every(&request, sides.len())?;
        let (folder, mut share, lock) = request.place.take()?;
        let (mut state, goes_on) = state(&request, &folder, share.as_ref(), what)?;
        if let Some(share) = &mut share {
            corpus.extend(share.own_programs());
            // A campaign of something else is noticed before anything is prepared.
            share.check(&state.what)?;
        }
        let parts: Vec<_> =
            subjects.iter().map(|subject| subject.prepare(session.store())).collect::<Result<_, _>>()?;
        // Programs of every filesystem may come up.
        let catalogue = session.catalogue()?;
        let of_side = |(number, side): (usize, &Side)| {
            let parts = &parts[number % parts.len()];
            session.machines(&side.trial.kernel, parts, &catalogue, &format!("fuzz-{number}"))
        };
        let machines = sides.iter().enumerate().map(of_side).collect::<Result<_, _>>()?;
        let is_criu = subjects.iter().any(|subject| !subject.is_reference());
        let wanted = wanted(&request, session.settings().backend, is_criu, flavor);
        let depth = request.exhaustive.map(usize::from);
        let every = depth.map(|depth| Every::new(depth, wanted, request.programs, &mut state));
        Ok(Self {
            session,
            request,
            is_criu,
            wanted,
            every,
            expectations,
            known,
            corpus,
            sides,
            machines,
            folder,
            share,
            state,
            goes_on,
            _lock: lock,
        })
    }

    /// What the campaign begins with.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The folder of its state.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// It was begun before.
    pub fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// Runs the campaign to its end; `watch` gets the state now and then, and at the end.
    ///
    /// # Errors
    /// The state cannot be saved.
    pub fn run(self, watch: &mut dyn FnMut(&State)) -> anyhow::Result<State> {
        let Self { session, request, is_criu, wanted, every, expectations, known, .. } = self;
        let Self { corpus, sides, machines, folder, share, state, .. } = self;
        let share = share.map(Mutex::new);
        let workers = session.workers(usize::MAX);
        let workers = if request.differential { workers.div_ceil(sides.len()) } else { workers.max(sides.len()) };
        let pack = request.pack.unwrap_or(if is_criu { PACK_WITH_CRIU } else { PACK });
        let batch = if pack > 1 { pack * 2 } else { 16 };
        let lifecycles = match (&request.axes.lifecycle[..], &every) {
            ([], Some(_)) => vec![Lifecycle::DumpRestore],
            (given, _) => given.to_vec(),
        };
        let known_failures = KnownFailures::default();
        let found = state.buckets.iter().map(|bucket| &bucket.signature);
        found.chain(&known).for_each(|signature| known_failures.add(signature));
        let settings = Settings {
            folder,
            time: request.time,
            programs: request.programs,
            first: request.first,
            workers,
            batch,
            wanted,
            every: every.as_ref(),
            sides,
            differential: request.differential,
            lifecycles,
            other_lifecycle: if is_criu { OTHER_LIFECYCLE_WITH_CRIU } else { OTHER_LIFECYCLE },
            known,
            known_failures: &known_failures,
            share: share.as_ref(),
        };
        let expected = |trial: &Trial, criu: Option<&Version>, judgement| {
            known_failures.expect(expectations.apply_anywhere(trial, criu, judgement))
        };
        let pool = session.pool(
            Arc::new(move |worker: usize| machines[worker % machines.len()](worker)),
            Box::new(expected),
            Policy { campaign: true, retries: 1, pack, ..Policy::default() },
        );
        Ok(Campaign::new(&settings, &pool, state, corpus).run(watch)?)
    }
}

/// What programs are like.
fn wanted(request: &Request, backend: Backend, is_criu: bool, flavor: Flavor) -> Wanted {
    let &Request { controls, without, .. } = request;
    let own = backend == Backend::Vm || crate::host::is_root();
    let own_root = flavor.has_own_root();
    let privileged = own && flavor != Flavor::Userns;
    let limits = Limits { own_root, privileged, disks: own, without, ..Limits::default() };
    // Where nothing is detached there is as much to see on binds, at several times the speed.
    let (disks, memory) = match backend {
        Backend::Vm if controls && is_criu => (DISKS, MEMORY),
        Backend::Vm => (64, 256),
        Backend::Host => (16, 256),
    };
    let alone = if is_criu { ALONE_WITH_CRIU } else { ALONE };
    Wanted { limits, disks, memory, alone, controls }
}

/// Each kernel with each subject, named by what it does not share with the others.
fn sides(kernels: &[String], subjects: &[Subject], flavor: Flavor) -> Vec<Side> {
    let side = |kernel: &String, subject: &Subject| Side {
        name: match (kernels.len(), subjects.len()) {
            (1, _) => subject.to_string(),
            (_, 1) => kernel.clone(),
            _ => format!("{subject} on {kernel}"),
        },
        trial: Trial {
            scenario: String::new(),
            family: "fuzz".to_owned(),
            flavor,
            lifecycle: Lifecycle::DumpRestore,
            kernel: kernel.clone(),
            subject: subject.to_string(),
        },
        engine: subject.engine(ReferenceOptions::default()),
    };
    kernels
        .iter()
        .flat_map(|kernel| subjects.iter().map(move |subject| (kernel, subject)))
        .map(|(kernel, subject)| side(kernel, subject))
        .collect()
}

/// Keeps other campaigns out of the folder.
pub(super) fn lock(folder: &Path) -> Result<Flock<File>, Usage> {
    let wrong = |what: String| Usage(format!("{}: {what}", folder.display()));
    let lock = std::fs::create_dir_all(folder).and_then(|()| lock_folder(folder, Wait::No));
    lock.map_err(|error| wrong(error.to_string()))?
        .ok_or_else(|| wrong("another campaign runs in it; end that one, or give this one another folder".to_owned()))
}

/// The state to begin with, and whether it is that of a campaign that goes on.
fn state(request: &Request, folder: &Path, share: Option<&Share>, what: String) -> Result<(State, bool), Usage> {
    let own = |seed| share.map_or(seed, |share| share.seed(seed));
    match State::load(folder, &what).map_err(|error| Usage(error.to_string()))? {
        None => Ok((State::new(what, own(request.seed.unwrap_or(1))), false)),
        Some(state) if request.seed.is_some_and(|seed| own(seed) != state.seed) => Err(Usage(format!(
            "the campaign in {} has another seed; give the new one another folder",
            folder.display()
        ))),
        Some(state) => Ok((state, true)),
    }
}

/// What is tested and how, in one line: a campaign goes on only with the same.
fn what(request: &Request, subjects: &[Subject], kernels: &[String], flavor: Flavor) -> String {
    let subjects: Vec<String> = subjects.iter().map(Subject::to_string).collect();
    let lifecycles: Vec<&str> = match &request.axes.lifecycle[..] {
        [] => vec![Lifecycle::DumpRestore.word()],
        given => given.iter().map(|lifecycle| lifecycle.word()).collect(),
    };
    format!(
        "{} on {}, {} {}{}{}",
        subjects.join(" and "),
        kernels.join(" and "),
        flavor.word(),
        lifecycles.join(" and "),
        if request.controls { ", controls" } else { "" },
        if request.differential { ", compared" } else { "" },
    )
}

/// What is said of a campaign that runs every program: what its programs' numbers depend on.
fn every(request: &Request, sides: usize) -> Result<String, Usage> {
    let Some(depth) = request.exhaustive else { return Ok(String::new()) };
    if sides > 1 && !request.differential {
        return Err(Usage(
            "--exhaustive runs each program once: name one --kernel and one --subject, or --differential".to_owned(),
        ));
    }
    if request.axes.lifecycle.len() > 1 {
        return Err(Usage("--exhaustive runs each program once: name one --lifecycle".to_owned()));
    }
    let without = request.without.to_string();
    let without = if without.is_empty() { without } else { format!(" without {without}") };
    Ok(format!(", every program with up to {depth} steps{without}"))
}

/// Programs of the scenario files in a folder and below it.
fn corpus(folder: &Path) -> Result<Vec<Program>, Usage> {
    let all = scenarios::catalogue::load(folder).map_err(|faults| {
        let first = faults.first().map(ToString::to_string).unwrap_or_default();
        Usage(format!("--corpus {}: {first}", folder.display()))
    })?;
    Ok(all.into_iter().map(|scenario| scenario.program).collect())
}
