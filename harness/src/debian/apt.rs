//! A private apt: reads any Debian suite, resolves what a package needs, downloads and unpacks it,
//! without root and without touching the system's own package state.
//!
//! The host's configuration stays in force where it says how to reach a mirror (proxies,
//! credentials, retries); what says where state lives, which sources there are, and which hooks run
//! is replaced. The private settings go into a file and not into `-o` options, because only a file
//! can clear a list, such as the hooks of `apt-get update`. Trust is apt's own: the suite's signed
//! Release, its index, the hash of each package; each package's hash is compared once more after
//! the download.

use std::path::{Path, PathBuf};
use std::process::Command;

use scenarios::pattern::fits;

use super::archive::Archive;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::{Package, sha256_of_file};
use crate::process::command;

/// An apt with its own directories.
#[derive(Debug)]
pub(crate) struct Apt {
    config: PathBuf,
    suites: Vec<String>,
    mirror: String,
}

/// A package that is to be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deb {
    /// What the build record will say.
    pub(crate) package: Package,
    /// The name that apt gives the downloaded file.
    file: String,
}

impl Apt {
    /// Prepares an apt for these suites: package lists in `lists`, which lasts, everything else in
    /// `scratch`, which is gone when the image is built.
    pub(crate) fn new(lists: &Path, scratch: &Path, suites: &[String], archive: &Archive) -> Result<Apt, ImageError> {
        Apt::with_sources(lists, scratch, suites, archive, &archive.sources(suites))
    }

    /// The same with these lines as the source list.
    pub(crate) fn with_sources(
        lists: &Path,
        scratch: &Path,
        suites: &[String],
        archive: &Archive,
        lines: &str,
    ) -> Result<Apt, ImageError> {
        for directory in [lists.join("partial"), scratch.join("archives/partial"), scratch.join("state")] {
            std::fs::create_dir_all(&directory).map_err(at("create", &directory))?;
        }
        let sources = scratch.join("sources.list");
        std::fs::write(&sources, lines).map_err(at("write", &sources))?;
        let config = scratch.join("apt.conf");
        std::fs::write(&config, configuration(lists, scratch)?).map_err(at("write", &config))?;
        Ok(Apt { config, suites: suites.to_vec(), mirror: archive.mirror.clone() })
    }

    /// Fetches the suites' package lists, or what changed in them.
    pub(crate) fn update(&self) -> Result<(), ImageError> {
        let what = format!("reading the package lists of {} (apt-get update) from {}", self.suites(), self.mirror);
        command::run(self.command("apt-get").args(["-q", "update"]), &what, "apt", advise)?;
        Ok(())
    }

    /// The packages with everything that they depend on, less those that fit a pattern of `skip`.
    pub(crate) fn resolve(&self, packages: &[String], skip: &[String]) -> Result<Vec<Deb>, ImageError> {
        let what = format!("resolving {} in {} (apt-get install --print-uris)", packages.join(" "), self.suites());
        let mut command = self.command("apt-get");
        command.args(["-qq", "-y", "--print-uris", "-t", &self.suites[0], "install", "--"]).args(packages);
        let listing = command::run(&mut command, &what, "apt", advise)?;
        let mut debs: Vec<Deb> = listing.lines().filter_map(parse_uri_line).collect();
        debs.retain(|deb| !skip.iter().any(|pattern| fits(pattern, &deb.package.name)));
        if debs.is_empty() {
            return Err(content(what, format!("nothing is left to download; apt said:\n{listing}")));
        }
        debs.sort_by(|a, b| a.package.name.cmp(&b.package.name));
        self.tell_suites(&mut debs)?;
        Ok(debs)
    }

    /// Which suite each package is from.
    fn tell_suites(&self, debs: &mut [Deb]) -> Result<(), ImageError> {
        if let [only] = self.suites.as_slice() {
            debs.iter_mut().for_each(|deb| deb.package.suite.clone_from(only));
            return Ok(());
        }
        let mut command = self.command("apt-cache");
        command.arg("madison").args(debs.iter().map(|deb| &deb.package.name));
        let listing =
            command::run(&mut command, "asking which suite has a package (apt-cache madison)", "apt", advise)?;
        for deb in debs {
            deb.package.suite = suite_in(&listing, &deb.package).unwrap_or_else(|| self.suites[0].clone());
        }
        Ok(())
    }

