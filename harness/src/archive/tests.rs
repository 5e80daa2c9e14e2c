//! Archives that are good, damaged or hostile.

use std::collections::BTreeMap;

use super::*;

const LIMITS: Limits = Limits { files: 4, bytes: 1 << 20 };

fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new());
    for (name, content) in files {
        writer.file(name, name.ends_with(".sh"), content.len() as u64, *content).unwrap();
    }
    writer.finish().unwrap()
}

fn files(bytes: &[u8]) -> Result<BTreeMap<String, (bool, Vec<u8>)>, String> {
    let mut found = BTreeMap::new();
    let take = |member: &Member<'_>, content: &mut dyn std::io::Read| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        found.insert(member.path.to_owned(), (member.executable, bytes));
        Ok(())
    };
    read(bytes, LIMITS, take).map_err(|error| error.to_string()).map(|()| found)
}

/// A tar with one header as it is made by `change`, compressed.
fn with_header(change: impl FnOnce(&mut tar::Header)) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path("a").unwrap();
    header.set_mode(0o644);
    header.set_size(0);
    change(&mut header);
    header.set_cksum();
    let tar = [&header.as_bytes()[..], &[0; 1024]].concat();
    ruzstd::encoding::compress_to_vec(&tar[..], ruzstd::encoding::CompressionLevel::Fastest)
}

#[test]
fn what_is_written_reads_back_and_is_the_same_every_time() {
    let large: Vec<u8> = (0..300_000_u32).flat_map(|number| (number % 251).to_le_bytes()).take(600_000).collect();
    let all: [(&str, &[u8]); 3] = [("a/b.sh", b"#!"), ("a/c", b""), ("large", &large)];
    let bytes = archive(&all);
    assert_eq!(bytes, archive(&all));
    let found = files(&bytes).unwrap();
    assert_eq!(found["a/b.sh"], (true, b"#!".to_vec()));
    assert_eq!(found["a/c"], (false, Vec::new()));
    assert_eq!(found["large"].1, large);
}

#[test]
fn a_file_that_is_not_as_long_as_was_said_is_not_written() {
    for size in [1, 3] {
        let error = Writer::new(Vec::new()).file("a", false, size, &b"12"[..]).unwrap_err().to_string();
        assert!(error.contains(&format!("instead of {size}")), "{error}");
    }
}

#[test]
fn every_cut_and_every_changed_byte_is_an_error() {
    let bytes = archive(&[("a", b"some text, some text"), ("b", b"more")]);
    let whole = files(&bytes).unwrap();
    for length in 0..bytes.len() {
        let cut = files(&bytes[..length]);
        assert!(cut.as_ref().map_or(true, |found| *found != whole), "cut to {length} bytes");
        let mut changed = bytes.clone();
        changed[length] ^= 0x10;
        // A byte of the frame's head may mean the same.
        assert!(files(&changed).map_or(true, |found| found == whole), "byte {length} changed");
    }
}

#[test]
fn what_is_hostile_is_refused_with_its_place() {
    let name = |name: &'static str| {
        with_header(move |header| header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes()))
    };
    let kind = |kind| with_header(|header| header.set_entry_type(kind));
    let error = |bytes: &[u8]| files(bytes).expect_err("it is hostile");
    for path in ["../evil", "/etc/passwd", "a/../../b", "a//b", "./a", "a\nb", "a/..", "...", "a b"] {
        let said = error(&name(path));
        assert!(said.contains("not made of plain names"), "{path:?}: {said}");
    }
    use tar::EntryType as Kind;
    for one in [
        Kind::Symlink,
        Kind::Link,
        Kind::Char,
        Kind::Block,
        Kind::Fifo,
        Kind::Directory,
        Kind::GNULongName,
        Kind::XHeader,
    ] {
        let said = error(&kind(one));
        assert!(said.starts_with("file 1 of it (\"a\"): is no ordinary file"), "{said}");
    }
    let said = error(&archive(&[("a", b""), ("b", b""), ("c", b""), ("d", b""), ("e", b"")]));
    assert_eq!(said, "file 5 of it (\"e\"): more than 4 files");
    let bomb = archive(&[("a", &vec![0; 2 << 20])]);
    assert!(bomb.len() < 10_000);
    assert_eq!(error(&bomb), "file 1 of it (\"a\"): more comes out of it than an archive may have");
    let twice = [archive(&[("a", b"")]), archive(&[("b", b"")])].concat();
    assert_eq!(error(&twice), "after its last file: there is something else");
    let huge = with_header(|header| header.set_size(1 << 40));
    assert!(error(&huge).contains("ends after"), "{}", error(&huge));
}

#[test]
fn a_second_file_of_one_name_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let member = Member { path: "a/b", executable: true, size: 0 };
    create(folder.path(), &member).unwrap();
    assert!(create(folder.path(), &member).is_err());
    assert!(create(folder.path(), &Member { path: "a/b/c", ..member }).is_err());
}
