//! Mistakes about what others change.

use expect_test::expect;

use super::shown;

#[test]
fn what_others_cannot_change() {
    let source = |lines: &str| {
        format!(
            "# A summary.\nrequires lifecycle=changed-tree\noutcome restored\n\nfd0 = open a/f\nassert fd0 visible\n{lines}"
        )
    };
    expect![[r#"
        mine.scn:7:7: a step is missing after `change`
          |
        7 | change
          |       ^
          expected: append, chmod, link, mkdir, rename, rmdir, symlink, truncate, unlink, write

        mine.scn:9:1: a step after a `change`: what others change comes last
          |
        9 | write a/f "x"
          | ^^^^^"#]]
    .assert_eq(&shown(source("change\nchange mkdir a\nwrite a/f \"x\"\n").as_bytes()));
    expect![[r#"
        mine.scn:7:8: `umount` is not something that others change in the tree
          |
        7 | change umount a
          |        ^^^^^^
          expected: append, chmod, link, mkdir, rename, rmdir, symlink, truncate, unlink, write

        mine.scn:8:15: others do not have the program's descriptors; a path starts at the top
          |
        8 | change unlink fd0:f
          |               ^^^^^"#]]
    .assert_eq(&shown(source("change umount a\nchange unlink fd0:f\nchange mkdir a/../b\n").as_bytes()));
}

#[test]
fn changes_belong_to_their_lifecycle() {
    let with = |lifecycle: &str, change: &str| {
        shown(format!("# A summary.\n{lifecycle}outcome restored\n\nassert cwd visible\n{change}").as_bytes())
    };
    expect![[r#"
        mine.scn:5:8: `change` says what happens between dump and restore
          |
        5 | change mkdir a
          |        ^^^^^
          add the line `requires lifecycle=changed-tree`"#]]
    .assert_eq(&with("", "change mkdir a\n"));
    expect!["mine.scn: lifecycle changed-tree without a line `change`: nothing would change"]
        .assert_eq(&with("requires lifecycle=changed-tree\n", ""));
}
