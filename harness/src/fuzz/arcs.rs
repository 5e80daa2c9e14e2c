//! Coverage: the branches that criu took, where the subject was built to count them
//! (`src:DIR+coverage`). A program that has a new one taken is as interesting as one that has criu
//! log a new line.
//!
//! Whether an arc was taken counts, not how often: a pack of thirty programs takes each some other
//! number of times, and every pack would be new. What hangs on the time or on the order of
//! processes is rare in criu and new only once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::run::CoverageHits;

/// No more than this are kept, and so the state stays small: all of criu has half as many.
const LIMIT: usize = protocol::message::ARC_LIMIT;

/// Arcs that were taken so far, by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arcs {
    hits: BTreeSet<u32>,
    /// Programs that are interesting because of their arcs alone.
    pub kept: u64,
}

impl Arcs {
    /// Notes what a program, or its pack, had taken; whether there is something new.
    pub fn add(&mut self, hits: &CoverageHits) -> bool {
        hits.is_novel(|numbers| {
            let before = self.hits.len();
            for &number in numbers {
                if self.hits.len() >= LIMIT {
                    break;
                }
                self.hits.insert(number);
            }
            self.hits.len() > before
        })
    }

    /// Notes all that another campaign had taken.
    pub fn add_all(&mut self, other: &Self) {
        let room = LIMIT.saturating_sub(self.hits.len());
        let new: Vec<u32> = other.hits.difference(&self.hits).copied().take(room).collect();
        self.hits.extend(new);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.hits.len()
    }

    /// None yet, as with every subject that does not count.
    pub fn is_empty(&self) -> bool {
        self.hits.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_in_a_pack_is_new_for_all_its_programs() {
        let mut arcs = Arcs::default();
        let (pack, same) = (CoverageHits::new(vec![1, 2]), CoverageHits::new(vec![2, 1]));
        assert!(arcs.add(&pack) && arcs.add(&pack));
        assert!(!arcs.add(&same) && arcs.add(&pack));
        assert!(arcs.add(&CoverageHits::new(vec![2, 3])) && !arcs.add(&CoverageHits::default()));
        assert_eq!(arcs.len(), 3);
    }

    #[test]
    fn there_is_an_end_to_them() {
        let mut arcs = Arcs::default();
        assert!(arcs.add(&CoverageHits::new((0..=LIMIT as u32).collect())));
        assert!(!arcs.add(&CoverageHits::new(vec![u32::MAX])));
        assert_eq!(arcs.len(), LIMIT);
    }
}
