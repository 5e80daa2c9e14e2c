//! A finding made smaller: as few steps as still show it, within a budget.

use std::time::Instant;

use scenarios::Program;
use scenarios::live::repair;

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// Not later than this.
    pub(super) until: Instant,
    /// No more programs than this.
    pub(super) programs: usize,
}

/// The smallest program found that `shows` it still. Steps are left out in halves, quarters, ... and one by one, from the
/// end; what depends on them goes, too.
pub(super) fn smaller(program: &Program, budget: Budget, shows: &mut dyn FnMut(&Program) -> bool) -> Program {
    let mut best = repair(program);
    let mut left = budget.programs;
    if best != *program {
        left = left.saturating_sub(1);
        if !shows(&best) {
            return program.clone();
        }
    }
    let mut size = best.steps.len().div_ceil(2).max(1);
    loop {
        let mut improved = false;
        let mut at = best.steps.len();
        while at > 0 {
            let from = at.saturating_sub(size);
            let mut candidate = best.clone();
            candidate.steps.drain(from..at.min(candidate.steps.len()));
            let candidate = repair(&candidate);
            at = from;
            if candidate.steps.is_empty() || candidate.steps.len() >= best.steps.len() {
                continue;
            }
            if left == 0 || Instant::now() >= budget.until || crate::interrupt::requested() {
                return best;
            }
            left -= 1;
            if shows(&candidate) {
                at = at.min(candidate.steps.len());
                best = candidate;
                improved = true;
            }
        }
        match size {
            1 if !improved => return best,
            1 => {}
            _ => size = size.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn program() -> Program {
        let text = "mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nmkdir q\nwrite q/z \"1\"\nbind a/d b\nfd0 = open b/f rdwr\n\
                    fd1 = open q/z rdonly\nseek fd1 1\numount-lazy b\n";
        scenarios::text::program(text).unwrap()
    }

    fn budget(programs: usize) -> Budget {
        Budget { until: Instant::now() + Duration::from_secs(60), programs }
    }

    #[test]
    fn only_what_shows_it_stays() {
        let mut tried = 0;
        let found = smaller(&program(), budget(200), &mut |candidate| {
            tried += 1;
            scenarios::live::is_detached(candidate)
        });
        assert!(scenarios::live::is_detached(&found));
        assert!(found.steps.len() <= 6, "{}", scenarios::text::print_program(&found));
        assert!(tried < 100);
    }

    #[test]
    fn a_budget_is_kept_and_what_is_not_shown_again_stays() {
        let mut tried = 0;
        smaller(&program(), budget(3), &mut |_| {
            tried += 1;
            true
        });
        assert!(tried <= 3);
        assert_eq!(smaller(&program(), budget(100), &mut |_| false), repair(&program()));
    }
}
