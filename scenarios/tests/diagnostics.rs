//! What people read when a scenario is wrong.

use std::path::Path;

use expect_test::{Expect, expect};
use scenarios::text;

/// All diagnostics of a file, as they are shown.
fn shown(source: &[u8]) -> String {
    let diagnostics = text::scenarios(source, "mine", Path::new("mine.scn")).expect_err("the text is wrong");
    let shown: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    shown.join("\n\n")
}

/// The diagnostics of steps in an otherwise good file; the first step is on line 4.
fn steps(steps: &str, expected: Expect) {
    let source = format!("# A summary.\noutcome restored\n\n{steps}\nassert cwd visible\n");
    expected.assert_eq(&shown(source.as_bytes()));
}

#[test]
fn all_mistakes_of_a_file_are_reported_together() {
    steps(
        "mount tmpfs a\numount-lasy a\nfd0 = open a/f rdwr apend\nchmod a 0888\nbind a\nwrite a/f \"x\\q\"",
        expect![[r#"
            mine.scn:5:1: unknown step `umount-lasy`
              |
            5 | umount-lasy a
              | ^^^^^^^^^^^
              expected: mount, mount-again, overlay, bind, rbind, move, remount, propagation, umount, umount-lazy, pivot-root, mkdir, write, append, truncate, symlink, link, rename, unlink, rmdir, mkfifo, mknod, chmod, chown, setxattr, touch, subvolume, snapshot, delete-subvolume, seek, read, write-to, read-entries, lock, close, chdir, chroot, assert
              did you mean `umount-lazy`?

            mine.scn:6:21: unknown word `apend`
              |
            6 | fd0 = open a/f rdwr apend
              |                     ^^^^^
              expected: rdonly, wronly, rdwr, path, directory, nofollow, append, nonblock, direct, sync, noatime, cloexec, create, exclusive, truncate, tmpfile
              did you mean `append`?

            mine.scn:7:9: `0888` is not an octal number up to 7777
              |
            7 | chmod a 0888
              |         ^^^^
              expected: digits from 0 to 7, as in 0644
              it is written so: chmod P MODE

            mine.scn:8:7: missing: a path (TO)
              |
            8 | bind a
              |       ^
              it is written so: bind FROM TO [ATTRIBUTE...]

            mine.scn:9:13: a bad escape: known are \n \t \r \0 \\ \" \xHH
              |
            9 | write a/f "x\q"
              |             ^^"#]],
    );
}

#[test]
fn objects() {
    steps(
        "fd1 = open a\nfd1 = open b\ncwd = open c\nseek fd2 0\nclose fd1\nread fd1 1\nmkdir fd1:x\n\
         fd5 = open a path\nread fd5 1\nfd6 = map cwd shared\nassert exe same-description fd5\nfd7 = memfd \"x\"\nmkdir fd7:x",
        expect![[r#"
            mine.scn:5:1: `fd1` is made a second time
              |
            5 | fd1 = open b
              | ^^^
              every object has a name of its own, also when another one is closed

            mine.scn:6:1: `cwd` exists from the start and cannot be made
              |
            6 | cwd = open c
              | ^^^

            mine.scn:7:6: no step above makes an object `fd2`
              |
            7 | seek fd2 0
              |      ^^^
              expected: cwd, exe, fd1, root
              did you mean `fd1`?

            mine.scn:9:6: `fd1` is closed
              |
            9 | read fd1 1
              |      ^^^

            mine.scn:10:7: `fd1` is closed
               |
            10 | mkdir fd1:x
               |       ^^^^^

            mine.scn:12:6: `fd5` was opened with `path` and cannot be read
               |
            12 | read fd5 1
               |      ^^^

            mine.scn:13:11: `cwd` is no descriptor and cannot be mapped
               |
            13 | fd6 = map cwd shared
               |           ^^^

            mine.scn:14:8: `exe` is no descriptor
               |
            14 | assert exe same-description fd5
               |        ^^^

            mine.scn:16:7: no path starts from `fd7`: it is no directory
               |
            16 | mkdir fd7:x
               |       ^^^^^"#]],
    );
    steps(
        "fd1 = open a\nfd2 = open a\nfd3 = dup fd2\nassert fd1 detached\nread fd9 1\nclose fd1\nunlink exe:x",
        expect![[r#"
            mine.scn:7:8: `fd1` is closed further down (`close fd1`)
              |
            7 | assert fd1 detached
              |        ^^^
              assertions are tested when all steps are done, wherever they stand

            mine.scn:8:6: no step above makes an object `fd9`
              |
            8 | read fd9 1
              |      ^^^
              expected: cwd, exe, fd1, fd2, fd3, root
              did you mean `fd1`?

            mine.scn:10:8: no path starts from `exe`: it is no directory
               |
            10 | unlink exe:x
               |        ^^^^^"#]],
    );
}

#[test]
fn assertions_of_objects_that_are_closed_later() {
    steps(
        "fd1 = open a\nassert fd1 detached\nclose fd1",
        expect![[r#"
        mine.scn:5:8: `fd1` is closed further down (`close fd1`)
          |
        5 | assert fd1 detached
          |        ^^^
          assertions are tested when all steps are done, wherever they stand"#]],
    );
}

#[test]
fn paths() {
    steps(
        "mkdir /a\nmkdir a/../../b\nmkdir .zdtm/x\nmkdir ./.zdtm\nmkdir \"\"\nmkdir \"a\\0b\"\numount-lazy a/..\nmkdir a/.zdtm",
        expect![[r#"
            mine.scn:4:7: an absolute path
              |
            4 | mkdir /a
              |       ^^
              paths start from the program's top directory: leave the `/` out

            mine.scn:5:7: `..` leads above the top directory
              |
            5 | mkdir a/../../b
              |       ^^^^^^^^^

            mine.scn:6:7: `.zdtm` at the top belongs to the harness
              |
            6 | mkdir .zdtm/x
              |       ^^^^^^^

            mine.scn:7:7: `.zdtm` at the top belongs to the harness
              |
            7 | mkdir ./.zdtm
              |       ^^^^^^^

            mine.scn:8:7: an empty path; the top directory is `.`
              |
            8 | mkdir ""
              |       ^^

            mine.scn:9:7: a path cannot hold \0
              |
            9 | mkdir "a\0b"
              |       ^^^^^^

            mine.scn:10:13: `umount-lazy` cannot be done to the top directory
               |
            10 | umount-lazy a/..
               |             ^^^^"#]],
    );
    steps(
        "fd0 = open a/b\nmkdir fd0:../../x\nmkdir fd0:../../../x",
        expect![[r#"
        mine.scn:6:7: `..` leads above the top directory
          |
        6 | mkdir fd0:../../../x
          |       ^^^^^^^^^^^^^^"#]],
    );
}

#[test]
fn flags() {
    steps(
        "fd1 = open a rdonly rdwr\nfd2 = open a path append\nfd3 = open a tmpfile\nfd4 = open a rdwr rdwr\nbind a b ro noatime relatime\n\
         overlay o lower=a upper=b\nfd5 = open a wronly\nread fd5 1\nsetxattr a x \"y\"",
        expect![[r#"
            mine.scn:4:21: `rdwr` contradicts `rdonly`
              |
            4 | fd1 = open a rdonly rdwr
              |                     ^^^^

            mine.scn:5:19: with `path` the kernel ignores `append`
              |
            5 | fd2 = open a path append
              |                   ^^^^^^

            mine.scn:6:14: `tmpfile` needs write access: add `wronly` or `rdwr`
              |
            6 | fd3 = open a tmpfile
              |              ^^^^^^^

            mine.scn:7:19: `rdwr` stands a second time
              |
            7 | fd4 = open a rdwr rdwr
              |                   ^^^^

            mine.scn:8:21: `relatime` contradicts `noatime`
              |
            8 | bind a b ro noatime relatime
              |                     ^^^^^^^^

            mine.scn:9:19: an upper directory needs a work directory
              |
            9 | overlay o lower=a upper=b
              |                   ^^^^^^^
              add `work=DIR`, a directory on the filesystem of the upper one

            mine.scn:11:6: `fd5` is not open for reading
               |
            11 | read fd5 1
               |      ^^^

            mine.scn:12:12: an attribute's name starts with its namespace, xattr(7)
               |
            12 | setxattr a x "y"
               |            ^
              expected: user.NAME, trusted.NAME, security.NAME, system.NAME"#]],
    );
}

#[test]
fn words() {
    steps(
        "mkdir\nmkdir a b\nopen a\nx = mkdir a\nassert cwd detatched\nassert cwd lookup \"x\" ENOFILE\nassert cwd\nassert cwd not detached\n\
         mount ext5 a\ntouch a 1 2 3\ntouch a x\nfd0 = \nmkdir a b=c\nmkdir x:y=z\nseek 5 5\nmkdir größe\nmkdir a\"b\"\nmkdir \"a\"b\nmkdir \"a",
        expect![[r#"
            mine.scn:4:6: missing: a path (P)
              |
            4 | mkdir
              |      ^
              it is written so: mkdir P

            mine.scn:5:9: one word too many
              |
            5 | mkdir a b
              |         ^
              expected: the end of the line
              it is written so: mkdir P

            mine.scn:6:1: `open` makes an object, which needs a name
              |
            6 | open a
              | ^^^^
              it is written so: NAME = open P [FLAG...]

            mine.scn:7:5: `mkdir` makes no object
              |
            7 | x = mkdir a
              |     ^^^^^
              expected: open, dup, memfd, map

            mine.scn:8:12: unknown word `detatched`
              |
            8 | assert cwd detatched
              |            ^^^^^^^^^
              expected: detached, visible, internal, link, links, content, position, lookup, same-file, not, same-mount, same-description
              did you mean `detached`?

            mine.scn:9:23: unknown word `ENOFILE`
              |
            9 | assert cwd lookup "x" ENOFILE
              |                       ^^^^^^^
              expected: ENOENT, ENOTDIR, ELOOP, EXDEV, EACCES, EPERM, ENAMETOOLONG, ESTALE, EINVAL, EBADF, EIO, EAGAIN, ENODEV, ENXIO, EOPNOTSUPP, EROFS
              it is written so: assert OBJECT lookup "path" ERRNO

            mine.scn:10:11: a word is missing
               |
            10 | assert cwd
               |           ^
              expected: detached, visible, internal, link, links, content, position, lookup, same-file, not, same-mount, same-description

            mine.scn:11:16: unknown word `detached`
               |
            11 | assert cwd not detached
               |                ^^^^^^^^
              expected: same-file, same-mount, same-description

            mine.scn:12:7: unknown word `ext5`
               |
            12 | mount ext5 a
               |       ^^^^
              expected: tmpfs, ramfs, ext4, xfs, btrfs, proc, sysfs, devpts, mqueue
              did you mean `ext4`?

            mine.scn:13:13: this stands a second time
               |
            13 | touch a 1 2 3
               |             ^
              it is written so: touch P SECONDS [NANOSECONDS]

            mine.scn:14:9: `x` is not a number
               |
            14 | touch a x
               |         ^
              expected: a number (SECONDS)
              it is written so: touch P SECONDS [NANOSECONDS]

            mine.scn:15:6: a step that makes an object is missing
               |
            15 | fd0 = 
               |      ^
              expected: open, dup, memfd, map

            mine.scn:16:9: one word too many
               |
            16 | mkdir a b=c
               |         ^^^
              expected: the end of the line
              it is written so: mkdir P

            mine.scn:17:10: `=` cannot stand in a word without quotes
               |
            17 | mkdir x:y=z
               |          ^
              put the whole word, or what follows `=` or `:`, in double quotes

            mine.scn:18:6: `5` is not the name of an object
               |
            18 | seek 5 5
               |      ^
              expected: a small letter, then small letters, digits, `_` and `-`
              it is written so: seek OBJECT OFFSET

            mine.scn:19:9: `ö` cannot stand in a word without quotes
               |
            19 | mkdir größe
               |         ^
              put the whole word, or what follows `=` or `:`, in double quotes

            mine.scn:20:8: `"` cannot stand in a word without quotes
               |
            20 | mkdir a"b"
               |        ^
              put the whole word, or what follows `=` or `:`, in double quotes

            mine.scn:21:10: a blank is missing after the closing quote
               |
            21 | mkdir "a"b
               |          ^
              put the whole word, or what follows `=` or `:`, in double quotes

            mine.scn:22:7: the closing quote is missing
               |
            22 | mkdir "a
               |       ^^
              a newline in a word is written \n"#]],
    );
}

#[test]
fn limits() {
    let five = "mount ext4 a\nmount ext4 a\nmount ext4 a\nmount ext4 a\nmount xfs a\nmount ext4 a";
    steps(
        five,
        expect![[r#"
        mine.scn:9:7: a program has at most 4 of these filesystems
          |
        9 | mount ext4 a
          |       ^^^^"#]],
    );
    steps(
        "overlay o upper=b work=c\nremount a\nFD = open a\nfd3=open a",
        expect![[r#"
        mine.scn:4:25: missing: lower=DIR
          |
        4 | overlay o upper=b work=c
          |                         ^
          it is written so: overlay AT lower=DIR... [upper=DIR] [work=DIR] [nfs-export] [ATTRIBUTE...]

        mine.scn:5:10: missing: ro, nosuid, nodev, noexec, noatime, relatime, strictatime, nodiratime, nosymfollow
          |
        5 | remount a
          |          ^
          it is written so: remount AT ATTRIBUTE...

        mine.scn:6:1: `FD` is not the name of an object
          |
        6 | FD = open a
          | ^^
          expected: a small letter, then small letters, digits, `_` and `-`

        mine.scn:7:1: blanks are missing around `=`
          |
        7 | fd3=open a
          | ^^^^^^^^
          it is written so: fd3 = open PATH"#]],
    );
    let many = "mkdir a\n".repeat(256);
    steps(
        &many,
        expect![[r#"
        mine.scn:261:1: a program has at most 256 steps
            |
        261 | assert cwd visible
            | ^^^^^^"#]],
    );
    expect!["mine.scn: the file has 70000 bytes; at most 65536 are read"].assert_eq(&shown(&vec![b'#'; 70_000]));
}

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
          expected: tmpfs, ramfs, ext4, xfs, btrfs, proc, sysfs, devpts, mqueue
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
          expected: fs=tmpfs|ext4, kernel=6.12.., flavor=ns, NAME=VALUE|VALUE

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
        2 | requires flavour=ns|userns
          |          ^^^^^^^^^^^^^^^^^
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
    .assert_eq(&shown(b"# s\nrequires flavour=ns|userns\noutcome refused\nmount $fs a\nassert cwd visible"));
    expect![[r#"
        mine.scn:3:1: `pivot-root` needs a mount namespace of its own
          |
        3 | pivot-root a b
          | ^^^^^^^^^^
          add the line `requires flavor=ns` or `requires flavor=ns|userns`"#]]
    .assert_eq(&shown(b"# s\noutcome restored\npivot-root a b\nassert cwd visible"));
    expect!["mine.scn: the axes make 72 scenarios; at most 64 are allowed in one file"].assert_eq(&shown(
        b"# s\nrequires a=1|2|3|4|5|6|7|8|9 b=1|2|3|4|5|6|7|8\noutcome restored\nassert cwd lookup $a$b ENOENT",
    ));
}

#[test]
fn bytes_that_are_not_utf8() {
    expect![[r#"
        mine.scn:3:11: byte 0xff is not UTF-8
          |
        3 | 	mkdir grö�� x
          | 	         ^
          a byte in a name is written "\xHH", in quotes"#]]
    .assert_eq(&shown(b"# s\noutcome restored\n\tmkdir gr\xc3\xb6\xff\xfe x\nassert cwd visible"));
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
          expected: mount, mount-again, overlay, bind, rbind, move, remount, propagation, umount, umount-lazy, pivot-root, mkdir, write, append, truncate, symlink, link, rename, unlink, rmdir, mkfifo, mknod, chmod, chown, setxattr, touch, subvolume, snapshot, delete-subvolume, seek, read, write-to, read-entries, lock, close, chdir, chroot, assert
          did you mean `rbind`?"#]].assert_eq(&shown(source.as_bytes()));
}
