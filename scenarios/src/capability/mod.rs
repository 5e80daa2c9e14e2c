//! What a program needs an implementation to get right, computed from the program: the *base*,
//! which is what its detached mounts show, and *capabilities* beside it. An engine that lacks one
//! fails every scenario that needs it; what the failed scenarios have in common names the lack
//! ([`blocked_by`]).
//!
//! Nothing here is typed into a catalogue file: a program is carried out with the model, and the
//! words follow from the objects that it holds at its end. Where something is detached only the
//! objects on detached mounts count, since the visible ones need nothing that is new. Where none is
//! detached, the same holds for objects on mounts of another namespace. In a control all count.
//!
//! - `trace`: a program carried out, with what became of its files and mounts
//! - `needs`: from there to the words
//! - `blocked`: what failing scenarios have in common

mod blocked;
mod needs;
#[cfg(test)]
mod tests;
pub(crate) mod trace;

use std::collections::BTreeSet;

pub use blocked::{Connection, Explanation, blocked_by, explain};
pub use vocabulary::capability::{Base, Capability, UnknownWord, Word};

use crate::Program;

/// What a program needs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Profile {
    /// What its detached mounts show; [`Base::Outside`] or [`Base::Visible`] alone where nothing is
    /// detached.
    pub bases: BTreeSet<Base>,
    /// What it needs beside.
    pub capabilities: BTreeSet<Capability>,
}

impl Profile {
    /// Whether any object is on a detached mount.
    pub fn is_detached(&self) -> bool {
        self.bases.iter().any(|base| !matches!(base, Base::Visible | Base::Outside))
    }

    /// Whether a word is part of it.
    pub fn has(&self, word: Word) -> bool {
        match word {
            Word::Detached => self.is_detached(),
            Word::Base(base) => self.bases.contains(&base),
            Word::Capability(capability) => self.capabilities.contains(&capability),
        }
    }
}

/// What a program needs. A step that the model refuses, or knows nothing about, is left out.
pub fn profile(program: &Program) -> Profile {
    profile_of(&trace::Trace::of(program))
}

/// What a program needs that was carried out.
pub(crate) fn profile_of(trace: &trace::Trace) -> Profile {
    let end = needs::End::of(trace);
    Profile { bases: end.bases(), capabilities: end.capabilities() }
}

/// All words with what they mean, as tables of the documentation.
pub fn reference() -> String {
    let mut out = "| base | in a report | what it means |\n| --- | --- | --- |\n".to_owned();
    for base in Base::ALL {
        out.push_str(&format!("| `{base}` | {} | {} |\n", base.text(), base.about()));
    }
    out.push_str("\n| capability | in a report | what it means |\n| --- | --- | --- |\n");
    for capability in Capability::ALL {
        out.push_str(&format!("| `{capability}` | {} | {} |\n", capability.text(), capability.about()));
    }
    out
}
