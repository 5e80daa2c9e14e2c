//! The folder of a failed trial.

use std::fs;

use expect_test::expect;
use protocol::images::Images;
use protocol::message::{Action, ActionEnd, ActionReport, ReportFile, TrialReport};

use super::run::failure;
use crate::report::artifacts::{Extra, folder_name, write};
use crate::report::record::TrialRecord;

fn report() -> TrialReport {
    let action = |action, after| ActionReport {
        action,
        end: ActionEnd::Done,
        error_lines: vec![],
        duration_ms: 1,
        after,
        unobservable: None,
        caller: Vec::new(),
        left: Vec::new(),
        second_try: None,
    };
    let file = |name: &str| ReportFile { name: name.into(), text: "log\n".into() };
    let mut images = Images::default();
    for (name, bytes) in [("1-core-1.img", &b"\xff\0"[..]), ("../../1-core-1.img", b""), ("README", b"not this")] {
        images.add(name.to_owned(), bytes.to_owned());
    }
    images.left_out.push("1-pages-1.img: 9000000 bytes".to_owned());
    TrialReport {
        images,
        before: Some(Default::default()),
        actions: vec![action(Action::Dump, None), action(Action::Restore, Some(Default::default()))],
        files: vec![file("dump.log"), file("../../etc/passwd"), file("verdict.json"), file("")],
        ..Default::default()
    }
}

#[test]
fn everything_is_in_it_and_nothing_outside() {
    let parent = tempfile::tempdir().unwrap();
    let extras = [Extra { name: "console.log", bytes: b"boot\xff\n" }];
    let path = write(parent.path(), &failure(), "mount tmpfs a\n", Some(&report()), &extras).unwrap();
    let again = write(parent.path(), &failure(), "mount tmpfs a\n", Some(&report()), &extras).unwrap();
    assert_eq!(path, again);
    let mut names: Vec<String> =
        fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    expect![[r#"
        2-verdict.json
        _.._etc_passwd
        after-2-restore.json
        before.json
        console.log
        differences.txt
        dump.log
        images
        program.scn
        unnamed
        verdict.json"#]]
    .assert_eq(&names.join("\n"));
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    let record: TrialRecord = serde_json::from_slice(&fs::read(path.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(record.artifacts.as_deref(), Some(path.as_path()));
    expect![[r#"
        fail(wrong-path)  deleted/un'linked@ext4/ns/dump-restore/6.12/debian:trixie
          fd0 (descriptor 3), inside: link: expected "/f (deleted)", got "/d/f" (and 4 more)
          fd0 (descriptor 3), inside and outside: link [wrong-path]
            expected  "/f (deleted)"
            got       "/d/f"
                        ^
          fd0 (descriptor 3), inside: lookup "\xff" (plain) [wrong-path]
            expected  "/a\xff"
            got       "/a\xfe"
                         ^
          fd0 (descriptor 3), inside: lookup "größe/日本" (plain) [wrong-path]
            expected  "/größe/日本/x"
            got       "/größe/日本/y"
                                   ^
          fd0 (descriptor 3), outside: lookup "long" (beneath) [wrong-path]
            expected  "/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory//expected"
            got       "/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory/directory//got"
                                                                                                                                                 ^
            ... and 7 more differences
    "#]].assert_eq(&fs::read_to_string(path.join("differences.txt")).unwrap());
}

#[test]
fn images_are_kept_as_they_were_sent() {
    let parent = tempfile::tempdir().unwrap();
    let path = write(parent.path(), &failure(), "", Some(&report()), &[]).unwrap().join("images");
    let read = |name: &str| fs::read(path.join(name)).unwrap();
    assert_eq!(read("1-core-1.img"), b"\xff\0");
    assert_eq!(read("_.._1-core-1.img"), b"");
    assert_eq!(read("2-README"), b"not this");
    let about = String::from_utf8(read("README")).unwrap();
    assert!(about.contains("crit show") && about.ends_with("1-pages-1.img: 9000000 bytes\n"), "{about}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 4);
    let without = TrialReport { images: Images::default(), ..report() };
    let path = write(parent.path(), &failure(), "", Some(&without), &[]).unwrap();
    assert!(!path.join("images").exists());
}

#[test]
fn names_of_folders_are_readable_and_unique() {
    expect!["deleted_f@ext4_ns_dump-restore_6.12_debian_trixie-985429fb"]
        .assert_eq(&folder_name("deleted/f@ext4/ns/dump-restore/6.12/debian:trixie"));
    assert_ne!(folder_name("a/b"), folder_name("a_b"));
    assert_eq!(folder_name(&"x".repeat(500)).len(), 129);
}

#[test]
fn a_folder_that_cannot_be_written_is_reported_with_its_path() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    let error = write(&file, &failure(), "", None, &[]).unwrap_err().to_string();
    assert!(error.contains("file/deleted_un_linked"), "{error}");
}
