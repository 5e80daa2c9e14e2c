//! Which capabilities the subject lacks, learnt from the programs of a campaign.
//!
//! A program counts by what it needs ([`scenarios::capability`]): a base and capabilities. Where
//! most programs that need one word fail, or most that need two, the words are *broken*, and the
//! campaign draws programs without them ([`super::draw`]). A broken word costs time, since a
//! program that fails takes its pack along, and it hides what else is wrong with the same program.
//! Now and then a program with broken words runs all the same, alone, so that a wrong conclusion is
//! given up.
//!
//! What no word explains is left to [`super::risk`], which knows how programs are spelled. Nothing
//! of this is saved: a campaign that goes on learns it again from its first programs.

use std::collections::BTreeMap;

use scenarios::Program;
use scenarios::capability::{Base, Capability, Word, profile};
use scenarios::model::Model;

/// As many programs have to fail before a word is taken for broken.
const FEWEST: u32 = 3;
/// For each program with the words that passes, this number has to fail.
const TIMES: u32 = 4;
/// Nothing is concluded from fewer programs.
const ENOUGH: u32 = 24;
/// As long as none has passed, this number is needed: what is broken cannot be told from what they
/// all have.
const ENOUGH_WITHOUT_A_PASS: u32 = 60;
/// No more different needs are remembered.
const NEEDS: usize = 4096;

/// Of a program with a detached mount of the filesystem that all programs of its process share.
/// Several of them in one process need a second mount, which none needs by itself.
const SHARED: Mask = Mask(1 << 63);

/// What a program needs, a bit for each word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mask(u64);

/// What a program needs, as far as learning is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    mask: Mask,
    detached: bool,
    refused: bool,
}

/// How often programs with the same needs failed and passed.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    failed: u32,
    passed: u32,
}

/// What is known of programs with something detached, or of those without.
#[derive(Clone, Debug, Default)]
struct Evidence {
    counts: BTreeMap<Mask, Count>,
    broken: Vec<Mask>,
}

/// What was learnt.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    detached: Evidence,
    visible: Evidence,
}

/// What programs are to be drawn without: words that are broken, alone or together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Avoid {
    detached: Vec<Mask>,
    visible: Vec<Mask>,
}

impl Mask {
    fn of(words: impl IntoIterator<Item = Word>) -> Self {
        let bit = |word: Word| Word::all().position(|other| other == word).map_or(0, |at| 1 << at);
        Mask(words.into_iter().map(bit).fold(0, |all, bit| all | bit))
    }

    fn has(self, other: Mask) -> bool {
        self.0 & other.0 == other.0
    }

    fn words(self) -> impl Iterator<Item = Word> {
        Word::all().enumerate().filter(move |(at, _)| self.0 >> at & 1 == 1).map(|(_, word)| word)
    }
}

impl Needs {
    /// Those of a program.
    pub fn of(program: &Program) -> Self {
        let profile = profile(program);
        let shares = Model::run(program).is_ok_and(|model| model.holds_detached_of_the_top());
        let detached = profile.is_detached();
        let bases = profile.bases.iter().copied().filter(|base| *base != Base::Visible).map(Word::Base);
        let capabilities = profile.capabilities.iter().copied().map(Word::Capability);
        let all = detached.then_some(Word::Detached).into_iter().chain(bases).chain(capabilities);
        let Mask(mask) = Mask::of(all);
        let mask = Mask(if shares { mask | SHARED.0 } else { mask });
        Needs { mask, detached, refused: profile.capabilities.contains(&Capability::Refusal) }
    }

    /// Whether something is held on a detached mount.
    pub fn is_detached(self) -> bool {
        self.detached
    }

    /// Whether it cannot be restored.
    pub fn is_refused(self) -> bool {
        self.refused
    }
}

impl Learned {
    /// What a program with these needs came to; whether other words are broken now than before.
    pub fn note(&mut self, needs: Needs, failed: bool) -> bool {
        // That a dump is refused which must be refused says nothing of what comes back.
        if needs.refused {
            return false;
        }
        let evidence = if needs.detached { &mut self.detached } else { &mut self.visible };
        if evidence.counts.len() >= NEEDS && !evidence.counts.contains_key(&needs.mask) {
            return false;
        }
        let count = evidence.counts.entry(needs.mask).or_default();
        let (counter, expected) = match failed {
            true => (&mut count.failed, true),
            false => (&mut count.passed, false),
        };
        *counter += 1;
        // What happens as expected changes nothing.
        let is_broken = evidence.broken.iter().any(|broken| needs.mask.has(*broken));
        if is_broken == expected {
            return false;
        }
        let broken = evidence.conclude();
        let changed = broken != evidence.broken;
        evidence.broken = broken;
        changed
    }

