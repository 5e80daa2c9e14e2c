//! What people read when a scenario is wrong.

mod changes;
mod headers;
mod processes;
mod sockets;
mod states;
mod steps;
mod words;

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
              expected: mount, mount-again, overlay, bind, rbind, move, remount, propagation, umount, umount-lazy, pivot-root, unshare-mounts, mkdir, write, append, truncate, symlink, link, rename, unlink, rmdir, mkfifo, mksocket, mknod, chmod, chown, setxattr, touch, subvolume, snapshot, delete-subvolume, seek, read, write-to, read-entries, lock, close, chdir, chroot, external, exec, fork, as, seal, set-owner, set-signal, exit, assert
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
