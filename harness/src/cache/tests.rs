//! The cache through its door: what is built once, noticed, rebuilt, waited for, removed.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;
use crate::cache::error::content;

struct Place {
    root: tempfile::TempDir,
    notes: Arc<Mutex<Vec<String>>>,
    cache: Cache,
}

fn open(root: &Path) -> (Cache, Arc<Mutex<Vec<String>>>) {
    let notes: Arc<Mutex<Vec<String>>> = Arc::default();
    let sink = notes.clone();
    let progress = move |step: Step<'_>| {
        if let Step::Note { text } = step {
            sink.lock().unwrap().push(text.to_owned());
        }
    };
    (Cache::open(root, Arc::new(progress)).unwrap(), notes)
}

fn place() -> Place {
    let root = tempfile::tempdir().unwrap();
    let (cache, notes) = open(root.path());
    Place { root, notes, cache }
}

fn slot() -> Slot {
    Slot { kind: "kernel", name: "6.12".into(), key: "0123456789abcdef0123".into() }
}

fn built(directory: &Path, text: &str) -> Result<Option<Built>, ImageError> {
    fs::write(directory.join("vmlinux"), text).unwrap();
    Ok(Some(Built { version: text.into(), packages: Vec::new() }))
}

fn no_build(_: &Path, _: Option<&BuildRecord>) -> Result<Option<Built>, ImageError> {
    panic!("the image is whole")
}

fn no_network(_: &Path, _: Option<&BuildRecord>) -> Result<Option<Built>, ImageError> {
    Err(content("downloading", "no network"))
}

#[test]
fn an_image_is_built_once() {
    let Place { cache, root: _root, .. } = place();
    let first = cache.obtain(&slot(), false, |to, _| built(to, "one")).unwrap();
    assert_eq!(fs::read_to_string(first.directory.join("vmlinux")).unwrap(), "one");
    assert_eq!(cache.obtain(&slot(), false, no_build).unwrap().record.version, "one");
    let mut other = slot();
    other.key = "f".repeat(64);
    assert_eq!(cache.obtain(&other, false, |to, _| built(to, "two")).unwrap().record.version, "two");
}

#[test]
fn damage_is_reported_and_repaired() {
    let Place { cache, notes, root } = place();
    let vmlinux = cache.obtain(&slot(), false, |to, _| built(to, "one")).unwrap().directory.join("vmlinux");
    fs::write(&vmlinux, "on").unwrap();
    assert_eq!(cache.obtain(&slot(), false, |to, _| built(to, "one")).unwrap().record.version, "one");
    let printed = notes.lock().unwrap().concat().replace(&root.path().display().to_string(), "CACHE");
    expect_test::expect![
        "kernel 6.12: vmlinux has 2 bytes instead of 3 in CACHE/images/kernel-6.12-0123456789abcdef; building it anew"
    ]
    .assert_eq(&printed);
    fs::remove_file(vmlinux.with_file_name("bill.json")).unwrap();
    let error = cache.obtain(&slot(), false, no_network).unwrap_err().to_string();
    assert!(error.contains("bill.json is missing") && error.contains("no network"), "{error}");
}

#[test]
fn a_failed_build_leaves_nothing() {
    let Place { cache, root, .. } = place();
    let failed = cache.obtain(&slot(), false, |to, record| {
        built(to, "half").unwrap();
        no_network(to, record)
    });
    assert!(failed.is_err());
    assert_eq!(cache.state(&slot(), Look::Quick), State::Absent);
    assert_eq!(list(&root.path().join("tmp")).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn leftovers_of_a_killed_build_go_with_the_next() {
    let Place { cache, root, .. } = place();
    fs::create_dir_all(root.path().join("tmp/kernel-6.12-0123456789abcdef.killed/new")).unwrap();
    cache.obtain(&slot(), false, |to, _| built(to, "one")).unwrap();
    assert_eq!(list(&root.path().join("tmp")).unwrap(), Vec::<PathBuf>::new());
}

#[test]
fn a_refresh_replaces_or_keeps() {
    let Place { cache, notes, root: _root } = place();
    cache.obtain(&slot(), false, |to, _| built(to, "one")).unwrap();
    let same = cache.obtain(&slot(), true, |_, record| {
        assert_eq!(record.unwrap().version, "one");
        Ok(None)
    });
    assert_eq!(same.unwrap().record.version, "one");
    assert_eq!(notes.lock().unwrap().concat(), "kernel 6.12: up to date");
    assert_eq!(cache.obtain(&slot(), true, |to, _| built(to, "two")).unwrap().record.version, "two");
    let error = cache.obtain(&slot(), true, no_network).unwrap_err().to_string();
    expect_test::expect!["the kernel 6.12 in the cache stays as it is and can be used without --refresh and --locked; refreshing it failed: downloading: no network"]
        .assert_eq(&error);
    assert_eq!(cache.obtain(&slot(), false, no_build).unwrap().record.version, "two");
}

#[test]
fn two_runs_build_once_and_the_second_says_that_it_waits() {
    let Place { cache, notes, root } = place();
    let (other, _) = open(root.path());
    let builds = AtomicU32::new(0);
    let (started, has_started) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            other.obtain(&slot(), false, |to, _| {
                builds.fetch_add(1, Ordering::SeqCst);
                started.send(()).unwrap();
                // Goes on as soon as the other side has said that it waits.
                while notes.lock().unwrap().is_empty() {
                    std::thread::yield_now();
                }
                built(to, "one")
            })
        });
        has_started.recv().unwrap();
        let second = cache.obtain(&slot(), false, no_build).unwrap();
        assert_eq!(second.record.version, "one");
    });
    assert_eq!(builds.load(Ordering::SeqCst), 1);
    assert_eq!(notes.lock().unwrap().concat(), "kernel 6.12: waiting for another run that builds or uses it");
}

#[test]
fn two_runs_that_both_found_nothing_build_once() {
    let Place { cache, root, .. } = place();
    let builds = AtomicU32::new(0);
    // A reader's lock blocks every build: both builders wait for it.
    let reader = cache.lock(&slot(), FlockArg::LockShared).unwrap();
    let runs = [open(root.path()), open(root.path())];
    std::thread::scope(|scope| {
        for (cache, _) in &runs {
            scope.spawn(|| {
                cache.obtain(&slot(), false, |to, _| {
                    builds.fetch_add(1, Ordering::SeqCst);
                    built(to, "one")
                })
            });
        }
        while runs.iter().any(|(_, notes)| notes.lock().unwrap().is_empty()) {
            std::thread::yield_now();
        }
        drop(reader);
    });
    assert_eq!(builds.load(Ordering::SeqCst), 1);
}

#[test]
fn what_is_in_use_is_not_removed() {
    let Place { cache, root: _root, .. } = place();
    let entry = cache.obtain(&slot(), false, |to, _| built(to, "one")).unwrap();
    let name = cache.images().unwrap()[0].0.clone();
    assert!(!cache.remove(&name).unwrap());
    drop(entry);
    assert!(cache.remove(&name).unwrap());
    assert_eq!(cache.state(&slot(), Look::Quick), State::Absent);
}
