//! The branches that criu took for a task, where it was built to count them.

use std::sync::OnceLock;

/// Numbers of arcs, as the guest tells them; the programs of a pack have one of these together.
///
/// Which program of a pack had criu take a branch is unknown. So the pack is asked once whether it
/// has new arcs: the first answer is every program's. Where none counted for it, a pack's arcs
/// would be lost, and most programs run in packs.
#[derive(Debug, Default)]
pub struct CoverageHits {
    arcs: Vec<u32>,
    novel: OnceLock<bool>,
}

impl CoverageHits {
    /// Those of one run of criu.
    pub fn new(arcs: Vec<u32>) -> Self {
        Self { arcs, novel: OnceLock::new() }
    }

    /// Whether some of them are new: the first answer is kept.
    pub fn is_novel(&self, ask: impl FnOnce(&[u32]) -> bool) -> bool {
        !self.arcs.is_empty() && *self.novel.get_or_init(|| ask(&self.arcs))
    }
}
