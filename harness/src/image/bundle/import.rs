//! Reads bundles, which may be somebody else's, and puts their images into the cache.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{FORMAT, HEAD, Hashed, Head, Packed, PackedFile};
use crate::architecture::Architecture;
use crate::archive::{self, ArchiveError, Limits, Member};
use crate::cache::error::{ImageError, at, content};
use crate::cache::record::{BuildRecord, Look, Package};
use crate::cache::{Built, Slot, State};
use crate::image::store::Store;

/// The most that [`HEAD`] may have, in bytes.
const HEAD_BYTES: u64 = 4 << 20;

/// The most that a bundle may have: all kernels and userlands together are a fifth of it.
const LIMITS: Limits = Limits { files: 20_000, bytes: 4 << 30 };

/// The most bytes of a version or a name.
const WORD_BYTES: usize = 200;

/// What became of an image of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// It is in the cache now.
    New,
    /// It was there already, the same.
    Present,
    /// An agent of other sources: this program uses its own.
    OtherAgent,
}

impl Store {
    /// Reads a bundle, whose digest must be `sha256` where that is given, and puts its images into
    /// the cache; title, version and what became of each.
    ///
    /// # Errors
    /// It is damaged, hostile, or of another manifest or lock: then the cache is as before. The
    /// cache cannot be written to: then some images are there, each of them whole.
    pub fn import(&self, from: &Path, sha256: Option<&str>) -> Result<Vec<(String, String, Imported)>, ImageError> {
        const PREFIX: &str = "bundle.";
        let _lock = self.cache.lock_by_name(PREFIX.trim_end_matches('.'))?;
        self.cache.remove_leftovers(PREFIX)?;
        let tmp = self.cache.root().join("tmp");
        let staging = tempfile::Builder::new().prefix(PREFIX).tempdir_in(&tmp);
        let staging = staging.map_err(at("create a directory in", &tmp))?;
        let refuse = |what: String| {
            content(from.display().to_string(), format!("cannot be imported, and nothing was changed: {what}"))
        };
        let file = File::open(from).map_err(at("open", from))?;
        let mut bytes = BufReader::with_capacity(1 << 18, Hashed::new(file));
        let mut unpacking = Unpacking { store: self, to: staging.path(), images: None, expected: VecDeque::new() };
        let read = archive::read(&mut bytes, LIMITS, |member, content| unpacking.take(member, content));
        let images = read.and_then(|()| unpacking.end()).map_err(|error| refuse(error.to_string()))?;
        let (_, got) = bytes.into_inner().end();
        if let Some(wanted) = sha256.filter(|wanted| !wanted.eq_ignore_ascii_case(&got)) {
            return Err(refuse(format!("its sha256 is {got} instead of {wanted}")));
        }
        images.into_iter().map(|(slot, packed)| self.put(slot, packed, staging.path())).collect()
    }

    /// Puts an image in place that was unpacked below `staging`.
    fn put(
        &self,
        slot: Option<Slot>,
        packed: Packed,
        staging: &Path,
    ) -> Result<(String, String, Imported), ImageError> {
        let Some(slot) = slot else {
            return Ok((packed.kind, packed.version, Imported::OtherAgent));
        };
        let title = slot.title();
        let same = match self.cache.state(&slot, Look::Full) {
            State::Whole(record) => record.content_key() == packed.content_key(),
            State::Absent | State::Damaged(_) => false,
        };
        if same {
            return Ok((title, packed.version, Imported::Present));
        }
        let unpacked = staging.join(slot.directory());
        let version = packed.version.clone();
        let place = |to: &Path, _: Option<&BuildRecord>| {
            fs::rename(&unpacked, to).map_err(at("put in place", to))?;
            Ok(Some(Built { version: packed.version, packages: packed.packages }))
        };
        self.take(&slot, true, place, |_| ())?;
        Ok((title, version, Imported::New))
    }

    /// Which image of this program one in a bundle is; `None` for an agent of other sources.
    fn slot_of(&self, packed: &Packed) -> Result<Option<Slot>, String> {
        // A program has not always both.
        let agents = Architecture::ALL.into_iter().filter_map(|architecture| self.agent_slot(architecture).ok());
        let slots = self.images().into_iter().filter_map(|image| self.slot(image).ok());
        let mut slots = slots.chain(agents);
        let Packed { kind, name, key, .. } = packed;
        let Some(slot) = slots.find(|slot| slot.kind == kind && slot.name == *name) else {
            return match kind.as_str() {
                "agent" => Ok(None),
                _ => Err(format!("the manifest of this program has no {kind} {name:?}")),
            };
        };
        if slot.key == *key {
            return Ok(Some(slot));
        }
        if slot.kind == "agent" {
            return Ok(None);
        }
        let title = slot.title();
        Err(format!(
            "its {title} was made for another manifest ({key:.16} instead of {:.16}); export it anew",
            slot.key
        ))
    }
}

