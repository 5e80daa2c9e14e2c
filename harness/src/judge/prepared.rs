//! An observation with what several comparisons want to know of it: which mount is which, and on
//! which devices time stamps outlive a restore.

use std::collections::{BTreeMap, BTreeSet};

use protocol::Observation;
use protocol::observation::{FileId, FileKind, FileStatus, Mount, MountState, ObjectView, Outcome, TreeEntry};
use scenarios::Bytes;

use super::difference::Side;
use super::facts::FactOwner;

/// Filesystems that hold the kernel's objects and no files of their own, by `f_type` (statfs(2),
/// include/uapi/linux/magic.h) and by name.
const MADE_ANEW: &[(u64, &[u8])] = &[
    (0x9fa0, b"proc"),
    (0x6265_6572, b"sysfs"),
    (0x1cd1, b"devpts"),
    (0x1980_0202, b"mqueue"),
    (0x5049_5045, b"pipefs"),
    (0x534f_434b, b"sockfs"),
    (0x6e73_6673, b"nsfs"),
    (0x0904_1934, b"anon_inodefs"),
    (0x6367_7270, b"cgroup2"),
];

/// An observation, prepared.
#[derive(Debug)]
pub(crate) struct PreparedObservation<'a> {
    /// What was seen.
    pub(crate) observation: &'a Observation,
    /// The mounts of the process and of the agent, each with its place in the stack on its mount
    /// point.
    pub(crate) mounts: Vec<(FactOwner<'a>, &'a Mount)>,
    made_anew: BTreeSet<u64>,
    stubs: BTreeSet<FileId>,
    scratch: BTreeSet<FileId>,
}

/// The inode number of the empty directory that is in a btrfs snapshot where the snapshotted
/// subvolume had another one (`BTRFS_EMPTY_SUBVOL_DIR_OBJECTID`, include/uapi/linux/btrfs_tree.h).
/// The kernel makes it up whenever it is looked up, with the time of that moment (`new_simple_dir`,
/// fs/btrfs/inode.c).
const BTRFS_STUB: u64 = 2;
/// `BTRFS_SUPER_MAGIC`, include/uapi/linux/magic.h.
const BTRFS_MAGIC: u64 = 0x9123_683e;

