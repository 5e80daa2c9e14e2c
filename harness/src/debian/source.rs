//! From package names to an unpacked tree: the part that QEMU, kernels and userlands have in
//! common; and source packages.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use scenarios::pattern::fits;

use super::archive::{Archive, List, is_plain};
use super::control::paragraphs;
use super::deb;
use super::index::{Deb, Index};
use super::lock::Locked;
use super::relation::compare;
use super::resolve::Suites;
use super::transport::TransportError;
use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::cache::error::{ImageError, at, content};
use crate::cache::progress::{Step, doing, megabytes};
use crate::cache::record::{BuildRecord, Package, sha256};

/// What the command line says of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct SourceSettings {
    pub(crate) mirror: Option<String>,
    pub(crate) keyring: Option<PathBuf>,
    /// The snapshot service's address.
    pub(crate) snapshot: Option<String>,
    /// Other packages than the locked ones are an error.
    pub(crate) locked: bool,
}

/// Where packages come from; finds mirror and keyring only when something must be built.
#[derive(Debug)]
pub(crate) struct Source {
    settings: SourceSettings,
    archive: OnceLock<Archive>,
    /// Lists that this run has read already.
    indexes: Mutex<BTreeMap<(Architecture, String), Arc<Index>>>,
}

/// Where Debian keeps what its archive had once.
const SNAPSHOT: &str = "https://snapshot.debian.org";

/// Packages and their files.
type Downloaded = (Vec<Deb>, Vec<PathBuf>);

/// What is wanted.
#[derive(Debug)]
pub(crate) struct Order<'a> {
    /// For people: `kernel 6.12`.
    pub(crate) title: &'a str,
    pub(crate) architecture: Architecture,
    pub(crate) suites: &'a [String],
    pub(crate) packages: Vec<String>,
    /// Patterns of packages that are left out.
    pub(crate) skip: &'a [String],
    /// Patterns of packages that are taken; everything when empty.
    pub(crate) keep: &'a [String],
    /// What it came to when it was locked.
    pub(crate) locked: Option<&'a Locked>,
}

impl Order<'_> {
    /// What the packages of an order depend on, besides the day.
    pub(crate) fn hash(&self) -> String {
        let Order { architecture, suites, packages, skip, keep, .. } = self;
        let mut text = serde_json::to_string(&(suites, packages, skip, keep)).expect("strings have a JSON form");
        if !architecture.is_amd64() {
            text.push_str(architecture.name());
        }
        sha256(text.as_bytes())[..16].to_owned()
    }
}

/// Unpacked packages.
#[derive(Debug)]
pub(crate) struct Unpacked {
    /// The directory that is `/` in the build; the end of the build removes it.
    pub(crate) root: PathBuf,
    pub(crate) packages: Vec<Package>,
}

impl Source {
    pub(crate) fn new(settings: SourceSettings) -> Source {
        Source { settings, archive: OnceLock::new(), indexes: Mutex::default() }
    }

    /// One that has its archive.
    #[cfg(test)]
    pub(super) fn of(archive: Archive, settings: SourceSettings) -> Source {
        Source { archive: archive.into(), ..Source::new(settings) }
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
        if let (Some(locked), Some(former)) = (order.locked, former)
            && locked.difference(&former.packages).is_none()
        {
            return Ok(None);
        }
        let (debs, files) = match self.as_locked(cache, order, &work.join("debs"))? {
            Some(locked) => locked,
            None => {
                let debs = self.resolve(cache, order)?;
                if former.is_some_and(|record| debs.iter().map(|deb| &deb.package).eq(&record.packages)) {
                    return Ok(None);
                }
                let files = self.download(cache, order.title, &debs, None, &work.join("debs"));
                (debs, files?)
            }
        };
        let root = work.join("root");
        doing(cache.progress(), &format!("{}: unpacking", order.title), || deb::unpack(&files, &root))?;
        Ok(Some(Unpacked { root, packages: debs.into_iter().map(|deb| deb.package).collect() }))
    }

    /// The locked packages, where they can still be had.
    fn as_locked(&self, cache: &Cache, order: &Order<'_>, to: &Path) -> Result<Option<Downloaded>, ImageError> {
        let why = match order.locked {
            Some(locked) => match self.download(cache, order.title, &locked.debs, Some(&locked.date), to) {
                Ok(files) => return Ok(Some((locked.debs.clone(), files))),
                Err(TransportError::Missing(url)) => format!("neither the mirror nor the snapshot service has {url}"),
                Err(TransportError::Other(error)) => return Err(error),
            },
            None => "vm-images/images.lock has no entry for what vm-images/images.toml says of it".to_owned(),
        };
        if self.settings.locked {
            let to_do = "`zdtm-detached image update` makes one of today's packages, --snapshot URL names another \
                service, and without --locked today's packages are taken";
            return Err(content(format!("{} as locked", order.title), format!("{why}; {to_do}")));
        }
        cache.progress().step(Step::Note { text: &format!("{}: today's packages: {why}", order.title) });
        Ok(None)
    }

    /// The packages that an order comes to today.
    pub(crate) fn resolve(&self, cache: &Cache, order: &Order<'_>) -> Result<Vec<Deb>, ImageError> {
        let Order { title, architecture, suites, packages, skip, keep, .. } = order;
        let index = |suite: &String| self.index(cache, title, *architecture, suite);
        let indexes = suites.iter().map(index).collect::<Result<_, _>>()?;
        let fits_any = |patterns: &[String], deb: &Deb| patterns.iter().any(|it| fits(it, &deb.package.name));
        let text = format!("{title}: resolving packages");
        let mut debs = doing(cache.progress(), &text, || Suites::new(suites, indexes).resolve(packages))?;
        let all: Vec<String> = debs.iter().map(|deb| deb.package.name.clone()).collect();
        debs.retain(|deb| !fits_any(skip, deb) && (keep.is_empty() || fits_any(keep, deb)));
        if debs.is_empty() {
            let why = format!("`skip` and `keep` ({}) leave none of its packages: {}", keep.join(", "), all.join(", "));
            return Err(content(*title, why));
        }
        Ok(debs)
    }