    /// What to draw without.
    pub fn avoid(&self) -> Avoid {
        let mut detached = self.detached.broken.clone();
        if detached.contains(&Mask::of([Word::Capability(Capability::SecondMount)])) {
            detached.push(SHARED);
        }
        Avoid { detached, visible: self.visible.broken.clone() }
    }
}

impl Evidence {
    /// The words that explain most failures, until none explains enough; then pairs.
    fn conclude(&self) -> Vec<Mask> {
        let sum = |read: fn(&Count) -> u32| self.counts.values().map(read).sum::<u32>();
        let (failed, passed) = (sum(|count| count.failed), sum(|count| count.passed));
        if failed + passed < if passed == 0 { ENOUGH_WITHOUT_A_PASS } else { ENOUGH } {
            return Vec::new();
        }
        let words: Vec<Mask> = Word::all().map(|word| Mask::of([word])).collect();
        let mut left: Vec<(Mask, u32)> = self
            .counts
            .iter()
            .filter(|(_, count)| count.failed > 0)
            .map(|(mask, count)| (*mask, count.failed))
            .collect();
        let mut broken = Vec::new();
        self.cover(&words, &mut left, &mut broken);
        if left.iter().map(|(_, failed)| failed).sum::<u32>() >= FEWEST {
            let pairs = words.iter().enumerate();
            let pairs = pairs.flat_map(|(at, one)| words[at + 1..].iter().map(|other| Mask(one.0 | other.0)));
            let pairs: Vec<Mask> = pairs.filter(|pair| left.iter().any(|(mask, _)| mask.has(*pair))).collect();
            self.cover(&pairs, &mut left, &mut broken);
        }
        broken
    }

    /// Takes the best candidate, and what it explains from what is left, as long as there is a good
    /// one.
    fn cover(&self, candidates: &[Mask], left: &mut Vec<(Mask, u32)>, broken: &mut Vec<Mask>) {
        let passed = |candidate: Mask| -> u32 {
            self.counts.iter().filter(|(mask, _)| mask.has(candidate)).map(|(_, count)| count.passed).sum()
        };
        // That all of them fail is said only where not one passes.
        let all = Mask::of([Word::Detached]);
        let candidates = candidates.iter().map(|one| (*one, passed(*one)));
        let candidates: Vec<(Mask, u32)> = candidates.filter(|(one, passed)| *one != all || *passed == 0).collect();
        loop {
            let failed = |candidate: Mask| -> u32 {
                left.iter().filter(|(mask, _)| mask.has(candidate)).map(|(_, failed)| failed).sum()
            };
            let scored = candidates.iter().map(|&(one, passed)| (one, failed(one), TIMES * passed));
            let good = scored.filter(|(_, failed, passed)| *failed >= FEWEST && failed >= passed);
            // Of several that explain the same the first: what comes with another word stands
            // behind it.
            let best = good.min_by_key(|(one, failed, passed)| (passed.wrapping_sub(*failed) as i32, *one));
            let Some((best, ..)) = best else { return };
            broken.push(best);
            left.retain(|(mask, _)| !mask.has(best));
        }
    }
}

impl Avoid {
    /// How many of the broken words, or pairs of them, a program with these needs has.
    pub fn hits(&self, needs: Needs) -> usize {
        let all = if needs.detached { &self.detached } else { &self.visible };
        all.iter().filter(|broken| needs.mask.has(**broken)).count()
    }

    /// Whether nothing is to be held on a detached mount.
    pub fn is_all_detached(&self) -> bool {
        self.detached.contains(&Mask::of([Word::Detached]))
    }

    /// The words, for people: `subdir`, or `deleted with btrfs`.
    pub fn words(&self) -> Vec<String> {
        let text = |mask: &Mask| mask.words().map(|word| word.to_string()).collect::<Vec<_>>().join(" with ");
        let visible = self.visible.iter().map(|mask| format!("{} in ordinary files", text(mask)));
        self.detached.iter().filter(|mask| **mask != SHARED).map(text).chain(visible).collect()
    }
}

#[cfg(test)]
mod tests {
    use scenarios::capability::Profile;
    use scenarios::generate::Limits;

    use super::super::draw::{self, Wanted};
    use super::*;

    fn wanted() -> Wanted {
        let limits = Limits { assertions: false, ..Limits::default() };
        Wanted { limits, disks: 64, memory: 256, alone: 5, controls: false }
    }

    fn lacks(word: Word) -> impl Fn(&Profile) -> bool {
        move |profile| profile.is_detached() && profile.has(word)
    }

    /// A campaign of `count` programs against a subject that fails where it is said; all that were
    /// drawn.
    fn campaign(count: u64, fails: impl Fn(&Profile) -> bool) -> (Learned, Vec<Profile>) {
        campaign_of(7, count, fails)
    }

