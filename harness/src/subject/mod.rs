//! What is tested: a CRIU build, or the reference engine, with or without a mistake.
//!
//! - `suffix`: what may stand behind sources
//! - [`prepare`]: from a subject to what is in the VM besides the kernel
//! - [`identity`]: which criu a subject is
//! - [`criu`]: a criu that is built or carried
//!
//! `debian:SUITE` is a userland of its own: criu, tar, gzip, sh and their libraries from that
//! suite. Every other criu is in the guest's folder `/subject`, with its loader and its libraries
//! (`criu/package.rs`). The host sends it through the channel when the guest is up
//! (`vm/subject.rs`). So a changed criu needs neither another initramfs nor another template.
//!
//! `path:FILE` finds the libraries by the rules of ld.so(8), in module `elf`. It runs nothing,
//! unlike `ldd`.

pub mod criu;
pub mod identity;
pub mod prepare;
mod suffix;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use protocol::Fault;
use protocol::fault::UnknownFault;
use protocol::lack::UnknownLack;
use protocol::message::{DetachMethod, Engine};

use crate::sources::Tree;
use criu::{Sources, Variant};

pub use identity::Identity;
pub use prepare::Parts;

/// The criu of the default userland's Debian suite.
pub const DEBIAN: &str = "debian:trixie";
/// The reference engine, a part of the agent.
pub const REFERENCE: &str = "reference";
/// Between a criu that dumps and one that restores.
pub const RESTORE: &str = "+restore:";
/// Behind a criu: it is given the files on detached mounts.
pub const ASSIST: &str = "+assist";
/// Every form of a subject, for messages and help texts.
pub const FORMS: &str = "debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD";

/// Every form with an example, for `--help`.
pub const HELP: &str = "\
What is tested; may be given more than once [default: debian:trixie]

debian:sid              the criu of a Debian suite: bookworm, trixie, sid, experimental
path:/usr/sbin/criu     a criu of this machine, carried into the VM with the libraries it needs
src:../criu             a CRIU source tree, built here as it is
git:../criu@v4.1        a revision of a local repository, built here
src:../criu+patch:x.diff   with a patch on top, as --patch does for all
src:../criu+build=bookworm   built with the compiler and the headers of another suite: bookworm, trixie, sid
src:../criu+coverage    built to count its branches: fuzz keeps what takes a new one
src:../criu+asan        built with the address sanitizer: what it reports is a crash
debian:trixie+restore:src:../criu   the first dumps, the second restores
debian:trixie+assist    any of these, given the files on detached mounts from outside: docs/ASSIST.md
reference               the reference engine, without CRIU
reference+fault:NAME    the same with a known mistake
reference+lacks:WORD    the same, but for one thing that it has not learnt: subdir, deleted, overlay, ...";

/// A subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// `debian:SUITE`: that suite's package.
    Debian(String),
    /// `path:FILE`: a program of this host.
    Path(PathBuf),
    /// `src:DIR`, `git:DIR@REV`, with how they are built and with `+patch:FILE` for each patch:
    /// sources that are built here.
    Sources(Sources),
    /// `reference`, `reference+fault:NAME`, `reference+lacks:WORD`
    Reference(Option<Fault>),
    /// `SUBJECT+restore:SUBJECT`: one criu dumps and another one restores.
    Crossed(Box<Subject>, Box<Subject>),
    /// `SUBJECT+assist`: any criu, which is given the files that it refuses (guest module
    /// `assist`).
    Assisted(Box<Subject>),
}

/// Options of the reference engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReferenceOptions {
    /// Without `statmount(STATMOUNT_BY_FD)`, also where the kernel has it.
    pub without_statmount: bool,
    /// How detached mounts are made.
    pub way: DetachMethod,
}

