//! A campaign on disk: enough to go on after a kill -9, and no more than so much.
//!
//! `state.json` is replaced as a whole after every batch; findings and interesting programs are
//! files of their own, which a person can read. What is in the folder besides is left alone.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use protocol::limits::CAMPAIGN_STATE_BYTES;
use serde::{Deserialize, Serialize};

use super::arcs::Arcs;
use super::buckets::Buckets;
use super::every::Progress;
use super::features::{self, Features};
use crate::judge::Signature;
use crate::limited;
use crate::run::Over;

/// The version of `state.json`.
const VERSION: u32 = 1;
/// No more points than this are kept; when there are more, every second one goes.
const POINTS: usize = 1000;
/// No more interesting programs than this are kept; the oldest go.
pub const CORPUS: usize = 2000;

/// How far a campaign is, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Seconds of the campaign, over all its runs.
    pub seconds: f64,
    /// Programs that ran.
    pub programs: u64,
    /// Features seen.
    pub features: usize,
    /// Branches taken.
    #[serde(default)]
    pub arcs: usize,
    /// Findings.
    pub buckets: usize,
}

/// Everything that is to outlive a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// [`VERSION`]
    version: u32,
    /// Of the first program; the others follow.
    pub seed: u64,
    /// What is tested, and on what: a campaign goes on only with the same.
    pub what: String,
    /// The next program's number.
    pub next: u64,
    /// Where every program is run, up to a depth: how far it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<Progress>,
    /// Programs that ran.
    pub programs: u64,
    /// Programs that could not be carried out, or lacked something.
    pub unusable: u64,
    /// Programs that were left out: they might well have failed as a whole, in a known way, or
    /// could not be drawn without what is broken.
    #[serde(default)]
    pub skipped: u64,
    /// Machines that were thrown away.
    pub resets: u64,
    /// Failures that a second run did not show, or another.
    pub flaky: u64,
    /// Seconds of earlier runs and this one.
    pub seconds: f64,
    /// Known failures, by signature: counted only.
    pub known: std::collections::BTreeMap<String, u64>,
    /// What was seen.
    pub features: Features,
    /// Branches of criu that were taken, where it counts them.
    #[serde(default)]
    pub arcs: Arcs,
    /// What was found.
    pub buckets: Buckets,
    /// How it went.
    pub history: Vec<Point>,
    /// Why this run ended before its time: every program fails like this.
    #[serde(skip)]
    pub every_program_fails: Option<Signature>,
    /// What is broken, as far as this run has learnt.
    #[serde(skip)]
    pub broken: Vec<String>,
}

/// Why a campaign cannot go on from its folder.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("cannot {what} the campaign's state {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is damaged, or of another version.
    #[error("{} is no state of a campaign: {why}; move it away to begin a new one", .path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// It is of something else.
    #[error("the campaign in {} is of {was}, and this one would be of {now}; give it another folder (--state)", .path.display())]
    Other {
        /// Which folder.
        path: PathBuf,
        /// What it is of.
        was: String,
        /// What was asked for.
        now: String,
    },
}

impl State {
    /// A new campaign.
    pub fn new(what: String, seed: u64) -> Self {
        Self { version: VERSION, seed, what, ..Self::default() }
    }

    /// The campaign in a folder; `None` when the folder has none yet.
    ///
    /// # Errors
    /// It cannot be read, or is of something else.
    pub fn load(folder: &Path, what: &str) -> Result<Option<Self>, StateError> {
        Self::load_any(folder, Some(what))
    }

