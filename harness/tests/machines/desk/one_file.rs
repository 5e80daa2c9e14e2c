//! The program as users carry it to another machine: one file, and a bundle of images.
//!
//! Release builds have everything inside. These tests make a build without optimisation that has
//! it, too: it shares its dependencies with the tests, and takes a tenth of the time.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use crate::program::rendered;

const TREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A scenario that stock criu restores.
const CONTROL: &str = "subdir-bind/control@ext4";

/// The program of this tree with everything inside.
fn one_file() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let words = ["build", "--quiet", "--example", "one-file", "--features", "harness/embedded-always"];
        let mut command = Command::new(cargo);
        // What cargo tells this test: build scripts that look at it would run again.
        let told = std::env::vars().map(|(name, _)| name);
        for name in told.filter(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
        let output = command.args(words).args(["--message-format", "json"]).current_dir(TREE).output().unwrap();
        assert!(output.status.success(), "{}", rendered(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let messages = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let mut programs = messages.filter_map(|message| message["executable"].as_str().map(PathBuf::from));
        programs.next_back().expect("cargo reports the program that it built")
    })
}

/// A folder that has the program and nothing else.
struct Elsewhere(tempfile::TempDir);

impl Elsewhere {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("zdtm-detached");
        std::fs::copy(one_file(), &program).unwrap();
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// Without programs, without the checkout, without a mirror that answers.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.0.path().join("zdtm-detached"));
        command.args(arguments).current_dir(self.0.path()).env_clear().env("PATH", self.0.path());
        command.envs([("ZDTM_DETACHED_TREE", "embedded"), ("ZDTM_DETACHED_MIRROR", "http://127.0.0.1:9/")]);
        command.env("TMPDIR", std::env::temp_dir());
        command
    }

    fn succeeds(&self, cache: &Path, arguments: &[&str]) -> Output {
        let output = self.command(arguments).env("ZDTM_DETACHED_CACHE", cache).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", rendered(&output));
        output
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The cache of the other tests, with the images: what makes them is not the business of these.
fn cache() -> PathBuf {
    let made = crate::program::program(&["image", "build", "qemu", "6.12", "trixie"]).output().unwrap();
    assert!(made.status.success(), "{}", rendered(&made));
    harness::image::default_cache_dir().unwrap()
}

pub(super) fn the_program_alone_lists_shows_and_runs() {
    let elsewhere = Elsewhere::new();
    let cache = cache();
    let list = said(&elsewhere.succeeds(&cache, &["list"]));
    let here = crate::program::program(&["list"]).output().unwrap();
    assert_eq!(list, said(&here), "what is embedded is not the checkout's catalogue");
    let show = said(&elsewhere.succeeds(&cache, &["show", CONTROL]));
    assert!(show.contains("outcome restored"), "{show}");
    let run = said(&elsewhere.succeeds(&cache, &["run", CONTROL]));
    assert!(run.ends_with("result: 1 passed, 0 failed, 0 skipped\n"), "{run}");
    let doctor = elsewhere.command(&["doctor"]).env("ZDTM_DETACHED_CACHE", &cache).output().unwrap();
    assert!(said(&doctor).contains("embedded in this program"), "{}", rendered(&doctor));
    let write =
        elsewhere.command(&["finding", "index", "--write"]).env("ZDTM_DETACHED_CACHE", &cache).output().unwrap();
    assert!(rendered(&write).contains("this writes into the source tree"), "{}", rendered(&write));
}

pub(super) fn a_bundle_is_all_that_a_machine_without_a_network_needs() {
    let elsewhere = Elsewhere::new();
    let file = elsewhere.0.path().join("bundle.tar.zst");
    let file = file.to_str().unwrap();
    let exported = elsewhere.succeeds(&cache(), &["image", "export", file]);
    let size = std::fs::metadata(file).unwrap().len();
    assert!(size <= 130_000_000, "{size} bytes");
    let text = said(&exported);
    let digest = text.trim_end().rsplit(' ').next().unwrap();
    let empty = elsewhere.0.path().join("cache");
    elsewhere.succeeds(&empty, &["image", "import", file, "--sha256", digest]);
    let run = said(&elsewhere.succeeds(&empty, &["run", CONTROL]));
    assert!(run.ends_with("result: 1 passed, 0 failed, 0 skipped\n"), "{run}");
    // From there it goes on to the next machine, and is the same.
    let second = elsewhere.0.path().join("second");
    elsewhere.succeeds(&empty, &["image", "export", second.to_str().unwrap()]);
    assert!(std::fs::read(second).unwrap() == std::fs::read(file).unwrap(), "two exports of the same images differ");
}
