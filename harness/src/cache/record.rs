//! The build record of an image (`bill.json`): which packages it is made of, and what each of its
//! files must look like.
//!
//! It is written last, so an image without one is half-made. A file whose size and modification
//! time are those of the build record is taken for whole without reading it; in doubt its hash
//! decides.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::{ImageError, at};

/// The file's name in an image's directory.
pub(crate) const FILE: &str = "bill.json";

/// The version of the build record's format.
const FORMAT: u32 = 1;

/// A Debian package that something is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version, with epoch.
    pub version: String,
    /// The suite that it was taken from.
    pub suite: String,
    /// SHA-256 of the `.deb`, hexadecimal.
    pub sha256: String,
    /// Size of the `.deb` in bytes.
    pub size: u64,
}

/// What an image is made of and what its files are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildRecord {
    format: u32,
    /// What the image is: the kernel's release, QEMU's version, ...
    pub version: String,
    /// The packages, sorted by name; empty for what is built here.
    pub packages: Vec<Package>,
    /// Seconds since 1970 when it was built.
    pub built_s: u64,
    /// The files, sorted by path.
    files: Vec<FileRecord>,
}

/// A file as it was when the image was built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct FileRecord {
    /// Relative to the image's directory.
    path: String,
    /// In bytes.
    size: u64,
    /// Hexadecimal.
    sha256: String,
    /// Modification time in nanoseconds since 1970.
    mtime_ns: u64,
}

/// How closely files are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Size and time; the hash where they differ.
    Quick,
    /// The same, and the hash of files up to so many bytes.
    UpTo(u64),
    /// The hash of everything.
    Full,
}

