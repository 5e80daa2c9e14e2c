//! Bundles that are good, damaged, hostile or of another program, from caches with small images.

use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::cache::progress::silent;
use crate::cache::{Built, Cache};
use crate::image::store::Settings;
use crate::image::tree;

/// What starts as a program for this host.
fn elf_file(rest: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x02".to_vec();
    file.resize(18, 0);
    file.extend(HOST.elf_machine().to_le_bytes());
    [&file, rest].concat()
}

/// A cache with every image that the default bundle has, a file or two each.
struct Rig {
    folder: tempfile::TempDir,
}

impl Rig {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn store(&self, cache: &str) -> Store {
        let agent = self.folder.path().join("agent");
        std::fs::write(&agent, elf_file(b"agent")).unwrap();
        let settings = Settings { agent: Some(agent), ..Settings::default() };
        Store::open(&self.folder.path().join(cache), &tree::locate(None).unwrap(), settings).unwrap()
    }

    /// A store with images whose files say `content`.
    fn filled(&self, cache: &str, content: &str) -> Store {
        let store = self.store(cache);
        for image in [Image::Qemu(HOST), Image::Kernel("6.12"), Image::Userland("trixie", HOST)] {
            let slot = store.slot(image).unwrap();
            let other = Cache::open(&self.folder.path().join(cache), Arc::new(silent)).unwrap();
            let fill = |to: &Path, _: Option<&BuildRecord>| {
                std::fs::create_dir(to.join("lib")).unwrap();
                std::fs::write(to.join("lib/a"), content).unwrap();
                std::fs::set_permissions(to.join("lib/a"), Permissions::from_mode(0o755)).unwrap();
                std::fs::write(to.join("b"), format!("{content} {}", slot.title())).unwrap();
                Ok(Some(Built { version: "1.0".into(), packages: Vec::new() }))
            };
            other.obtain(&slot, false, fill).unwrap();
        }
        store
    }

    fn export(&self, store: &Store, name: &str) -> (PathBuf, Exported) {
        let file = self.folder.path().join(name);
        let exported = store.export(&["6.12".to_owned()], &["trixie".to_owned()], &file).unwrap();
        (file, exported)
    }

    /// What is said of a bundle with these files, after which the cache is still empty.
    fn refused(&self, files: &[(&str, &[u8])]) -> String {
        let file = self.folder.path().join("hostile");
        let mut writer = Writer::new(Vec::new());
        for (name, content) in files {
            writer.file(name, false, content.len() as u64, *content).unwrap();
        }
        std::fs::write(&file, writer.finish().unwrap()).unwrap();
        self.error(&file, None)
    }

    fn error(&self, file: &Path, sha256: Option<&str>) -> String {
        let error = self.store("empty").import(file, sha256).expect_err("it is refused").to_string();
        for folder in ["images", "tmp"] {
            let left = std::fs::read_dir(self.folder.path().join("empty").join(folder)).unwrap();
            assert_eq!(left.count(), 0, "{folder} after: {error}");
        }
        error.replace(self.folder.path().to_str().unwrap(), "")
    }
}

fn head(store: &Store, path: &str, content: &str) -> Vec<u8> {
    let key = store.slot(Image::Qemu(HOST)).unwrap().key;
    let file = PackedFile { path: path.into(), size: content.len() as u64, sha256: sha256(content.as_bytes()) };
    let (kind, version) = ("qemu".to_owned(), "1".to_owned());
    let packed = Packed { kind, name: String::new(), key, version, packages: Vec::new(), files: vec![file] };
    serde_json::to_vec(&Head { format: FORMAT, images: vec![packed] }).unwrap()
}

