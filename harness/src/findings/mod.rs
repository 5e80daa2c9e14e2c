//! Findings: what the tests have shown about CRIU, each a bug report in `docs/findings/` that a
//! command checks again.
//!
//! A finding is a Markdown file, `NNN-name.md`: a title, what identifies the failure, the smallest
//! program, and what is known of the cause. `finding new` makes one of a failed trial,
//! `finding check` runs its program again.
//!
//! - [`text`]: the file's form
//! - [`index`]: all of them as a table, by what they cost
//! - [`check`]: whether one still shows

pub mod check;
pub mod index;
#[cfg(test)]
mod tests;
pub mod text;

use std::fs;
use std::path::{Path, PathBuf};

use protocol::message::{Flavor, Lifecycle};
use scenarios::Scenario;

use crate::judge::kind::Severity;
use crate::judge::{FailureKind, Signature};

/// The folder of the findings, below the source tree.
pub const FOLDER: &str = "docs/findings";
/// The table of all of them.
pub const INDEX: &str = "docs/FINDINGS.md";

/// A finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its number, from 1.
    pub number: u32,
    /// One line: what is wrong.
    pub title: String,
    /// The identity of the failure.
    pub signature: Signature,
    /// The subject that shows it: `debian:trixie`.
    pub subject: String,
    /// The kernel of the manifest that it shows on.
    pub kernel: String,
    /// Namespaces of the process.
    pub flavor: Flavor,
    /// What is done to the process.
    pub lifecycle: Lifecycle,
    /// Where it was last seen: `criu 4.1.1`.
    pub seen: String,
    /// An address, or a few words.
    pub upstream: String,
    /// The smallest program, with an `assert`.
    pub program: String,
    /// What comes instead of what is expected.
    pub happens: String,
    /// Where in CRIU, and why; empty when the cause is not established.
    pub cause: String,
}

impl Finding {
    /// The file's name, without folder.
    pub fn file_name(&self) -> String {
        format!("{:03}-{}.md", self.number, slug(&self.title))
    }

    /// What it costs the user.
    pub fn severity(&self) -> Option<Severity> {
        self.signature.kind().map(FailureKind::severity)
    }

    /// Its program as a scenario, `findings/NNN-name`.
    ///
    /// # Errors
    /// The program's first mistake.
    pub fn scenario(&self) -> Result<Scenario, String> {
        let name = format!("findings/{}", self.file_name().trim_end_matches(".md"));
        let text = format!(
            "# {}.\noutcome restored\nrequires flavor={} lifecycle={}\n\n{}\n",
            self.title,
            self.flavor.word(),
            self.lifecycle.word(),
            self.program
        );
        let read = scenarios::text::scenarios(text.as_bytes(), &name, Path::new(&name));
        let mut read = read.map_err(|mistakes| mistakes.first().map(ToString::to_string).unwrap_or_default())?;
        Ok(read.remove(0))
    }
}

/// A title as a part of a file name: small letters, digits, dashes.
fn slug(title: &str) -> String {
    const LENGTH: usize = 60;
    let words = title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = String::new();
    for word in words {
        if slug.len() + word.len() >= LENGTH {
            break;
        }
        let dash = if slug.is_empty() { "" } else { "-" };
        slug += &format!("{dash}{}", word.to_ascii_lowercase());
    }
    slug
}

/// Why findings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FindingError {
    /// A folder or a file cannot be read or written.
    #[error("cannot {what} {}: {error}", path.display())]
    Io {
        /// `read` or `write`
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        error: std::io::Error,
    },
    /// A file is not a finding.
    #[error("{}:{line}: {why}", path.display())]
    Text {
        /// Which.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it, and what is right.
        why: String,
    },
    /// A file has another number or title than its name says.
    #[error("{} must be called {wanted}", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// By number and title.
        wanted: String,
    },
    /// Two have one number.
    #[error("{} and {} have one number", one.display(), other.display())]
    Twice {
        /// The first.
        one: PathBuf,
        /// The second.
        other: PathBuf,
    },
}

/// The findings of a source tree, by number; empty when the folder does not exist.
///
/// # Errors
/// A file cannot be read, or is not a finding.
pub fn read(tree: &Path) -> Result<Vec<Finding>, FindingError> {
    let folder = tree.join(FOLDER);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let at = |path: &Path| {
        let path = path.to_owned();
        move |error| FindingError::Io { what: "read", path, error }
    };
    let mut found: Vec<(Finding, PathBuf)> = Vec::new();
    for entry in fs::read_dir(&folder).map_err(at(&folder))? {
        let path = entry.map_err(at(&folder))?.path();
        if path.extension().is_none_or(|end| end != "md") {
            continue;
        }
        let finding = text::parse(&fs::read_to_string(&path).map_err(at(&path))?)
            .map_err(|text::Mistake { line, why }| FindingError::Text { path: path.clone(), line, why })?;
        if path.file_name().is_none_or(|name| *name != *finding.file_name()) {
            return Err(FindingError::Name { wanted: finding.file_name(), path });
        }
        found.push((finding, path));
    }
    found.sort_by_key(|(finding, _)| finding.number);
    if let Some(pair) = found.windows(2).find(|pair| pair[0].0.number == pair[1].0.number) {
        return Err(FindingError::Twice { one: pair[0].1.clone(), other: pair[1].1.clone() });
    }
    Ok(found.into_iter().map(|(finding, _)| finding).collect())
}

/// Writes a finding into its file; where that is.
///
/// # Errors
/// The filesystem's.
pub fn write(tree: &Path, finding: &Finding) -> Result<PathBuf, FindingError> {
    let folder = tree.join(FOLDER);
    let path = folder.join(finding.file_name());
    let done = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, text::print(finding)));
    match done {
        Ok(()) => Ok(path),
        Err(error) => Err(FindingError::Io { what: "write", path, error }),
    }
}
