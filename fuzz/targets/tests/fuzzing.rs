//! The fuzz targets' surroundings: seeds and dictionaries are what the code makes, the targets find
//! nothing in them, and the build script makes a target that runs. What the targets find by
//! themselves is not tested here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io};

use fuzz_targets::{judge, messages, seeds, texts};
use harness::fuzz::buckets;
use libtest_mimic::{Arguments, Failed, Trial};
use yaml_rust2::YamlLoader;

/// So many inputs does the built target try.
const RUNS: &str = "500";

fn main() {
    let built = Trial::test("the_build_script_makes_a_target_that_runs", the_build_script_makes_a_target_that_runs);
    let built = match lack_of_tools() {
        Some(why) => built.with_ignored_flag(true).with_kind(why),
        None => built,
    };
    let trials = vec![
        Trial::test("what_is_committed_is_what_the_code_makes", what_is_committed_is_what_the_code_makes),
        Trial::test("the_seeds_have_the_properties", the_seeds_have_the_properties),
        Trial::test("dictionaries_are_what_libfuzzer_reads", dictionaries_are_what_libfuzzer_reads),
        Trial::test("what_is_known_of_criu_are_signatures", what_is_known_of_criu_are_signatures),
        Trial::test("every_target_is_built_and_documented", every_target_is_built_and_documented),
        Trial::test("the_project_folder_says_what_its_services_need", the_project_folder_says_what_its_services_need),
        built,
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn lack_of_tools() -> Option<&'static str> {
    let lacks = |program: &str, argument| {
        let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
        !status.is_ok_and(|status| status.success())
    };
    match () {
        () if lacks("c++", "--version") => Some("no C++ compiler"),
        () if lacks("zip", "-v") => Some("no zip"),
        () => None,
    }
}

fn tree() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the crate is two directories deep in the tree")
}

/// Every file in the folders seeds and dictionaries, by its path.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>, Failed> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.join("seeds"), folder.join("dictionaries")];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            match path.is_dir() {
                true => folders.push(path),
                false => _ = found.insert(path.strip_prefix(folder)?.to_owned(), fs::read(&path)?),
            }
        }
    }
    Ok(found)
}

/// They are written when `UPDATE_EXPECT` is set.
fn what_is_committed_is_what_the_code_makes() -> Result<(), Failed> {
    let folder = tree().join("fuzz");
    let (made, committed) = (seeds::files(), files(&folder)?);
    let paths: BTreeSet<_> = made.keys().chain(committed.keys()).collect();
    let other: Vec<_> = paths.into_iter().filter(|&path| made.get(path) != committed.get(path)).collect();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        return Ok(write(&folder, &made, &other)?);
    }
    if !other.is_empty() || made.len() < 20 {
        let update = "UPDATE_EXPECT=1 cargo test -p fuzz-targets";
        return Err(format!("{other:?} are not what the code makes; run\n  {update}").into());
    }
    Ok(())
}

/// Makes these files what they should be; those that are no longer made are removed.
fn write(folder: &Path, made: &BTreeMap<PathBuf, Vec<u8>>, paths: &[&PathBuf]) -> io::Result<()> {
    for path in paths {
        let file = folder.join(path);
        match made.get(*path) {
            Some(bytes) => {
                file.parent().map_or(Ok(()), fs::create_dir_all)?;
                fs::write(file, bytes)?;
            }
            None => fs::remove_file(file)?,
        }
    }
    Ok(())
}

fn the_seeds_have_the_properties() -> Result<(), Failed> {
    for (path, bytes) in files(&tree().join("fuzz"))? {
        match path.to_string_lossy().split('/').nth(1) {
            Some("guest_messages") => {
                messages::messages(&bytes);
                if protocol::fuzz::messages(&bytes).len() != 1 {
                    return Err(format!("{} is no message", path.display()).into());
                }
            }
            Some("program_text") => {
                scenarios::fuzz::program_text(&bytes);
                if !scenarios::text::scenarios(&bytes, "fuzz/input", Path::new("input.scn"))
                    .is_ok_and(|all| !all.is_empty())
                {
                    return Err(format!("{} is no scenario", path.display()).into());
                }
            }
            Some("criu_log") => texts::criu_log(&bytes),
            Some("expectations") => texts::expectations(&bytes),
            Some("judge") => judge::judge(&bytes),
            _ => {}
        }
    }
    texts::expectations(&fs::read(tree().join("scenarios/expectations.toml"))?);
    Ok(())
}

/// What stands between the quotes of a line of a dictionary.
fn word(line: &str) -> Option<Vec<u8>> {
    let mut rest = line.strip_prefix('"')?.strip_suffix('"')?;
    let mut word = Vec::new();
    while let Some(c) = rest.chars().next() {
        let (byte, length) = match c {
            '\\' if rest.starts_with("\\x") => (u8::from_str_radix(rest.get(2..4)?, 16).ok()?, 4),
            '\\' => (*rest.as_bytes().get(1).filter(|byte| b"\\\"".contains(byte))?, 2),
            '"' => return None,
            c => (u8::try_from(c).ok().filter(u8::is_ascii_graphic).or((c == ' ').then_some(b' '))?, 1),
        };
        word.push(byte);
        rest = &rest[length..];
    }
    (!word.is_empty()).then_some(word)
}

