//! What instances of epoll, inotify and fanotify watch.

use protocol::observation::FileId;
use scenarios::Bytes;
use serde::{Deserialize, Serialize};

use crate::sys::FanotifyMark;

/// What an instance of epoll, inotify or fanotify watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WatchesImage {
    /// epoll(7): descriptors of the process.
    Epoll(Vec<PollImage>),
    /// inotify(7): files, by the numbers of the watches.
    Inotify(Vec<WatchImage>),
    /// fanotify(7)
    Fanotify {
        /// Of `fanotify_init`.
        flags: u32,
        /// Of `fanotify_init`.
        event_flags: u32,
        /// In the order in which the kernel has them.
        marks: Vec<MarkImage>,
    },
}

/// A descriptor in an epoll set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollImage {
    /// Its number.
    pub number: i32,
    /// `EPOLL*` bits.
    pub events: u32,
    /// What comes with an event.
    pub data: u64,
}

/// A watch of inotify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchImage {
    /// Its number.
    pub number: i32,
    /// `IN_*` bits.
    pub events: u32,
    /// What it is on.
    pub target: TargetImage,
}

/// A mark of fanotify.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkImage {
    /// File, mount or filesystem.
    pub mark: FanotifyMark,
    /// Further `FAN_MARK_*` bits.
    pub flags: u32,
    /// `FAN_*` bits.
    pub events: u64,
    /// What it is on.
    pub target: TargetImage,
}

/// How a watched file, or something on a watched mount, is found again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TargetImage {
    /// A description has it: an index into `descriptions`.
    Description(usize),
    /// A path on a visible mount.
    Path {
        /// An index into `mounts`.
        mount: usize,
        /// From the root of the mount; empty for the root itself.
        path: Bytes,
        /// Which must be found there.
        file: FileId,
    },
}
