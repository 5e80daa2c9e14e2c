//! A tree's own test suite, zdtm, with tests of ours, as a segment of the initramfs.
//!
//! The suite's library, its helpers and the tests are built in the build root by the Makefiles of
//! the tree, because the guest has no compiler. In the guest `zdtm.py` calls `make` to start and to
//! clean a test up; there a Makefile of ours takes the place of the tree's, and has these rules
//! alone: with the tree's one `make` would want to build what is built.
//!
//! The module pycriu, with which `zdtm.py` reads criu's own statistics, is Debian's: the tree's one
//! would have to be generated.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::build::BuildTree;
use super::snapshot::{SourceFile, SourceSnapshot};
use super::{Sources, absolute};
use crate::cache::error::{ImageError, at};
use crate::cache::record::sha256;
use crate::cache::{Built, Slot};
use crate::export::ZdtmTest;
use crate::image::Store;
use crate::image::cpio::Segment;

/// The version of what is made here, as in `store`.
const BUILDER: u32 = 1;

/// How many of them are kept.
const KEEP: usize = 4;

/// The segment's file name.
const SEGMENT: &str = "tests.cpio";

/// Where the tree is in the guest.
pub const GUEST_TREE: &str = "zdtm";

/// Where tests are in a tree.
const STATIC: &str = "test/zdtm/static";

/// What is built, relative to the tree, besides the tests.
const BUILT: [&str; 3] = ["test/zdtm_ct", "test/umount2", "test/zdtm/lib/libzdtmtst.a"];

/// `zdtm.py` starts criu by this path. Its libraries are not the guest's, see `package`.
const CRIU: &str = "#!/bin/sh\nexec /subject/ld.so --library-path /subject/lib /subject/criu \"$@\"\n";

/// What `zdtm.py` has `make` do with a test that gets a directory: the targets `NAME.pid` and
/// `NAME.cleanout` of `test/zdtm/static/Makefile` and `test/zdtm/Makefile.inc`.
const MAKEFILE: &str = "\
MAKEFLAGS += -r
%.pid: %
\t./$< --pidfile=$@ --outfile=$<.out --dirname=$<.test
%.cleanout: %
\trm -rf $<.pid* $<.out* $<.test*
";

impl Store {
    /// The test suite of these sources with these tests, built when it is missing: a segment that
    /// has it in [`GUEST_TREE`].
    ///
    /// # Errors
    /// [`ImageError::Subject`] when the sources are at fault: they have no test suite, or it does
    /// not build.
    pub fn zdtm_tests(&self, sources: &Sources, tests: &[ZdtmTest]) -> Result<PathBuf, ImageError> {
        let (root, mut snapshot) = self.snapshot(sources)?;
        let root_key = &root.key;
        let title = format!("{sources}: its test suite");
        if !snapshot.files.iter().any(|file| file.path == Path::new("test/zdtm.py")) {
            return Err(ImageError::Subject { what: title, why: "it has no test/zdtm.py".into() });
        }
        snapshot.files.extend(tests.iter().flat_map(files));
        snapshot.files.sort();
        let key = sha256(format!("{BUILDER} {root_key} {MAKEFILE} {}", snapshot.key()).as_bytes());
        let slot = Slot { kind: "zdtm-tests", name: String::new(), key };
        let segment = self.take(
            &slot,
            false,
            |to, _| {
                let tree = format!("{root_key} zdtm {}", absolute(sources.tree.folder()).display());
                self.in_build_tree(&root, &tree, &title, |tree| {
                    build(tree, &title, &snapshot, tests)?;
                    pack(&tree.tree(), &snapshot, tests, to).map(Some)
                })
            },
            |entry| entry.directory.join(SEGMENT),
        )?;
        self.cache.prune("zdtm-tests", KEEP)?;
        Ok(segment)
    }
}