/// The stubs in an observation: by the filesystem where it is reported; of names in the tree by the
/// device, which is that of no other filesystem's mount (ext4 gives its root directory this number,
/// too).
fn stubs(observation: &Observation, mounts: &[(FactOwner<'_>, &Mount)]) -> BTreeSet<FileId> {
    let is_stub = |status: &&FileStatus| status.kind == FileKind::Directory && status.file.inode == BTRFS_STUB;
    let others = mounts.iter().filter(|(_, mount)| mount.fs_type.0 != b"btrfs");
    let devices: BTreeSet<u64> = others.map(|(_, mount)| device(mount)).collect();
    let tree = observation.tree.iter().filter_map(|entry| match &entry.status {
        Outcome::Ok(status) => Some(status),
        Outcome::Err(_) => None,
    });
    let tree = tree.filter(|status| !devices.contains(&status.file.device));
    let objects = observation.inside.objects.iter().chain(&observation.outside.objects);
    let objects = objects.filter_map(|object| match (&object.status, &object.filesystem) {
        (Outcome::Ok(status), Outcome::Ok(filesystem)) if filesystem.magic == BTRFS_MAGIC => Some(status),
        _ => None,
    });
    tree.chain(objects).filter(is_stub).map(|status| status.file).collect()
}

impl<'a> PreparedObservation<'a> {
    /// Prepares an observation.
    pub(crate) fn new(observation: &'a Observation) -> Self {
        let mut mounts = Vec::new();
        for (at, nth, mount) in stacked(&observation.mounts) {
            mounts.push((FactOwner::Mount(at, nth), mount));
        }
        for (at, nth, mount) in stacked(&observation.host_mounts) {
            mounts.push((FactOwner::HostMount(at, nth), mount));
        }
        let is_of_kernel =
            |mount: &&(FactOwner<'_>, &Mount)| MADE_ANEW.iter().any(|(_, name)| *name == mount.1.fs_type.as_slice());
        let mut made_anew: BTreeSet<u64> = mounts.iter().filter(is_of_kernel).map(|(_, mount)| device(mount)).collect();
        for object in observation.inside.objects.iter().chain(&observation.outside.objects) {
            if let (Outcome::Ok(status), Outcome::Ok(filesystem)) = (&object.status, &object.filesystem)
                && (object.mount.state == MountState::Internal
                    || MADE_ANEW.iter().any(|(magic, _)| *magic == filesystem.magic))
            {
                made_anew.insert(status.file.device);
            }
        }
        let stubs = stubs(observation, &mounts);
        Self { observation, mounts, made_anew, stubs, scratch: scratch(observation) }
    }

    /// Every object from either side.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (FactOwner<'a>, &'a ObjectView)> {
        let side = |side: Side, objects: &'a [ObjectView]| {
            objects.iter().map(move |object| (FactOwner::Object(side, object.id()), object))
        };
        side(Side::Inside, &self.observation.inside.objects)
            .chain(side(Side::Outside, &self.observation.outside.objects))
    }

    /// Whether the filesystem on this device is one that holds no files of its own, only the
    /// kernel's.
    pub(crate) fn is_made_anew(&self, device: u64) -> bool {
        self.made_anew.contains(&device)
    }

    /// Whether this is a directory that btrfs makes up: its times are those of the observation.
    pub(crate) fn is_stub(&self, file: FileId) -> bool {
        self.stubs.contains(&file)
    }

    /// Whether this is overlayfs's own scratch directory: every whiteout is made there, so a file
    /// cannot be put back on an overlay without moving its times.
    pub(crate) fn is_overlay_scratch(&self, file: FileId) -> bool {
        self.scratch.contains(&file)
    }
}

/// What is called `work` in the `workdir=` of an overlay, under whatever names it is seen.
fn scratch(observation: &Observation) -> BTreeSet<FileId> {
    let overlays = observation.mounts.iter().filter(|mount| mount.fs_type.0 == b"overlay");
    let words = overlays.flat_map(|mount| mount.super_options.0.split(|&byte| byte == b','));
    let workdirs: Vec<&[u8]> = words.filter_map(|word| word.strip_prefix(b"workdir=".as_slice())).collect();
    let is_there = |path: &Bytes| {
        let Some(workdir) = path.0.strip_suffix(b"/work") else { return false };
        workdirs.iter().any(|text| text.strip_suffix(workdir).is_some_and(|above| above.ends_with(b"/")))
    };
    let named = observation.tree.iter().filter(|entry| is_there(&entry.path));
    let file = |entry: &TreeEntry| match &entry.status {
        Outcome::Ok(status) => Some(status.file),
        Outcome::Err(_) => None,
    };
    named.filter_map(file).collect()
}

/// `st_dev` of files on this mount (makedev(3), the 64-bit form that stat(2) gives), except on
/// btrfs.
pub(crate) fn device(mount: &Mount) -> u64 {
    let (major, minor) = (u64::from(mount.major), u64::from(mount.minor));
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// Each mount with its mount point and how many are below it on the same one. The table's order is
/// not used: it is the order of mounting in older kernels and the order of numbers since 6.8.
fn stacked(mounts: &[Mount]) -> Vec<(&Bytes, usize, &Mount)> {
    let parents: BTreeMap<u64, u64> = mounts.iter().map(|mount| (mount.id, mount.parent)).collect();
    let depth = |mount: &Mount| {
        let chain = std::iter::successors(Some(mount.id), |id| parents.get(id).copied());
        chain.take(mounts.len() + 1).count()
    };
    let mut sorted: Vec<&Mount> = mounts.iter().collect();
    sorted.sort_by_key(|mount| (&mount.mount_point, depth(mount), &mount.fs_type, &mount.root, &mount.source));
    let mut out: Vec<(&Bytes, usize, &Mount)> = Vec::with_capacity(sorted.len());
    for mount in sorted {
        let nth = out.last().filter(|(at, ..)| *at == &mount.mount_point).map_or(0, |(_, nth, _)| nth + 1);
        out.push((&mount.mount_point, nth, mount));
    }
    out
}
