//! Mistakes in the words of a step, and bytes that are not UTF-8.

use expect_test::expect;

use super::{shown, steps};

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
              expected: open, dup, memfd, map, socketpair, peer, send, receive, open-tree, fsmount, epoll, inotify, fanotify

            mine.scn:8:12: unknown word `detatched`
              |
            8 | assert cwd detatched
              |            ^^^^^^^^^
              expected: detached, visible, elsewhere, internal, link, links, content, position, lookup, same-file, not, same-mount, same-description
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
              expected: detached, visible, elsewhere, internal, link, links, content, position, lookup, same-file, not, same-mount, same-description

            mine.scn:11:16: unknown word `detached`
               |
            11 | assert cwd not detached
               |                ^^^^^^^^
              expected: same-file, same-mount, same-description

            mine.scn:12:7: unknown word `ext5`
               |
            12 | mount ext5 a
               |       ^^^^
              expected: tmpfs, ramfs, ext4, xfs, btrfs, proc, sysfs, devpts, mqueue, devtmpfs, hugetlbfs, cgroup2, squashfs, erofs, vfat
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
              expected: open, dup, memfd, map, socketpair, peer, send, receive, open-tree, fsmount, epoll, inotify, fanotify

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
fn bytes_that_are_not_utf8() {
    expect![[r#"
        mine.scn:3:11: byte 0xff is not UTF-8
          |
        3 | 	mkdir grö�� x
          | 	         ^
          a byte in a name is written "\xHH", in quotes"#]]
    .assert_eq(&shown(b"# s\noutcome restored\n\tmkdir gr\xc3\xb6\xff\xfe x\nassert cwd visible"));
}
