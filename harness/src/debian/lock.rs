//! `vm-images/images.lock`: which packages each image is made of, so that it is the same next
//! month.
//!
//! An entry holds for what the manifest said when it was made (`of`). Each package has its place in
//! the archive, and the entry the time when it was there: the snapshot service finds it by both.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::archive::is_plain;
use super::index::Deb;
use super::relation::is_version;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::Package;

/// What `image update` writes above the entries.
const HEAD: &str = "\
# The packages of every image, made by `zdtm-detached image update` from images.toml: name, version, suite, size in
# bytes, SHA-256, place in the archive.

";

/// Longest file.
const LIMIT: u64 = 16 << 20;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    #[serde(default, rename = "image")]
    images: Vec<Locked>,
}

/// The packages of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Locked {
    /// `kernel 6.12`
    pub(crate) name: String,
    /// A hash of what was ordered.
    pub(crate) of: String,
    /// When the archive had them: `20261130T080000Z`.
    pub(crate) date: String,
    /// A line each.
    #[serde(with = "lines")]
    pub(crate) debs: Vec<Deb>,
}

impl Lock {
    /// Reads the file; one that is not there has no entries.
    ///
    /// # Errors
    /// It cannot be read or understood.
    pub(crate) fn read(path: &Path) -> Result<Lock, ImageError> {
        let text = match crate::limited::read(path, LIMIT) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Lock::default()),
            text => text.map_err(at("read", path))?,
        };
        let wrong = |error: toml::de::Error| {
            content(path.display().to_string(), format!("{error}; `zdtm-detached image update` writes it anew"))
        };
        toml::from_str(&text).map_err(wrong)
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), ImageError> {
        let text = toml::to_string_pretty(self).expect("strings and lists have a TOML form");
        std::fs::write(path, format!("{HEAD}{text}")).map_err(at("write", path))
    }

    /// The entry of an image that is still ordered like this.
    pub(crate) fn get(&self, name: &str, of: &str) -> Option<&Locked> {
        self.images.iter().find(|locked| locked.name == name && locked.of == of)
    }

    /// Puts an entry in the place of the one with its name.
    pub(crate) fn set(&mut self, locked: Locked) {
        self.images.retain(|other| other.name != locked.name);
        self.images.push(locked);
        self.images.sort_by(|a, b| a.name.cmp(&b.name));
    }

    /// Removes entries of images that are not these.
    pub(crate) fn retain(&mut self, names: &[String]) {
        self.images.retain(|locked| names.contains(&locked.name));
    }
}

impl Locked {
    /// What an image of them depends on.
    pub(crate) fn hashes(&self) -> Vec<&str> {
        self.debs.iter().map(|deb| deb.package.sha256.as_str()).collect()
    }

    /// What an image of other packages has instead: nothing when it is as locked.
    pub(crate) fn difference(&self, packages: &[Package]) -> Option<String> {
        let wanted = || self.debs.iter().map(|deb| &deb.package);
        let same = |a: &Package, b: &Package| a.name == b.name && a.sha256 == b.sha256;
        let mut others = packages.iter().filter(|package| !wanted().any(|one| same(one, package)));
        let missing = wanted().filter(|one| !packages.iter().any(|package| package.name == one.name)).count();
        let Some(first) = others.next() else {
            return (missing > 0).then(|| format!("{missing} packages less than in images.lock"));
        };
        let instead = match wanted().find(|one| one.name == first.name) {
            Some(one) => format!("instead of {}", one.version),
            None => "which is not in images.lock".to_owned(),
        };
        let more = match others.count() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Some(format!("{} {} {instead}{more}", first.name, first.version))
    }
}

/// A package as a line.
mod lines {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de::Error as _};

    use super::{Deb, line, parse};

    pub(super) fn serialize<S: Serializer>(debs: &[Deb], to: S) -> Result<S::Ok, S::Error> {
        debs.iter().map(line).collect::<Vec<_>>().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Deb>, D::Error> {
        let wrong = |line: &String| D::Error::custom(format!("`{line}` is no package of a lock"));
        Vec::<String>::deserialize(from)?.iter().map(|line| parse(line).ok_or_else(|| wrong(line))).collect()
    }
}

fn line(deb: &Deb) -> String {
    let Deb { package: Package { name, version, suite, sha256, size }, path, .. } = deb;
    format!("{name} {version} {suite} {size} {sha256} {path}")
}

fn parse(line: &str) -> Option<Deb> {
    let [name, version, suite, size, sha256, path] = line.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let hash = sha256.len() == 64 && sha256.chars().all(|c| c.is_ascii_hexdigit());
    let sound = hash && is_plain(name) && !name.contains('/') && is_version(version) && is_plain(path);
    let [name, suite, sha256] = [name, suite, sha256].map(str::to_owned);
    let package = Package { name, version: version.to_owned(), suite, sha256, size: size.parse().ok()? };
    sound.then(|| Deb { package, path: path.to_owned(), ..Deb::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deb(name: &str, version: &str) -> Deb {
        let sha256 = crate::cache::record::sha256(version.as_bytes());
        let package = Package { name: name.into(), version: version.into(), suite: "s".into(), sha256, size: 5 };
        Deb { package, path: format!("pool/{name}_{version}.deb"), ..Deb::default() }
    }

    fn locked(debs: &[Deb]) -> Locked {
        Locked { name: "kernel 6".into(), of: "ab".into(), date: "20261130T080000Z".into(), debs: debs.to_vec() }
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("images.lock");
        assert_eq!(Lock::read(&path).unwrap(), Lock::default());
        let mut lock = Lock::default();
        lock.set(locked(&[deb("a", "1:2~3"), deb("b", "1")]));
        lock.set(locked(&[deb("a", "1:2~3")]));
        lock.write(&path).unwrap();
        assert_eq!(Lock::read(&path).unwrap(), lock);
        assert_eq!(lock.get("kernel 6", "ab").unwrap().debs, [deb("a", "1:2~3")]);
        assert_eq!(lock.get("kernel 6", "cd"), None);
        std::fs::write(&path, std::fs::read_to_string(&path).unwrap().replace("pool/", "../")).unwrap();
        let error = Lock::read(&path).unwrap_err().to_string();
        assert!(
            error.contains(" is no package of a lock") && error.contains("image update` writes it anew"),
            "{error}"
        );
    }

    #[test]
    fn differences_are_named() {
        let locked = locked(&[deb("a", "1"), deb("b", "1"), deb("c", "1")]);
        let packages = |debs: &[(&str, &str)]| -> Vec<Package> {
            debs.iter().map(|(name, version)| deb(name, version).package).collect()
        };
        let difference = |debs: &[(&str, &str)]| locked.difference(&packages(debs));
        assert_eq!(difference(&[("a", "1"), ("b", "1"), ("c", "1")]), None);
        assert_eq!(difference(&[("a", "1"), ("b", "2"), ("c", "1")]).unwrap(), "b 2 instead of 1");
        let several = difference(&[("a", "2"), ("b", "2"), ("d", "1")]).unwrap();
        assert_eq!(several, "a 2 instead of 1, and 2 more");
        assert_eq!(
            difference(&[("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")]).unwrap(),
            "d 1 which is not in images.lock"
        );
        assert_eq!(difference(&[("a", "1")]).unwrap(), "2 packages less than in images.lock");
    }
}
