//! What the reference engine can leave out on request: each is one thing that a half-finished
//! implementation has not learnt yet. It fails as such an implementation would, for detached mounts
//! only, and does everything else right. `selftest` proves that exactly what needs it fails, and
//! that the failures name it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use vocabulary::capability::{Base, Capability, Word};

/// What a lack is, for people and for `selftest`.
#[derive(Clone, Copy, Debug)]
pub struct Description {
    /// The lack.
    pub lack: Lack,
    /// Its name on the command line.
    pub name: &'static str,
    /// What scenarios must need in order to fail.
    pub needs: Word,
    /// When it shows.
    pub shows: Shows,
    /// How it fails.
    pub text: &'static str,
}

/// When a lack shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shows {
    /// The dump is refused, with a message that names the object: nothing is lost.
    AtDump,
    /// The restore fails with a message that names the object: the process is lost.
    AtRestore,
    /// Not by itself: the restore succeeds and something is not as before.
    Silently,
}

impl fmt::Display for Shows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Shows::AtDump => "at dump",
            Shows::AtRestore => "at restore",
            Shows::Silently => "silently",
        })
    }
}

macro_rules! lacks {
    ($($variant:ident $name:literal $needs:expr, $shows:ident $text:literal;)*) => {
        /// Something that the engine has not learnt, by its word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Lack {
            $(#[doc = $text] $variant,)*
        }

        /// Every lack, in the order of the list.
        pub const ALL: &[Description] = &[
            $(Description {
                lack: Lack::$variant, name: $name, needs: $needs, shows: Shows::$shows, text: $text,
            },)*
        ];
    };
}

lacks! {
    Subdir "subdir" Word::Base(Base::Subdir), Silently
        "For a bind of a subdirectory the root of the filesystem is mounted.";
    FileBind "file-bind" Word::Base(Base::File), AtDump
        "A mount whose root is not a directory is refused.";
    Deleted "deleted" Word::Capability(Capability::Deleted), AtDump
        "A deleted file is refused.";
    HardLink "hard-link" Word::Capability(Capability::HardLink), Silently
        "A file whose name is gone is restored as a copy, whatever other links it has.";
    Directory "directory" Word::Capability(Capability::Directory), AtRestore
        "A directory is opened for writing, as a file would be.";
    Cwd "cwd" Word::Capability(Capability::WorkingDirectory), Silently
        "The working directory is looked up on the visible mount.";
    Mapping "mapping" Word::Capability(Capability::Mapping), AtRestore
        "The file of a mapping is looked for on visible mounts.";
    Attributes "attributes" Word::Capability(Capability::Attributes), Silently
        "A mount has the attributes of the visible one that it is copied from.";
    SecondMount "second-mount" Word::Capability(Capability::SecondMount), Silently
        "The objects of all detached mounts of a filesystem come to the first of them.";
    InFlight "in-flight" Word::Capability(Capability::InFlight), Silently
        "A message comes without the descriptor that was in it.";
    Overlay "overlay" Word::Capability(Capability::Overlay), AtRestore
        "Files are opened by file handles, which an overlay has not.";
    Btrfs "btrfs" Word::Capability(Capability::Btrfs), AtDump
        "Visible mounts are looked for by the device number of the file, which is that of its subvolume.";
}

impl Lack {
    /// What it is.
    pub fn description(self) -> &'static Description {
        ALL.iter().find(|description| description.lack == self).expect("the macro writes enum and table from one list")
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.description().name)
    }
}

/// A word that is not a lack.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reference engine cannot lack {0:?}; it can lack {known}", known = names())]
pub struct UnknownLack(pub String);

fn names() -> String {
    ALL.iter().map(|description| description.name).collect::<Vec<_>>().join(", ")
}

impl FromStr for Lack {
    type Err = UnknownLack;

    fn from_str(word: &str) -> Result<Self, UnknownLack> {
        let found = ALL.iter().find(|description| description.name == word);
        found.map(|description| description.lack).ok_or_else(|| UnknownLack(word.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_wire() {
        for description in ALL {
            assert_eq!(serde_json::to_string(&description.lack).unwrap(), format!("{:?}", description.name));
            assert_eq!(description.name.parse(), Ok(description.lack));
        }
        let error = "subdirs".parse::<Lack>().unwrap_err().to_string();
        assert!(error.starts_with("the reference engine cannot lack \"subdirs\"; it can lack subdir, "), "{error}");
    }
}