/// The files of a test, as files of the tree.
fn files(test: &ZdtmTest) -> Vec<SourceFile> {
    let file = |end: &str, text: &str| SourceFile {
        path: PathBuf::from(format!("{STATIC}/{}.{end}", test.name)),
        executable: end == "hook",
        content: text.into(),
        link: false,
    };
    let hook = test.hook.as_ref().map(|hook| file("hook", hook));
    [file("c", &test.source), file("desc", &test.description)].into_iter().chain(hook).collect()
}

/// Builds the library, the helpers and the tests. Given the list of tests, the Makefile leaves all
/// others alone.
fn build(tree: &BuildTree<'_>, title: &str, snapshot: &SourceSnapshot, tests: &[ZdtmTest]) -> Result<(), ImageError> {
    let names: Vec<&str> = tests.iter().map(|test| test.name.as_str()).collect();
    let list = format!("TST={}", names.join(" "));
    let calls = [
        vec!["-C", "test/zdtm/lib", "libzdtmtst.a"],
        vec!["-C", "test", "zdtm_ct", "umount2"],
        [&["-C", STATIC, &list], &names[..]].concat(),
    ];
    tree.make(title, snapshot, &calls)
}

/// Fills the directory with the segment.
fn pack(tree: &Path, snapshot: &SourceSnapshot, tests: &[ZdtmTest], to: &Path) -> Result<Built, ImageError> {
    let mut segment = Segment::new();
    let mut add = |path: &str, content: &[u8], executable: bool| {
        segment.file(&format!("{GUEST_TREE}/{path}"), if executable { 0o755 } else { 0o644 }, content);
    };
    for file in snapshot.files.iter().filter(|file| !file.link && is_carried(&file.path)) {
        add(&file.path.to_string_lossy(), &file.content, file.executable);
    }
    let programs = tests.iter().map(|test| format!("{STATIC}/{}", test.name));
    for path in BUILT.map(str::to_owned).into_iter().chain(programs) {
        let file = tree.join(&path);
        let executable = file.metadata().is_ok_and(|data| data.permissions().mode() & 0o111 != 0);
        add(&path, &fs::read(&file).map_err(at("read", &file))?, executable);
    }
    for file in tests.iter().flat_map(files).filter(|file| file.path.extension().is_none_or(|end| end != "c")) {
        add(&file.path.to_string_lossy(), &file.content, file.executable);
    }
    add(&format!("{STATIC}/GNUmakefile"), MAKEFILE.as_bytes(), false);
    add("criu/criu", CRIU.as_bytes(), true);
    let path = to.join(SEGMENT);
    fs::write(&path, segment.finish()).map_err(at("write", &path))?;
    Ok(Built { version: format!("{} tests", tests.len()), packages: Vec::new() })
}

/// What of the tree's files `zdtm.py` may need: its modules, its scripts, and the Makefile of the
/// plugins, which it calls.
fn is_carried(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::to_str);
    let is_python = path.extension().is_some_and(|end| end == "py");
    match folder {
        Some("test") => true,
        Some("test/zdtm") => is_python,
        Some("test/plugins") => path.ends_with("Makefile"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_zdtm_py_needs_is_carried_and_the_suite_s_own_tests_are_not() {
        let carried = |path: &str| is_carried(Path::new(path));
        assert!(["test/zdtm.py", "test/zdtm_mount_cgroups", "test/zdtm/criu_config.py"].into_iter().all(carried));
        assert!(carried("test/plugins/Makefile"));
        let others = ["criu/cr-dump.c", "test/zdtm/static/env00.c", "test/zdtm/Makefile.inc", "test/others/rpc/run.sh"];
        assert!(!others.into_iter().any(carried));
    }

    #[test]
    fn a_test_s_hook_can_be_executed() {
        let test = ZdtmTest {
            name: "a".into(),
            source: "int main(void);\n".into(),
            description: "{}\n".into(),
            hook: Some("#!/bin/sh\n".into()),
        };
        let files = files(&test);
        let of = |file: &SourceFile| format!("{} {}", file.path.display(), file.executable);
        let listed: Vec<String> = files.iter().map(of).collect();
        let expected = ["a.c false", "a.desc false", "a.hook true"].map(|name| format!("{STATIC}/{name}"));
        assert_eq!(listed, expected);
    }
}
