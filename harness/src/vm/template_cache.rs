//! Where templates are kept: in memory if there is room, else in the cache; one for each
//! [`template::key`].
//!
//! A template cache works like the cache of images. A template is built aside and renamed when it
//! is complete. Each has a lock, so that two runs make one template and none is removed under a
//! running VM. A damaged one is made anew. Templates are cheap to make and large, so old ones go
//! early.
//!
//! A template is in `/dev/shm`, in `XDG_RUNTIME_DIR` or in the cache: the first of these that is a
//! tmpfs with room. Its key is a hash of QEMU's version and program, of the command line
//! (accelerator, processor, memory, devices), of the kernel's and the initramfs's file identity
//! (which covers userland and agent), and for KVM of the host's processor and kernel. A criu that
//! the host sends later is not part of the key. The copy then removes `/run/criu.kdat`, because
//! another criu may misread it.
//!
//! The state of a template is read before its first use, and the memory meanwhile, at the lowest
//! priority. A template that is not as it was made is made again, and so is one of which no copy
//! answers, where a VM that boots does: a full disk is not the template's fault. While older runs
//! still use such a one, the next run makes a second beside it. After making one, only the four
//! used last stay, and none that was unused for a day. `image clean` removes by age and size. Where
//! no template is possible, VMs boot, and `doctor` and one line on standard error say why.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::geteuid;
use sha2::{Digest, Sha256};

use super::error::VmError;
use super::machine::VmSpec;
use super::template::{self, Template};
use crate::cache::error::{ImageError, content};
use crate::cache::progress::{Progress, Step};
use crate::cache::record::Look;
use crate::cache::{Built, Cache, Entry, Slot, State};

/// How many templates are kept when one more is made: those of a few kernels and of the subjects of
/// a comparison.
const KEEP: usize = 4;

/// Templates that were unused for so long are removed when one more is made.
pub const UNUSED_LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of the templates of one machine: the usual one, and the one that is made when runs use
/// the first and it is damaged.
const BESIDE: [&str; 2] = ["", "beside"];

/// What must stay free besides a guest's memory, in MiB.
const SLACK_MIB: u64 = 256;

/// Files up to so many bytes are read before a template is used: all but the memory. The state of a
/// machine has up to 0.4 MB, and its hash takes less than a millisecond.
const READ_FIRST: u64 = 4 << 20;

/// The file that says whose templates a folder in memory has.
const OWNER: &str = "cache";

/// Why the template could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NoTemplate {
    /// No place has room for it.
    #[error("no room for a saved VM of {needed_mib} MiB: {places}; free some space")]
    NoRoom {
        /// How much it may take.
        needed_mib: u64,
        /// Each place and what it has.
        places: String,
    },
    /// It could not be made or put in place.
    #[error("{0}")]
    Failed(#[from] ImageError),
    /// It cannot be read, or the machine cannot be described.
    #[error("{0}")]
    Vm(#[from] VmError),
    /// What there is does not work, and cannot be made anew now.
    #[error("the saved VMs of this kind are damaged, and older runs still use them")]
    InUse,
}

/// A template in use; it stays where it is until this is dropped.
#[derive(Debug)]
pub struct TemplateHandle {
    template: Arc<Template>,
    entry: Entry,
}

impl TemplateHandle {
    /// The template.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.entry.directory
    }

    /// Reads the whole memory, as long as that takes; what is wrong with it. Then the next run
    /// makes the template anew.
    ///
    /// # Errors
    /// A file is not as it was when the template was made.
    pub fn check_memory(&self) -> Result<(), String> {
        let checked = self.entry.record.check(&self.entry.directory, Look::Full);
        checked.inspect_err(|_| self.condemn())
    }

    /// It does not work, whatever it looks like: the next run makes it anew.
    pub(super) fn condemn(&self) {
        let _ = fs::remove_file(self.entry.directory.join(crate::cache::record::FILE));
    }
}

/// The places for templates, the best one first.
pub struct TemplateCache {
    places: Vec<PathBuf>,
    /// The cache's directory, for the file [`OWNER`]; none for a place of the caller's.
    owner: Option<PathBuf>,
    progress: Arc<dyn Progress>,
}

impl TemplateCache {
    /// The template cache that belongs to a cache of images: on `/dev/shm`, in `XDG_RUNTIME_DIR`,
    /// in the cache itself.
    pub fn of_cache(cache_dir: &Path, progress: Arc<dyn Progress>) -> Self {
        let owner = std::path::absolute(cache_dir).unwrap_or_else(|_| cache_dir.to_owned());
        let digest = Sha256::digest(owner.as_os_str().as_encoded_bytes());
        let name =
            format!("zdtm-detached-{}-{:02x}{:02x}{:02x}{:02x}", geteuid(), digest[0], digest[1], digest[2], digest[3]);
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let in_memory = [PathBuf::from("/dev/shm")].into_iter().chain(runtime).filter(|path| is_tmpfs(path));
        let places = in_memory.map(|path| path.join(&name)).chain([owner.join("templates")]).collect();
        Self { places, owner: Some(owner), progress }
    }

