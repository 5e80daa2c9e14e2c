//! Where packages come from, and the keys that prove it: the mirror that the host's own apt uses,
//! and Debian's keyring.
//!
//! The project names no mirror. A Debian host has one configured already; another user names
//! one.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::error::ImageError;
use crate::process::command;

/// A Debian archive and the keys that sign it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Archive {
    /// As in sources.list(5).
    pub(crate) mirror: String,
    /// A file of public keys.
    pub(crate) keyring: PathBuf,
}

/// Where Debian's keys are, in the order of preference.
const KEYRINGS: [&str; 2] =
    ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];

impl Archive {
    /// The named mirror and keyring, or the host's.
    ///
    /// # Errors
    /// The host has none, or they cannot be in a line of sources.list(5).
    pub(crate) fn find(mirror: Option<&str>, keyring: Option<&Path>) -> Result<Archive, ImageError> {
        let mirror = match mirror {
            Some(mirror) => mirror.to_owned(),
            None => host_mirror()?,
        };
        word("the mirror", &mirror)?;
        let keyring = find_keyring(keyring)?;
        word("the keyring's path", &keyring.to_string_lossy())?;
        Ok(Archive { mirror, keyring })
    }

    /// Lines for a source list: these suites, the main component, binary packages for amd64 and
    /// nothing else.
    pub(crate) fn sources(&self, suites: &[String]) -> String {
        self.lines(suites, "deb [arch=amd64 lang=none target=Packages")
    }

    /// The same for source packages.
    pub(crate) fn source_packages(&self, suites: &[String]) -> String {
        self.lines(suites, "deb-src [lang=none target=Sources")
    }

    fn lines(&self, suites: &[String], start: &str) -> String {
        let Archive { mirror, keyring } = self;
        let line = |suite| format!("{start} signed-by={}] {mirror} {suite} main\n", keyring.display());
        suites.iter().map(line).collect()
    }
}

fn word(what: &'static str, value: &str) -> Result<(), ImageError> {
    let bad = |c: char| c.is_whitespace() || c.is_control() || "[]\"#".contains(c);
    if value.is_empty() || value.contains(bad) {
        let why = "it stands in apt's source list, so it must be one word without brackets, quotes and #";
        return Err(ImageError::Setting { what, value: value.to_owned(), why });
    }
    Ok(())
}

fn find_keyring(named: Option<&Path>) -> Result<PathBuf, ImageError> {
    let candidates: Vec<PathBuf> = match named {
        Some(path) => vec![std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())],
        None => KEYRINGS.iter().map(PathBuf::from).collect(),
    };
    candidates.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let tried: Vec<_> = candidates.iter().map(|path| path.display().to_string()).collect();
        ImageError::NoKeyring { tried: tried.join(" or ") }
    })
}

/// Asks the host's apt for its sources; reads only.
fn host_mirror() -> Result<String, ImageError> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"]);
    let listing =
        command::run(&mut command, "asking apt for its sources (apt-get indextargets)", "apt", command::no_advice)?;
    choose(&listing).ok_or_else(|| {
        let first = listing.lines().next().unwrap_or_default();
        let detail = if first.is_empty() { " prints nothing".into() } else { format!(" prints `{first}`, ...") };
        ImageError::NoMirror { detail }
    })
}

/// The main archive's address: by what its Release file says, or, where none was fetched yet, by
/// its path.
fn choose(listing: &str) -> Option<String> {
    let sources = || listing.lines().filter_map(|line| line.split_once('|').zip(line.rsplit_once('|')));
    let usable = |uri: &str| !uri.is_empty() && !uri.starts_with("cdrom:");
    let sure = sources()
        .find(|((origin, _), (before, uri))| *origin == "Debian" && before.ends_with("|Debian") && usable(uri));
    let likely = || {
        sources().find(|((origin, _), (_, uri))| {
            !matches!(*origin, "Ubuntu" | "Debian") && uri.trim_end_matches('/').ends_with("/debian") && usable(uri)
        })
    };
    sure.or_else(likely).map(|(_, (_, uri))| uri.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_main_archive_is_chosen() {
        let listing = "Debian|Debian-Security|http://security.example/debian-security/\n\
                       Debian|Debian|http://mirror.example/debian/\n";
        assert_eq!(choose(listing).as_deref(), Some("http://mirror.example/debian"));
        let not_updated = "$(ORIGIN)|$(LABEL)|http://s.example/debian-security/\n||https://m.example/debian/\n";
        assert_eq!(choose(not_updated).as_deref(), Some("https://m.example/debian"));
        assert_eq!(choose("Ubuntu|Ubuntu|http://mirror.example/ubuntu/\n"), None);
        assert_eq!(choose(""), None);
    }

    #[test]
    fn what_would_break_the_source_list_is_refused() {
        let error = word("the mirror", "http://a.example/debian] trusted=yes").unwrap_err();
        expect_test::expect!["the mirror `http://a.example/debian] trusted=yes` cannot be used: it stands in apt's source list, so it must be one word without brackets, quotes and #"]
            .assert_eq(&error.to_string());
        let error = find_keyring(Some(Path::new("/nowhere/keys.gpg"))).unwrap_err();
        expect_test::expect!["Debian's archive keys are not at /nowhere/keys.gpg; install the package debian-archive-keyring or name the file with --keyring"]
            .assert_eq(&error.to_string());
    }

    #[test]
    fn sources_are_signed_and_lean() {
        let archive = Archive { mirror: "http://m.example/debian".into(), keyring: "/k.gpg".into() };
        expect_test::expect![[r#"
            deb [arch=amd64 lang=none target=Packages signed-by=/k.gpg] http://m.example/debian trixie main
        "#]]
        .assert_eq(&archive.sources(&["trixie".into()]));
        expect_test::expect![[r#"
            deb-src [lang=none target=Sources signed-by=/k.gpg] http://m.example/debian sid main
        "#]]
        .assert_eq(&archive.source_packages(&["sid".into()]));
    }
}
