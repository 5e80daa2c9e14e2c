//! Copies of a template, with one ready in advance, and a cold boot where copies
//! do not work.
//!
//! The one that waits is awake and idle, so that a worker that throws its machine away has the next
//! one at once. It is one for all workers: resets are rare, and it costs memory.
//!
//! A worker takes a new copy after 200 trials, and after anything suspicious: leftovers, a message
//! of the kernel, a hang, a crash, harm to a process, a failure of the harness. A refused dump, a
//! failed restore and a wrong restore cost no new copy when the agent found no leftovers. A trial
//! whose VM died is run once more alone. It is blamed when it kills that VM too.
//!
//! Under TCG a new copy starts with an empty translation cache: its first dump and restore take
//! about twice as long as the later ones. For the same reason the executor of a trial is a hard
//! link to one file, not a copy: TCG caches translations by page, and the pages of a link stay.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::error::VmError;
use super::machine::{Vm, VmSpec};
use super::template_cache::TemplateHandle;
use crate::notices::say;
use crate::process::sys::step_back;

/// How long the copy in reserve may take to come up; no trial waits for it meanwhile.
const WAKE_TIME_LIMIT: Duration = Duration::from_secs(60);

/// Where copies come from. Dropping it ends the one that waits.
#[derive(Debug)]
pub struct Clones {
    template: Arc<TemplateHandle>,
    spec: VmSpec,
    /// For the directories of those that wait.
    work: PathBuf,
    waiting: Mutex<Option<JoinHandle<Result<Vm, VmError>>>>,
    /// Why no more copies are made.
    lost: Arc<Mutex<Option<String>>>,
    next: AtomicU64,
}

impl Clones {
    /// Copies of a template that was made of `spec`; those that wait have their directories below
    /// `work`. Meanwhile the template's memory is read, and when it has changed, no more copies are
    /// made.
    pub fn new(template: TemplateHandle, spec: VmSpec, work: &Path) -> Self {
        let (template, waiting, lost) = (Arc::new(template), Mutex::new(None), Arc::new(Mutex::new(None)));
        let (checked, result) = (Arc::clone(&template), Arc::clone(&lost));
        // Without a thread the memory is not read: a run with so little may go on all the same.
        let _ = std::thread::Builder::new().spawn(move || {
            step_back();
            if let Err(why) = checked.check_memory() {
                say(&format!("the saved VM is not as it was, results of this run may be wrong: {why}"));
                *lock(&result) = Some(why);
            }
        });
        Self { template, spec, work: work.to_owned(), waiting, lost, next: AtomicU64::new(0) }
    }

    /// A running machine as the template was. When copies turn out not to work and machines boot,
    /// standard error says so once, the template is made anew by the next run, and this and every
    /// further machine is booted. What also hinders a boot (a full disk, a limit of memory), and a
    /// QEMU that was killed or stopped, are not the template's fault.
    ///
    /// # Errors
    /// [`VmError`]; nothing is left running.
    pub fn vm(&self, directory: &Path, deadline: Instant) -> Result<Vm, VmError> {
        let spec = VmSpec { directory: directory.to_owned(), ..self.spec.clone() };
        if lock(&self.lost).is_some() {
            return Vm::boot(&spec, deadline);
        }
        match self.copy(&spec, deadline) {
            Err(VmError::Interrupted) => Err(VmError::Interrupted),
            Err(error) => {
                let vm = Vm::boot(&spec, deadline)?;
                let mut lost = lock(&self.lost);
                if lost.is_none() && !error.is_by_signal() {
                    say(&format!("no copies of the saved VM, booting instead: {error}"));
                    self.template.condemn();
                    *lost = Some(error.to_string());
                }
                Ok(vm)
            }
            vm => vm,
        }
    }

    fn copy(&self, spec: &VmSpec, deadline: Instant) -> Result<Vm, VmError> {
        let waiting = lock(&self.waiting).take();
        // One that did not come up is tried again in the open.
        let waiting = waiting.and_then(|thread| thread.join().ok()).and_then(Result::ok);
        match waiting {
            Some(vm) => Ok(vm),
            None => self.template.template().copy(spec, deadline)?.wake(deadline),
        }
    }

    /// Has a copy wait from now on until it is asked for.
    pub fn keep_one_waiting(&self) {
        let mut waiting = lock(&self.waiting);
        if waiting.is_some() || lock(&self.lost).is_some() {
            return;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let spec = VmSpec { directory: self.work.join(format!("waiting-{number}")), ..self.spec.clone() };
        let template = Arc::clone(self.template.template());
        let deadline = Instant::now() + WAKE_TIME_LIMIT;
        *waiting = std::thread::Builder::new().spawn(move || template.copy(&spec, deadline)?.wake(deadline)).ok();
    }
}

impl Drop for Clones {
    fn drop(&mut self) {
        if let Some(thread) = lock(&self.waiting).take() {
            drop(thread.join());
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
