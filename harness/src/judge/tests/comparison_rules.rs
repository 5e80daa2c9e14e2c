//! For each known mistake of a restore: which comparison sees it, what the verdict is, and what a
//! person reads.

use expect_test::{Expect, expect};
use protocol::Observation;
use protocol::observation::*;
use scenarios::Errno;

use super::fixture::*;
use crate::judge::comparisons::{Mode, compare};

/// Applies a change to a restored observation, and shows the first differences; the verdict has the
/// kind of the first.
fn check(change: impl Fn(&mut Observation), expected: &Expect) {
    let mut after = restored(observation(3));
    change(&mut after);
    let differences = compare(&observation(0), &after, Mode::Relational, None);
    let mut text = String::new();
    for difference in differences.iter().take(3) {
        let (kind, expected, got) = (difference.kind, &difference.expected, &difference.got);
        text.push_str(&format!("{kind} {}: {difference}: {expected} -> {got}\n", difference.comparison));
    }
    expected.assert_eq(&text);
}

/// Changes the object with this place in both views.
fn both(seen: &mut Observation, index: usize, change: impl Fn(&mut ObjectView)) {
    change(&mut seen.inside.objects[index]);
    change(&mut seen.outside.objects[index]);
}

fn ok<T>(outcome: &mut Outcome<T>) -> &mut T {
    match outcome {
        Outcome::Ok(value) => value,
        Outcome::Err(error) => panic!("{error}"),
    }
}

