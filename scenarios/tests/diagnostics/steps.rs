//! Mistakes in what the steps do: objects, paths, flags, limits.

use expect_test::expect;

use super::{shown, steps};

#[test]
fn trees() {
    steps(
        "x = fsmount ext4\ny = open-tree a noatime relatime\nz = open-tree a\nread z 1\nclose z\nmkdir z:d",
        expect![[r#"
            mine.scn:4:13: `fsmount` makes tmpfs and ramfs, not ext4
              |
            4 | x = fsmount ext4
              |             ^^^^
              mount it, then `open-tree`

            mine.scn:5:25: `relatime` contradicts `noatime`
              |
            5 | y = open-tree a noatime relatime
              |                         ^^^^^^^^

            mine.scn:7:6: `z` was opened with `path` and cannot be read
              |
            7 | read z 1
              |      ^

            mine.scn:9:7: `z` is closed
              |
            9 | mkdir z:d
              |       ^^^"#]],
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
fn a_subvolume_is_named_once() {
    steps(
        "mount btrfs a\nmount-again a b subvol=s subvolid=256",
        expect![[r#"
        mine.scn:5:26: `subvolid=` contradicts `subvol=`
          |
        5 | mount-again a b subvol=s subvolid=256
          |                          ^^^^^^^^^^^^
          it is written so: mount-again OF AT [subvol=PATH] [subvolid=ID] [ATTRIBUTE...]"#]],
    );
}

#[test]
fn settings_of_overlays() {
    steps(
        "overlay a lower=l upper=u work=w metacopy=on redirect-dir=off\noverlay b lower=l upper=u work=w nfs-export metacopy=on\n\
         overlay c lower=l upper=u work=w nfs-export index=off",
        expect![[r#"
            mine.scn:4:34: `metacopy=on` contradicts `redirect-dir=off`
              |
            4 | overlay a lower=l upper=u work=w metacopy=on redirect-dir=off
              |                                  ^^^^^^^^^^^

            mine.scn:5:45: `metacopy=on` contradicts `nfs-export`
              |
            5 | overlay b lower=l upper=u work=w nfs-export metacopy=on
              |                                             ^^^^^^^^^^^

            mine.scn:6:45: `index=off` contradicts `nfs-export`
              |
            6 | overlay c lower=l upper=u work=w nfs-export index=off
              |                                             ^^^^^^^^^"#]],
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
              it is written so: overlay AT lower=DIR... [upper=DIR] [work=DIR] [nfs-export] [metacopy=SETTING] [redirect-dir=SETTING] [index=SETTING] [xino=SETTING] [ATTRIBUTE...]

            mine.scn:5:10: missing: ro, nosuid, nodev, noexec, noatime, relatime, strictatime, nodiratime, nosymfollow
              |
            5 | remount a
              |          ^
              it is written so: remount AT [superblock] ATTRIBUTE...

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
