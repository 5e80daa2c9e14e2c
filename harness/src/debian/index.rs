//! The packages of a suite.

use std::collections::BTreeMap;

use super::archive::is_plain;
use super::control::{Paragraph, paragraphs};
use super::relation::{compare, is_version};
use crate::cache::error::{ImageError, content};
use crate::cache::record::Package;

/// A package that can be downloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deb {
    /// What the build record will say.
    pub(crate) package: Package,
    /// Its file below the mirror.
    pub(crate) path: String,
    /// `required` is 0, `extra` and unknown ones are last.
    pub(super) priority: usize,
    /// `Pre-Depends`, then `Depends`.
    pub(super) depends: String,
    pub(super) provides: String,
}

/// The newest version of each package of a suite.
#[derive(Debug, Default)]
pub(crate) struct Index {
    debs: BTreeMap<String, Deb>,
}

impl Index {
    /// Reads a `Packages` list.
    pub(super) fn parse(text: &str, suite: &str) -> Result<Index, ImageError> {
        let mut debs: BTreeMap<String, Deb> = BTreeMap::new();
        for paragraph in paragraphs(text) {
            let deb = deb(&paragraph, suite).ok_or_else(|| {
                let why = format!("package `{}` lacks a field or has one that cannot be", paragraph.field("Package"));
                content(format!("the package list of {suite}"), why)
            })?;
            let older = debs.get(&deb.package.name);
            if older.is_none_or(|older| compare(&older.package.version, &deb.package.version).is_lt()) {
                debs.insert(deb.package.name.clone(), deb);
            }
        }
        Ok(Index { debs })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Deb> {
        self.debs.get(name)
    }

    pub(super) fn debs(&self) -> impl Iterator<Item = &Deb> {
        self.debs.values()
    }
}

fn deb(paragraph: &Paragraph<'_>, suite: &str) -> Option<Deb> {
    const PRIORITIES: [&str; 4] = ["required", "important", "standard", "optional"];
    let owned = |name| paragraph.lines(name).collect::<Vec<_>>().join(" ");
    let [name, version, path, sha256] = ["Package", "Version", "Filename", "SHA256"].map(|name| paragraph.field(name));
    let sound = !name.contains('/') && is_plain(name) && is_version(version) && is_plain(path) && sha256.len() == 64;
    let package = Package {
        name: name.to_owned(),
        version: version.to_owned(),
        suite: suite.to_owned(),
        sha256: sha256.to_owned(),
        size: paragraph.field("Size").parse().ok()?,
    };
    let priority = paragraph.field("Priority");
    sound.then(|| Deb {
        package,
        path: path.to_owned(),
        priority: PRIORITIES.iter().position(|known| *known == priority).unwrap_or(PRIORITIES.len()),
        depends: format!("{},{}", owned("Pre-Depends"), owned("Depends")),
        provides: owned("Provides"),
    })
}
