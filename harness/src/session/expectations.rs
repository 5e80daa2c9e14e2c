//! What is known to fail.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use protocol::limits::EXPECTATIONS_BYTES;
use scenarios::visible::control_name;

use crate::judge::Expectations;
use crate::judge::expectations::ExpectationsError;
use crate::limited;
use crate::plan::select::select;
use crate::usage::Usage;

/// Where what is known to fail is read from: `--expectations`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ExpectationsSource {
    /// `scenarios/expectations.toml` of the source tree.
    #[default]
    Project,
    /// A file of the user's.
    File(PathBuf),
    /// Nothing is known: whatever fails is a failure.
    None,
}

impl FromStr for ExpectationsSource {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(if word == "none" { Self::None } else { Self::File(PathBuf::from(word)) })
    }
}

/// What is known to fail; an entry that names no scenario is a mistake in the file.
///
/// # Errors
/// [`Usage`] for the mistake.
pub(super) fn expectations(tree: &Path, from: &ExpectationsSource) -> anyhow::Result<Expectations> {
    let file = match from {
        ExpectationsSource::Project => tree.join("scenarios/expectations.toml"),
        ExpectationsSource::File(file) => file.clone(),
        ExpectationsSource::None => return Ok(Expectations::default()),
    };
    let unreadable = |source| ExpectationsError::Unreadable { file: file.clone(), source };
    let text = limited::read(&file, EXPECTATIONS_BYTES).map_err(unreadable);
    let expectations = text.and_then(|text| Expectations::parse(&text, &file));
    let expectations = expectations.map_err(|error| Usage(error.to_string()))?;
    let mut names: Vec<String> = select(&[], tree)?.into_iter().map(|scenario| scenario.name).collect();
    // The names that controls would have: to derive them takes a second.
    names.extend(names.iter().map(|name| control_name(name)).collect::<Vec<_>>());
    let stale = expectations.stale(names.iter().map(String::as_str));
    if stale.is_empty() {
        return Ok(expectations);
    }
    let lines: Vec<String> = stale.iter().map(ToString::to_string).collect();
    Err(Usage(lines.join("\n")).into())
}