/// A word that does not name a subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnknownSubject {
    /// No such subject.
    #[error("unknown subject {0:?}; known are {FORMS}")]
    Subject(String),
    /// The part behind the colon is missing or incomplete.
    #[error("{word:?} is incomplete: write {form}")]
    Incomplete {
        /// What was written.
        word: String,
        /// What is wanted.
        form: &'static str,
    },
    /// A patch on something that is not built here.
    #[error("{0:?}: a patch goes on top of sources only, src:DIR or git:DIR@REV")]
    Patch(String),
    /// A way to build something that is not built here.
    #[error("{0:?}: +build=SUITE, +coverage and +asan are for what is built here, src:DIR or git:DIR@REV")]
    Variant(String),
    /// More than one build root.
    #[error("{0:?}: +build= is given with two suites; a tree is built in one")]
    TwoSuites(String),
    /// Two kinds of instrumentation.
    #[error("{0:?}: +coverage and +asan are two builds; name the subject twice, once with each")]
    Both(String),
    /// Both must be criu as users have it.
    #[error("{0:?}: +restore: stands between two criu, each without +coverage, +asan and +assist")]
    Restore(String),
    /// The assistance is for criu, and once.
    #[error("{0:?}: +assist stands once, at the end, behind a criu")]
    Assist(String),
    /// No such fault.
    #[error("{0}")]
    Fault(#[from] UnknownFault),
    /// No such lack.
    #[error("{0}")]
    Lack(#[from] UnknownLack),
}

impl FromStr for Subject {
    type Err = UnknownSubject;

    fn from_str(word: &str) -> Result<Self, UnknownSubject> {
        let unknown = || UnknownSubject::Subject(word.to_owned());
        if word == REFERENCE {
            return Ok(Self::Reference(None));
        }
        if let Some(fault) = word.strip_prefix("reference+fault:").filter(|fault| !fault.starts_with("lacks:")) {
            return Ok(Self::Reference(Some(fault.parse()?)));
        }
        if let Some(lack) = word.strip_prefix("reference+lacks:") {
            return Ok(Self::Reference(Some(Fault::Lacks(lack.parse()?))));
        }
        if let Some((dumper, restorer)) = word.split_once(RESTORE) {
            return Self::crossed(dumper.parse()?, restorer.parse()?)
                .ok_or_else(|| UnknownSubject::Restore(word.to_owned()));
        }
        if let Some(criu) = word.strip_suffix(ASSIST) {
            return match criu.parse()? {
                Self::Reference(_) | Self::Assisted(_) => Err(UnknownSubject::Assist(word.to_owned())),
                criu => Ok(Self::Assisted(Box::new(criu))),
            };
        }
        let suffix::Parts { head, variant, patches } = suffix::take_apart(word)?;
        let (kind, rest) = head.split_once(':').ok_or_else(unknown)?;
        let complete = |good: bool, form| {
            let word = word.to_owned();
            if good { Ok(()) } else { Err(UnknownSubject::Incomplete { word, form }) }
        };
        let plain = |subject| match () {
            () if !patches.is_empty() => Err(UnknownSubject::Patch(word.to_owned())),
            () if variant != Variant::default() => Err(UnknownSubject::Variant(word.to_owned())),
            () => Ok(subject),
        };
        let tree = match kind {
            "debian" => {
                complete(!rest.is_empty(), "debian:SUITE, as in debian:sid")?;
                return plain(Self::Debian(rest.to_owned()));
            }
            "path" => {
                complete(!rest.is_empty(), "path:FILE, as in path:/usr/local/sbin/criu")?;
                return plain(Self::Path(rest.into()));
            }
            "src" => {
                complete(!rest.is_empty(), "src:DIR, as in src:../criu")?;
                Tree::Folder(rest.into())
            }
            "git" => {
                let form = "git:DIR@REV, as in git:../criu@v4.1";
                let (repository, revision) = rest.split_once('@').unwrap_or_default();
                complete(!repository.is_empty() && !revision.is_empty(), form)?;
                Tree::Revision { repository: repository.into(), revision: revision.to_owned() }
            }
            _ => return Err(unknown()),
        };
        Ok(Self::Sources(Sources { tree, variant, patches }))
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Debian(suite) => write!(f, "debian:{suite}"),
            Self::Path(file) => write!(f, "path:{}", file.display()),
            Self::Sources(sources) => sources.fmt(f),
            Self::Reference(None) => f.write_str(REFERENCE),
            Self::Reference(Some(lack @ Fault::Lacks(_))) => write!(f, "{REFERENCE}+{lack}"),
            Self::Reference(Some(fault)) => write!(f, "{REFERENCE}+fault:{fault}"),
            Self::Crossed(dumper, restorer) => write!(f, "{dumper}{RESTORE}{restorer}"),
            Self::Assisted(criu) => write!(f, "{criu}{ASSIST}"),
        }
    }
}

