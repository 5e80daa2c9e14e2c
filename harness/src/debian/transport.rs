//! Gets files of a mirror: over HTTP, HTTPS, or from a directory.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::host::HostApt;
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::hex;

/// How long a mirror may take to answer, and between two pieces of an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What to do when a mirror does not answer.
pub(super) const ADVICE: &str = "building an image needs a Debian mirror (an image that is built needs no network): check the \
    network, or name a mirror with --mirror URL or ZDTM_DETACHED_MIRROR";

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(super) enum TransportError {
    /// The mirror answers that it does not have it.
    #[error("{0}: the mirror does not have it; name another with --mirror URL or ZDTM_DETACHED_MIRROR")]
    Missing(String),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] ImageError),
}

impl From<TransportError> for ImageError {
    fn from(error: TransportError) -> ImageError {
        match error {
            TransportError::Missing(_) => content("downloading", error.to_string()),
            TransportError::Other(error) => error,
        }
    }
}

/// The way to mirrors.
#[derive(Clone, Debug)]
pub(super) struct Transport {
    host: HostApt,
}

impl Transport {
    pub(super) fn new(host: HostApt) -> Transport {
        Transport { host }
    }

    /// A small file.
    pub(super) fn text(&self, url: &str, limit: u64) -> Result<String, TransportError> {
        let mut bytes = Vec::new();
        let mut reader = self.open(url)?.take(limit + 1);
        reader.read_to_end(&mut bytes).map_err(|error| failed(url, &error))?;
        if bytes.len() as u64 > limit {
            return Err(content(without_password(url), format!("has more than {limit} bytes")).into());
        }
        String::from_utf8(bytes).map_err(|_| content(without_password(url), "is no text").into())
    }

    /// Downloads a file to `to`, which is there only when its size and hash are right.
    pub(super) fn file(&self, url: &str, size: u64, sha256: &str, to: &Path) -> Result<(), TransportError> {
        let directory = to.parent().unwrap_or(Path::new("."));
        let mut file = tempfile::NamedTempFile::new_in(directory).map_err(at("create a file in", directory))?;
        let mut reader = self.open(url)?.take(size + 1);
        let (mut hash, mut buffer, mut got) = (Sha256::new(), vec![0; 1 << 16], 0);
        loop {
            let read = reader.read(&mut buffer).map_err(|error| failed(url, &error))?;
            if read == 0 {
                break;
            }
            got += read as u64;
            hash.update(&buffer[..read]);
            file.write_all(&buffer[..read]).map_err(at("write", to))?;
        }
        let found = hex(&hash.finalize());
        if got != size || found != sha256 {
            let got = if got > size { "more".to_owned() } else { got.to_string() };
            let why = format!("has {got} bytes with sha256 {found}, the signed list says {size} and {sha256}");
            return Err(content(without_password(url), format!("{why}; try again, or name another mirror")).into());
        }
        file.persist(to).map(drop).map_err(|error| at("create", to)(error.error).into())
    }

    fn open(&self, url: &str) -> Result<Box<dyn Read>, TransportError> {
        if let Some(path) = local(url) {
            return match File::open(&path) {
                Ok(file) => Ok(Box::new(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(TransportError::Missing(url.to_owned())),
                Err(error) => Err(at("open", &path)(error).into()),
            };
        }
        let shown = without_password(url);
        let (bare, login) = self.host.login(url);
        let mut request = attohttpc::get(&bare).connect_timeout(PATIENCE).read_timeout(PATIENCE).max_redirections(10);
        request = request.proxy_settings(self.host.proxies().map_err(|why| content("the proxy of apt.conf", why))?);
        if let Some((user, password)) = login {
            request = request.basic_auth(user, Some(password));
        }
        let response = request.send().map_err(|error| failed(url, &error))?;
        match response.status().as_u16() {
            200 => Ok(Box::new(response)),
            404 | 410 => Err(TransportError::Missing(shown)),
            status => Err(content(shown, format!("the answer is status {status}; {ADVICE}")).into()),
        }
    }
}

fn failed(url: &str, error: &dyn std::error::Error) -> ImageError {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(below) = cause {
        why = format!("{why}: {below}");
        cause = below.source();
    }
    content(without_password(url), format!("{why}; {ADVICE}"))
}

/// The file that a URL names; `file:` as in sources.list(5), with or without slashes.
fn local(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file:").or_else(|| url.strip_prefix("copy:"))?;
    Some(PathBuf::from(path.strip_prefix("//").unwrap_or(path)))
}

/// A URL for messages.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let host = rest.split('/').next().unwrap_or_default();
    host.rfind('@').map_or_else(|| url.to_owned(), |at| format!("{scheme}://{}", &rest[at + 1..]))
}