    /// Downloads packages into a directory.
    pub(crate) fn download(&self, debs: &[Deb], directory: &Path) -> Result<(), ImageError> {
        std::fs::create_dir_all(directory).map_err(at("create", directory))?;
        let what = format!("downloading {} packages of {} from {}", debs.len(), self.suites(), self.mirror);
        let mut command = self.command("apt-get");
        command.current_dir(directory).args(["-qq", "-t", &self.suites[0], "download", "--"]);
        command.args(debs.iter().map(|deb| format!("{}={}", deb.package.name, deb.package.version)));
        command::run(&mut command, &what, "apt", advise)?;
        for deb in debs {
            let path = directory.join(&deb.file);
            let got = sha256_of_file(&path)?;
            if got != deb.package.sha256 {
                let why = format!("its sha256 is {got}, the package list says {}; try again", deb.package.sha256);
                return Err(content(path.display().to_string(), why));
            }
        }
        Ok(())
    }

    /// Downloads a source package, or its upstream tarball alone, into a directory; the signed
    /// index has the hashes.
    pub(crate) fn source(&self, package: &str, upstream_only: bool, directory: &Path) -> Result<(), ImageError> {
        std::fs::create_dir_all(directory).map_err(at("create", directory))?;
        let what = format!("downloading the sources of {package} in {} from {}", self.suites(), self.mirror);
        let mut command = self.command("apt-get");
        command.current_dir(directory).args(["-qq", "--download-only"]);
        command.args(upstream_only.then_some("--tar-only")).args(["source", "--", package]);
        command::run(&mut command, &what, "apt", advise)?;
        Ok(())
    }

    fn suites(&self) -> String {
        self.suites.join(" + ")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(&self.config);
        command
    }
}

/// Unpacks downloaded packages into `root` and merges `/usr`: packages of any suite then end up
/// below `usr/`, and absolute links of one package find the files of another.
pub(crate) fn unpack(debs: &[Deb], directory: &Path, root: &Path) -> Result<(), ImageError> {
    std::fs::create_dir_all(root).map_err(at("create", root))?;
    for deb in debs {
        let what = format!("unpacking {} (dpkg-deb -x)", deb.file);
        let mut command = Command::new("dpkg-deb");
        command.arg("-x").arg(directory.join(&deb.file)).arg(root);
        command::run(&mut command, &what, "dpkg", advise)?;
    }
    // Afterwards, because not every dpkg-deb unpacks through a link.
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (link, target) = (root.join(name), root.join("usr").join(name));
        std::fs::create_dir_all(&target).map_err(at("create", &target))?;
        merge(&link, &target)?;
        std::os::unix::fs::symlink(Path::new("usr").join(name), &link).map_err(at("create", &link))?;
    }
    Ok(())
}

/// Moves what is in a directory into another one, directory by directory, and removes it; nothing
/// when it is not there.
fn merge(from: &Path, to: &Path) -> Result<(), ImageError> {
    if !from.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(from).map_err(at("list", from))? {
        let source = entry.map_err(at("list", from))?.path();
        let target = to.join(source.file_name().expect("a listed entry has a name"));
        let directory = |path: &Path| path.symlink_metadata().is_ok_and(|data| data.is_dir());
        if directory(&source) && directory(&target) {
            merge(&source, &target)?;
        } else {
            std::fs::rename(&source, &target).map_err(at("move to usr/", &source))?;
        }
    }
    std::fs::remove_dir(from).map_err(at("remove", from))
}

/// The private part of apt's configuration, apt.conf(5).
fn configuration(lists: &Path, scratch: &Path) -> Result<String, ImageError> {
    let lists = quotable(lists)?;
    let scratch = quotable(scratch)?;
    Ok(format!(
        r#"Dir::Etc::SourceList "{scratch}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State "{scratch}/state";
Dir::State::Lists "{lists}";
Dir::State::status "/dev/null";
Dir::Cache "{scratch}";
Dir::Cache::Archives "{scratch}/archives";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Debug::NoLocking "true";
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::ForceHash "SHA256";
Acquire::Languages "none";
"#
    ))
}

fn quotable(path: &Path) -> Result<String, ImageError> {
    let text = path.to_str().filter(|text| !text.contains(['"', '\n', '\\']));
    text.map(str::to_owned).ok_or_else(|| ImageError::Setting {
        what: "the cache directory",
        value: path.display().to_string(),
        why: "its path stands in apt's configuration, so it must be UTF-8 without quotes, backslashes and newlines",
    })
}

