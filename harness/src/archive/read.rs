//! Reads archives, which may be somebody else's.

use std::fs::{self, File};
use std::io::{self, BufRead, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;

/// The longest path in an archive, in bytes; the format has no room for more.
const PATH_BYTES: usize = 255;

/// What an archive may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Files.
    pub(crate) files: usize,
    /// Bytes after decompression, headers included.
    pub(crate) bytes: u64,
}

/// A file in an archive.
pub(crate) struct Member<'a> {
    /// Relative, below the folder that it is unpacked into: see [`is_plain_path`].
    pub(crate) path: &'a str,
    pub(crate) executable: bool,
    pub(crate) size: u64,
}

/// What is wrong with an archive, and where.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// It cannot be read, is damaged, or has what no archive of this program has.
    #[error("file {number} of it{}: {what}", named(.name))]
    Member {
        /// Which one, from 1.
        number: usize,
        /// Its name, as far as it is known.
        name: Option<String>,
        /// What is wrong.
        what: String,
    },
    /// After its last file.
    #[error("after its last file: {0}")]
    End(String),
}

fn named(name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!(" ({name:?})"))
}

/// Whether a path is relative and leads nowhere but down, by names of letters, digits and `._+-`.
fn is_plain_path(path: &str) -> bool {
    let is_name = |name: &str| {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
        !name.is_empty() && !name.chars().all(|c| c == '.') && name.chars().all(fits)
    };
    path.len() <= PATH_BYTES && path.split('/').all(is_name)
}

/// Reads an archive from its beginning to its end and gives each file and its content to `take`,
/// which has to read all of it; its error is what is wrong with the file.
///
/// # Errors
/// What is wrong, with its place. Nothing is known about the files that were given before.
pub(crate) fn read(
    from: impl BufRead,
    limits: Limits,
    mut take: impl FnMut(&Member<'_>, &mut dyn Read) -> Result<(), String>,
) -> Result<(), ArchiveError> {
    let mut frames = Limited { from: Unframed::Between(from), left: limits.bytes };
    let mut number = 0;
    let mut archive = tar::Archive::new(&mut frames);
    let place = |number, name: Option<&str>| {
        let name = name.map(str::to_owned);
        move |what: String| ArchiveError::Member { number, name, what }
    };
    let entries = archive.entries().map_err(|error| place(1, None)(error.to_string()))?;
    for entry in entries.raw(true) {
        number += 1;
        let entry = entry.map_err(|error| place(number, None)(cause(&error)))?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let refuse = place(number, Some(&path));
        if number > limits.files {
            return Err(refuse(format!("more than {} files", limits.files)));
        }
        if !entry.header().entry_type().is_file() {
            return Err(refuse(format!("is no ordinary file but of type {:?}", entry.header().entry_type())));
        }
        if !is_plain_path(&path) {
            return Err(refuse("its path is not made of plain names below one folder".to_owned()));
        }
        let executable = match entry.header().mode() {
            Ok(mode) => mode & 0o111 != 0,
            Err(error) => return Err(refuse(error.to_string())),
        };
        let size = entry.size();
        let mut content = Limited { from: entry, left: size };
        if let Err(what) = take(&Member { path: &path, executable, size }, &mut content) {
            return Err(refuse(what));
        }
        if content.left > 0 {
            return Err(refuse(format!("ends after {} of {size} bytes", size - content.left)));
        }
    }
    only_zeros(&mut frames).map_err(ArchiveError::End)
}

/// An error with the one below it: the decompressor's, for instance.
fn cause(error: &io::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Behind the last file an archive has zeros.
fn only_zeros(rest: &mut impl Read) -> Result<(), String> {
    let mut buffer = [0; 4096];
    loop {
        match rest.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) if buffer[..read].iter().all(|byte| *byte == 0) => {}
            Ok(_) => return Err("there is something else".to_owned()),
            Err(error) => return Err(cause(&error)),
        }
    }
}

/// Makes a new file below a folder, with the folders above it; an existing one is an error.
pub(crate) fn create(folder: &Path, member: &Member<'_>) -> io::Result<File> {
    let path = folder.join(member.path);
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    let mode = if member.executable { 0o755 } else { 0o644 };
    File::options().write(true).create_new(true).mode(mode).open(path)
}

/// Frames of Zstandard, one behind the other, as one stream.
enum Unframed<R: BufRead> {
    Between(R),
    Inside(Box<StreamingDecoder<R, ruzstd::decoding::FrameDecoder>>),
    Ended,
}

impl<R: BufRead> Read for Unframed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match std::mem::replace(self, Self::Ended) {
                Self::Ended => return Ok(0),
                Self::Between(mut from) => {
                    if from.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    let decoder = StreamingDecoder::new(from).map_err(io::Error::other)?;
                    *self = Self::Inside(Box::new(decoder));
                }
                Self::Inside(mut decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 || buffer.is_empty() {
                        *self = Self::Inside(decoder);
                        return Ok(read);
                    }
                    let recorded = decoder.decoder.get_checksum_from_data();
                    if recorded.is_some() && recorded != decoder.decoder.get_calculated_checksum() {
                        return Err(io::Error::other("a frame's checksum is wrong"));
                    }
                    *self = Self::Between(decoder.into_inner());
                }
            }
        }
    }
}

/// Ends with an error where more comes out than may.
struct Limited<R> {
    from: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, "more comes out of it than an archive may have")
        })?;
        Ok(read)
    }
}