    /// A template cache in one place.
    pub fn at(place: &Path, progress: Arc<dyn Progress>) -> Self {
        Self { places: vec![place.to_owned()], owner: None, progress }
    }

    /// The template of a machine, made now if it is missing. `spec`'s directory is that of the
    /// machine that is saved.
    ///
    /// # Errors
    /// [`NoTemplate`]: boot instead.
    pub fn template(&self, spec: &VmSpec, deadline: Instant) -> Result<TemplateHandle, NoTemplate> {
        for name in BESIDE {
            let slot = slot(spec, name)?;
            if let Some(handle) = self.in_slot(&slot, spec, deadline)? {
                return Ok(handle);
            }
            self.note("template: the saved VM is damaged, and older runs still use it; another one is taken");
        }
        Err(NoTemplate::InUse)
    }

    /// The template in this slot; `None` where it is damaged and in use.
    fn in_slot(&self, slot: &Slot, spec: &VmSpec, deadline: Instant) -> Result<Option<TemplateHandle>, NoTemplate> {
        let cache = self.open(self.place(spec, slot)?)?;
        let start = Instant::now();
        // What ends the run, as a boot would.
        let mut ended = None;
        let entry = cache.obtain_unless_used(slot, |to, _| {
            self.note("template: booting a VM, warming it up, saving it");
            Template::make(spec, to, deadline).map_err(|error| {
                let text = error.to_string();
                ended = matches!(error, VmError::Interrupted | VmError::NoBoot(_)).then_some(error);
                content("the saved VM", text)
            })?;
            self.note(&format!("template: made in {:.1} s", start.elapsed().as_secs_f64()));
            Ok(Some(Built { version: spec.qemu.version.clone(), packages: Vec::new() }))
        });
        let entry = entry.map_err(|error| ended.map_or_else(|| error.into(), NoTemplate::Vm))?;
        let Some(entry) = entry else { return Ok(None) };
        let template = Arc::new(Template::open(&entry.directory)?);
        // What cannot be removed now is removed another time.
        let _ = cache.prune(slot.kind, KEEP);
        let _ = self.remove_unused(&cache, UNUSED_LIMIT);
        Ok(Some(TemplateHandle { template, entry }))
    }

    /// Where the template of a machine is, or would be made; for people.
    ///
    /// # Errors
    /// [`NoTemplate`]
    pub fn look(&self, spec: &VmSpec) -> Result<String, NoTemplate> {
        let slot = slot(spec, BESIDE[0])?;
        let place = self.place(spec, &slot)?;
        let at = place.display();
        match self.open(place)?.state(&slot, Look::Quick) {
            State::Whole(_) => Ok(format!("VMs are copies of one that is saved in {at}")),
            State::Absent => Ok(format!("none yet: the next run saves one in {at}")),
            State::Damaged(why) => Ok(format!("the one in {at} is damaged and will be made anew: {why}")),
        }
    }

    /// Every template: its name, its size in bytes, how long ago it was used.
    ///
    /// # Errors
    /// A place cannot be listed.
    pub fn all(&self) -> Result<Vec<(String, u64, Duration)>, ImageError> {
        let there = self.places.iter().filter(|place| place.is_dir());
        Ok(there.map(|place| self.open(place)?.images()).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Removes a template unless it is in use; true when it is gone.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self, name: &str) -> Result<bool, ImageError> {
        match self.places.iter().find(|place| place.join("images").join(name).is_dir()) {
            Some(place) => self.open(place)?.remove(name),
            None => Ok(false),
        }
    }

    /// Removes what killed runs left, and the shelves in memory whose cache is gone.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove_scratch(&self) -> Result<(), ImageError> {
        for place in self.places.iter().filter(|place| place.is_dir()) {
            self.open(place)?.remove_scratch()?;
            for orphan in orphans(place) {
                let cache = Cache::open(&orphan, Arc::clone(&self.progress))?;
                let mut busy = false;
                for (name, ..) in cache.images()? {
                    busy |= !cache.remove(&name)?;
                }
                if !busy {
                    let _ = fs::remove_dir_all(&orphan);
                }
            }
        }
        Ok(())
    }

    fn remove_unused(&self, cache: &Cache, limit: Duration) -> Result<(), ImageError> {
        for (name, _, age) in cache.images()? {
            if age >= limit {
                cache.remove(&name)?;
            }
        }
        self.remove_scratch()
    }