/// A line of `--print-uris`: `'URI' NAME_VERSION_ARCHITECTURE.deb SIZE SHA256:HASH`, with `%3a` for
/// `:` in the name.
fn parse_uri_line(line: &str) -> Option<Deb> {
    let mut fields = line.strip_prefix('\'')?.split_once("' ")?.1.split(' ');
    let file = fields.next()?.to_owned();
    let size = fields.next()?.parse().ok()?;
    let sha256 = fields.next()?.strip_prefix("SHA256:")?.to_owned();
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version) = (parts.next()?.to_owned(), parts.next()?.replace("%3a", ":"));
    Some(Deb { package: Package { name, version, suite: String::new(), sha256, size }, file })
}

/// A line of `apt-cache madison`: `NAME | VERSION | URI SUITE/COMPONENT ARCHITECTURE Packages`.
fn suite_in(listing: &str, package: &Package) -> Option<String> {
    listing.lines().find_map(|line| {
        let mut fields = line.split('|').map(str::trim);
        let fits = fields.next()? == package.name && fields.next()? == package.version;
        let suite = fields.next()?.split_whitespace().nth(1)?.split('/').next()?;
        fits.then(|| suite.to_owned())
    })
}

/// What to do, by what apt or dpkg said.
fn advise(output: &str) -> &'static str {
    let said = |texts: &[&str]| texts.iter().any(|text| output.contains(text));
    if said(&["No space left on device", "not have enough free space"]) {
        " The disk is full: make room or set ZDTM_DETACHED_CACHE to a larger one."
    } else if said(&["NO_PUBKEY", "is not signed", "not available: ", "BADSIG", "EXPKEYSIG"]) {
        " The suite is not signed by a key of the keyring: update debian-archive-keyring or name one with --keyring."
    } else if said(&[
        "Unable to locate package",
        "Unable to find a source package",
        "has no installation candidate",
        "is not available, but is referred",
    ]) {
        " The suite does not have the package: correct its name, in vm-images/images.toml if it stands there."
    } else if said(&["does not have a Release file", "404  Not Found"]) {
        " The mirror does not have this suite or file: name another with --mirror or ZDTM_DETACHED_MIRROR."
    } else {
        " Building an image needs a Debian mirror (an image that is built needs no network): \
         check the network, or name a mirror with --mirror or ZDTM_DETACHED_MIRROR."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uri_lines_become_packages() {
        let line =
            "'http://m.example/pool/q_1.deb' qemu-system-x86_1%3a10.0.13+ds-0+deb13u1_amd64.deb 10278596 SHA256:ab12";
        let deb = parse_uri_line(line).unwrap();
        assert_eq!(deb.package.name, "qemu-system-x86");
        assert_eq!(deb.package.version, "1:10.0.13+ds-0+deb13u1");
        assert_eq!((deb.package.size, deb.package.sha256.as_str()), (10_278_596, "ab12"));
        assert_eq!(parse_uri_line("Reading package lists..."), None);
        assert_eq!(parse_uri_line("'http://m.example/q.deb' q_1_all.deb 5 MD5Sum:ab"), None);
    }

    #[test]
    fn a_packages_suite_is_that_of_its_version() {
        let listing = "   linux-base | 4.14~bpo13+1 | http://m.example/debian trixie-backports/main amd64 Packages\n\
                       \u{20}  linux-base | 4.12 | http://m.example/debian trixie/main amd64 Packages\n";
        let mut package = parse_uri_line("'u' linux-base_4.12_all.deb 1 SHA256:a").unwrap().package;
        assert_eq!(suite_in(listing, &package).as_deref(), Some("trixie"));
        package.version = "5".into();
        assert_eq!(suite_in(listing, &package), None);
    }

    #[test]
    fn advice_fits_what_apt_said() {
        assert!(advise("Could not resolve 'mirror'").contains("needs a Debian mirror"));
        assert!(advise("E: Unable to locate package qemu").contains("images.toml"));
        assert!(advise("... NO_PUBKEY 6ED0E7B82643E131").contains("--keyring"));
        assert!(advise("E: Write error - write (28: No space left on device)").contains("disk is full"));
    }

    #[test]
    fn merging_loses_nothing() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, "content").unwrap();
        };
        ["lib/x/a", "lib/only/b", "usr/lib/x/c"].into_iter().for_each(write);
        merge(&root.path().join("lib"), &root.path().join("usr/lib")).unwrap();
        assert!(["x/a", "only/b", "x/c"].iter().all(|path| root.path().join("usr/lib").join(path).is_file()));
        assert!(!root.path().join("lib").exists());
    }

    #[test]
    fn paths_that_would_break_the_configuration_are_refused() {
        assert!(configuration(Path::new("/c/a\"; x"), Path::new("/c")).is_err());
        assert!(configuration(Path::new("/c/with space"), Path::new("/c")).unwrap().contains("\"/c/with space\""));
    }
}