impl Subject {
    /// The subject with these patches on top.
    ///
    /// # Errors
    /// It is not built here.
    pub fn patched(self, more: &[PathBuf]) -> Result<Self, UnknownSubject> {
        match self {
            subject if more.is_empty() => Ok(subject),
            Self::Sources(mut sources) => {
                sources.patches.extend_from_slice(more);
                Ok(Self::Sources(sources))
            }
            Self::Assisted(criu) => Ok(Self::Assisted(Box::new(criu.patched(more)?))),
            Self::Crossed(dumper, restorer) => Ok(Self::Crossed(dumper, Box::new(restorer.patched(more)?))),
            other => Err(UnknownSubject::Patch(other.to_string())),
        }
    }

    /// What one dumps the other restores; `None` where they are not both a plain criu.
    pub fn crossed(dumper: Self, restorer: Self) -> Option<Self> {
        let is_plain = |one: &Self| match one {
            Self::Debian(_) | Self::Path(_) => true,
            Self::Sources(sources) => !sources.variant.coverage && !sources.variant.asan,
            Self::Crossed(..) | Self::Reference(_) | Self::Assisted(_) => false,
        };
        (is_plain(&dumper) && is_plain(&restorer)).then(|| Self::Crossed(Box::new(dumper), Box::new(restorer)))
    }

