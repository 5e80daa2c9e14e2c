//! From package names to an unpacked tree: the part that QEMU, kernels and userlands have in
//! common.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use scenarios::pattern::fits;

use super::apt::{self, Apt, Deb};
use super::archive::Archive;
use crate::cache::Cache;
use crate::cache::error::{ImageError, content};
use crate::cache::progress::{Progress, Step, doing, megabytes};
use crate::cache::record::{BuildRecord, Package, sha256};

/// Where packages come from; finds mirror and keyring only when something must be built.
#[derive(Debug)]
pub(crate) struct Source {
    mirror: Option<String>,
    keyring: Option<PathBuf>,
    /// Suites whose lists this run has fetched already.
    updated: Mutex<BTreeSet<String>>,
}

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// For people: `kernel 6.12`.
    pub(crate) title: &'a str,
    pub(crate) suites: &'a [String],
    pub(crate) packages: Vec<String>,
    /// Patterns of packages that are left out.
    pub(crate) skip: &'a [String],
    /// Patterns of packages that are taken; everything when empty.
    pub(crate) keep: &'a [String],
}

/// Unpacked packages.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The directory that is `/` in the build; the end of the build removes it.
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

impl Source {
    pub(crate) fn new(mirror: Option<String>, keyring: Option<PathBuf>) -> Source {
        Source { mirror, keyring, updated: Mutex::default() }
    }

    /// Downloads and unpacks what is ordered into `work`; `None` when the build record of a former
    /// build has the same packages.
    pub(crate) fn fetch(
        &self,
        cache: &Cache,
        order: &Order<'_>,
        work: &Path,
        former: Option<&BuildRecord>,
    ) -> Result<Option<Unpacked>, ImageError> {
        let Order { title, suites, .. } = order;
        let progress = cache.progress();
        let archive = Archive::find(self.mirror.as_deref(), self.keyring.as_deref())?;
        let sources = archive.sources(suites);
        let lists = format!("apt-{}-{}", suites.join("+"), &sha256(sources.as_bytes())[..16]);
        // Held to the end: package lists must not change between resolving and downloading.
        let _lock = cache.lock_by_name(&lists)?;
        let apt = Apt::new(&cache.root().join("apt").join(&lists), &work.join("apt"), suites, &archive)?;
        self.update(&apt, lists, progress, &format!("{title}: reading the package lists of {}", suites.join(", ")))?;
        let debs = doing(progress, &format!("{title}: resolving packages"), || resolve(&apt, order))?;
        let packages: Vec<Package> = debs.iter().map(|deb| deb.package.clone()).collect();
        if former.is_some_and(|record| record.packages == packages) {
            return Ok(None);
        }
        let (downloads, root) = (work.join("debs"), work.join("root"));
        let size = megabytes(packages.iter().map(|package| package.size).sum());
        let what = match packages.as_slice() {
            [one] => one.name.clone(),
            more => format!("{} packages", more.len()),
        };
        let text = format!("{title}: downloading {what} ({size})");
        doing(progress, &text, || apt.download(&debs, &downloads))?;
        doing(progress, &format!("{title}: unpacking"), || apt::unpack(&debs, &downloads, &root))?;
        Ok(Some(Unpacked { root, packages }))
    }
}

impl Source {
    /// Downloads a source package into a directory; its upstream tarball alone where the mirror has
    /// no more.
    pub(crate) fn fetch_source(
        &self,
        cache: &Cache,
        package: &str,
        suite: &str,
        work: &Path,
    ) -> Result<PathBuf, ImageError> {
        let suites = [suite.to_owned()];
        let progress = cache.progress();
        let archive = Archive::find(self.mirror.as_deref(), self.keyring.as_deref())?;
        let lines = archive.source_packages(&suites);
        let lists = format!("apt-src-{suite}-{}", &sha256(lines.as_bytes())[..16]);
        let _lock = cache.lock_by_name(&lists)?;
        let place = cache.root().join("apt").join(&lists);
        let apt = Apt::with_sources(&place, &work.join("apt"), &suites, &archive, &lines)?;
        self.update(&apt, lists, progress, &format!("source {package}: reading the source lists of {suite}"))?;
        let downloads = work.join("downloads");
        let text = format!("source {package}: downloading");
        let Err(error) = doing(progress, &text, || apt.source(package, false, &downloads)) else {
            return Ok(downloads);
        };
        // Some mirrors have pruned what is Debian's own; what upstream released is worth having
        // alone.
        match apt.source(package, true, &downloads) {
            Ok(()) => {
                let text = format!("source {package}: upstream's release without Debian's patches: {error}");
                progress.step(Step::Note { text: &text });
                Ok(downloads)
            }
            Err(_) => Err(error),
        }
    }

    /// Fetches the lists, once in this run.
    fn update(&self, apt: &Apt, lists: String, progress: &dyn Progress, text: &str) -> Result<(), ImageError> {
        let mut updated = self.updated.lock().expect("no thread panics while it holds the lock");
        if !updated.contains(&lists) {
            doing(progress, text, || apt.update())?;
            updated.insert(lists);
        }
        Ok(())
    }
}

fn resolve(apt: &Apt, order: &Order<'_>) -> Result<Vec<Deb>, ImageError> {
    let mut debs = apt.resolve(&order.packages, order.skip)?;
    if order.keep.is_empty() {
        return Ok(debs);
    }
    let all: Vec<String> = debs.iter().map(|deb| deb.package.name.clone()).collect();
    debs.retain(|deb| order.keep.iter().any(|pattern| fits(pattern, &deb.package.name)));
    if debs.is_empty() {
        let why = format!("none of its packages fits `keep` ({}); they are: {}", order.keep.join(", "), all.join(", "));
        return Err(content(order.title, why));
    }
    Ok(debs)
}