impl Packed {
    /// What is wrong with what is printed and kept of it.
    fn fault(&self) -> Option<String> {
        let is_word = |word: &&str| word.len() <= WORD_BYTES && word.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        let of_package = |package: &'_ Package| {
            [&package.name, &package.version, &package.suite, &package.sha256].map(|word| word.as_str().to_owned())
        };
        let words = self.packages.iter().flat_map(of_package).chain([self.version.clone()]);
        if let Some(word) = words.into_iter().find(|word| !is_word(&&**word)) {
            return Some(format!("{:?} is no version or name of a package", word.chars().take(40).collect::<String>()));
        }
        let is_key = self.key.len() == 64 && self.key.chars().all(|c| c.is_ascii_hexdigit());
        if !is_key || self.files.is_empty() {
            return Some(format!("the {} has no key or no file", self.kind));
        }
        let sorted = self.files.windows(2).all(|pair| pair[0].path < pair[1].path);
        (!sorted).then(|| format!("the files of {} are not sorted", self.folder()))
    }
}

/// A bundle on its way into the staging folder.
struct Unpacking<'a> {
    store: &'a Store,
    to: &'a Path,
    /// What [`HEAD`] says, with the image that each is in this program's manifest.
    images: Option<Vec<(Option<Slot>, Packed)>>,
    /// The files that must come, in this order.
    expected: VecDeque<PackedFile>,
}

impl Unpacking<'_> {
    fn take(&mut self, member: &Member<'_>, content: &mut dyn Read) -> Result<(), String> {
        if self.images.is_none() {
            self.images = Some(self.head(member, content)?);
            return Ok(());
        }
        let Some(file) = self.expected.pop_front() else { return Err(format!("is not in {HEAD}")) };
        if member.path != file.path || member.size != file.size {
            return Err(format!("comes with {} bytes where {} with {} should", member.size, file.path, file.size));
        }
        let mut unpacked = || -> io::Result<String> {
            let mut to = Hashed::new(archive::create(self.to, member)?);
            io::copy(content, &mut to)?;
            Ok(to.end().1)
        };
        match unpacked() {
            Ok(got) if got == file.sha256 => Ok(()),
            Ok(got) => Err(format!("its sha256 is {got} instead of {}", file.sha256)),
            Err(error) => Err(format!("cannot be unpacked into {}: {error}", self.to.display())),
        }
    }

    fn head(&mut self, member: &Member<'_>, content: &mut dyn Read) -> Result<Vec<(Option<Slot>, Packed)>, String> {
        if member.path != HEAD || member.size > HEAD_BYTES {
            return Err(format!("a bundle begins with {HEAD}, which has at most {HEAD_BYTES} bytes"));
        }
        let mut text = Vec::new();
        content.read_to_end(&mut text).map_err(|error| error.to_string())?;
        let head: Head = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        if head.format != FORMAT {
            return Err(format!("has format {}, this program reads {FORMAT}", head.format));
        }
        let mut known = BTreeSet::new();
        let mut images = Vec::new();
        for packed in head.images {
            if let Some(fault) = packed.fault() {
                return Err(fault);
            }
            let slot = self.store.slot_of(&packed)?;
            let folder = packed.folder();
            if !known.insert(folder.clone()) {
                return Err(format!("has {folder} twice"));
            }
            let prefixed = |file: &PackedFile| PackedFile {
                path: format!("{folder}/{}", file.path),
                size: file.size,
                sha256: file.sha256.clone(),
            };
            self.expected.extend(packed.files.iter().map(prefixed));
            images.push((slot, packed));
        }
        Ok(images)
    }

    fn end(mut self) -> Result<Vec<(Option<Slot>, Packed)>, ArchiveError> {
        match (self.images, self.expected.pop_front()) {
            (Some(images), None) => Ok(images),
            (None, _) => Err(ArchiveError::End(format!("there is no {HEAD}"))),
            (_, Some(file)) => Err(ArchiveError::End(format!("{} is missing", file.path))),
        }
    }
}