#[test]
fn what_is_exported_is_imported_and_is_the_same_elsewhere() {
    let rig = Rig::new();
    let (file, exported) = rig.export(&rig.filled("one", "content"), "1");
    assert_eq!(exported.sha256, crate::cache::record::sha256_of_file(&file).unwrap());
    assert_eq!(exported.size, file.metadata().unwrap().len());
    let import = |store: &Store| {
        let imported = store.import(&file, Some(&exported.sha256.to_uppercase())).unwrap();
        imported.into_iter().map(|(title, _, became)| (title, became)).collect::<Vec<_>>()
    };
    let store = rig.store("two");
    let titles = ["qemu", "kernel 6.12", "userland trixie", "agent"];
    assert_eq!(import(&store), titles.map(|title| (title.to_owned(), Imported::New)));
    assert_eq!(import(&store), titles.map(|title| (title.to_owned(), Imported::Present)));
    let directory = store.directory(Image::Qemu(HOST)).unwrap();
    assert_eq!(directory.join("lib/a").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    // An import has times of its own: they are no part of a bundle.
    let (again, _) = rig.export(&store, "2");
    assert_eq!(std::fs::read(&file).unwrap(), std::fs::read(again).unwrap());
}

#[test]
fn other_packages_take_the_place_of_those_in_the_cache() {
    let rig = Rig::new();
    let (file, _) = rig.export(&rig.filled("one", "new"), "1");
    let store = rig.filled("two", "old");
    let imported = store.import(&file, None).unwrap();
    assert_eq!(imported[0].2, Imported::New);
    assert_eq!(std::fs::read_to_string(store.directory(Image::Qemu(HOST)).unwrap().join("lib/a")).unwrap(), "new");
}

#[test]
fn another_agent_is_left_out() {
    let rig = Rig::new();
    let (file, _) = rig.export(&rig.filled("one", "content"), "1");
    let binary = rig.folder.path().join("other");
    std::fs::write(&binary, elf_file(b"other")).unwrap();
    let settings = Settings { agent: Some(binary), ..Settings::default() };
    let store = Store::open(&rig.folder.path().join("two"), &tree::locate(None).unwrap(), settings).unwrap();
    let imported = store.import(&file, None).unwrap();
    assert_eq!(imported.last().map(|(_, _, became)| *became), Some(Imported::OtherAgent));
}

#[test]
fn any_damage_is_found_before_anything_is_put_in_place() {
    let rig = Rig::new();
    let (file, exported) = rig.export(&rig.filled("one", "content"), "1");
    let bytes = std::fs::read(&file).unwrap();
    let damaged = rig.folder.path().join("damaged");
    let mut harmless = 0;
    for at in (0..bytes.len()).step_by(bytes.len() / 100) {
        std::fs::write(&damaged, &bytes[..at]).unwrap();
        rig.error(&damaged, None);
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&damaged, &changed).unwrap();
        rig.error(&damaged, Some(&exported.sha256));
        // Without a digest a byte that means nothing may pass, and nothing else.
        let cache = format!("changed-{at}");
        if rig.store(&cache).import(&damaged, None).is_ok() {
            harmless += 1;
            let (again, _) = rig.export(&rig.store(&cache), "again");
            assert_eq!(std::fs::read(again).unwrap(), bytes, "byte {at}");
        }
    }
    assert!(harmless < 10, "{harmless} changed bytes were not noticed");
    let error = rig.error(&file, Some("00"));
    assert!(error.contains("its sha256 is ") && error.ends_with(" instead of 00"), "{error}");
}

#[test]
fn what_is_hostile_or_of_another_program_is_refused_with_its_place() {
    let rig = Rig::new();
    let store = rig.store("names");
    let folder = store.slot(Image::Qemu(HOST)).unwrap().directory();
    let inside = format!("{folder}/a");
    let (good, text) = (head(&store, "a", "hello"), String::from_utf8(head(&store, "a", "hello")).unwrap());
    let changed = |from: &str, to: &str| text.replace(from, to).into_bytes();
    let key = &store.slot(Image::Qemu(HOST)).unwrap().key;
    let said = [
        rig.refused(&[]),
        rig.refused(&[("bundle", b"{}")]),
        rig.refused(&[(HEAD, b"{}")]),
        rig.refused(&[(HEAD, &changed("\"format\":1", "\"format\":2"))]),
        rig.refused(&[(HEAD, &changed("\"qemu\"", "\"template\""))]),
        rig.refused(&[(HEAD, &changed(key, &"0".repeat(64)))]).replace(&key[..16], "KEY"),
        rig.refused(&[(HEAD, &changed("\"1\"", "\"\\u001b[2J\""))]),
        rig.refused(&[(HEAD, &good)]),
        rig.refused(&[(HEAD, &good), (&inside, b"hellO")]),
        rig.refused(&[(HEAD, &good), (&inside, b"hello, world")]),
        rig.refused(&[(HEAD, &good), (&format!("{folder}/b"), b"hello")]),
        rig.refused(&[(HEAD, &good), (&inside, b"hello"), ("more", b"")]),
        // The archive's own check has the name first.
        rig.refused(&[(HEAD, &head(&store, "../../evil", "hello"))]),
    ];
    let said = said.map(|line| line.replace(&folder, "QEMU")).join("\n");
    expect_test::expect![[r#"
        /hostile: cannot be imported, and nothing was changed: after its last file: there is no bundle.json
        /hostile: cannot be imported, and nothing was changed: file 1 of it ("bundle"): a bundle begins with bundle.json, which has at most 4194304 bytes
        /hostile: cannot be imported, and nothing was changed: file 1 of it ("bundle.json"): missing field `format` at line 1 column 2
        /hostile: cannot be imported, and nothing was changed: file 1 of it ("bundle.json"): has format 2, this program reads 1
        /hostile: cannot be imported, and nothing was changed: file 1 of it ("bundle.json"): the manifest of this program has no template ""
        /hostile: cannot be imported, and nothing was changed: file 1 of it ("bundle.json"): its qemu was made for another manifest (0000000000000000 instead of KEY); export it anew
        /hostile: cannot be imported, and nothing was changed: file 1 of it ("bundle.json"): "\u{1b}[2J" is no version or name of a package
        /hostile: cannot be imported, and nothing was changed: after its last file: QEMU/a is missing
        /hostile: cannot be imported, and nothing was changed: file 2 of it ("QEMU/a"): its sha256 is 04a6f55face2f46be8c23f627d539827615851e10751b63ec59db6d2c706b770 instead of 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
        /hostile: cannot be imported, and nothing was changed: file 2 of it ("QEMU/a"): comes with 12 bytes where QEMU/a with 5 should
        /hostile: cannot be imported, and nothing was changed: file 2 of it ("QEMU/b"): comes with 5 bytes where QEMU/a with 5 should
        /hostile: cannot be imported, and nothing was changed: file 3 of it ("more"): is not in bundle.json
        /hostile: cannot be imported, and nothing was changed: after its last file: QEMU/../../evil is missing"#]].assert_eq(&said);
}
