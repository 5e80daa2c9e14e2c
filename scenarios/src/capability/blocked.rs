//! What failing scenarios have that no passing one has.
//!
//! An answer is a hypothesis and not a proof: it is the shortest one that agrees with what passed
//! and what failed. It gets better the more scenarios there are that need one thing alone.

use std::cmp::Reverse;
use std::fmt;

use super::{Base, Capability, Profile, Word};

/// How the words of an explanation belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Each explains all failures: the scenarios cannot tell them apart.
    Or,
    /// Only what needs both fails.
    And,
    /// Each explains some of the failures.
    Each,
    /// The failures have it more often than what passes, which has it as well.
    Mostly,
}

/// What failing scenarios have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// In the order of [`Word`], or, where each explains some, the one that explains most first.
    /// Never empty.
    pub words: Vec<Word>,
    /// How they belong together.
    pub connection: Connection,
    /// How many of the failures have it.
    pub explained: usize,
    /// How many failures there are.
    pub failed: usize,
}

/// The words of [`explain`]; `None` where nothing is certain.
pub fn blocked_by(failed: &[&Profile], passed: &[&Profile]) -> Vec<Word> {
    explain(failed, passed).map(|found| found.words).unwrap_or_default()
}

/// What the failing scenarios have in common that no passing one has: a word, or else a pair of
/// words, or else the words that explain most. `None` where nothing failed, or nothing passed that
/// could be distinguished from it.
///
/// Where all that fails is detached, controls are not evidence against a word: what they need is
/// something else. Neither is what must be refused, where no such thing fails.
pub fn explain(failed: &[&Profile], passed: &[&Profile]) -> Option<Explanation> {
    if failed.is_empty() || passed.is_empty() {
        return None;
    }
    let refusal = Word::Capability(Capability::Refusal);
    let all_detached = failed.iter().all(|profile| profile.is_detached());
    let none_refused = !failed.iter().any(|profile| profile.has(refusal));
    let counts =
        |profile: &Profile| (!all_detached || profile.is_detached()) && (!none_refused || !profile.has(refusal));
    let evidence: Vec<&Profile> = passed.iter().copied().filter(|profile| counts(profile)).collect();
    let whole = |words, connection| Explanation { words, connection, explained: failed.len(), failed: failed.len() };
    if evidence.is_empty() {
        return Some(whole(vec![Word::Detached], Connection::Or));
    }
    let common: Vec<Word> = specific().filter(|word| failed.iter().all(|profile| profile.has(*word))).collect();
    let clean = |words: &[Word]| !evidence.iter().any(|profile| words.iter().all(|word| profile.has(*word)));
    let single: Vec<Word> = common.iter().copied().filter(|word| clean(&[*word])).collect();
    if !single.is_empty() {
        return Some(whole(single, Connection::Or));
    }
    let pairs = common.iter().enumerate().flat_map(|(at, &one)| common[at + 1..].iter().map(move |&two| [one, two]));
    if let Some(pair) = pairs.into_iter().find(|pair| clean(pair)) {
        return Some(whole(pair.to_vec(), Connection::And));
    }
    let (each, mostly) = (each(failed, clean), mostly(failed, &evidence));
    // Half of the failures by words of their own is no explanation where one word is in all.
    let is_of_all = mostly.as_ref().is_some_and(|one| one.explained == failed.len());
    each.filter(|each| each.explained == failed.len() || !is_of_all).or(mostly)
}

/// Words that say something of one scenario and not of all.
fn specific() -> impl Iterator<Item = Word> {
    Word::all().filter(|word| !matches!(word, Word::Detached | Word::Base(Base::Visible)))
}

/// Words that nothing has that passes, each for a part of the failures; where they explain half of
/// them or more.
fn each(failed: &[&Profile], clean: impl Fn(&[Word]) -> bool) -> Option<Explanation> {
    const WORDS: usize = 3;
    let candidates: Vec<Word> = specific().filter(|word| clean(&[*word])).collect();
    let mut left: Vec<&Profile> = failed.to_vec();
    let mut words = Vec::new();
    while words.len() < WORDS {
        let explains = |word: &Word| left.iter().filter(|profile| profile.has(*word)).count();
        let Some(best) = candidates.iter().copied().min_by_key(|word| (Reverse(explains(word)), *word)) else { break };
        if explains(&best) == 0 {
            break;
        }
        left.retain(|profile| !profile.has(best));
        words.push(best);
    }
    let explained = failed.len() - left.len();
    let enough = explained > 0 && explained * 2 >= failed.len();
    enough.then_some(Explanation { words, connection: Connection::Each, explained, failed: failed.len() })
}

/// The word that sets the failures apart best: in most of them, and in least of what passes.
fn mostly(failed: &[&Profile], evidence: &[&Profile]) -> Option<Explanation> {
    let count = |profiles: &[&Profile], word| profiles.iter().filter(|profile| profile.has(word)).count();
    // The difference of the shares, times both numbers.
    let score = |word: Word| {
        let (of_failed, of_passed) = (count(failed, word) * evidence.len(), count(evidence, word) * failed.len());
        of_failed.saturating_sub(of_passed)
    };
    let best = specific().min_by_key(|word| (Reverse(score(*word)), *word)).filter(|word| score(*word) > 0)?;
    let (words, explained) = (vec![best], count(failed, best));
    Some(Explanation { words, connection: Connection::Mostly, explained, failed: failed.len() })
}

impl fmt::Display for Explanation {
    /// As behind "blocked by:"; how many failures it explains where those are not all.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More are only counted.
        const SHOWN: usize = 3;
        let between = match self.connection {
            Connection::Or => " or ",
            Connection::And => " with ",
            Connection::Each | Connection::Mostly => ", ",
        };
        for (index, word) in self.words.iter().take(SHOWN).enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { between }, word.text())?;
        }
        if self.words.len() > SHOWN {
            write!(f, "{between}{} others", self.words.len() - SHOWN)?;
        }
        if self.explained < self.failed || self.connection == Connection::Mostly {
            write!(f, " ({} of {})", self.explained, self.failed)?;
        }
        Ok(())
    }
}
