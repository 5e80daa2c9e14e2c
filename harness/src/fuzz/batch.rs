//! Which programs run next: some together, and a few alone, since they may well fail.

use std::sync::atomic::Ordering;

use protocol::message::Lifecycle;
use scenarios::{Program, Scenario};

use super::campaign::{Campaign, Settings, locked};
use super::draw;
use super::learn::{Avoid, Needs};
use super::risk::HIGH;
use super::sides::Planned;

/// What is done to the process of a program: now and then the others of these, which tell whether a
/// dump leaves alone what goes on, and whether three times is as good as once.
const LIFECYCLES: [Lifecycle; 3] = [Lifecycle::DumpRestore, Lifecycle::LeaveRunning, Lifecycle::ThreeTimes];
/// Of programs that are likely to fail, one in this number runs all the same.
const RISKY: u64 = 32;
/// The most programs that are drawn for each one of a batch, to find enough that are not likely to
/// fail.
const DRAWN: usize = 2;
/// The size of a part. Drawing stops after a part in which all programs are likely to fail.
const PART: usize = 16;
/// Where these are too few, others join until this number of programs is expected to fail.
const EXPECTED: f32 = 0.5;

/// The next programs.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// These share processes.
    pub(super) together: Vec<Planned>,
    /// These would take others along.
    pub(super) alone: Vec<Planned>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.together.is_empty() && self.alone.is_empty()
    }
}

impl Campaign<'_> {
    /// The next programs; empty at the end. Every second one has parents, as soon as some exist.
    /// Nearly all are drawn without what is known to be broken; as often as a full batch one may
    /// have it, alone.
    pub(super) fn draw(&self, size: usize) -> Option<Batch> {
        if let Some(every) = self.settings.every {
            let plan = |(number, program)| self.plan(number, program);
            let together: Vec<Planned> = every.take(size, &self.over).into_iter().map(plan).collect();
            return Some(Batch { together, alone: Vec::new() }).filter(|batch| !batch.is_empty());
        }
        let avoid = locked(&self.knowledge).avoid();
        let mut batch = Batch::default();
        let (mut others, mut skipped, mut tried) = (Vec::new(), 0, 0);
        let wants_more = |tried: usize, batch: &Batch, others: usize| match (batch.together.len(), others) {
            (0, 0) => batch.alone.is_empty() || tried < DRAWN * size,
            (0, others) => others < PART / 2,
            (together, _) => together < size && tried < DRAWN * size,
        };
        while wants_more(tried, &batch, others.len()) {
            // Where nothing can be drawn without what is broken, it is drawn with it.
            let avoid = if tried < 2 * DRAWN * size { &avoid } else { &Avoid::default() };
            let (seed, drawn) = self.next((size - batch.together.len()).min(PART));
            if drawn.is_empty() || self.over.load(Ordering::Relaxed) {
                break;
            }
            tried += drawn.len();
            for (number, parents) in drawn {
                let may_be_broken = number % self.settings.batch.max(16) as u64 == 0;
                let without = if may_be_broken { &Avoid::default() } else { avoid };
                let Some(program) = draw::program(seed, number, &parents, &self.settings.wanted, without) else {
                    skipped += 1;
                    continue;
                };
                if avoid.hits(Needs::of(&program)) > 0 {
                    batch.alone.push(self.plan(number, program));
                    continue;
                }
                let risk = locked(&self.knowledge).risk(&program);
                let planned = self.plan(number, program);
                match risk <= HIGH {
                    true => batch.together.push(planned),
                    false if number % RISKY == 0 => batch.alone.push(planned),
                    false => others.push((risk, planned)),
                }
            }
        }
        others.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let all = others.len();
        let wanted = fill(others.iter().map(|(risk, _)| *risk), size / 2, batch.together.len());
        batch.together.extend(others.into_iter().take(wanted).map(|(_, planned)| planned));
        self.lock().state.skipped += (skipped + all - wanted) as u64;
        Some(batch).filter(|batch| !batch.is_empty())
    }

    /// The seed, and the numbers of new programs, with two parents for every
    /// second one.
    fn next(&self, count: usize) -> (u64, Vec<(u64, draw::Parents)>) {
        let mut shared = self.lock();
        let left = self.settings.programs.map_or(u64::MAX, |all| all.saturating_sub(shared.state.next));
        let count = left.min(count as u64);
        let from = shared.state.next;
        shared.state.next += count;
        (shared.state.seed, draw::parents(shared.state.seed, from..from + count, &shared.corpus))
    }

    fn plan(&self, number: u64, program: Program) -> Planned {
        let scenario = Scenario::generated(format!("fuzz/{number}"), program);
        Planned { scenario, lifecycle: self.lifecycle(number) }
    }

    /// What is done to the process of the program with this number.
    fn lifecycle(&self, number: u64) -> Lifecycle {
        let turn = |all: &[Lifecycle], number: u64| all[(number % all.len() as u64) as usize];
        let Settings { lifecycles, other_lifecycle: other, .. } = self.settings;
        match &lifecycles[..] {
            [] if number % other == other - 1 => turn(&LIFECYCLES[1..], number / other),
            [] => LIFECYCLES[0],
            given => turn(given, number),
        }
    }
}

/// How many of those at risk, the least first, come along with `safe` others where `enough` would
/// do; one in any case where there are no others.
fn fill(risks: impl Iterator<Item = f32>, enough: usize, safe: usize) -> usize {
    let mut expected = 0.0;
    let bearable = |risk: &f32| {
        expected += risk;
        expected <= EXPECTED
    };
    let all: Vec<f32> = risks.collect();
    let bearable = all.iter().copied().take_while(bearable).count();
    bearable.min(enough.saturating_sub(safe)).max(usize::from(safe == 0).min(all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_has_as_many_at_risk_as_it_can_bear() {
        let fill = |risks: &[f32], enough, safe| fill(risks.iter().copied(), enough, safe);
        assert_eq!(fill(&[0.1, 0.2, 0.2, 0.2], 64, 10), 3);
        assert_eq!(fill(&[0.1, 0.2, 0.2, 0.2], 64, 63), 1);
        assert_eq!(fill(&[0.1; 9], 64, 70), 0, "there are enough without");
        assert_eq!(fill(&[0.9, 0.9], 64, 0), 1, "else nothing would run");
        assert_eq!(fill(&[], 64, 0), 0);
    }
}
