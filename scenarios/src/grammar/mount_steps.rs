//! The forms of the steps that change mounts.

use super::words::{OnOff, words};
use super::{
    ATTRIBUTES, Argument, Count, Form, Kind, OFFSET, StepKind, argument, choice, label, number, place, switch,
};
use crate::program::{Filesystem, MountAttribute, OverlaySettings, Propagation, Step};

/// A setting of an overlay, on or off.
const fn setting(key: &'static str) -> Argument {
    choice("SETTING", words::<OnOff>).key(key).optional()
}

pub(super) static FORMS: &[Form] = &[
    Form {
        kind: StepKind::Mount,
        makes: false,
        arguments: &[choice("FS", words::<Filesystem>), place("AT"), ATTRIBUTES],
        help: "A new filesystem; the mount point is made when it is missing. It is empty, but for those of the kernel, and for \
               squashfs and erofs: they have a file `f` (`hello`) and a file `d/f` (`deeper`).",
        build: |a| Step::Mount { filesystem: a.word(), at: a.place(), attributes: a.words() },
    },
    Form {
        kind: StepKind::MountAgain,
        makes: false,
        arguments: &[
            place("OF"),
            place("AT"),
            label("PATH").key("subvol").optional(),
            number("ID", OFFSET).key("subvolid").optional(),
            ATTRIBUTES,
        ],
        help: "The block device that is mounted on OF, mounted once more, on btrfs by subvolume: its path or its number, \
               which is 5 for the top and counts the others from 256 on.",
        build: |a| Step::MountAgain { of: a.place(), at: a.place(), subvolume: a.subvolume(), attributes: a.words() },
    },
    Form {
        kind: StepKind::Overlay,
        makes: false,
        arguments: &[
            place("AT"),
            place("DIR").key("lower").some(),
            place("DIR").key("upper").optional(),
            place("DIR").key("work").optional(),
            switch("nfs-export"),
            setting("metacopy"),
            setting("redirect-dir"),
            setting("index"),
            setting("xino"),
            ATTRIBUTES,
        ],
        help: "overlayfs, the topmost lower layer first; upper and work are made when missing.",
        build: |a| Step::Overlay {
            at: a.place(),
            lower: a.places(),
            upper: a.places().pop(),
            work: a.places().pop(),
            nfs_export: a.switch(),
            settings: OverlaySettings {
                metacopy: a.on_off(),
                redirect_dir: a.on_off(),
                index: a.on_off(),
                xino: a.on_off(),
            },
            attributes: a.words(),
        },
    },
    Form {
        kind: StepKind::Bind,
        makes: false,
        arguments: &[place("FROM"), place("TO"), ATTRIBUTES],
        help: "A bind mount of a directory or file; the target is made when it is missing, a file for a file.",
        build: |a| Step::Bind { from: a.place(), to: a.place(), attributes: a.words(), recursive: false },
    },
    Form {
        kind: StepKind::Rbind,
        makes: false,
        arguments: &[place("FROM"), place("TO"), ATTRIBUTES],
        help: "The same with all mounts below FROM.",
        build: |a| Step::Bind { from: a.place(), to: a.place(), attributes: a.words(), recursive: true },
    },
    Form {
        kind: StepKind::Move,
        makes: false,
        arguments: &[place("FROM"), place("TO")],
        help: "A mount moves to another place, `MS_MOVE`.",
        build: |a| Step::Move { from: a.place(), to: a.place() },
    },
    Form {
        kind: StepKind::Remount,
        makes: false,
        arguments: &[
            place("AT"),
            switch("superblock"),
            argument("ATTRIBUTE", Kind::Word(words::<MountAttribute>), Count::Some),
        ],
        help: "The mount has exactly these attributes from now on. With `superblock ro` the filesystem is read-only, \
               and its mounts stay as they are.",
        build: |a| Step::Remount { at: a.place(), superblock: a.switch(), attributes: a.words() },
    },
    Form {
        kind: StepKind::Propagate,
        makes: false,
        arguments: &[place("AT"), choice("KIND", words::<Propagation>), switch("recursive")],
        help: "How mounts and unmounts spread, mount_namespaces(7).",
        build: |a| Step::Propagate { at: a.place(), kind: a.word(), recursive: a.switch() },
    },
    Form {
        kind: StepKind::Unmount,
        makes: false,
        arguments: &[place("AT")],
        help: "umount2(2); fails when the mount is in use.",
        build: |a| Step::Unmount { at: a.place(), lazy: false },
    },
    Form {
        kind: StepKind::UnmountLazy,
        makes: false,
        arguments: &[place("AT")],
        help: "umount2(2) with `MNT_DETACH`: gone from the tree at once, alive as long as something holds it.",
        build: |a| Step::Unmount { at: a.place(), lazy: true },
    },
    Form {
        kind: StepKind::PivotRoot,
        makes: false,
        arguments: &[place("NEW"), place("PUT-OLD")],
        help: "pivot_root(2), then the working directory is the new root. Needs `requires flavor=ns`.",
        build: |a| Step::PivotRoot { new_root: a.place(), put_old: a.place() },
    },
    Form {
        kind: StepKind::UnshareMounts,
        makes: false,
        arguments: &[switch("keep-old")],
        help: "A mount namespace of its own, unshare(2); what is open, mapped or executed stays on mounts of the old one. \
               That one is gone then, or `keep-old`: it lives on. Needs `requires flavor=ns`.",
        build: |a| Step::UnshareMounts { keep_old: a.switch() },
    },
];