    /// The mirror's address, for people.
    pub(crate) fn mirror(&self) -> Result<String, ImageError> {
        self.archive().map(Archive::name)
    }

    fn archive(&self) -> Result<&Archive, ImageError> {
        if let Some(archive) = self.archive.get() {
            return Ok(archive);
        }
        let archive = Archive::find(self.settings.mirror.as_deref(), self.settings.keyring.as_deref())?;
        Ok(self.archive.get_or_init(|| archive))
    }

    /// A suite's packages, read once in this run.
    fn index(
        &self,
        cache: &Cache,
        title: &str,
        architecture: Architecture,
        suite: &str,
    ) -> Result<Arc<Index>, ImageError> {
        let mut indexes = self.indexes.lock().expect("no thread panics while it holds the lock");
        let key = (architecture, suite.to_owned());
        if let Some(index) = indexes.get(&key) {
            return Ok(Arc::clone(index));
        }
        let text = self.list(cache, title, suite, List::Packages(architecture))?;
        let index = Arc::new(Index::parse(&text, suite)?);
        indexes.insert(key, Arc::clone(&index));
        Ok(index)
    }

    fn list(&self, cache: &Cache, title: &str, suite: &str, list: List) -> Result<String, ImageError> {
        if !is_plain(suite) {
            return Err(content(format!("the suite `{suite}`"), "has a name that no suite can have"));
        }
        let archive = self.archive()?;
        let name = format!("{}-{}", suite.replace('/', "-"), &sha256(archive.key().as_bytes())[..16]);
        // Two runs download a list once.
        let _lock = cache.lock_by_name(&name)?;
        let directory = cache.root().join("lists").join(&name);
        std::fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        let text = format!("{title}: reading the lists of {suite} from {}", archive.name());
        doing(cache.progress(), &text, || archive.list(suite, list, &directory))
    }

    /// Downloads packages into a directory; where they are. With a date what the mirror has no more
    /// comes from the snapshot service.
    fn download(
        &self,
        cache: &Cache,
        title: &str,
        debs: &[Deb],
        date: Option<&str>,
        directory: &Path,
    ) -> Result<Vec<PathBuf>, TransportError> {
        std::fs::create_dir_all(directory).map_err(at("create", directory))?;
        let archive = self.archive()?;
        let size = megabytes(debs.iter().map(|deb| deb.package.size).sum());
        let what = match debs {
            [one] => one.package.name.clone(),
            more => format!("{} packages", more.len()),
        };
        let one = |deb: &Deb| {
            let Deb { package: Package { size, sha256, .. }, path, .. } = deb;
            let to = directory.join(path.rsplit('/').next().unwrap_or(path));
            match (archive.download(path, *size, sha256, &to), date) {
                (Err(TransportError::Missing(_)), Some(date)) => {
                    let service = self.settings.snapshot.as_deref().unwrap_or(SNAPSHOT);
                    archive.download_old(service, date, path, *size, sha256, &to)?;
                }
                (result, _) => result?,
            }
            Ok(to)
        };
        let text = format!("{title}: downloading {what} ({size})");
        doing(cache.progress(), &text, || debs.iter().map(one).collect())
    }

    /// Downloads a source package into a directory; its upstream tarball alone where the mirror has
    /// no more.
    pub(crate) fn fetch_source(
        &self,
        cache: &Cache,
        package: &str,
        suite: &str,
        work: &Path,
    ) -> Result<PathBuf, ImageError> {
        let title = format!("source {package}");
        let text = self.list(cache, &title, suite, List::Sources)?;
        let versions = paragraphs(&text).filter(|paragraph| paragraph.field("Package") == package);
        let newest = versions.max_by(|a, b| compare(a.field("Version"), b.field("Version")));
        let newest = newest.ok_or_else(|| {
            content(format!("source package {package} in {suite}"), "the suite does not have it; correct its name")
        })?;
        let directory = work.join("downloads");
        std::fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        let pool = newest.field("Directory");
        let is_upstream = |name: &str| name.contains(".orig");
        let mut missing = None;
        for file in newest.files("Checksums-Sha256") {
            let path = format!("{pool}/{}", file.name);
            if !is_plain(&path) || file.name.contains('/') {
                return Err(content(format!("the source list of {suite}"), format!("names the file `{path}`")));
            }
            let to = directory.join(file.name);
            let text = format!("{title}: downloading {} ({})", file.name, megabytes(file.size));
            let get = || self.archive()?.download(&path, file.size, file.sha256, &to);
            match doing(cache.progress(), &text, get) {
                // Some mirrors have pruned what is Debian's own; what upstream released is worth
                // having alone.
                Err(TransportError::Missing(url)) if !is_upstream(file.name) => missing = Some(url),
                result => result?,
            }
        }
        if let Some(url) = missing {
            for file in newest.files("Checksums-Sha256").filter(|file| !is_upstream(file.name)) {
                let _ = std::fs::remove_file(directory.join(file.name));
            }
            let text = format!("{title}: upstream's release without Debian's patches: the mirror does not have {url}");
            cache.progress().step(Step::Note { text: &text });
        }
        Ok(directory)
    }
}