    /// The one criu of the subject, or both; itself for the reference engine.
    pub fn criu(&self) -> impl Iterator<Item = &Subject> {
        let (first, second) = match self {
            Self::Assisted(criu) => (&**criu, None),
            Self::Crossed(dumper, restorer) => (&**dumper, Some(&**restorer)),
            subject => (subject, None),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether it is the reference engine, which needs no VM.
    pub fn is_reference(&self) -> bool {
        matches!(self, Self::Reference(_))
    }

    /// Whether making it ready builds or starts a program of the user's on this machine, outside
    /// any VM. What comes from a file or folder of somebody else must not choose such a subject.
    pub fn acts_on_this_machine(&self) -> bool {
        self.criu().any(|one| matches!(one, Self::Path(_) | Self::Sources(_)))
    }

    /// What the host sends to the guest.
    pub fn engine(&self, reference_options: ReferenceOptions) -> Engine {
        match self {
            Self::Debian(_) | Self::Path(_) | Self::Sources(_) | Self::Crossed(..) => Engine::Criu { assisted: false },
            Self::Assisted(_) => Engine::Criu { assisted: true },
            Self::Reference(fault) => Engine::Reference {
                fault: *fault,
                without_statmount: reference_options.without_statmount,
                way: reference_options.way,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn words_and_subjects_are_the_same() {
        for word in [
            "debian:trixie",
            "debian:sid",
            "path:/usr/local/sbin/criu",
            "src:.",
            "src:../criu+patch:a.patch+patch:b.patch",
            "git:/src/criu@main@{yesterday}",
            "git:.@HEAD~1+patch:x",
            "src:../criu+coverage",
            "git:.@v4.1+coverage+patch:a.patch",
            "src:../criu+build=bookworm",
            "debian:trixie+assist",
            "debian:trixie+restore:git:.@v4.1+build=sid+patch:a",
            "git:.@v4.1+asan+patch:a.patch+assist",
            "src:../c++/criu+asan",
            "git:.@v4.1+build=sid+asan+patch:a.patch+patch:b",
            "src:a+build=b/c",
            "reference",
            "reference+fault:dot-name-as-root",
            "reference+lacks:second-mount",
        ] {
            assert_eq!(word.parse::<Subject>().unwrap().to_string(), word);
        }
    }

    #[test]
    fn wrong_words_say_what_is_possible() {
        let words = [
            "criu",
            "docker:x",
            "reference+fault",
            "git:.",
            "git:@main",
            "src:",
            "src:a+patch:",
            "path:a+patch:b",
            "debian:",
            "reference+patch:a",
            "src:+coverage",
            "debian:sid+coverage",
            "path:/usr/sbin/criu+asan",
            "debian:sid+build=sid",
            "src:a+build=",
            "src:a+build=sid+asan+build=trixie",
            "src:a+coverage+patch:b+asan",
            "src:a+patch:+asan",
            "reference+asan",
            "reference+assist",
            "debian:sid+assist+assist",
            "reference+restore:debian:sid",
            "src:a+asan+restore:debian:sid",
            "debian:sid+restore:debian:sid+assist",
            "debian:sid+restore:",
        ];
        let message: String = words.map(|word| format!("{}\n", word.parse::<Subject>().unwrap_err())).concat();
        expect![[r#"
            unknown subject "criu"; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
            unknown subject "docker:x"; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
            unknown subject "reference+fault"; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
            "git:." is incomplete: write git:DIR@REV, as in git:../criu@v4.1
            "git:@main" is incomplete: write git:DIR@REV, as in git:../criu@v4.1
            "src:" is incomplete: write src:DIR, as in src:../criu
            "src:a+patch:" is incomplete: write a file behind +patch:
            "path:a+patch:b": a patch goes on top of sources only, src:DIR or git:DIR@REV
            "debian:" is incomplete: write debian:SUITE, as in debian:sid
            unknown subject "reference+patch:a"; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
            "src:+coverage" is incomplete: write src:DIR, as in src:../criu
            "debian:sid+coverage": +build=SUITE, +coverage and +asan are for what is built here, src:DIR or git:DIR@REV
            "path:/usr/sbin/criu+asan": +build=SUITE, +coverage and +asan are for what is built here, src:DIR or git:DIR@REV
            "debian:sid+build=sid": +build=SUITE, +coverage and +asan are for what is built here, src:DIR or git:DIR@REV
            "src:a+build=" is incomplete: write +build=SUITE, as in +build=bookworm
            "src:a+build=sid+asan+build=trixie": +build= is given with two suites; a tree is built in one
            "src:a+coverage+patch:b+asan": +coverage and +asan are two builds; name the subject twice, once with each
            "src:a+patch:+asan" is incomplete: write a file behind +patch:
            unknown subject "reference+asan"; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
            "reference+assist": +assist stands once, at the end, behind a criu
            "debian:sid+assist+assist": +assist stands once, at the end, behind a criu
            "reference+restore:debian:sid": +restore: stands between two criu, each without +coverage, +asan and +assist
            "src:a+asan+restore:debian:sid": +restore: stands between two criu, each without +coverage, +asan and +assist
            "debian:sid+restore:debian:sid+assist": +restore: stands between two criu, each without +coverage, +asan and +assist
            unknown subject ""; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
        "#]].assert_eq(&message);
        assert!(
            "reference+fault:x"
                .parse::<Subject>()
                .unwrap_err()
                .to_string()
                .starts_with("unknown fault \"x\"; known are attached,")
        );
        let error = "reference+lacks:x".parse::<Subject>().unwrap_err().to_string();
        assert!(error.starts_with("the reference engine cannot lack \"x\"; it can lack subdir,"), "{error}");
        // One way to write it.
        assert!("reference+fault:lacks:deleted".parse::<Subject>().is_err());
    }

    #[test]
    fn ways_to_build_may_stand_behind_the_patches_too() {
        let subject: Subject = "src:.+patch:a.patch+coverage".parse().unwrap();
        assert_eq!(subject.to_string(), "src:.+coverage+patch:a.patch");
        assert_eq!(subject, "src:.+coverage+patch:a.patch".parse().unwrap());
        let subject: Subject = "src:.+asan+patch:a.patch+build=sid+patch:b+build=sid".parse().unwrap();
        assert_eq!(subject.to_string(), "src:.+build=sid+asan+patch:a.patch+patch:b");
    }

    #[test]
    fn patches_go_on_sources_only() {
        let patches = [PathBuf::from("x.patch")];
        let patched =
            |word: &str| word.parse::<Subject>().unwrap().patched(&patches).map(|subject| subject.to_string());
        assert_eq!(patched("src:."), Ok("src:.+patch:x.patch".to_owned()));
        assert!(patched("debian:trixie").is_err() && patched("reference").is_err());
    }
}