impl BuildRecord {
    /// Records all files below a directory.
    pub(crate) fn of(directory: &Path, version: String, packages: Vec<Package>) -> Result<BuildRecord, ImageError> {
        let mut files = Vec::new();
        let mut todo = vec![directory.to_path_buf()];
        while let Some(current) = todo.pop() {
            for entry in fs::read_dir(&current).map_err(at("list", &current))? {
                let path = entry.map_err(at("list", &current))?.path();
                let metadata = path.symlink_metadata().map_err(at("look at", &path))?;
                if metadata.is_dir() {
                    todo.push(path);
                    continue;
                }
                let name = path.strip_prefix(directory).expect("it was listed below it");
                files.push(FileRecord {
                    path: name.to_string_lossy().into_owned(),
                    size: metadata.len(),
                    sha256: sha256_of_entry(&path, &metadata)?,
                    mtime_ns: nanoseconds(metadata.modified().map_err(at("look at", &path))?),
                });
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let built_s = nanoseconds(SystemTime::now()) / 1_000_000_000;
        Ok(BuildRecord { format: FORMAT, version, packages, built_s, files })
    }

    /// Writes the build record into the image's directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), ImageError> {
        let path = directory.join(FILE);
        let text = serde_json::to_string_pretty(self).expect("strings and numbers have a JSON form");
        fs::write(&path, text).map_err(at("write", &path))
    }

    /// Reads an image's build record; the error says what is wrong with the image.
    pub(crate) fn read(directory: &Path) -> Result<BuildRecord, String> {
        let text = match fs::read_to_string(directory.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(format!("{FILE} is missing")),
            Err(error) => return Err(format!("{FILE} cannot be read: {error}")),
        };
        let record: BuildRecord = serde_json::from_str(&text).map_err(|error| format!("{FILE} is damaged: {error}"))?;
        if record.format != FORMAT {
            return Err(format!("{FILE} has format {}, this program writes {FORMAT}", record.format));
        }
        Ok(record)
    }

    /// Compares the files with the record; the error says what is wrong with the image. A file that
    /// was only touched gets its recorded time back, so that it is hashed once.
    pub(crate) fn check(&self, directory: &Path, look: Look) -> Result<(), String> {
        for record in &self.files {
            let path = directory.join(&record.path);
            let metadata = match path.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(format!("{} is missing", record.path));
                }
                Err(error) => return Err(format!("{} cannot be looked at: {error}", record.path)),
            };
            if metadata.len() != record.size {
                return Err(format!("{} has {} bytes instead of {}", record.path, metadata.len(), record.size));
            }
            let same_time = metadata.modified().is_ok_and(|time| nanoseconds(time) == record.mtime_ns);
            let hashed = match look {
                Look::Quick => false,
                Look::UpTo(bytes) => record.size <= bytes,
                Look::Full => true,
            };
            if same_time && !hashed {
                continue;
            }
            let got = sha256_of_entry(&path, &metadata).map_err(|error| error.to_string())?;
            if got != record.sha256 {
                return Err(format!("{} has changed: its sha256 is {got} instead of {}", record.path, record.sha256));
            }
            if !same_time && metadata.is_file() {
                // Not worth an error: without it the file is hashed again next time.
                let time = UNIX_EPOCH + Duration::from_nanos(record.mtime_ns);
                let _ = File::options().write(true).open(&path).and_then(|file| file.set_modified(time));
            }
        }
        Ok(())
    }

    /// The files' bytes together.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    /// Path relative to the image's directory and size in bytes of each file.
    pub fn files(&self) -> impl Iterator<Item = (&str, u64)> {
        self.files.iter().map(|file| (file.path.as_str(), file.size))
    }

    /// Path, size in bytes and SHA-256 of each file, sorted by path.
    pub(crate) fn contents(&self) -> impl Iterator<Item = (&str, u64, &str)> {
        self.files.iter().map(|file| (file.path.as_str(), file.size, file.sha256.as_str()))
    }

    /// A hash of all contents; the same for two builds that gave the same files.
    pub(crate) fn content_key(&self) -> String {
        let lines: Vec<String> = self.files.iter().map(|file| format!("{} {}\n", file.path, file.sha256)).collect();
        sha256(lines.concat().as_bytes())
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// SHA-256, hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a file's content, or of the target of a symbolic link, which stays itself: it may
/// lead out of the image.
fn sha256_of_entry(path: &Path, metadata: &fs::Metadata) -> Result<String, ImageError> {
    if metadata.is_symlink() {
        let target = fs::read_link(path).map_err(at("read", path))?;
        return Ok(sha256(target.as_os_str().as_encoded_bytes()));
    }
    sha256_of_file(path)
}

/// SHA-256 of a file's content, hexadecimal.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String, ImageError> {
    let mut file = File::open(path).map_err(at("open", path))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        match file.read(&mut buffer).map_err(at("read", path))? {
            0 => return Ok(hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

/// Hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> (tempfile::TempDir, BuildRecord) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("lib")).unwrap();
        fs::write(directory.path().join("vmlinux"), "kernel").unwrap();
        fs::write(directory.path().join("lib/a"), "library").unwrap();
        let record = BuildRecord::of(directory.path(), "6.12".into(), Vec::new()).unwrap();
        record.write(directory.path()).unwrap();
        (directory, record)
    }

    #[test]
    fn a_whole_image_is_whole_and_its_bill_reads_back() {
        let (directory, record) = image();
        assert_eq!(BuildRecord::read(directory.path()).unwrap(), record);
        assert_eq!(record.check(directory.path(), Look::Full), Ok(()));
        assert_eq!(record.size(), 13);
    }

    #[test]
    fn every_damage_is_reported() {
        let (directory, record) = image();
        let file = directory.path().join("vmlinux");
        let check = |look| record.check(directory.path(), look).unwrap_err();
        fs::write(&file, "kern").unwrap();
        assert_eq!(check(Look::Quick), "vmlinux has 4 bytes instead of 6");
        fs::write(&file, "kernal").unwrap();
        assert!(check(Look::Quick).starts_with("vmlinux has changed: its sha256 is "));
        fs::remove_file(&file).unwrap();
        assert_eq!(check(Look::Quick), "vmlinux is missing");
        fs::write(directory.path().join(FILE), "{").unwrap();
        assert!(BuildRecord::read(directory.path()).unwrap_err().starts_with("bill.json is damaged: "));
    }

    #[test]
    fn a_change_that_keeps_size_and_time_is_found_by_the_full_look() {
        let (directory, record) = image();
        let file = directory.path().join("vmlinux");
        let time = file.metadata().unwrap().modified().unwrap();
        fs::write(&file, "kernal").unwrap();
        File::options().write(true).open(&file).unwrap().set_modified(time).unwrap();
        assert_eq!(record.check(directory.path(), Look::Quick), Ok(()));
        assert!(record.check(directory.path(), Look::Full).is_err());
        assert_eq!(record.check(directory.path(), Look::UpTo(5)), Ok(()));
        assert!(record.check(directory.path(), Look::UpTo(6)).is_err());
    }

    #[test]
    fn a_touched_file_is_whole_and_gets_its_time_back() {
        let (directory, record) = image();
        let file = directory.path().join("vmlinux");
        File::options().write(true).open(&file).unwrap().set_modified(UNIX_EPOCH).unwrap();
        assert_eq!(record.check(directory.path(), Look::Quick), Ok(()));
        assert_ne!(file.metadata().unwrap().modified().unwrap(), UNIX_EPOCH);
    }
}