    /// The same with another seed.
    fn campaign_of(seed: u64, count: u64, fails: impl Fn(&Profile) -> bool) -> (Learned, Vec<Profile>) {
        let (mut learned, mut drawn) = (Learned::default(), Vec::new());
        for number in 0..count {
            let Some(program) = draw::program(seed, number, &None, &wanted(), &learned.avoid()) else { continue };
            let needs = profile(&program);
            learned.note(Needs::of(&program), fails(&needs));
            drawn.push(needs);
        }
        (learned, drawn)
    }

    #[test]
    fn programs_are_drawn_without_what_is_broken() {
        for word in ["subdir", "deleted", "directory", "hard-link", "second-mount"] {
            let word: Word = word.parse().unwrap();
            let (_, without_a_lack) = campaign(1600, |_| false);
            let (learned, drawn) = campaign(400, lacks(word));
            assert_eq!(learned.avoid().words(), [word.to_string()], "what is broken is named");
            let share = |all: &[Profile]| {
                let late = &all[all.len() / 2..];
                late.iter().filter(|one| lacks(word)(one)).count() as f64 / late.len() as f64
            };
            assert!(share(&without_a_lack) > 0.02, "{word} comes up: {}", share(&without_a_lack));
            assert!(share(&drawn) < 0.01, "{word} comes up although it is broken: {}", share(&drawn));
            // They are mended, not thrown away.
            assert!(drawn.len() > 390, "{word}: {} programs", drawn.len());
        }
    }

    #[test]
    fn where_second_mounts_are_broken_programs_make_none_for_each_other() {
        let (learned, _) = campaign(400, lacks(Word::Capability(Capability::SecondMount)));
        let needs = |text: &str| Needs::of(&scenarios::text::program(text).expect("a program"));
        let of_the_top = needs("mkdir d\nwrite d/f \"x\"\nbind d b\nfd0 = open b/f\numount-lazy b\n");
        let of_its_own = needs("mount tmpfs a\nwrite a/f \"x\"\nbind a b\nfd0 = open b/f\numount-lazy b\n");
        assert_eq!([of_the_top, of_its_own].map(|needs| learned.avoid().hits(needs)), [1, 0]);
        assert_eq!(Learned::default().avoid().hits(of_the_top), 0);
    }

    #[test]
    fn what_else_is_planted_still_comes_up() {
        let other = |profile: &Profile| profile.has(Word::Capability(Capability::HardLink));
        let (_, drawn) = campaign(1500, lacks(Word::Base(Base::Subdir)));
        let shows = drawn[300..].iter().filter(|one| other(one) && !lacks(Word::Base(Base::Subdir))(one)).count();
        assert!(shows > 5, "{shows} programs with a hard link");
    }

    #[test]
    fn two_words_are_broken_together_where_neither_is_alone() {
        let both = |profile: &Profile| {
            lacks(Word::Base(Base::Subdir))(profile) && profile.has(Word::Capability(Capability::Directory))
        };
        let words = |seed| campaign_of(seed, 600, both).0.avoid().words();
        let all: Vec<Vec<String>> = (1..=8).map(words).collect();
        let pair = all.iter().filter(|words| **words == ["subdir with directory"]).count();
        // Where by chance the first programs of the one word had the other too, the one is avoided
        // and nothing more is learnt of it here.
        assert!(
            all.iter().all(|words| ["subdir with directory", "subdir"].contains(&&*words[0]) && words.len() == 1),
            "{all:?}"
        );
        assert!(pair >= 3, "{all:?}");
    }

    #[test]
    fn what_passes_after_all_is_no_longer_broken() {
        let (mut learned, _) = campaign(200, lacks(Word::Base(Base::Subdir)));
        let needs =
            Needs { mask: Mask::of([Word::Detached, Word::Base(Base::Subdir)]), detached: true, refused: false };
        assert_eq!(learned.avoid().hits(needs), 1);
        let passes = (0..1000).take_while(|_| !learned.note(needs, false)).count();
        assert!(passes < 100, "{passes}");
        assert_eq!(learned.avoid().hits(needs), 0);
    }

    #[test]
    fn where_all_that_is_detached_fails_ordinary_files_are_drawn() {
        let (learned, drawn) = campaign(300, Profile::is_detached);
        assert!(learned.avoid().is_all_detached());
        assert!(drawn[200..].iter().all(|one| !one.is_detached()) && drawn.len() > 250, "{}", drawn.len());
    }

    #[test]
    fn a_few_failures_and_what_must_be_refused_say_nothing() {
        let mut learned = Learned::default();
        let words = [Word::Detached, Word::Base(Base::Whole)];
        let needs = Needs { mask: Mask::of(words), detached: true, refused: false };
        (0..ENOUGH_WITHOUT_A_PASS - 1).for_each(|_| assert!(!learned.note(needs, true)));
        assert!(learned.note(needs, true), "no program passes");
        let mut learned = Learned::default();
        (0..200).for_each(|_| assert!(!learned.note(Needs { refused: true, ..needs }, true)));
        assert!(Word::all().count() < 63, "each word has a bit");
    }
}