#[test]
fn attached() {
    let visible = |object: &mut ObjectView| {
        object.link = "/top/a/d/f".into();
        object.mount = World { shift: 3 }.mount(3, MountState::Visible);
    };
    check(
        |seen| both(seen, 0, visible),
        &expect![[r#"
            wrong-mount mount-state: fd0 (descriptor 3), inside: mount state: detached -> visible
            wrong-mount mount-state: fd0 (descriptor 3), outside: mount state: detached -> visible
            wrong-mount same-mount: fd0 (descriptor 3), inside: mount: a mount of its own -> the mount on /top/a/d (number 2 from below)
        "#]],
    );
}

#[test]
fn parent_root_or_undeleted() {
    check(
        |seen| both(seen, 0, |object| object.link = "/d/f".into()),
        &expect![[r#"
            wrong-path link: fd0 (descriptor 3), inside: link: "/f" -> "/d/f"
            wrong-path link: fd0 (descriptor 3), outside: link: "/f" -> "/d/f"
        "#]],
    );
}

#[test]
fn ghost_copy() {
    check(
        |seen| both(seen, 0, |object| ok(&mut object.status).file.inode = 9),
        &expect![[r#"
            wrong-file file-identity: fd0 (descriptor 3), inside: file: the same file as the name a/d/f -> a file of its own
            wrong-file file-identity: fd0 (descriptor 3), outside: file: the same file as the name a/d/f -> the same file as fd0 (descriptor 3)
        "#]],
    );
}

#[test]
fn deleted_lost_links() {
    check(
        |seen| both(seen, 0, |object| ok(&mut object.status).links = 0),
        &expect![[r#"
            wrong-file link-count: fd0 (descriptor 3), inside: link count: 1 -> 0
            wrong-file link-count: fd0 (descriptor 3), outside: link count: 1 -> 0
        "#]],
    );
}

#[test]
fn split_mount() {
    check(
        |seen| both(seen, 1, |object| object.mount.id = 9),
        &expect![[r#"
            wrong-mount same-mount: fd1 (descriptor 4), inside: mount: the same mount as fd0 (descriptor 3) -> a mount of its own
            wrong-mount same-mount: fd1 (descriptor 4), outside: mount: the same mount as fd0 (descriptor 3) -> the same mount as fd1 (descriptor 4)
        "#]],
    );
}

#[test]
fn split_and_merged_descriptions() {
    check(
        |seen| seen.shared_descriptions.clear(),
        &expect![[r#"
            broken-sharing sharing: descriptor 3 and descriptor 3 of child, outside: one open file description -> two open file descriptions
            broken-sharing sharing: descriptor 3 and number 1 in flight to descriptor 6, outside: one open file description -> two open file descriptions
            broken-sharing sharing: descriptors 3 and 4, outside: one open file description -> two open file descriptions
        "#]],
    );
    check(
        |seen| seen.shared_descriptions.push((Object::Fd(3).into(), Object::Fd(5).into())),
        &expect![[r#"
            broken-sharing sharing: descriptors 3 and 5, outside: two open file descriptions -> one open file description
        "#]],
    );
}

#[test]
fn flags_position_and_locks() {
    check(
        |seen| both(seen, 0, |o| o.descriptor.as_mut().unwrap().flags ^= 0o2_002_000),
        &expect![[r#"
            wrong-flags descriptor-flags: fd0 (descriptor 3), inside: status flags: 0100002 (O_RDWR|O_LARGEFILE) -> 0102002 (O_RDWR|O_LARGEFILE|O_APPEND)
            wrong-flags descriptor-flags: fd0 (descriptor 3), outside: status flags: 0100002 (O_RDWR|O_LARGEFILE) -> 0102002 (O_RDWR|O_LARGEFILE|O_APPEND)
            wrong-flags close-on-exec: fd0 (descriptor 3), inside: close-on-exec: set -> not set
        "#]],
    );
    check(
        |seen| both(seen, 0, |o| o.descriptor.as_mut().unwrap().position = 0),
        &expect![[r#"
            wrong-flags position: fd0 (descriptor 3), inside: position: 3 -> 0
            wrong-flags position: fd0 (descriptor 3), outside: position: 3 -> 0
        "#]],
    );
    check(
        |seen| both(seen, 0, |o| o.descriptor.as_mut().unwrap().details.clear()),
        &expect![[r#"
            wrong-flags descriptor-details: fd0 (descriptor 3), inside: fdinfo line 1: "lock:\t1: FLOCK  ADVISORY  WRITE -1 07:01:103 0 EOF" -> (nothing)
            wrong-flags descriptor-details: fd0 (descriptor 3), outside: fdinfo line 1: "lock:\t1: FLOCK  ADVISORY  WRITE -1 07:01:103 0 EOF" -> (nothing)
        "#]],
    );
}

#[test]
fn mount_ro_lost() {
    check(
        |seen| both(seen, 0, |object| ok(&mut object.filesystem).flags ^= 1),
        &expect![[r#"
            wrong-mount mount-flags: fd0 (descriptor 3), inside: mount flags: 0x1020 (ST_RELATIME) -> 0x1021 (ST_RDONLY|ST_RELATIME)
            wrong-mount mount-flags: fd0 (descriptor 3), outside: mount flags: 0x1020 (ST_RELATIME) -> 0x1021 (ST_RDONLY|ST_RELATIME)
        "#]],
    );
}

#[test]
fn stale_content() {
    let stale = || Some(Outcome::Ok(Content { head: "HELLO".into(), ..hello() }));
    check(
        |seen| both(seen, 0, |object| object.content = stale()),
        &expect![[r#"
            wrong-content content: fd0 (descriptor 3), inside: content: "hello" (5 bytes, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824) -> "HELLO" (5 bytes, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824)
            wrong-content content: fd0 (descriptor 3), outside: content: "hello" (5 bytes, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824) -> "HELLO" (5 bytes, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824)
        "#]],
    );
}

#[test]
fn map_private_shared() {
    check(
        |seen| both(seen, 4, |o| o.mapping.as_mut().unwrap().permissions = "rw-p".into()),
        &expect![[r#"
            wrong-flags mapping-permissions: m (mapping 0x7f0000000000), inside: mapping permissions: rw-s -> rw-p
            wrong-flags mapping-permissions: m (mapping 0x7f0000000000), outside: mapping permissions: rw-s -> rw-p
        "#]],
    );
}

#[test]
fn another_file_is_reached() {
    let other = World { shift: 3 }.file(1, 5);
    check(
        |seen| both(seen, 2, |object| ok(&mut object.lookups[0].outcome).file = other),
        &expect![[r#"
            wrong-resolution lookups: fd2 (descriptor 5), inside: lookup "f" (plain): file: the same file as the name a/d/f -> the same file as the name a/link
            wrong-resolution lookups: fd2 (descriptor 5), outside: lookup "f" (plain): file: the same file as the name a/d/f -> the same file as the name a/link
        "#]],
    );
    check(
        |seen| both(seen, 2, |object| object.lookups[1].outcome = Outcome::Err(Errno::ENOENT.into())),
        &expect![[r#"
            wrong-resolution lookups: fd2 (descriptor 5), inside: lookup ".." (plain): "/" (directory, mount detached) -> ENOENT
            wrong-resolution lookups: fd2 (descriptor 5), outside: lookup ".." (plain): "/" (directory, mount detached) -> ENOENT
        "#]],
    );
}

#[test]
fn number_shifted() {
    check(
        |seen| both(seen, 2, |object| object.object = Object::Fd(6)),
        &expect![[r#"
            lost-object objects: fd2 (descriptor 5), inside: object: fd2 (descriptor 5) -> (nothing)
            lost-object objects: far (descriptor 6), inside: name: far -> fd2
            lost-object objects: fd2 (descriptor 5), outside: object: fd2 (descriptor 5) -> (nothing)
        "#]],
    );
}

#[test]
fn ghost_left() {
    let ghost = |seen: &mut Observation| {
        let mut name = seen.tree[3].clone();
        name.path = "a/d/link_remap.7".into();
        seen.tree.push(name);
    };
    check(
        ghost,
        &expect![[r#"
            litter tree-names: a/d/link_remap.7, tree: name: (nothing) -> regular file
        "#]],
    );
}

#[test]
fn parent_touched() {
    check(
        |seen| ok(&mut seen.tree[2].status).mtime = (1_800_000_000, 0),
        &expect![[r#"
            litter directory-times: a/d, tree: modification time: 1700000000.123456789 -> 1800000000.000000000
        "#]],
    );
}

#[test]
fn leaked_to_peer() {
    let leak = |seen: &mut Observation| {
        let mut mount = seen.mounts[0].clone();
        (mount.id, mount.mount_point) = (9999, "/tmp/.mnt-1".into());
        seen.mounts.push(mount.clone());
        seen.host_mounts.push(mount);
    };
    check(
        leak,
        &expect![[r#"
            litter mounts: /tmp/.mnt-1, mounts: mount: (nothing) -> a mount of ext4 "/dev/loop0", root "/y"
            litter host-mounts: /tmp/.mnt-1, host-mounts: mount: (nothing) -> a mount of ext4 "/dev/loop0", root "/y"
        "#]],
    );
}

#[test]
fn a_name_that_is_gone_and_a_mount_that_is_gone() {
    check(
        |seen| drop(seen.tree.remove(4)),
        &expect![[r#"
            wrong-content tree-names: a/link, tree: name: symbolic link -> (nothing)
        "#]],
    );
    check(
        |seen| seen.mounts.retain(|mount| mount.root.as_slice() != b"/y"),
        &expect![[r#"
            wrong-mount mounts: /top/a/d (number 2 from below), mounts: mount: a mount of ext4 "/dev/loop0", root "/y" -> (nothing)
        "#]],
    );
}

#[test]
fn peers_that_part() {
    let part = |seen: &mut Observation| {
        let mount = seen.mounts.iter_mut().find(|mount| mount.root.as_slice() == b"/x").unwrap();
        mount.propagation[0] = "shared:4711".into();
    };
    check(
        part,
        &expect![[r#"
            wrong-mount mount-propagation: /top/a/d (number 2 from below), mounts: propagation master: the same peer group as the mount on /top/a/d, propagation shared -> a peer group of its own
            litter host-mounts: /top/a/d, host-mounts: propagation shared: the same peer group as the mount on /top/a/d, propagation shared -> the same peer group as the mount on /top/a/d (number 2 from below), propagation master
            litter host-mounts: /top/a/d (number 2 from below), host-mounts: propagation master: the same peer group as the mount on /top/a/d, propagation shared -> the same peer group as the mount on /top/a/d (number 2 from below), propagation master
        "#]],
    );
}

#[test]
fn inode_numbers_in_link_texts_may_change_only_when_they_are_the_files_own() {
    let of = |(link, inode): (&str, u64)| {
        let mut seen = observation(0);
        both(&mut seen, 0, |object| {
            object.link = link.into();
            ok(&mut object.status).file.inode = inode;
        });
        seen
    };
    let same =
        |one, other| compare(&of(one), &of(other), Mode::Relational, None).iter().all(|d| d.comparison != "link");
    assert!(same(("/#9 (deleted)", 9), ("/#15 (deleted)", 15)));
    assert!(same(("/#9 (deleted)", 9), ("/#9 (deleted)", 15)));
    assert!(same(("pipe:[9]", 9), ("pipe:[15]", 15)));
    assert!(!same(("/#9 (deleted)", 9), ("/#15 (deleted)", 16)));
    assert!(!same(("/#8 (deleted)", 9), ("/#15 (deleted)", 15)));
}

#[test]
fn times_last_except_on_filesystems_that_are_made_anew() {
    let of = |fs_type: &str, mtime| {
        let mut seen = observation(0);
        for mount in seen.mounts.iter_mut().chain(&mut seen.host_mounts) {
            mount.fs_type = fs_type.into();
        }
        ok(&mut seen.tree[3].status).mtime = mtime;
        seen
    };
    let same =
        |fs_type, before, after| compare(&of(fs_type, before), &of(fs_type, after), Mode::Relational, None).is_empty();
    assert!(same("tmpfs", (7, 5), (7, 5)));
    assert!(!same("tmpfs", (7, 5), (7, 0)));
    assert!(!same("ext4", (7, 5), (7, 0)));
    assert!(same("proc", (7, 5), (8, 0)));
}

#[test]
fn times_of_an_overlays_scratch_directory_do_not_last_under_any_of_its_names() {
    let of = |options: &str, mtime| {
        let mut seen = observation(0);
        (seen.mounts[1].fs_type, seen.mounts[1].super_options) = ("overlay".into(), options.into());
        let file = ok(&mut seen.tree[1].status).file;
        seen.tree[1].path = "w/work".into();
        for entry in
            seen.tree.iter_mut().filter(|entry| matches!(&entry.status, Outcome::Ok(status) if status.file == file))
        {
            ok(&mut entry.status).mtime = mtime;
        }
        seen
    };
    let differences = |options| compare(&of(options, (7, 5)), &of(options, (8, 5)), Mode::Relational, None).len();
    assert_eq!(differences("rw,upperdir=/top/u,workdir=/top/w"), 0);
    assert_eq!(differences("rw,upperdir=/top/w,workdir=/top/other"), 2);
}

#[test]
fn a_comparison_that_is_off_sees_nothing() {
    let mut after = restored(observation(3));
    both(&mut after, 0, |object| object.descriptor.as_mut().unwrap().position = 0);
    assert_eq!(compare(&observation(0), &after, Mode::Relational, None).len(), 2);
    assert_eq!(compare(&observation(0), &after, Mode::Relational, Some("position")), []);
}
