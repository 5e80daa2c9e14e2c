//! A Debian source package as a folder of sources: the upstream tarball with Debian's patches on
//! top.
//!
//! `dpkg-source -x` does the same; this needs nothing of the host. Format `3.0 (quilt)`
//! with one upstream tarball, which is what criu has.

use std::fs;
use std::path::{Path, PathBuf};

use super::snapshot;
use crate::cache::error::{ImageError, at, content};
use crate::cache::progress::doing;
use crate::debian::deb::unpack_tar;
use crate::image::{BUILD_ROOT, Image, Store};

impl Store {
    /// Unpacks a suite's source package into `to`, which must be empty or not there; the version.
    ///
    /// # Errors
    /// It cannot be fetched, is of another format, or `to` is in use.
    pub fn debian_source(&self, package: &str, suite: &str, to: &Path) -> Result<String, ImageError> {
        let used = fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some());
        if used || to.is_file() {
            return Err(content(to.display().to_string(), "is there already; name a directory that is empty or new"));
        }
        let root = self.obtain(Image::BuildRoot(&self.manifest().defaults.build), false, |entry| {
            entry.directory.join(BUILD_ROOT)
        })?;
        let tmp = self.cache.root().join("tmp");
        let work =
            tempfile::Builder::new().prefix("source.").tempdir_in(&tmp).map_err(at("create a directory in", &tmp))?;
        let downloads = self.source.fetch_source(&self.cache, package, suite, work.path())?;
        let package = Package::find(&downloads)?;
        doing(self.cache.progress(), &format!("source {}: unpacking", package.title), || {
            fs::create_dir_all(to).map_err(at("create", to))?;
            unpack_tar(&package.upstream, to, true)?;
            let Some(debian) = &package.debian else { return Ok(()) };
            unpack_tar(debian, to, false)?;
            let folder = to.join("debian/patches");
            let series = fs::read_to_string(folder.join("series")).unwrap_or_default();
            patches(&series).iter().try_for_each(|name| snapshot::apply(&folder.join(name), to, &root))
        })?;
        Ok(package.version)
    }
}

/// What was downloaded.
struct Package {
    title: String,
    version: String,
    upstream: PathBuf,
    /// Not every mirror has it.
    debian: Option<PathBuf>,
}

impl Package {
    /// The one in a folder of downloads.
    fn find(folder: &Path) -> Result<Package, ImageError> {
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(folder).map_err(at("list", folder))? {
            names.push(entry.map_err(at("list", folder))?.file_name().to_string_lossy().into_owned());
        }
        let wrong = |why: String| content(format!("the source package ({})", names.join(", ")), why);
        let one = |part: &str| {
            let fits = |name: &&String| name.contains(part) && !name.ends_with(".asc");
            match names.iter().filter(fits).collect::<Vec<_>>()[..] {
                [one] => Ok(one),
                _ => Err(wrong(format!("does not have exactly one {part}: unpack it with dpkg-source"))),
            }
        };
        let upstream = one(".orig")?;
        let Some(dsc) = names.iter().find(|name| name.ends_with(".dsc")) else {
            let (title, _) = upstream.split_once(".orig").unwrap_or_default();
            let (_, version) = title.split_once('_').unwrap_or_default();
            let (title, version) = (title.replace('_', " "), version.to_owned());
            return Ok(Package { title, version, upstream: folder.join(upstream), debian: None });
        };
        let text = fs::read_to_string(folder.join(dsc)).map_err(at("read", folder))?;
        let field = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(str::trim).unwrap_or_default();
        if field("Format:") != "3.0 (quilt)" {
            return Err(wrong("is not of format 3.0 (quilt): unpack it with dpkg-source".to_owned()));
        }
        let debian = Some(folder.join(one(".debian.tar.")?));
        let version = field("Version:").to_owned();
        let title = format!("{} {version}", field("Source:"));
        Ok(Package { title, version, upstream: folder.join(upstream), debian })
    }
}

/// The names in a series file: one a line, what follows are options or a comment.
fn patches(series: &str) -> Vec<&str> {
    series.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| !name.starts_with('#')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_names_patches() {
        assert_eq!(patches("# why\n\na.patch\n  b.patch -p1 # note\n#c.patch\n"), ["a.patch", "b.patch"]);
    }

    #[test]
    fn a_package_is_found_or_told_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert!(Package::find(folder.path()).is_err());
        write("criu_4.1.1.orig.tar.xz", "");
        let package = Package::find(folder.path()).unwrap();
        assert_eq!((package.title.as_str(), package.version.as_str(), package.debian), ("criu 4.1.1", "4.1.1", None));
        write("criu_4.1.1-1.dsc", "Format: 3.0 (quilt)\nSource: criu\nVersion: 4.1.1-1\n");
        write("criu_4.1.1-1.debian.tar.xz", "");
        let package = Package::find(folder.path()).unwrap();
        assert_eq!((package.title.as_str(), package.version.as_str()), ("criu 4.1.1-1", "4.1.1-1"));
        write("criu_4.1.1.orig-more.tar.xz", "");
        assert!(Package::find(folder.path()).err().unwrap().to_string().contains("exactly one .orig"));
        fs::remove_file(folder.path().join("criu_4.1.1.orig-more.tar.xz")).unwrap();
        write("criu_4.1.1-1.dsc", "Format: 1.0\n");
        assert!(Package::find(folder.path()).err().unwrap().to_string().contains("3.0 (quilt)"));
    }
}