    /// The place that has the template, or the first with room for it.
    fn place(&self, spec: &VmSpec, slot: &Slot) -> Result<&Path, NoTemplate> {
        let has = |place: &&PathBuf| place.join("images").join(slot.directory()).is_dir() && is_ours(place);
        if let Some(place) = self.places.iter().find(has) {
            return Ok(place);
        }
        let needed_mib = u64::from(spec.memory_mib) + SLACK_MIB;
        let mut places = Vec::new();
        for place in &self.places {
            if place.symlink_metadata().is_ok() && !is_ours(place) {
                places.push(format!("{} belongs to somebody else", place.display()));
                continue;
            }
            match room_mib(place) {
                Ok(free) if free >= needed_mib => return Ok(place),
                Ok(free) => places.push(format!("{} has {free} MiB", place.display())),
                Err(error) => places.push(format!("{}: {error}", place.display())),
            }
        }
        Err(NoTemplate::NoRoom { needed_mib, places: places.join(", ") })
    }

    fn open(&self, place: &Path) -> Result<Cache, ImageError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(place);
        made.map_err(crate::cache::error::at("create", place))?;
        if !is_ours(place) {
            return Err(content(place.display().to_string(), "belongs to somebody else; remove it"));
        }
        if let Some(owner) = self.owner.as_ref().filter(|owner| !place.starts_with(owner)) {
            let file = place.join(OWNER);
            fs::write(&file, owner.as_os_str().as_encoded_bytes()).map_err(crate::cache::error::at("write", &file))?;
        }
        Ok(Cache::open(place, Arc::clone(&self.progress))?.reading_up_to(READ_FIRST))
    }

    fn note(&self, text: &str) {
        self.progress.step(Step::Note { text });
    }
}

fn slot(spec: &VmSpec, name: &str) -> Result<Slot, VmError> {
    Ok(Slot { kind: "template", name: name.to_owned(), key: template::key(spec)? })
}

fn is_tmpfs(path: &Path) -> bool {
    statfs(path).is_ok_and(|status| status.filesystem_type() == TMPFS_MAGIC)
}

/// `/dev/shm` is everybody's: a folder that another user made beforehand is not to be trusted with
/// a machine.
fn is_ours(place: &Path) -> bool {
    place
        .symlink_metadata()
        .is_ok_and(|data| data.is_dir() && data.uid() == geteuid().as_raw() && data.mode() & 0o022 == 0)
}

/// What a file may take here, in MiB; on a tmpfs that is memory too.
fn room_mib(place: &Path) -> io::Result<u64> {
    let there = place.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/"));
    let status = statfs(there)?;
    let block = u64::try_from(status.block_size()).unwrap_or(0);
    let free = status.blocks_available().saturating_mul(block) >> 20;
    if !is_tmpfs(there) {
        return Ok(free);
    }
    Ok(crate::process::memory::available_mib().map_or(free, |available| free.min(available)))
}

/// The folders beside `place` that were made for caches that are gone.
fn orphans(place: &Path) -> Vec<PathBuf> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let prefix = format!("zdtm-detached-{}-", geteuid());
    if !name(place).starts_with(&prefix) {
        return Vec::new();
    }
    let entries = place.parent().and_then(|parent| fs::read_dir(parent).ok());
    let beside = entries.into_iter().flatten().flatten().map(|entry| entry.path());
    let gone = |path: &PathBuf| {
        let owner = fs::read_to_string(path.join(OWNER)).ok().filter(|owner| !owner.is_empty());
        owner.is_some_and(|owner| !Path::new(&owner).exists())
    };
    beside.filter(|path| name(path).starts_with(&prefix) && is_ours(path)).filter(gone).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::architecture::Architecture;
    use crate::vm::{Accelerator, QemuProgram};

    fn spec(folder: &Path) -> VmSpec {
        let file = folder.join("file");
        fs::write(&file, "").unwrap();
        let qemu = QemuProgram {
            argv_prefix: vec!["qemu".into()],
            data_dirs: Vec::new(),
            module_dir: None,
            version: "10.0.2".to_owned(),
        };
        VmSpec {
            qemu,
            architecture: Architecture::Amd64,
            accelerator: Accelerator::Tcg,
            kernel: file.clone(),
            initramfs: file,
            memory_mib: 1,
            directory: folder.join("vm"),
            extra_cmdline: String::new(),
            criu: None,
        }
    }

    #[test]
    fn a_place_that_others_can_write_to_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let places = [folder.path().join("theirs"), folder.path().join("ours")];
        fs::create_dir(&places[0]).unwrap();
        fs::set_permissions(&places[0], fs::Permissions::from_mode(0o777)).unwrap();
        let cache = TemplateCache { places: places.to_vec(), owner: None, progress: Arc::new(|_: Step<'_>| {}) };
        let spec = spec(folder.path());
        assert_eq!(cache.place(&spec, &slot(&spec, "").unwrap()).unwrap(), places[1]);
        fs::set_permissions(&places[0], fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(cache.place(&spec, &slot(&spec, "").unwrap()).unwrap(), places[0]);
    }
}
