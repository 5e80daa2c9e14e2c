//! An observation with what several comparisons want to know of it: which mount is which, and on which devices
//! time stamps outlive a restore.

use std::collections::BTreeMap;

use protocol::Observation;
use protocol::observation::{Mount, MountState, ObjectView, Outcome};
use scenarios::Bytes;

use super::difference::Side;
use super::facts::{Subject, TimeRule};

/// `TMPFS_MAGIC` and others, statfs(2) and include/uapi/linux/magic.h.
const TMPFS: u64 = 0x0102_1994;
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
pub(crate) struct Seen<'a> {
    /// What was seen.
    pub(crate) observation: &'a Observation,
    /// The mounts of the process and of the agent, each with its place in the stack on its mount point.
    pub(crate) mounts: Vec<(Subject, &'a Mount)>,
    times: BTreeMap<u64, TimeRule>,
}

impl<'a> Seen<'a> {
    /// Prepares an observation.
    pub(crate) fn new(observation: &'a Observation) -> Self {
        let mut mounts = Vec::new();
        for (at, nth, mount) in stacked(&observation.mounts) {
            mounts.push((Subject::Mount(at, nth), mount));
        }
        for (at, nth, mount) in stacked(&observation.host_mounts) {
            mounts.push((Subject::HostMount(at, nth), mount));
        }
        let mut times = BTreeMap::new();
        for (_, mount) in &mounts {
            if let Some(rule) = rule_of_type(mount.fs_type.as_slice()) {
                times.insert(device(mount), rule);
            }
        }
        for object in observation.inside.objects.iter().chain(&observation.outside.objects) {
            if let (Outcome::Ok(status), Outcome::Ok(filesystem)) = (&object.status, &object.filesystem) {
                if let Some(rule) = rule_of_magic(filesystem.magic) {
                    times.entry(status.file.device).or_insert(rule);
                }
                if object.mount.state == MountState::Internal {
                    times.insert(status.file.device, TimeRule::Nothing);
                }
            }
        }
        Self { observation, mounts, times }
    }

    /// Every object from either side.
    pub(crate) fn objects(&self) -> impl Iterator<Item = (Subject, &'a ObjectView)> {
        let side = |side: Side, objects: &'a [ObjectView]| {
            objects.iter().map(move |object| (Subject::Object(side, object.object), object))
        };
        side(Side::Inside, &self.observation.inside.objects)
            .chain(side(Side::Outside, &self.observation.outside.objects))
    }

    /// What outlives a restore of the times of a file on this device.
    pub(crate) fn time_rule(&self, device: u64) -> TimeRule {
        self.times.get(&device).copied().unwrap_or(TimeRule::Exact)
    }

    /// Whether the filesystem on this device is one that holds no files of its own, only the kernel's.
    pub(crate) fn is_made_anew(&self, device: u64) -> bool {
        self.time_rule(device) == TimeRule::Nothing
    }
}

fn rule_of_type(fs_type: &[u8]) -> Option<TimeRule> {
    match fs_type {
        b"tmpfs" => Some(TimeRule::WholeSeconds),
        _ => MADE_ANEW.iter().find(|(_, name)| *name == fs_type).map(|_| TimeRule::Nothing),
    }
}

fn rule_of_magic(magic: u64) -> Option<TimeRule> {
    match magic {
        TMPFS => Some(TimeRule::WholeSeconds),
        _ => MADE_ANEW.iter().find(|(number, _)| *number == magic).map(|_| TimeRule::Nothing),
    }
}

/// `st_dev` of files on this mount (makedev(3), the 64-bit form that stat(2) gives), except on btrfs.
pub(crate) fn device(mount: &Mount) -> u64 {
    let (major, minor) = (u64::from(mount.major), u64::from(mount.minor));
    (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12) | ((major & !0xfff) << 32)
}

/// Each mount with its mount point and how many are below it on the same one. The table's order is not used: it is
/// the order of mounting in older kernels and the order of numbers since 6.8.
fn stacked(mounts: &[Mount]) -> Vec<(Bytes, usize, &Mount)> {
    let parents: BTreeMap<u64, u64> = mounts.iter().map(|mount| (mount.id, mount.parent)).collect();
    let depth = |mount: &Mount| {
        let chain = std::iter::successors(Some(mount.id), |id| parents.get(id).copied());
        chain.take(mounts.len() + 1).count()
    };
    let mut sorted: Vec<&Mount> = mounts.iter().collect();
    sorted.sort_by_key(|mount| (&mount.mount_point, depth(mount), &mount.fs_type, &mount.root, &mount.source));
    let mut out: Vec<(Bytes, usize, &Mount)> = Vec::with_capacity(sorted.len());
    for mount in sorted {
        let nth = out.last().filter(|(at, ..)| *at == mount.mount_point).map_or(0, |(_, nth, _)| nth + 1);
        out.push((mount.mount_point.clone(), nth, mount));
    }
    out
}
