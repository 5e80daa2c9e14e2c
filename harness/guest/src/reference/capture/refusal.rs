//! Why an object cannot be captured: which one, and what is in the way.

use std::io;

use scenarios::Bytes;

/// A refusal: names the object, then the cause.
#[derive(Debug, thiserror::Error)]
#[error("{label} ({link:?}): {cause}")]
pub struct Refusal {
    /// The object: `fd 3`.
    pub label: String,
    /// Its link text.
    pub link: Bytes,
    /// What is in the way.
    pub cause: Cause,
}

/// What is in the way.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// Nothing to make the mount from.
    #[error("it is on a detached mount, and no visible mount shows its filesystem; keep one mounted")]
    NoVisibleMount,
    /// The filesystem is visible, that part of it is not.
    #[error("the root of its detached mount cannot be reached from any visible mount of the filesystem")]
    RootNotReachable,
    /// Several places would do, and nothing tells which is right.
    #[error("nothing tells which directory is the root of its detached mount: {0}")]
    Ambiguous(String),
    /// The path leads elsewhere.
    #[error("its path leads to another file, and it is not a deleted one")]
    NotUnderItsName,
    /// Its remaining names are out of reach.
    #[error("its name is gone, and none of its other names can be reached")]
    OtherNamesNotReachable,
    /// It would be another one.
    #[error("it is deleted, and a visible mount still has it or its directory for its root")]
    RootElsewhere,
    /// The subvolume would be another one.
    #[error("its btrfs subvolume is deleted")]
    SubvolumeGone,
    /// It may be of another layer than a new one would be.
    #[error(
        "it is deleted and on the device of one of the overlay's layers: nothing tells whether a new file would be"
    )]
    OfOneLayer,
    /// A new one would be in the upper layer.
    #[error("it is a removed directory of an overlay's lower layer, and has the links that it has there")]
    OfLowerLayer,
    /// Its other name would be made in the upper layer.
    #[error("it is deleted and has other names on an overlay with an index: a new name would change the upper layer")]
    OfIndex,
    /// The flag of the descriptor comes with a new file only.
    #[error("it was opened with O_TMPFILE and has got a name since: no other open gives that flag")]
    NamedSince,
    /// The mount would have to have another flag for the moment of the open.
    #[error("it is an open device on a mount that is nodev now: it cannot be opened there again")]
    DeviceForbidden,
    /// It would have to be made again where nothing can be made.
    #[error("it is deleted and would have to be made again, but its directory cannot be written: {0}")]
    CannotBeMadeAgain(io::Error),
    /// Too much for a checkpoint.
    #[error("it is deleted and holds more than {0} bytes")]
    TooLarge(usize),
    /// The caller does not promise to have it at the restore.
    #[error(
        "it is on a mount of another namespace, and the caller does not give it (`--external file[MNT:INO]` of criu)"
    )]
    Outside,
    /// Something else covers it.
    #[error("it is on a visible mount, but something else is mounted over it there")]
    Covered,
    /// criu would open the root again, which does not keep the mount attached nowhere.
    #[error("it is the root of a mount that was never attached; close its descriptor first")]
    TreeIsOpen,
    /// Another descriptor would have to end the mount with its close.
    #[error(
        "it is the root of a mount that was never attached, and which descriptor keeps that in being is not certain"
    )]
    KeeperUnknown,
    /// The mount would have to be on another one again.
    #[error("its detached mount is still connected to another one, which single mounts would not be")]
    Connected,
    /// The key of criu does not tell which.
    #[error("criu knows it by the key file[MNT:INO], which another name, or another file of the same number, has too")]
    NotTheOnlyOne,
    /// The one would be made by criu, the other by the assistance.
    #[error("it is deleted and also open on a detached mount: they would be two files afterwards")]
    Both,
    /// criu would open it with that flag through a magic link.
    #[error("it was opened with O_NOFOLLOW, and criu cannot open a file that it is given with this flag")]
    NotFollowed,
    /// A socket to somebody else.
    #[error("the socket is not connected to another one of the process")]
    PeerElsewhere,
    /// A kind of object that this engine does not know.
    #[error("{0} is not supported")]
    Unsupported(String),
    /// Something that this engine was asked to do without.
    #[error("{0}")]
    NotLearnt(String),
    /// A call failed.
    #[error("{0}: {1}")]
    Call(&'static str, io::Error),
}

impl Cause {
    /// For `map_err`: a call that failed.
    pub fn of(what: &'static str) -> impl Fn(io::Error) -> Cause {
        move |error| Cause::Call(what, error)
    }
}
