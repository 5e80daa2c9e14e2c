//! A copy of sources that follows them: what is copied, what is removed, what is refused.

use std::process::Stdio;

use super::*;

/// A folder of sources, its copy, and an old time that a file gets whose change must not count.
struct Rig {
    folder: tempfile::TempDir,
    cache: tempfile::TempDir,
}

impl Rig {
    fn new() -> Rig {
        let rig = Rig { folder: tempfile::tempdir().unwrap(), cache: tempfile::tempdir().unwrap() };
        rig.put("Kconfig", "k");
        rig.put("fs/namespace.c", "1");
        rig
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn git(&self, words: &[&str]) -> String {
        let mut git = crate::sources::git::git(self.folder.path());
        git.args(["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]);
        let output = git.args(words).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "--quiet", "-m", "a"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn follow(&self, tree: &Tree) -> String {
        let scratch = tempfile::tempdir().unwrap();
        Mirror::new(self.cache.path()).follow(tree, scratch.path()).unwrap()
    }

    fn copied(&self, path: &str) -> PathBuf {
        self.cache.path().join("source").join(path)
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.copied(path)).unwrap()
    }

    /// Makes all copies old, so that one which is written anew is found.
    fn age(&self) {
        let mut todo = vec![self.cache.path().join("source")];
        while let Some(folder) = todo.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.symlink_metadata().unwrap() {
                    data if data.is_dir() => todo.push(path),
                    data if data.is_file() => {
                        fs::File::options().write(true).open(path).unwrap().set_modified(UNIX_EPOCH).unwrap();
                    }
                    _ => {}
                }
            }
        }
    }

    /// The copies that were written since.
    fn written(&self, paths: &[&str]) -> Vec<String> {
        let is_new = |path: &&&str| self.copied(path).symlink_metadata().unwrap().modified().unwrap() != UNIX_EPOCH;
        paths.iter().filter(is_new).map(|path| (*path).to_owned()).collect()
    }
}

#[test]
fn what_did_not_change_keeps_its_time_and_what_is_gone_goes() {
    let rig = Rig::new();
    rig.put("gone.c", "1");
    let tree = Tree::Folder(rig.folder.path().to_owned());
    let first = rig.follow(&tree);
    rig.age();
    rig.put("fs/namespace.c", "2");
    // The same content with another time.
    rig.put("Kconfig", "k");
    fs::remove_file(rig.folder.path().join("gone.c")).unwrap();
    let second = rig.follow(&tree);
    assert_ne!(first, second);
    assert_eq!(rig.written(&["Kconfig", "fs/namespace.c"]), ["fs/namespace.c"]);
    assert_eq!(rig.text("fs/namespace.c"), "2");
    assert!(!rig.copied("gone.c").exists());
    assert_eq!(rig.follow(&tree), second);
}

/// A file of the same size that changes without a new time, right after it was read.
#[test]
fn a_change_within_the_grain_of_time_is_found() {
    let rig = Rig::new();
    let tree = Tree::Folder(rig.folder.path().to_owned());
    rig.follow(&tree);
    let path = rig.folder.path().join("fs/namespace.c");
    let time = path.metadata().unwrap().modified().unwrap();
    fs::write(&path, "2").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    rig.follow(&tree);
    assert_eq!(rig.text("fs/namespace.c"), "2");
}

#[test]
fn a_content_has_the_hash_that_git_gives_it() {
    let rig = Rig::new();
    let hash = rig.git(&["hash-object", "Kconfig"]);
    assert_eq!(blob_hash(b"k"), hash);
}

#[test]
fn a_file_that_was_read_and_is_old_is_not_read_again() {
    let rig = Rig::new();
    let path = rig.folder.path().join("Kconfig");
    let data = path.symlink_metadata().unwrap();
    let later = SystemTime::now() + TIME_GRAIN + Duration::from_secs(1);
    assert!(stat_of(&data, SystemTime::now()).is_empty() && !stat_of(&data, later).is_empty());
}

#[test]
fn revisions_share_what_is_the_same() {
    let rig = Rig::new();
    rig.git(&["init", "--quiet"]);
    let first = rig.commit();
    rig.put("fs/namespace.c", "2");
    rig.put("fs/new.c", "new");
    std::os::unix::fs::symlink("fs", rig.folder.path().join("link")).unwrap();
    let second = rig.commit();
    let at = |revision: &str| Tree::Revision { repository: rig.folder.path().to_owned(), revision: revision.into() };
    let key = rig.follow(&at(&first));
    rig.age();
    assert_ne!(rig.follow(&at(&second)), key);
    assert_eq!(rig.written(&["Kconfig", "fs/namespace.c", "fs/new.c"]), ["fs/namespace.c", "fs/new.c"]);
    assert_eq!(fs::read_link(rig.copied("link")).unwrap(), Path::new("fs"));
    // The folder as it is, which is the second revision.
    rig.age();
    rig.follow(&Tree::Folder(rig.folder.path().to_owned()));
    assert_eq!(rig.written(&["Kconfig", "fs/namespace.c", "fs/new.c"]), [""; 0]);
    // And back: a name for the same commit is the same.
    rig.age();
    assert_eq!(rig.follow(&at("HEAD~1")), key);
    assert_eq!(rig.written(&["Kconfig", "fs/namespace.c"]), ["fs/namespace.c"]);
    assert!(!rig.copied("fs/new.c").exists() && rig.copied("link").symlink_metadata().is_err());
}

/// A run that was killed while it wrote: what is in the copy is not what the list would say.
#[test]
fn what_a_killed_run_left_is_made_good() {
    let rig = Rig::new();
    let tree = Tree::Folder(rig.folder.path().to_owned());
    let key = rig.follow(&tree);
    let mirror = Mirror::new(rig.cache.path());
    let files = parse(&fs::read(&mirror.list).unwrap());
    // As `remove_gone` leaves it before the first write, with half of the work done.
    mirror.remove_gone(&files, &Files::new(), vec![PathBuf::from("fs/namespace.c"), PathBuf::from("half.c")]).unwrap();
    fs::write(rig.copied("fs/namespace.c"), "half").unwrap();
    fs::write(rig.copied("half.c"), "half").unwrap();
    assert!(!rig.copied("Kconfig").exists());
    assert_eq!(rig.follow(&tree), key);
    assert_eq!((rig.text("Kconfig"), rig.text("fs/namespace.c")), ("k".to_owned(), "1".to_owned()));
    assert!(!rig.copied("half.c").exists());
}

#[test]
fn nothing_is_written_through_a_link() {
    let rig = Rig::new();
    let outside = tempfile::tempdir().unwrap();
    let mirror = Mirror::new(rig.cache.path());
    fs::create_dir_all(&mirror.tree).unwrap();
    std::os::unix::fs::symlink(outside.path(), mirror.tree.join("fs")).unwrap();
    mirror.write(Path::new("fs/namespace.c"), Mode::Plain, b"1").unwrap();
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    assert_eq!(rig.text("fs/namespace.c"), "1");
}

#[test]
fn a_revision_that_is_not_there_is_reported() {
    let rig = Rig::new();
    rig.git(&["init", "--quiet"]);
    rig.commit();
    let scratch = tempfile::tempdir().unwrap();
    let tree = Tree::Revision { repository: rig.folder.path().to_owned(), revision: "v9".into() };
    let error = Mirror::new(rig.cache.path()).follow(&tree, scratch.path()).unwrap_err().to_string();
    assert!(error.starts_with("finding the revision v9 in "), "{error}");
}

#[test]
fn a_list_is_read_as_it_was_written() {
    let rig = Rig::new();
    rig.put("odd\nname\t.c", "1");
    let tree = Tree::Folder(rig.folder.path().to_owned());
    rig.follow(&tree);
    let mirror = Mirror::new(rig.cache.path());
    let files = parse(&fs::read(&mirror.list).unwrap());
    assert!(files.contains_key(Path::new("odd\nname\t.c")) && files.len() == 3, "{files:?}");
    mirror.write_list(&files).unwrap();
    assert_eq!(parse(&fs::read(&mirror.list).unwrap()), files);
    assert_eq!(parse(b"noise\0a plain"), Files::new());
}
