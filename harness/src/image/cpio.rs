//! Initramfs segments: uncompressed cpio archives in the `newc` format, as
//! `Documentation/driver-api/early-userspace/buffer-format.rst` of the kernel describes it.
//!
//! A writer of our own and no crate, because it is one header and some padding, and because
//! everything that could differ from one build to the next (times, owners, inode numbers, order) is
//! fixed here. `files_below` reads what was written here and nothing else. Any number of finished
//! segments can be concatenated: the kernel unpacks one after the other, later files win.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::cache::Built;
use crate::cache::error::{ImageError, at};

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Segment {
    bytes: Vec<u8>,
    entries: u32,
    directories: BTreeSet<String>,
}

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const CHARACTER: u32 = 0o020_000;

impl Segment {
    /// An archive without entries.
    pub fn new() -> Segment {
        Segment::default()
    }

    /// A directory with these permissions; those above it are made with 0755. One that is there
    /// already stays.
    pub fn directory(&mut self, path: &str, mode: u32) {
        if !self.directories.contains(path) {
            self.parents(path);
            self.directories.insert(path.to_owned());
            self.entry(path, DIRECTORY | mode, (0, 0), &[]);
        }
    }

    /// A regular file with these permissions.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.parents(path);
        self.entry(path, REGULAR | mode, (0, 0), content);
    }

    /// A symbolic link.
    pub fn symlink(&mut self, path: &str, target: &str) {
        self.parents(path);
        self.entry(path, SYMLINK | 0o777, (0, 0), target.as_bytes());
    }

    /// A character device.
    pub fn character_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.parents(path);
        self.entry(path, CHARACTER | mode, (major, minor), &[]);
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn parents(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent, 0o755);
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        assert!(!path.is_empty() && !path.starts_with('/'), "{path:?} must be relative to the guest's root");
        self.entries += 1;
        let links = if mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
        let size = u32::try_from(content.len()).expect("newc has 32 bits for a size, and no guest has such files");
        let name = u32::try_from(path.len() + 1).expect("paths are short");
        let fields =
            [self.entries, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name, 0].map(|n| format!("{n:08x}"));
        self.bytes.extend_from_slice(b"070701");
        self.bytes.extend_from_slice(fields.concat().as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Names and contents end at multiples of four bytes.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Name and content of the files of a finished segment whose paths start with `folder`, the prefix
/// taken off; `None` when it is not such a segment.
pub fn files_below<'a>(segment: &'a [u8], folder: &str) -> Option<Vec<(&'a str, &'a [u8])>> {
    const HEADER: usize = 110;
    let mut files = Vec::new();
    let mut rest = segment;
    loop {
        let header = rest.get(..HEADER).filter(|header| header.starts_with(b"070701"))?;
        let field = |index: usize| {
            let digits = std::str::from_utf8(&header[6 + 8 * index..][..8]).ok()?;
            usize::from_str_radix(digits, 16).ok()
        };
        let (mode, size, name_size) = (field(1)?, field(6)?, field(11)?);
        let name = rest.get(HEADER..HEADER + name_size.checked_sub(1)?)?;
        let name = std::str::from_utf8(name).ok()?;
        let start = (HEADER + name_size).next_multiple_of(4);
        let content = rest.get(start..start.checked_add(size)?)?;
        if name == "TRAILER!!!" {
            return Some(files);
        }
        if let Some(below) = name.strip_prefix(folder)
            && mode & 0o170_000 == REGULAR as usize
        {
            files.push((below, content));
        }
        rest = rest.get((start + size).next_multiple_of(4)..)?;
    }
}

/// The segments one after the other, in a file.
pub(crate) fn concatenate(segments: &[PathBuf], to: &Path) -> Result<Built, ImageError> {
    let mut out = std::fs::File::create(to).map_err(at("create", to))?;
    for segment in segments {
        let mut input = std::fs::File::open(segment).map_err(at("open", segment))?;
        std::io::copy(&mut input, &mut out).map_err(at("write", to))?;
    }
    Ok(Built { version: "built".into(), packages: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut segment = Segment::new();
        segment.directory("blank", 0o755);
        segment.file("blank/x-0", 0o644, b"hello");
        segment.symlink("blank/link", "x-0");
        segment.file("other", 0o644, b"");
        segment.file("blank/y-1", 0o644, b"");
        let bytes = segment.finish();
        let files: Vec<(&str, &[u8])> = vec![("x-0", b"hello"), ("y-1", b"")];
        assert_eq!(files_below(&bytes, "blank/"), Some(files));
        for end in 0..bytes.len() - 4 {
            // The trailer's padding is all that may be cut off.
            assert!(files_below(&bytes[..end], "blank/").is_none() || bytes[end..].iter().all(|&byte| byte == 0));
        }
        assert_eq!(files_below(b"no archive", ""), None);
    }

    #[test]
    fn the_bytes_are_newc() {
        let mut segment = Segment::new();
        segment.directory("dev", 0o755);
        segment.character_device("dev/console", 0o600, 5, 1);
        segment.file("usr/bin/x", 0o755, b"hello");
        segment.symlink("bin", "usr/bin");
        let bytes = segment.finish();
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap().replace("070701", "\n").replace('\0', ".");
        expect_test::expect![[r#"

            00000001000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000dev...
            00000002000021800000000000000000000000010000000000000000000000000000000000000005000000010000000c00000000dev/console...
            00000003000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000400000000usr...
            00000004000041ed0000000000000000000000020000000000000000000000000000000000000000000000000000000800000000usr/bin...
            00000005000081ed0000000000000000000000010000000000000005000000000000000000000000000000000000000a00000000usr/bin/x.hello...
            000000060000a1ff0000000000000000000000010000000000000007000000000000000000000000000000000000000400000000bin...usr/bin.
            00000007000000000000000000000000000000010000000000000000000000000000000000000000000000000000000b00000000TRAILER!!!...."#]]
        .assert_eq(&text);
    }

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let build = || {
            let mut segment = Segment::new();
            segment.file("a/b/c", 0o644, b"1");
            segment.file("a/b/d", 0o644, b"2");
            segment.finish()
        };
        assert_eq!(build(), build());
        assert_eq!(build().windows(4).filter(|window| window == b"a/b\0").count(), 1);
    }
}
