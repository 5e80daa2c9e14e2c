//! Which trials an entry is about.

use scenarios::pattern::fits;

use super::super::range::{Range, Version};
use super::super::verdict::Trial;
use crate::subject::{ASSIST, RESTORE};

/// Which trials an entry is about; an empty list means all.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Names of scenarios, `*` for any text.
    pub scenario: Vec<String>,
    /// Names of scenarios that are not meant, `*` for any text.
    pub except: Vec<String>,
    /// Flavors.
    pub flavor: Vec<String>,
    /// Lifecycles.
    pub lifecycle: Vec<String>,
    /// Kernels, by version.
    pub kernel: Vec<Range>,
    /// Subjects, `*` for any text; with `!` in front those that are not meant.
    pub subject: Vec<String>,
    /// Versions of CRIU; never matches a subject other than CRIU.
    pub criu: Vec<Range>,
}

impl Scope {
    /// Whether a trial of a subject with this version of CRIU is in it. A user's own file, which
    /// has no family, never is: what is recorded is about the catalogue.
    pub(super) fn has(&self, trial: &Trial, criu: Option<&Version>) -> bool {
        !trial.family.is_empty() && self.names(&trial.scenario) && self.has_place(trial, criu)
    }

    /// Whether trials that run as this one does are in it, whatever their scenario. What a subject
    /// does nothing to is in none.
    pub(super) fn has_place(&self, trial: &Trial, criu: Option<&Version>) -> bool {
        let any =
            |patterns: &[String], text: &str| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, text));
        let within = |ranges: &[Range], version: Option<&Version>| {
            ranges.is_empty() || version.is_some_and(|version| ranges.iter().any(|range| range.contains(version)))
        };
        trial.lifecycle.has_a_subject()
            && any(&self.flavor, trial.flavor.word())
            && any(&self.lifecycle, trial.lifecycle.word())
            && self.has_subject(&trial.subject)
            && within(&self.kernel, Version::find(&trial.kernel).as_ref())
            && within(&self.criu, criu)
    }

    /// Whether it speaks of this subject: by name, or, where it names none, of every distributed
    /// criu. A record of those promises nothing about a tree under test, nor about a criu that is
    /// helped or that restores what another one dumped.
    pub(crate) fn speaks_of(&self, subject: &str) -> bool {
        let is_named = self.subject.iter().any(|pattern| !pattern.starts_with('!'));
        let is_alone = !subject.ends_with(ASSIST) && !subject.contains(RESTORE);
        let is_distributed = subject.starts_with("debian:") && is_alone;
        self.has_subject(subject) && (is_named || is_distributed)
    }

    fn has_subject(&self, subject: &str) -> bool {
        let mut named = self.subject.iter().filter(|pattern| !pattern.starts_with('!')).peekable();
        let mut excluded = self.subject.iter().filter_map(|pattern| pattern.strip_prefix('!'));
        (named.peek().is_none() || named.any(|pattern| fits(pattern, subject)))
            && !excluded.any(|pattern| fits(pattern, subject))
    }

    /// Whether a scenario of this name is in it.
    pub(super) fn names(&self, scenario: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| fits(pattern, scenario));
        any(&self.scenario) && !any(&self.except)
    }
}
