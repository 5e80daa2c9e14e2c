//! Every program up to a depth, instead of programs that are drawn: which ones there are, and which
//! of them have run.
//!
//! A program's number is its place among those that are of use. Programs are not stored: a campaign
//! that goes on goes through the numbers once more, which takes a small part of the time that
//! running them took. Which numbers were handed out and have not come back is a part of the state,
//! so that none is left out, whenever the campaign ends.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arbitrary::Unstructured;
use scenarios::Program;
use scenarios::generate::{self, Exhaustive};
use serde::{Deserialize, Serialize};

use super::draw::{self, Wanted};
use super::state::State;

/// How many there are is counted for so long, and not known where that is not enough.
const COUNT: Duration = Duration::from_secs(1);

/// How far a campaign is that runs every program, in its state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The most steps.
    pub depth: usize,
    /// How many programs there are, where that is known.
    pub total: Option<u64>,
    /// Those before the next one that were handed out and have not come back.
    pub open: BTreeSet<u64>,
}

impl Progress {
    /// `12 of 45 with up to 4 steps`
    pub fn describe(&self, next: u64) -> String {
        let of = self.total.map_or_else(String::new, |total| format!(" of {total}"));
        format!("{}{of} with up to {} steps", self.done(next), self.depth)
    }

    /// How many have run, when `next` is the next one.
    pub fn done(&self, next: u64) -> u64 {
        next.saturating_sub(self.open.len() as u64)
    }
}

/// All programs, for workers that share them.
pub struct Every {
    wanted: Wanted,
    /// No program has this number or a greater one.
    end: u64,
    shared: Mutex<Shared>,
}

struct Shared {
    programs: Exhaustive,
    /// The number of the program that `programs` gives next.
    at: u64,
    /// Programs with smaller numbers were handed out in an earlier run, and `again` are those of
    /// them that are to run again.
    begin: u64,
    again: BTreeSet<u64>,
    progress: Progress,
}

impl fmt::Debug for Every {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Every").field("wanted", &self.wanted).field("end", &self.end).finish_non_exhaustive()
    }
}

impl Every {
    /// Those with up to `depth` steps that have not run yet in the campaign of this state; at most
    /// as many as `programs` says.
    pub fn new(depth: usize, wanted: Wanted, programs: Option<u64>, state: &mut State) -> Self {
        let progress = state.every.get_or_insert_with(|| Progress { depth, ..Progress::default() });
        if progress.total.is_none() && state.next == 0 {
            progress.total = count(depth, &wanted);
        }
        let (progress, again) = (progress.clone(), progress.open.clone());
        let all = Exhaustive::new(depth, &wanted.limits, wanted.controls);
        let shared = Shared { programs: all, at: 0, begin: state.next, again, progress };
        Every { wanted, end: programs.unwrap_or(u64::MAX), shared: Mutex::new(shared) }
    }

    /// The next ones with their numbers, no more than `most`; `None` when all were handed out, or
    /// it is over.
    pub fn take(&self, most: usize, over: &AtomicBool) -> Vec<(u64, Program)> {
        let is_over = || over.load(Ordering::Relaxed) || crate::process::interrupt::requested();
        let mut shared = self.lock();
        let mut taken = Vec::new();
        while taken.len() < most && shared.at < self.end.max(shared.begin) {
            let next = shared.programs.find(|program| is_over() || draw::is_of_use(program, &self.wanted, false));
            if is_over() {
                break;
            }
            let Some(program) = next else {
                shared.progress.total = Some(shared.at);
                break;
            };
            let number = shared.at;
            shared.at += 1;
            if number >= shared.begin || shared.again.remove(&number) {
                taken.push((number, self.asserted(program)));
            }
        }
        shared.progress.open.extend(taken.iter().map(|(number, _)| number));
        taken
    }

    /// Notes that a program needs no further check.
    pub fn done(&self, scenario: &str) {
        if let Some(number) = scenario.strip_prefix("fuzz/").and_then(|number| number.parse().ok()) {
            self.lock().progress.open.remove(&number);
        }
    }

    /// Notes in the state how far it is.
    pub fn note(&self, state: &mut State) {
        let shared = self.lock();
        state.next = shared.at.max(shared.begin);
        state.every = Some(shared.progress.clone());
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// With what the model says of each object: the kernel must agree.
    fn asserted(&self, program: Program) -> Program {
        generate::assert(&mut Unstructured::new(&[]), &program, &self.wanted.limits).unwrap_or(program)
    }
}

/// How many there are, unless that takes long.
fn count(depth: usize, wanted: &Wanted) -> Option<u64> {
    let until = Instant::now() + COUNT;
    let mut count = 0;
    for program in Exhaustive::new(depth, &wanted.limits, wanted.controls) {
        if Instant::now() >= until || crate::process::interrupt::requested() {
            return None;
        }
        count += u64::from(draw::is_of_use(&program, wanted, false));
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use scenarios::generate::Limits;

    use super::*;

    fn wanted() -> Wanted {
        Wanted { limits: Limits::default(), disks: 0, memory: 256, alone: 10, controls: false }
    }

    #[test]
    fn each_runs_once_whenever_the_campaign_ends() {
        let mut state = State::new("all".to_owned(), 1);
        let (mut ran, mut runs) = (Vec::new(), 0);
        let over = AtomicBool::new(false);
        while state.every.as_ref().is_none_or(|every| every.total != Some(every.done(state.next))) {
            let every = Every::new(4, wanted(), None, &mut state);
            // Two workers, each with a batch; one of them comes back, the other is killed in the
            // middle of it.
            let (one, other) = (every.take(5, &over), every.take(7, &over));
            for (number, program) in one.iter().chain(&other[..other.len().min(2)]) {
                ran.push((*number, program.clone()));
                every.done(&format!("fuzz/{number}"));
            }
            every.note(&mut state);
            runs += 1;
            assert!(runs < 20, "it comes to an end");
        }
        let every = Every::new(4, wanted(), None, &mut State::new("all".to_owned(), 1));
        let mut all = every.take(usize::MAX, &over);
        assert_eq!(all.len(), 45);
        assert!(every.take(1, &over).is_empty());
        ran.sort_by_key(|(number, _)| *number);
        all.sort_by_key(|(number, _)| *number);
        assert_eq!(ran, all);
        let describe = state.every.as_ref().map(|every| every.describe(state.next));
        assert_eq!(describe.as_deref(), Some("45 of 45 with up to 4 steps"));
    }

    #[test]
    fn it_ends_at_the_requested_place() {
        let mut state = State::new("all".to_owned(), 1);
        let over = AtomicBool::new(false);
        let every = Every::new(4, wanted(), Some(10), &mut state);
        assert_eq!(every.take(100, &over).len(), 10);
        assert!(every.take(100, &over).is_empty());
        every.note(&mut state);
        assert_eq!((state.next, state.every.as_ref().map(|every| every.open.len())), (10, Some(10)));
        over.store(true, Ordering::Relaxed);
        assert!(Every::new(4, wanted(), None, &mut state).take(1, &over).is_empty());
    }

    #[test]
    fn there_are_so_many_of_use() {
        let controls = Wanted { controls: true, ..wanted() };
        let over = AtomicBool::new(false);
        let count = |depth, wanted| {
            Every::new(depth, wanted, None, &mut State::new(String::new(), 1)).take(usize::MAX, &over).len()
        };
        assert_eq!((count(3, wanted()), count(3, controls)), (0, 248));
    }
}
