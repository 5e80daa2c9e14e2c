//! Which criu a subject is: what a log that is read a week later must say of a folder.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::criu::Sources;
use crate::image::Store;
use crate::sources::git::revision;

/// A subject's criu. A contract: `docs/FORMATS.md`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// `src:../criu`
    pub subject: String,
    /// The version: what `criu --version` says, or the package's.
    pub criu: String,
    /// The git revision of sources, with `-dirty` behind it when the folder has changes. Nothing
    /// for sources that are not in git.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The patches on top.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<String>,
    /// The suite of the build root.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
}

impl Identity {
    /// What is known of sources without building them.
    pub(super) fn of(sources: &Sources, store: &Store) -> Self {
        let suite = sources.variant.suite.as_ref().unwrap_or(&store.manifest().defaults.build);
        Self {
            revision: revision(&sources.tree),
            patches: sources.patches.iter().map(|patch| patch.display().to_string()).collect(),
            build: Some(suite.clone()),
            ..Self::default()
        }
    }
}

impl fmt::Display for Identity {
    /// `criu 4.1.1, git 1a2b3c4d5e6f-dirty, patch x.diff, built in trixie`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "criu {}", self.criu)?;
        if let Some(revision) = &self.revision {
            write!(f, ", git {revision}")?;
        }
        if !self.patches.is_empty() {
            let noun = if self.patches.len() == 1 { "patch" } else { "patches" };
            write!(f, ", {noun} {}", self.patches.join(" "))?;
        }
        self.build.iter().try_for_each(|suite| write!(f, ", built in {suite}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_there_is() {
        let debian = Identity { criu: "4.1.1-1".into(), ..Identity::default() };
        assert_eq!(debian.to_string(), "criu 4.1.1-1");
        let sources = Identity {
            criu: "4.2".into(),
            revision: Some("1a2b3c4-dirty".into()),
            patches: vec!["a.diff".into(), "b.diff".into()],
            build: Some("sid".into()),
            ..Identity::default()
        };
        assert_eq!(sources.to_string(), "criu 4.2, git 1a2b3c4-dirty, patches a.diff b.diff, built in sid");
        let text = serde_json::to_string(&debian).unwrap();
        assert_eq!(text, r#"{"subject":"","criu":"4.1.1-1"}"#);
        assert_eq!(serde_json::from_str::<Identity>(&text).unwrap(), debian);
    }
}
