//! Small programs, each with one thing that is needed, and their words.

use super::words;

/// A file on a whole bind, opened, with steps before and after the detach.
fn whole(before: &str, open: &str, after: &str) -> String {
    words(&format!("mount tmpfs a\nwrite a/f \"hello\"\n{before}\nbind a b\n{open}\numount-lazy b\n{after}"))
}

#[test]
fn the_bases() {
    let on = |steps: &str| words(&format!("mount btrfs a\nmkdir a/d\nsubvolume a/s\nwrite a/d/f \"x\"\n{steps}"));
    assert_eq!(on("fd0 = open a/d/f"), "visible: btrfs");
    assert_eq!(on("bind a b\nfd0 = open b/d/f\numount-lazy b"), "whole: btrfs");
    assert_eq!(on("bind a/d b\nfd0 = open b/f\numount-lazy b"), "subdir: btrfs");
    assert_eq!(on("bind a/d/f b\nfd0 = open b\numount-lazy b"), "file: btrfs");
    assert_eq!(on("mount-again a b\nfd0 = open b/d/f\numount-lazy b"), "again: btrfs");
    assert_eq!(on("write a/s/f \"x\"\nbind a/s b\nfd0 = open b/f\numount-lazy b"), "subvol: btrfs");
    assert_eq!(on("write a/s/f \"x\"\nmount-again a b subvol=s\nfd0 = open b/f\numount-lazy b"), "subvol: btrfs");
    assert_eq!(on("write a/s/f \"x\"\nbind a b\nfd0 = open b/s/f\numount-lazy b"), "whole: btrfs in-subvolume");
    let two = "bind a b\nbind a/d c\nfd0 = open b/d/f\nfd1 = open c/f\numount-lazy b\numount-lazy c";
    assert_eq!(on(two), "whole subdir: opened-twice second-mount btrfs");
}

#[test]
fn the_first_mount_of_a_device_beside_a_second_one_is_mounted_again_as_well() {
    let steps = "mount ext4 a\nwrite a/f \"x\"\nmount-again a b\nfd0 = open a/f\numount-lazy a";
    assert_eq!(words(steps), "again:");
    // A copy in a peer group is a copy, and not the device once more.
    let steps = "mount tmpfs p\npropagation p shared\nbind p q\nmount ext4 p/m\nwrite p/m/f \"x\"\nbind p/m keep\n\
                 fd0 = open q/m/f\numount-lazy p/m";
    assert_eq!(words(steps), "whole: propagation");
}

#[test]
fn objects() {
    assert_eq!(whole("", "fd0 = open b/f rdwr", ""), "whole:");
    assert_eq!(whole("", "fd0 = open b directory", ""), "whole: directory");
    assert_eq!(whole("", "chdir b", ""), "whole: cwd");
    assert_eq!(whole("", "chroot b", ""), "whole: root");
    assert_eq!(whole("", "fd0 = open b/f path", ""), "whole: path-only");
    assert_eq!(whole("symlink \"f\" a/l", "fd0 = open b/l path nofollow", ""), "whole: path-only symlink");
    assert_eq!(whole("mkfifo a/p", "fd0 = open b/p rdwr", ""), "whole: fifo");
    assert_eq!(whole("mknod a/n char 1 3", "fd0 = open b/n", ""), "whole: device");
    assert_eq!(whole("", "fd0 = open b/f\nm = map fd0 private\nclose fd0", ""), "whole: mapping");
    let sent = "fd0 = open b/f\nnear = socketpair\nfar = peer near\nm = send near fd0";
    assert_eq!(whole("", &format!("{sent}\nclose fd0"), ""), "whole: in-flight");
    assert_eq!(whole("", sent, ""), "whole: in-flight dup");
    assert_eq!(whole("", "fd0 = open b/f\nfd1 = memfd \"x\"", ""), "whole: memfd");
}

#[test]
fn names() {
    let open = "fd0 = open b/f rdwr";
    assert_eq!(whole("", open, "unlink a/f"), "whole: deleted");
    assert_eq!(whole("", open, "unlink a/f\nwrite a/f \"other\""), "whole: deleted name-taken");
    assert_eq!(whole("link a/f a/g", open, "unlink a/f"), "whole: hard-link");
    assert_eq!(whole("link a/f a/g", open, ""), "whole: other-links");
    assert_eq!(whole("", open, "rename a/f a/g"), "whole: renamed");
    assert_eq!(whole("", open, "rename a/f a/g\nwrite a/f \"other\""), "whole: renamed name-taken");
    assert_eq!(whole("", "fd0 = open b tmpfile rdwr", ""), "whole: deleted o-tmpfile");
    let reused = "mkdir a/d\nwrite a/d/f \"x\"";
    let parent = "unlink a/d/f\nrmdir a/d\nwrite a/d \"other\"";
    assert_eq!(whole(reused, "fd0 = open b/d/f", parent), "whole: deleted removed-parent name-taken");
    let below = "mkdir a/d\nwrite a/d/f \"x\"";
    let removed = "unlink a/d/f\nrmdir a/d";
    assert_eq!(whole(below, "fd0 = open b/d/f", removed), "whole: deleted removed-parent");
    assert_eq!(whole("write \"a/two words\" \"x\"", "fd0 = open \"b/two words\"", ""), "whole: odd-name");
    assert_eq!(whole("write a/..f \"x\"", "fd0 = open b/..f", ""), "whole: odd-name");
    let suffix = ("write \"a/x (deleted)\" \"x\"", "fd0 = open \"b/x (deleted)\"");
    assert_eq!(whole(suffix.0, suffix.1, ""), "whole: deleted-suffix");
    let long = "n".repeat(255);
    assert_eq!(whole(&format!("write a/{long} \"x\""), &format!("fd0 = open b/{long}"), ""), "whole: long-name");
    let moved = "mount tmpfs a\nmkdir a/d\nwrite a/d/f \"x\"\nbind a/d b\nfd0 = open b/f\numount-lazy b";
    assert_eq!(words(&format!("{moved}\nrename a/d a/e")), "subdir: renamed");
}