fn dictionaries_are_what_libfuzzer_reads() -> Result<(), Failed> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(tree().join("fuzz/dictionaries"))? {
        let path = entry?.path();
        let words: Option<Vec<_>> = fs::read_to_string(&path)?.lines().map(word).collect();
        all.insert(
            path.file_name().map(ToOwned::to_owned),
            words.ok_or_else(|| format!("{} is wrong", path.display()))?,
        );
    }
    let has =
        |file: &str, word: &[u8]| all.get(&Some(file.into())).is_some_and(|words| words.iter().any(|one| one == word));
    for (file, word) in [
        ("program.dict", &b"umount-lazy"[..]),
        ("mountinfo.dict", b"\\040"),
        ("fdinfo.dict", b"mnt_id:\t"),
        ("guest_messages.dict", b"\"setup_failure\":"),
        ("expectations.dict", b"wrong-path"),
    ] {
        if !has(file, word) {
            return Err(format!("{file} lacks {:?}", String::from_utf8_lossy(word)).into());
        }
    }
    Ok(())
}

/// A line that no campaign writes would hide nothing, unnoticed.
fn what_is_known_of_criu_are_signatures() -> Result<(), Failed> {
    let known = buckets::known(&tree().join("fuzz/known/debian-trixie.txt"))?;
    match known.iter().find(|signature| signature.kind().is_none()) {
        Some(other) => Err(format!("{other}: it does not begin with a kind of failure").into()),
        None if known.len() < 20 => Err(format!("no more than {}", known.len()).into()),
        None => Ok(()),
    }
}

fn every_target_is_built_and_documented() -> Result<(), Failed> {
    let manifest = fs::read_to_string(tree().join("fuzz/Cargo.toml"))?;
    let document = fs::read_to_string(tree().join("docs/FUZZING.md"))?;
    let mut count = 0;
    for entry in fs::read_dir(tree().join("fuzz/fuzz_targets"))? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        count += 1;
        if !manifest.contains(&format!("name = \"{name}\"")) || !document.contains(&format!("`{name}`")) {
            return Err(format!("{name} is not in fuzz/Cargo.toml or not in docs/FUZZING.md").into());
        }
    }
    if count == manifest.matches("[[bin]]").count() { Ok(()) } else { Err(format!("{count} files").into()) }
}

fn the_project_folder_says_what_its_services_need() -> Result<(), Failed> {
    let folder = tree().join(".clusterfuzzlite");
    let project = YamlLoader::load_from_str(&fs::read_to_string(folder.join("project.yaml"))?)?;
    let docker = fs::read_to_string(folder.join("Dockerfile"))?;
    let from_base = docker.lines().next() == Some("FROM gcr.io/oss-fuzz-base/base-builder-rust");
    let copies =
        docker.contains("COPY .clusterfuzzlite/build.sh $SRC/\n") && docker.contains("COPY . $SRC/zdtm-detached\n");
    if project[0]["language"].as_str() != Some("rust") || !from_base || !copies {
        return Err("what OSS-Fuzz asks of a project is not there".into());
    }
    Ok(())
}

/// The smallest target, without optimisation, in the surroundings of the services without their
/// containers.
fn the_build_script_makes_a_target_that_runs() -> Result<(), Failed> {
    let out = tempfile::tempdir()?;
    let built = Command::new(tree().join(".clusterfuzzlite/build.sh"))
        .env("OUT", out.path())
        .env("SRC", "/nowhere")
        .env("FUZZ_TARGETS", "program_text")
        .env("CARGO_PROFILE", "dev")
        // Kept from run to run.
        .env("CARGO_TARGET_DIR", env!("CARGO_TARGET_TMPDIR"))
        .env_remove("SANITIZER")
        .output()?;
    if !built.status.success() {
        return Err(String::from_utf8_lossy(&built.stderr).into_owned().into());
    }
    let corpus = out.path().join("corpus");
    fs::create_dir(&corpus)?;
    let run = Command::new(out.path().join("program_text"))
        .current_dir(out.path())
        .args([&format!("-runs={RUNS}"), "-seed=1", "-dict=program_text.dict"])
        .arg(&corpus)
        .arg(tree().join("scenarios/catalogue"))
        .output()?;
    let said = String::from_utf8_lossy(&run.stderr);
    let has_coverage = said.contains("inline 8-bit counters") && said.contains("NEW");
    if !run.status.success() || !has_coverage || !said.contains(&format!("Done {RUNS} runs")) {
        return Err(format!("{}\n{said}", run.status).into());
    }
    let archive = fs::metadata(out.path().join("program_text_seed_corpus.zip"))?.len();
    if archive > 10_000 { Ok(()) } else { Err("the seeds are not packed".into()) }
}
