//! Exported C programs on this machine's kernel, without a checkpoint: they pass their own checks,
//! and notice what is changed under them.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use harness::export::c_program;
use harness::host::is_root;
use libtest_mimic::Failed;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use scenarios::Scenario;
use scenarios::catalogue::{DIRECTORY, load};

/// Every so many of the programs that need no disk are run.
const STRIDE: usize = 16;

/// What these tests need and this machine lacks.
pub(crate) fn lack() -> Option<String> {
    let runs = |program: &str| Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    match () {
        () if !is_root() => Some("root".to_owned()),
        () if !runs("cc") => Some("a C compiler".to_owned()),
        () if !runs("unshare") || !runs("nsenter") => Some("unshare(1) and nsenter(1)".to_owned()),
        () => None,
    }
}

/// A compiled program in a folder of its own.
struct Compiled {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Compiled {
    /// Compiles with every warning as an error.
    fn new(source: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let (file, program) = (folder.path().join("program.c"), folder.path().join("program"));
        fs::write(&file, source)?;
        let output =
            Command::new("cc").args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(&file).output()?;
        if output.status.success() {
            return Ok(Compiled { folder, program });
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }

    fn top(&self) -> PathBuf {
        self.folder.path().join("top")
    }

    /// Runs it in a mount namespace of its own, makes a change when it waits, and lets it check:
    /// `None` when it found nothing, otherwise what it says.
    fn check(&self, change: impl FnOnce(&Path, u32) -> Result<(), Failed>) -> Result<Option<String>, Failed> {
        let mut command = Command::new("unshare");
        // The shell keeps a namespace that the program leaves.
        command.args(["-m", "--", "sh", "-c", "\"$0\" \"$1\"; exit $?"]).arg(&self.program).arg(self.top());
        let mut child = Running(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?);
        let mut lines = BufReader::new(child.0.stdout.take().expect("it is a pipe")).lines();
        // What criu needs comes before the PID.
        let pid = lines.find_map(|line| line.ok()?.parse::<i32>().ok());
        if let Some(pid) = pid {
            // The top directory as the process sees it.
            let top = format!("/proc/{pid}/root{}", self.top().display());
            change(Path::new(&top), pid.cast_unsigned())?;
            kill(Pid::from_raw(pid), Signal::SIGTERM)?;
        }
        let mut said = String::new();
        child.0.stderr.take().expect("it is a pipe").read_to_string(&mut said)?;
        let status = child.0.wait()?;
        match (pid, status.code()) {
            (None, _) => Err(format!("it did not come to its checks: {said}").into()),
            (_, Some(0)) => Ok(None),
            (_, Some(1)) => Ok(Some(said)),
            _ => Err(format!("{status}: {said}").into()),
        }
    }
}

/// Ended when a test gives up.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn exported() -> Result<Vec<(Scenario, String)>, Failed> {
    let all = load(Path::new(DIRECTORY)).map_err(|_| "the catalogue cannot be read")?;
    Ok(all.into_iter().filter_map(|one| c_program(&one, &[]).ok().map(|text| (one, text))).collect())
}

/// Needs neither a disk nor a filesystem that kernels can be built without.
fn runs_anywhere(scenario: &Scenario) -> bool {
    let usual = ["tmpfs", "ramfs", "proc"];
    scenario.program.filesystems().iter().all(|fs_type| usual.contains(&fs_type.as_str()))
}

pub(crate) fn programs_check_themselves() -> Result<(), Failed> {
    let all = exported()?;
    let chosen: Vec<_> = all.iter().filter(|(scenario, _)| runs_anywhere(scenario)).step_by(STRIDE).collect();
    assert!(chosen.len() > 20, "only {} programs", chosen.len());
    for (scenario, source) in chosen {
        let said = Compiled::new(source).and_then(|program| program.check(|_, _| Ok(())));
        match said {
            Ok(None) => {}
            Ok(Some(said)) => return Err(format!("{}: {said}", scenario.name).into()),
            Err(failed) => return Err(format!("{}: {}", scenario.name, failed.message().unwrap_or("")).into()),
        }
    }
    Ok(())
}

/// A program with a file that is detached and one that is visible, and what must be noticed.
const PROGRAM: &str = r#"# Two files.
outcome restored

mount tmpfs a
mkdir a/d
write a/d/f "hello"
write a/d/g "other"
bind a/d b
bind a/d c
fd0 = open b/f rdwr
fd1 = open c/g rdwr
umount-lazy b

assert fd0 detached
assert fd0 link "/f"
assert fd1 visible
assert fd1 link "/c/g"
"#;

pub(crate) fn a_change_is_noticed() -> Result<(), Failed> {
    let scenarios = scenarios::text::scenarios(PROGRAM.as_bytes(), "two", Path::new("two.scn"));
    let scenario = scenarios.map_err(|_| "the program is good")?.remove(0);
    let source = c_program(&scenario, &[]).map_err(|refusal| refusal.to_string())?;
    let program = Compiled::new(&source)?;
    let in_namespace = |pid: u32, words: &[&str]| {
        let done = Command::new("nsenter").args(["-m", "-t", &pid.to_string(), "--"]).args(words).status()?;
        if done.success() { Ok(()) } else { Err(Failed::from(format!("{words:?}: {done}"))) }
    };
    let again = |wanted: Option<&str>, change: &dyn Fn(&Path, u32) -> Result<(), Failed>| {
        let said = program.check(|top, pid| change(top, pid))?;
        let _ = fs::remove_dir_all(program.top());
        match (wanted, said) {
            (None, None) => Ok(()),
            (Some(wanted), Some(said)) if said.contains(wanted) => Ok(()),
            (_, said) => Err(Failed::from(format!("expected {wanted:?}, it said {said:?}"))),
        }
    };
    again(None, &|_, _| Ok(()))?;
    again(Some("not so: assert fd0 link"), &|top, _| Ok(fs::rename(top.join("a/d/f"), top.join("a/d/h"))?))?;
    again(Some("fd0 is: link /f (deleted), not in mountinfo"), &|top, _| Ok(fs::remove_file(top.join("a/d/f"))?))?;
    again(Some("content olleh"), &|top, _| Ok(fs::write(top.join("a/d/f"), "olleh")?))?;
    again(Some("mode 100600"), &|top, _| {
        Ok(fs::set_permissions(top.join("a/d/g"), fs::Permissions::from_mode(0o600))?)
    })?;
    again(Some("not so: assert fd1 visible"), &|top, pid| {
        let point = program.top().join("c");
        assert!(top.join("c/g").exists());
        in_namespace(pid, &["umount", "-l", &point.display().to_string()])
    })
}