#[test]
fn the_state_of_descriptors_and_files() {
    assert_eq!(whole("", "fd0 = open b/f\nseek fd0 2", ""), "whole: position");
    assert_eq!(whole("", "fd0 = open b/f append rdwr", ""), "whole: open-flags");
    assert_eq!(whole("", "fd0 = open b/f cloexec", ""), "whole: cloexec");
    assert_eq!(whole("", "fd0 = open b/f rdwr\nlock fd0 flock write", ""), "whole: lock");
    assert_eq!(whole("", "fd0 = open b/f\nfd1 = dup fd0", ""), "whole: dup");
    assert_eq!(whole("", "fd0 = open b/f\nfd1 = dup fd0 cloexec\nclose fd0", ""), "whole: cloexec");
    assert_eq!(whole("", "fd0 = open b/f\nfd1 = open b/f", ""), "whole: opened-twice same-mount");
    assert_eq!(whole("", "fd0 = open b directory\nread-entries fd0", ""), "whole: directory half-read-directory");
    assert_eq!(whole("truncate a/f 100", "fd0 = open b/f", ""), "whole: sparse");
    assert_eq!(whole("chmod a/f 600", "fd0 = open b/f", ""), "whole: metadata");
    assert_eq!(whole("", "fd0 = open b/f", "touch a/f 7"), "whole: metadata");
    assert_eq!(whole("write a/g \"x\"\nchmod a/g 600", "fd0 = open b/f", ""), "whole:");
}

#[test]
fn lookups_from_directories() {
    assert_eq!(whole("", "fd0 = open b directory", "write a/g \"x\""), "whole: directory made-since");
    assert_eq!(whole("", "fd0 = open b directory\nwrite a/g \"x\"", ""), "whole: directory");
    let link = "symlink \"f\" a/l";
    assert_eq!(whole(link, "fd0 = open b directory", ""), "whole: directory symlink-resolution");
    assert_eq!(whole(link, "fd0 = open b/f", ""), "whole:");
}

#[test]
fn mounts() {
    let bound = |bind: &str, after: &str| {
        words(&format!("mount tmpfs a\nmkdir a/n\nwrite a/f \"x\"\n{bind}\nfd0 = open b/f\numount-lazy b\n{after}"))
    };
    assert_eq!(bound("bind a b noexec", ""), "whole: attributes");
    assert_eq!(bound("bind a b relatime", ""), "whole:");
    assert_eq!(bound("remount a noexec\nbind a b", ""), "whole:");
    assert_eq!(bound("remount a noexec\nbind a b", "umount a"), "whole: attributes refusal");
    assert_eq!(bound("bind a b\nremount a ro", ""), "whole: attributes");
    assert_eq!(bound("propagation a shared\nbind a b", ""), "whole: propagation");
    assert_eq!(bound("bind a b\nmount tmpfs b/n", ""), "whole: child-mount");
    assert_eq!(bound("bind a/n b\nbind a b", ""), "whole: over-mount");
    assert_eq!(bound("bind a c\nmove c b", ""), "whole: moved");
    assert_eq!(bound("bind a b", "rmdir b"), "whole: mount-point-changed");
    assert_eq!(bound("bind a b", "rename b c"), "whole: mount-point-changed");
    assert_eq!(bound("bind a b", "umount a"), "whole: refusal");
    assert_eq!(bound("bind a b", "propagation a unbindable"), "whole: propagation");
    assert_eq!(bound("bind a b", "mount tmpfs a/n"), "whole: covered");
    assert_eq!(bound("bind a b", "mount tmpfs a"), "whole: covered");
    assert_eq!(bound("bind a b\nfd1 = open a/f", ""), "whole: opened-twice visible-too");
    assert_eq!(bound("bind a b\nfd1 = open b/n", ""), "whole: directory same-mount");
    let second = "bind a b\nbind a c\nfd1 = open c/n\numount-lazy c";
    assert_eq!(bound(second, ""), "whole: directory second-mount");
    let other = "bind a b\nmount xfs x\nbind x y\nchdir y\numount-lazy y";
    assert_eq!(bound(other, ""), "whole: cwd two-filesystems xfs");
}

#[test]
fn only_detached_objects_count_where_there_are_any() {
    let visible = "mount tmpfs a\nwrite a/f \"x\"\nbind a b\nfd0 = open b/f append rdwr\nseek fd0 1";
    assert_eq!(words(visible), "visible: position open-flags");
    let beside = format!("{visible}\nbind a c\nchdir c\numount-lazy c");
    assert_eq!(words(&beside), "whole: cwd visible-too");
}

#[test]
fn a_step_that_the_model_refuses_is_left_out() {
    let steps = "mount tmpfs a\nwrite a/f \"x\"\nmkdir a\nbind a b\nfd0 = open b/f\nunlink b/no\numount-lazy b";
    assert_eq!(words(steps), "whole:");
}
