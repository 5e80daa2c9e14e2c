//! A Debian archive: its mirror, the keys that sign it, and its lists, which are believed only when
//! a signed Release file has their hashes.

use std::io::Read;
use std::path::Path;
use std::time::SystemTime;

use super::compressed;
use super::control::{Listed, Paragraph, paragraphs};
use super::host::HostApt;
use super::signature::Keys;
use super::transport::{ADVICE, Transport, TransportError, without_password};
use crate::architecture::Architecture;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::sha256_of_file;

/// The mirror of hosts whose apt names none.
const MIRROR: &str = "http://deb.debian.org/debian";

/// Longest Release file.
const RELEASE_LIMIT: u64 = 16 << 20;

/// A list unpacked: ten times that of sid.
const LIST_LIMIT: u64 = 1 << 30;

/// A Debian archive and the keys that sign it.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    mirror: String,
    keys: Keys,
    transport: Transport,
    takes_expired: bool,
}

/// Which list of a suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    /// Packages for this architecture, and for any.
    Packages(Architecture),
    /// Source packages.
    Sources,
}

impl List {
    fn path(self) -> String {
        match self {
            List::Packages(architecture) => format!("main/binary-{architecture}/Packages.xz"),
            List::Sources => "main/source/Sources.xz".to_owned(),
        }
    }
}

impl Archive {
    /// The named mirror and keyring, or those of the host's apt, or Debian's.
    ///
    /// # Errors
    /// The keyring cannot be read.
    pub(crate) fn find(mirror: Option<&str>, keyring: Option<&Path>) -> Result<Archive, ImageError> {
        Archive::of(HostApt::find(), mirror, keyring)
    }

    /// The same for a host whose apt is set up like this.
    pub(super) fn of(host: HostApt, mirror: Option<&str>, keyring: Option<&Path>) -> Result<Archive, ImageError> {
        let mirror = mirror.or(host.mirror.as_deref()).unwrap_or(MIRROR).trim_end_matches('/').to_owned();
        if !["http://", "https://", "file:", "copy:"].iter().any(|start| mirror.starts_with(start)) {
            let why = "is not at http://, https:// or file:; correct --mirror or ZDTM_DETACHED_MIRROR";
            return Err(content(format!("the mirror {mirror}"), why));
        }
        let takes_expired = host.takes_expired;
        Ok(Archive { mirror, keys: Keys::find(keyring)?, transport: Transport::new(host), takes_expired })
    }

    /// For messages.
    pub(super) fn name(&self) -> String {
        without_password(&self.mirror)
    }

    /// A suite's list as it is today; `directory` keeps it for the next time.
    pub(super) fn list(&self, suite: &str, list: List, directory: &Path) -> Result<String, ImageError> {
        let base = format!("{}/dists/{suite}", self.mirror);
        let url = format!("{base}/InRelease");
        let message = self.transport.text(&url, RELEASE_LIMIT)?;
        let release = self.release(&message, suite, SystemTime::now());
        let release = release.map_err(|why| content(without_password(&url), why))?;
        let release = paragraphs(&release).next().ok_or_else(|| content(without_password(&url), "is empty"))?;
        let path = list.path();
        let listed = release.files("SHA256").find(|listed| listed.name == path);
        let listed = listed.ok_or_else(|| content(without_password(&url), format!("does not list {path}")))?;
        let file = directory.join(path.replace('/', "_"));
        if sha256_of_file(&file).ok().as_deref() != Some(listed.sha256) {
            self.fetch_list(&base, &release, listed, &file)?;
        }
        unpacked(&file)
    }

    /// By its hash where the archive has that: its name may belong to the next list already.
    fn fetch_list(&self, base: &str, release: &Paragraph<'_>, listed: Listed<'_>, to: &Path) -> Result<(), ImageError> {
        let Listed { name, sha256, size } = listed;
        let by_name = format!("{base}/{name}");
        if release.field("Acquire-By-Hash") == "yes" {
            let (directory, _) = by_name.rsplit_once('/').expect("the base has slashes");
            match self.transport.file(&format!("{directory}/by-hash/SHA256/{sha256}"), size, sha256, to) {
                Err(TransportError::Missing(_)) => {}
                other => return Ok(other?),
            }
        }
        Ok(self.transport.file(&by_name, size, sha256, to)?)
    }

    /// The signed text of a Release file that is of this suite and not too old.
    fn release(&self, message: &str, suite: &str, now: SystemTime) -> Result<String, String> {
        let text = self.keys.open(message, now)?.replace("\r\n", "\n");
        let release = paragraphs(&text).next().ok_or("is empty")?;
        let names = [release.field("Suite"), release.field("Codename")];
        if !names.contains(&suite) {
            return Err(format!("is that of another suite: {}", names.join(", ")));
        }
        let until = release.field("Valid-Until");
        if !until.is_empty() && !self.takes_expired {
            let time = httpdate::parse_http_date(&until.replace("UTC", "GMT"));
            let time = time.map_err(|_| format!("has the Valid-Until `{until}`, which is no date"))?;
            if time < now {
                return Err(format!(
                    "was valid until {until}: the mirror is behind, or somebody replays an old list; name another \
                     mirror with --mirror URL or ZDTM_DETACHED_MIRROR"
                ));
            }
        }
        Ok(text)
    }

    /// Downloads a file of the pool.
    pub(super) fn download(&self, path: &str, size: u64, sha256: &str, to: &Path) -> Result<(), TransportError> {
        self.transport.file(&format!("{}/{path}", self.mirror), size, sha256, to)
    }

    /// The same from a snapshot service, which has what the archive had at this time
    /// (`archive/debian/TIME/PATH`). One that does not answer has nothing.
    pub(super) fn download_old(
        &self,
        service: &str,
        time: &str,
        path: &str,
        size: u64,
        sha256: &str,
        to: &Path,
    ) -> Result<(), TransportError> {
        let url = format!("{}/archive/debian/{time}/{path}", service.trim_end_matches('/'));
        self.transport.file(&url, size, sha256, to).map_err(|error| match error {
            TransportError::Other(error) => {
                // What to do is the caller's to say: the mirror is not at fault.
                TransportError::Missing(format!("{path} ({})", error.to_string().replace(&format!("; {ADVICE}"), "")))
            }
            TransportError::Missing(_) => TransportError::Missing(path.to_owned()),
        })
    }

    /// What the kept lists depend on.
    pub(super) fn key(&self) -> &str {
        &self.mirror
    }
}

/// A name of a list that is used in a path on this machine or the mirror.
pub(super) fn is_plain(path: &str) -> bool {
    let part = |part: &str| !part.is_empty() && part != "." && part != "..";
    path.split('/').all(part) && !path.contains(|c: char| c.is_control() || c.is_whitespace() || "?#\\".contains(c))
}

/// The text in a compressed file.
fn unpacked(path: &Path) -> Result<String, ImageError> {
    let file = std::fs::File::open(path).map_err(at("open", path))?;
    let mut text = String::new();
    let read = compressed::reader(&path.to_string_lossy(), file)
        .and_then(|reader| reader.take(LIST_LIMIT).read_to_string(&mut text));
    read.map_err(at("unpack", path))?;
    Ok(text)
}