    /// The same, of whatever it is where nothing is asked for.
    ///
    /// # Errors
    /// Those of [`State::load`].
    pub fn load_any(folder: &Path, what: Option<&str>) -> Result<Option<Self>, StateError> {
        let path = folder.join("state.json");
        let text = match limited::read(&path, CAMPAIGN_STATE_BYTES) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StateError::Io { what: "read", path, source }),
            Ok(text) => text,
        };
        let damaged = |why: String| StateError::Damaged { path: path.clone(), why };
        let state: Self = serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
        if state.version != VERSION {
            return Err(damaged(format!("it has version {}, and this program knows {VERSION}", state.version)));
        }
        if let Some(what) = what.filter(|what| *what != state.what) {
            let (path, was, now) = (folder.to_owned(), state.what, what.to_owned());
            return Err(StateError::Other { path, was, now });
        }
        Ok(Some(state))
    }

    /// The campaign of several members as one: what they did is added up, and each finding is there
    /// once, with its smallest program. What one knew because another had found it counts there.
    pub fn together<'a>(members: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for member in members {
            all.what.clone_from(&member.what);
            all.programs += member.programs;
            all.unusable += member.unusable;
            all.skipped += member.skipped;
            all.resets += member.resets;
            all.flaky += member.flaky;
            all.seconds = all.seconds.max(member.seconds);
            all.learn_from(member);
            for bucket in member.buckets.iter() {
                all.buckets.file(bucket.clone());
            }
            for (signature, count) in &member.known {
                *all.known.entry(signature.clone()).or_default() += count;
            }
        }
        let State { known, buckets, .. } = &mut all;
        known.retain(|signature, count| !buckets.count(signature, *count));
        all
    }

    /// Takes over what another member has seen.
    pub fn learn_from(&mut self, other: &Self) {
        self.features.add_all(&other.features);
        self.arcs.add_all(&other.arcs);
    }

    /// Writes it to the folder, whole or not at all, with the findings beside it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), StateError> {
        let path = folder.join("state.json");
        let failed = |source| StateError::Io { what: "write", path: path.clone(), source };
        fs::create_dir_all(folder).map_err(failed)?;
        self.buckets.write(&folder.join("findings")).map_err(failed)?;
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        serde_json::to_writer(&mut file, self).map_err(|error| failed(error.into()))?;
        file.write_all(b"\n").map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// Notes what a program showed; whether there is something new, so that other programs are to
    /// be made from it.
    pub fn learn(&mut self, over: &Over) -> bool {
        let shows = self.features.add(features::of(over)) > 0;
        let takes = self.arcs.add(&over.hits);
        self.arcs.kept += u64::from(takes && !shows);
        shows || takes
    }

    /// Notes how far it is now.
    pub fn note(&mut self) {
        let (seconds, programs) = (self.seconds, self.programs);
        let (features, arcs, buckets) = (self.features.len(), self.arcs.len(), self.buckets.len());
        self.history.push(Point { seconds, programs, features, arcs, buckets });
        if self.history.len() > POINTS {
            let mut number = 0;
            self.history.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fixtures;
    use crate::run::CoverageHits;

    #[test]
    fn a_campaign_comes_back_as_it_was_and_only_for_the_same() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(State::load(folder.path(), "criu on 6.12").unwrap(), None);
        let mut state = State::new("criu on 6.12".to_owned(), 7);
        (state.next, state.programs, state.seconds) = (12, 11, 3.5);
        state.note();
        state.save(folder.path()).unwrap();
        assert_eq!(State::load(folder.path(), "criu on 6.12").unwrap(), Some(state));
        let error = State::load(folder.path(), "criu on 7.3").unwrap_err().to_string();
        assert!(error.contains("is of criu on 6.12, and this one would be of criu on 7.3"), "{error}");
        fs::write(folder.path().join("state.json"), "{\"version\"").unwrap();
        let error = State::load(folder.path(), "x").unwrap_err().to_string();
        assert!(error.contains("is no state of a campaign: EOF"), "{error}");
    }

    #[test]
    fn a_program_that_takes_a_new_branch_is_kept_though_it_shows_nothing_new() {
        let mut state = State::new("criu".to_owned(), 7);
        let taking = |branches: &[u32]| {
            let hits = Arc::new(CoverageHits::new(branches.to_vec()));
            Over { hits, ..Over::not_run(fixtures::task("one", fixtures::ONE_FILE), "") }
        };
        assert!(state.learn(&taking(&[1, 2])));
        assert_eq!(state.arcs.kept, 0, "its verdict was new");
        assert!(!state.learn(&taking(&[2])));
        assert!(state.learn(&taking(&[2, 3])));
        assert_eq!((state.arcs.kept, state.arcs.len()), (1, 3));
    }

    #[test]
    fn a_state_without_arcs_is_read_and_one_with_all_of_them_stays_small() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let mut state = State::new("criu".to_owned(), 7);
        state.note();
        state.save(folder.path()).unwrap();
        let mut old: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        old.as_object_mut().unwrap().remove("arcs").unwrap();
        old["history"][0].as_object_mut().unwrap().remove("arcs").unwrap();
        fs::write(&path, old.to_string()).unwrap();
        assert_eq!(State::load(folder.path(), "criu").unwrap().as_ref(), Some(&state));
        let all = (0..=u32::MAX).step_by(1 << 15).collect();
        assert!(state.arcs.add(&CoverageHits::new(all)));
        state.note();
        state.save(folder.path()).unwrap();
        assert!(fs::metadata(&path).unwrap().len() < 1 << 20);
        assert_eq!(State::load(folder.path(), "criu").unwrap(), Some(state));
    }

    #[test]
    fn the_history_stays_short_and_keeps_its_ends() {
        let mut state = State::new(String::new(), 0);
        for programs in 0..10_000 {
            state.programs = programs;
            state.note();
        }
        assert!(state.history.len() <= POINTS);
        assert!(state.history.len() > POINTS / 4);
        assert_eq!(state.history.last().map(|point| point.programs), Some(9999));
    }
}
