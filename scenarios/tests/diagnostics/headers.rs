//! Mistakes in the lines before the steps, and in single points of the axes.

use expect_test::expect;

use super::shown;

#[test]
fn headers() {
    expect![[r#"
        mine.scn: the first line must be a comment that says in one line what this scenario is about

        mine.scn:2:1: `outcome` must stand before the first step
          |
        2 | outcome restored
          | ^^^^^^^"#]]
    .assert_eq(&shown(b"mkdir a\noutcome restored\n"));
    expect![[r#"
        mine.scn:2:10: unknown value `ext5`
          |
        2 | requires fs=ext4|ext5 kernel=6.12 flavor=nss a
          |          ^^^^^^^^^^^^
          expected: tmpfs, ramfs, ext4, xfs, btrfs, proc, sysfs, devpts, mqueue, devtmpfs, hugetlbfs, cgroup2, squashfs, erofs, vfat
          did you mean `ext4`?

        mine.scn:3:10: `` cannot be a value
          |
        3 | requires fs= x=1|1
          |          ^^^
          expected: letters, digits, `.`, `_`, `+` and `-`, at most 32

        mine.scn:4:10: the value `1` stands twice
          |
        4 | requires x=1|1
          |          ^^^^^

        mine.scn:5:10: the range of kernels is empty
          |
        5 | requires kernel=6.9..6.8
          |          ^^^^^^^^^^^^^^^
          expected: kernel=6.12.., kernel=..6.12, kernel=6.1..6.12

        mine.scn:6:10: this is not a range of kernels
          |
        6 | requires kernel=6
          |          ^^^^^^^^
          expected: kernel=6.12.., kernel=..6.12, kernel=6.1..6.12

        mine.scn:7:10: unknown value `nss`
          |
        7 | requires flavor=nss
          |          ^^^^^^^^^^
          expected: host, ns, userns
          did you mean `ns`?

        mine.scn:8:10: `fs` has no value
          |
        8 | requires fs
          |          ^^
          expected: NAME=VALUE|VALUE

        mine.scn:9:9: nothing is required
          |
        9 | requires
          |         ^
          expected: fs=tmpfs|ext4, base=whole|subdir, kernel=6.12.., flavor=ns, NAME=VALUE|VALUE

        mine.scn:10:9: unknown outcome
           |
        10 | outcome maybe
           |         ^^^^^
          expected: restored, refused "why nobody can restore it""#]].assert_eq(&shown(
        b"# s\nrequires fs=ext4|ext5 kernel=6.12 flavor=nss a\nrequires fs= x=1|1\nrequires x=1|1\nrequires kernel=6.9..6.8\nrequires kernel=6\n\
          requires flavor=nss\nrequires fs\nrequires\noutcome maybe\nassert cwd visible",
    ));
    expect![[r#"
        mine.scn:2:10: `$flavour` stands in no step
          |
        2 | requires flavour=ns|host
          |          ^^^^^^^^^^^^^^^
          did you mean `flavor`?

        mine.scn:3:16: the reason in quotes is missing
          |
        3 | outcome refused
          |                ^
          expected: restored, refused "why nobody can restore it"

        mine.scn:4:7: `$fs` is no axis of this file
          |
        4 | mount $fs a
          |       ^^^
          expected: $flavour
          an axis is made by `requires fs=VALUE|VALUE`"#]]
    .assert_eq(&shown(b"# s\nrequires flavour=ns|host\noutcome refused\nmount $fs a\nassert cwd visible"));
    expect![[r#"
        mine.scn:3:1: `pivot-root` needs a mount namespace of its own
          |
        3 | pivot-root a b
          | ^^^^^^^^^^
          add the line `requires flavor=ns`"#]]
    .assert_eq(&shown(b"# s\noutcome restored\npivot-root a b\nassert cwd visible"));
    expect!["mine.scn: the axes make 72 scenarios; at most 64 are allowed in one file"].assert_eq(&shown(
        b"# s\nrequires a=1|2|3|4|5|6|7|8|9 b=1|2|3|4|5|6|7|8\noutcome restored\nassert cwd lookup $a$b ENOENT",
    ));
}

#[test]
fn bases() {
    expect![[r#"
        mine.scn:2:10: unknown value `subdri`
          |
        2 | requires base=whole|subdri
          |          ^^^^^^^^^^^^^^^^^
          expected: whole, subdir, file, again, subvol
          did you mean `subdir`?

        mine.scn:4:6: `$of` is no axis of this file
          |
        4 | bind $of b
          |      ^^^
          an axis is made by `requires base=whole|subdir`"#]]
    .assert_eq(&shown(b"# s\nrequires base=whole|subdri\noutcome restored\nbind $of b\nassert cwd visible"));
    expect![[r#"
        mine.scn:2:10: `fs=tmpfs` goes with no value of `base`
          |
        2 | requires fs=tmpfs|ext4 base=again|subvol
          |          ^^^^^^^^^^^^^
          `base=again` needs ext4, xfs or btrfs, `base=subvol` needs btrfs"#]]
    .assert_eq(&shown(
        b"# s\nrequires fs=tmpfs|ext4 base=again|subvol\noutcome restored\nmount $fs a\nbind $of b\nassert cwd visible",
    ));
    expect![[r#"
        mine.scn:2:10: `$base` stands in no step
          |
        2 | requires base=whole at=1
          |          ^^^^^^^^^^
          an axis that changes nothing makes the same scenario several times

        mine.scn:2:21: `at` cannot be the name of an axis
          |
        2 | requires base=whole at=1
          |                     ^^^^
          `$at` is one of the variables that the axis `base` gives"#]]
    .assert_eq(&shown(b"# s\nrequires base=whole at=1\noutcome restored\nmkdir d\nassert cwd visible"));
    expect![[r#"
        mine.scn:3:6: `$of` is no axis of this file
          |
        3 | bind $of b
          |      ^^^
          an axis is made by `requires base=whole|subdir`"#]]
    .assert_eq(&shown(b"# s\noutcome restored\nbind $of b\nassert cwd visible"));
}

#[test]
fn mistakes_of_single_points_name_the_point() {
    let source =
        "# s\nrequires fs=tmpfs|ext4 how=bind|rbnd\noutcome restored\nmount $fs a\n$how a b\nassert cwd visible";
    expect![[r#"
        mine.scn:5:1: unknown step `rbnd` (with fs=tmpfs how=rbnd)
          |
        5 | $how a b
          | ^^^^
          expected: mount, mount-again, overlay, bind, rbind, move, remount, propagation, umount, umount-lazy, pivot-root, unshare-mounts, mkdir, write, append, truncate, symlink, link, rename, unlink, rmdir, mkfifo, mksocket, mknod, chmod, chown, setxattr, touch, subvolume, snapshot, delete-subvolume, seek, read, write-to, read-entries, lock, close, chdir, chroot, external, exec, fork, as, seal, set-owner, set-signal, exit, assert
          did you mean `rbind`?"#]].assert_eq(&shown(source.as_bytes()));
}
