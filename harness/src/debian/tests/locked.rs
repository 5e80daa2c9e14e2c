//! Locked packages: from the mirror, from the snapshot service, or not at all.

use std::fs;
use std::sync::{Arc, Mutex};

use super::http::{end, of_directory, serve};
use super::{Mirror, deb, fetch_as, file};
use crate::cache::progress::Step;
use crate::debian::host::HostApt;
use crate::debian::index::Deb;
use crate::debian::lock::Locked;
use crate::debian::source::SourceSettings;

/// The mirror's package `a` as it is now.
fn locked(mirror: &Mirror) -> Locked {
    let index = crate::debian::index::Index::parse(&mirror.packages, "s").unwrap();
    let Deb { package, path, .. } = index.get("a").unwrap().clone();
    let debs = vec![Deb { package, path, ..Deb::default() }];
    Locked { name: "test".into(), of: "ab".into(), date: "20261130T080000Z".into(), debs }
}

/// What is fetched of `a`, or the error; and the notes.
fn fetched(mirror: &Mirror, locked: Option<&Locked>, settings: SourceSettings) -> (String, String) {
    let notes = Arc::new(Mutex::new(String::new()));
    let to = Arc::clone(&notes);
    let progress = Arc::new(move |step: Step<'_>| {
        if let Step::Note { text } = step {
            to.lock().unwrap().push_str(text);
        }
    });
    let result = fetch_as(mirror.archive(HostApt::default()), &["a"], locked, settings, progress);
    let content = match result {
        Ok((_directory, unpacked)) => fs::read_to_string(unpacked.root.join("f")).unwrap(),
        Err(error) => error.to_string(),
    };
    let notes = notes.lock().unwrap().clone();
    (content, notes)
}

#[test]
fn what_is_locked_is_taken_as_long_as_it_is_somewhere() {
    let mut mirror = Mirror::new(&[("a", "", &[("f", "old")])]);
    let lock = locked(&mirror);
    // The archive has a newer one, and the old one still.
    let new = deb(|tar| file(tar, "f", "new"));
    mirror.write("pool/a_2_amd64.deb", &new);
    let hash = crate::cache::record::sha256(&new);
    mirror.packages +=
        &format!("Package: a\nVersion: 2\nFilename: pool/a_2_amd64.deb\nSize: {}\nSHA256: {hash}\n\n", new.len());
    mirror.publish("");
    let nowhere = || SourceSettings { snapshot: Some("http://127.0.0.1:1".into()), ..SourceSettings::default() };
    assert_eq!(fetched(&mirror, Some(&lock), nowhere()), ("old".into(), String::new()));
    assert_eq!(fetched(&mirror, None, nowhere()).0, "new");

    // Then it does not: the snapshot service has it.
    let path = "archive/debian/20261130T080000Z/pool/a_1_amd64.deb";
    let old = mirror.directory.path().join("pool/a_1_amd64.deb");
    mirror.write(path, &fs::read(&old).unwrap());
    fs::remove_file(old).unwrap();
    let directory = mirror.directory.path().to_owned();
    let (address, thread) = serve(move |head| of_directory(&directory, head));
    let service = || SourceSettings { snapshot: Some(format!("http://{address}/")), ..SourceSettings::default() };
    assert_eq!(fetched(&mirror, Some(&lock), service()), ("old".into(), String::new()));

    // Something else under its name is not it.
    mirror.write(path, b"evil");
    let (content, note) = fetched(&mirror, Some(&lock), service());
    assert_eq!(content, "new");
    assert!(
        note.contains("test: today's packages: neither the mirror nor the snapshot service has pool/a_1"),
        "{note}"
    );
    assert!(note.contains("the signed list says "), "{note}");
    let strict = SourceSettings { locked: true, ..service() };
    let (error, _) = fetched(&mirror, Some(&lock), strict);
    assert!(
        error.starts_with("test as locked: neither the mirror nor the snapshot service has pool/a_1_amd64.deb"),
        "{error}"
    );
    assert!(error.contains("; `zdtm-detached image update` makes one of today's packages, "), "{error}");
    end(&address, thread);

    // The service does not answer.
    let (content, note) = fetched(&mirror, Some(&lock), nowhere());
    assert!(content == "new" && note.contains("has pool/a_1_amd64.deb (http://127.0.0.1:1/archive/"), "{note}");
}

#[test]
fn an_image_without_an_entry_is_an_error_for_gates() {
    let mirror = Mirror::new(&[("a", "", &[("f", "x")])]);
    let (content, note) = fetched(&mirror, None, SourceSettings::default());
    assert_eq!((content.as_str(), note.is_empty()), ("x", false));
    let (error, _) = fetched(&mirror, None, SourceSettings { locked: true, ..SourceSettings::default() });
    expect_test::expect!["test as locked: vm-images/images.lock has no entry for what vm-images/images.toml says of it; `zdtm-detached image update` makes one of today's packages, --snapshot URL names another service, and without --locked today's packages are taken"]
        .assert_eq(&error);
}
