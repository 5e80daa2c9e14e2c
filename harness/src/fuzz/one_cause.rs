//! Whether every program fails by one cause: then a campaign finds nothing else, and says so
//! instead of going on.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use scenarios::Program;

use super::campaign::Campaign;
use super::learn::Needs;
use crate::judge::Signature;

/// How many programs must fail before it is said, none of them in another way.
const PROGRAMS: u64 = 40;
/// Where programs take long, fewer will do after a while.
const PROGRAMS_IN_TIME: u64 = 15;
const TIME: Duration = Duration::from_secs(40);
/// How many of a hundred have the cause. Some of the others may have it, too, and say it in another
/// way.
const SHARE: u64 = 67;

/// What became of the programs that are wanted: those with something detached, or all of a campaign
/// without.
#[derive(Clone, Debug, Default)]
pub(super) struct OneCause {
    passed: bool,
    failed: BTreeMap<Signature, u64>,
}

impl OneCause {
    /// A program passed, or may be restored as far as is known.
    pub(super) fn passes(&mut self) {
        self.passed = true;
    }

    /// A program failed.
    pub(super) fn fails(&mut self, signature: &Signature) {
        *self.failed.entry(signature.clone()).or_default() += 1;
    }

    /// The cause by which every program fails, after this time.
    pub(super) fn found(&self, after: Duration) -> Option<&Signature> {
        let all: u64 = self.failed.values().sum();
        let (signature, most) = self.failed.iter().max_by_key(|(_, count)| **count)?;
        let enough = if after >= TIME { PROGRAMS_IN_TIME } else { PROGRAMS };
        (!self.passed && all >= enough && most * 100 >= all * SHARE).then_some(signature)
    }
}

impl Campaign<'_> {
    /// Counts a program for the rule of one cause. It ignores programs that cannot be
    /// restored, ordinary files where they are only by the way, and causes that the campaign
    /// continues past.
    pub(super) fn note_for_one_cause(&self, all: &mut OneCause, program: &Program, signature: Option<Signature>) {
        let needs = Needs::of(program);
        let is_wanted = needs.is_detached() || self.settings.wanted.controls;
        match signature {
            _ if !is_wanted || needs.is_refused() => {}
            Some(signature) if self.settings.known.contains(&signature) => {}
            Some(signature) => all.fails(&signature),
            None => all.passes(),
        }
    }

    /// Ends the campaign where every program fails by one cause that is filed.
    pub(super) fn end_where_all_fail(&self) {
        let mut shared = self.lock();
        let found = shared.one_cause.found(self.start.elapsed()).cloned();
        if let Some(signature) = found.filter(|signature| shared.state.buckets.has(signature)) {
            shared.state.every_program_fails = Some(signature);
            self.over.store(true, Ordering::Relaxed);
            self.pool.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64, failed: &[(&str, u64)]) -> Option<String> {
        let mut all = OneCause::default();
        for (name, count) in failed {
            (0..*count).for_each(|_| all.fails(&Signature((*name).to_owned())));
        }
        all.found(Duration::from_secs(seconds)).map(ToString::to_string)
    }

    #[test]
    fn it_is_said_where_all_fail_by_one_cause() {
        assert_eq!(after(5, &[("a", 40)]).as_deref(), Some("a"));
        assert_eq!(after(5, &[("a", 39)]), None, "too few");
        assert_eq!(after(50, &[("a", 15)]).as_deref(), Some("a"), "within a minute also where programs are slow");
        assert_eq!(after(50, &[("a", 14)]), None);
        assert_eq!(after(5, &[("a", 70), ("b", 20), ("c", 10)]).as_deref(), Some("a"));
        assert_eq!(after(5, &[("a", 60), ("b", 40)]), None, "those are two");
        assert_eq!(after(50, &[]), None);
    }

    #[test]
    fn one_that_passes_is_enough_to_go_on() {
        let mut all = OneCause::default();
        (0..1000).for_each(|_| all.fails(&Signature("a".to_owned())));
        all.passes();
        assert_eq!(all.found(Duration::from_secs(1000)), None);
    }
}
