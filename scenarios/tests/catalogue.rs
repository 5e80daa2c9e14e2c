//! The catalogue's loader and filters.

use std::fs;
use std::path::Path;

use expect_test::expect;
use scenarios::{Filter, catalogue};

fn shown(directory: &Path) -> String {
    let diagnostics = catalogue::load(directory).expect_err("the catalogue is wrong");
    let shown: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    shown.join("\n\n").replace(&directory.display().to_string(), "DIR")
}

#[test]
fn files_are_found_and_sorted() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("b/two.scn", "# s\noutcome restored\nassert cwd visible\n");
    write("a/deep/x.scn", "# s\nrequires fs=xfs|ext4\noutcome restored\nmount $fs a\nassert cwd visible\n");
    write("a/notes.txt", "nothing");
    let scenarios = catalogue::load(directory.path()).unwrap();
    let names: Vec<_> = scenarios.iter().map(|scenario| (&*scenario.name, &*scenario.family)).collect();
    assert_eq!(names, [("a/deep/x@ext4", "a/deep"), ("a/deep/x@xfs", "a/deep"), ("b/two", "b")]);
    assert_eq!(scenarios[2].file, Some(directory.path().join("b/two.scn")));
}

#[test]
fn all_that_is_wrong_is_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("a.scn"), "# s\noutcome restored\n").unwrap();
    fs::write(directory.path().join("B.scn"), "# s\noutcome restored\nmkdr a\n").unwrap();
    std::os::unix::fs::symlink("nowhere", directory.path().join("c.scn")).unwrap();
    expect![[r#"
        DIR/B.scn: the name `B` is not made of small letters, digits and `-`

        DIR/B.scn:3:1: unknown step `mkdr`
          |
        3 | mkdr a
          | ^^^^
          expected: mount, mount-again, overlay, bind, rbind, move, remount, propagation, umount, umount-lazy, pivot-root, unshare-mounts, mkdir, write, append, truncate, symlink, link, rename, unlink, rmdir, mkfifo, mksocket, mknod, chmod, chown, setxattr, touch, subvolume, snapshot, delete-subvolume, seek, read, write-to, read-entries, lock, close, chdir, chroot, external, exec, fork, as, seal, set-owner, set-signal, exit, assert
          did you mean `mkdir`?

        DIR/a.scn: no step is an `assert`: `outcome restored` would be worth nothing if the steps did not make the situation; say what must hold, `assert OBJECT detached` first of all

        DIR/c.scn: cannot be read: No such file or directory (os error 2)"#]].assert_eq(&shown(directory.path()));
}

#[test]
fn an_empty_directory_is_no_catalogue() {
    let directory = tempfile::tempdir().unwrap();
    expect!["DIR: there is no *.scn file in it"].assert_eq(&shown(directory.path()));
    expect!["DIR: cannot be read: No such file or directory (os error 2)"]
        .assert_eq(&shown(&directory.path().join("missing")));
}

#[test]
fn a_users_file_is_named_by_its_stem() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("My File.scn");
    fs::write(&path, "# s\noutcome restored\nassert cwd visible\n").unwrap();
    assert_eq!(catalogue::load_file(&path).unwrap()[0].name, "My File");
}

#[test]
fn filters() {
    let matches = |pattern: &str, name: &str| Filter::new(pattern).matches(name);
    assert!(matches("leted/unl", "deleted/unlinked@ext4"));
    assert!(!matches("ext3", "deleted/unlinked@ext4"));
    assert!(matches("deleted/*@ext4", "deleted/unlinked@ext4"));
    assert!(matches("*@*4", "deleted/unlinked@ext4"));
    assert!(matches("*", "x"));
    assert!(matches("*a*a*", "banana"));
    assert!(!matches("ab*ba", "aba"));
    assert!(!matches("unlinked*", "deleted/unlinked@ext4"));
    assert!(!matches("deleted/*@xfs", "deleted/unlinked@ext4"));
    assert!(!matches("*a*a*a*a*", "banana"));
    assert!(Filter::any(&[], "x"));
    assert!(Filter::any(&[Filter::new("y"), Filter::new("x")], "x"));
    assert!(!Filter::any(&[Filter::new("y")], "x"));
}
