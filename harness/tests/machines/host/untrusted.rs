//! Programs and folders of somebody else: nothing of them runs on this machine unless the user says
//! so, and what runs cannot change it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Failed;
use protocol::message::{Flavor, Lifecycle};
use serde_json::json;

use crate::program::program_in;

/// A sysctl that exists everywhere and is harmless.
const SYSCTL: &str = "/proc/sys/fs/lease-break-time";

/// A program that changes [`SYSCTL`], as a scenario file.
fn changes_sysctl() -> Result<String, Failed> {
    let before = fs::read_to_string(SYSCTL)?;
    let other = if before.trim() == "44" { 43 } else { 44 };
    Ok(format!(
        "# A program of somebody else.\nrequires fs=tmpfs\noutcome restored\n\nmount $fs a\nbind a b\nwrite a/f \"x\"\n\
         fd0 = open b/f rdwr\nwrite proc/sys/fs/lease-break-time \"{other}\"\numount-lazy b\nassert fd0 detached\n"
    ))
}

fn zdtm(folder: &Path, words: &[&str]) -> Result<Output, Failed> {
    Ok(program_in(words, folder).env_remove("ZDTM_DETACHED_BACKEND").output()?)
}

/// A folder of a trial as somebody else could have made it.
fn saved_trial(folder: &Path, kernel: &str, subject: &str) -> Result<(), Failed> {
    let record = json!({
        "id": "x", "scenario": "x", "family": "", "flavor": Flavor::Ns, "lifecycle": Lifecycle::DumpRestore,
        "kernel": kernel, "subject": subject, "verdict": "fail", "kind": "wrong-path", "reason": "", "differences": [],
        "more_differences": 0, "log": [], "seconds": 0.1, "artifacts": null,
    });
    fs::write(folder.join("verdict.json"), record.to_string())?;
    Ok(fs::write(folder.join("program.scn"), changes_sysctl()?)?)
}

/// The command is refused as a wrong usage, says what to type, and the sysctl is what it was.
fn refused(folder: &Path, words: &[&str], hint: &str) -> Result<(), Failed> {
    let before = fs::read(SYSCTL)?;
    let output = zdtm(folder, words)?;
    let after = fs::read(SYSCTL)?;
    if after != before {
        fs::write(SYSCTL, &before)?;
        return Err(format!("{words:?} changed {SYSCTL}").into());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(2) || !said.contains(hint) {
        return Err(format!("{words:?}: {}, without {hint:?}:\n{said}", output.status).into());
    }
    Ok(())
}

pub(crate) fn a_folder_does_not_choose_the_host() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    saved_trial(folder.path(), "host-6.18", "reference")?;
    for command in ["replay", "shrink"] {
        refused(folder.path(), &[command, "."], "type --backend host if you trust program.scn")?;
    }
    fs::write(folder.path().join("zdtm-detached.toml"), "backend = 'host'\n")?;
    refused(folder.path(), &["replay", "."], "zdtm-detached.toml:1:11: backend \"host\" says what is executed")
}

pub(crate) fn a_folder_chooses_no_program_of_this_machine() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    // Either would leave a trace in the folder.
    let evil = folder.path().join("evil");
    fs::write(&evil, "#!/bin/sh\ntouch executed\n")?;
    fs::set_permissions(&evil, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    for subject in ["path:./evil", "src:.", "git:.@HEAD"] {
        saved_trial(folder.path(), "6.12", subject)?;
        for command in ["replay", "shrink", "shell"] {
            refused(folder.path(), &[command, "."], &format!("type --subject {subject}"))?;
        }
    }
    for key in ["qemu", "cache", "keyring"] {
        fs::write(folder.path().join("zdtm-detached.toml"), format!("\n{key} = './evil'\n"))?;
        refused(folder.path(), &["doctor"], &format!("zdtm-detached.toml:2:1: {key} decides what is executed"))?;
    }
    match folder.path().join("executed").exists() {
        true => Err("the program in the folder was executed".into()),
        false => Ok(()),
    }
}

/// A loop device with a private file behind it.
struct Victim {
    file: tempfile::NamedTempFile,
    device: String,
    minor: u32,
}

impl Victim {
    fn new() -> Result<Self, Failed> {
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), [b'.'; 1 << 16])?;
        let output = Command::new("losetup").args(["--find", "--show"]).arg(file.path()).output()?;
        let device = String::from_utf8(output.stdout)?.trim().to_owned();
        let minor = device.strip_prefix("/dev/loop").ok_or("losetup named no loop device")?.parse()?;
        Ok(Self { file, device, minor })
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.device]).status();
    }
}

/// Why no loop device can be set up here.
pub(crate) fn lack_of_loop_devices() -> Option<String> {
    Victim::new().err().map(|_| "no loop device can be set up here, as by root with losetup".to_owned())
}

const FLAVORS: [&str; 2] = ["ns", "host"];
const ALL_FLAVORS: [&str; 3] = ["ns", "host", "userns"];

/// Runs a program of these steps as root with `--backend host`; it must be unsupported or an error.
/// The verdict with its reason.
fn run_on_host(steps: &str, flavor: &str) -> Result<String, Failed> {
    let folder = tempfile::tempdir()?;
    let program = format!(
        "# A program of somebody else.\nrequires fs=tmpfs\noutcome restored\n\nmount $fs a\nbind a b\nwrite a/f \"x\"\n\
         fd0 = open b/f rdwr\n{steps}umount-lazy b\nassert fd0 detached\n"
    );
    fs::write(folder.path().join("evil.scn"), program)?;
    let words = ["run", "./evil.scn", "--backend", "host", "--subject", "reference", "--flavor", flavor];
    let output = zdtm(folder.path(), &[&words[..], &["--report", "json=report.json"]].concat())?;
    let report: serde_json::Value = serde_json::from_slice(&fs::read(folder.path().join("report.json"))?)?;
    let trial = &report["trials"][0];
    let verdict = trial["verdict"].as_str().unwrap_or_default();
    if !["unsupported", "error"].contains(&verdict) || output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{flavor}: {steps}: {verdict}, {}\n{said}", output.status).into());
    }
    Ok(format!("{verdict}: {}", trial["reason"].as_str().unwrap_or_default()))
}

pub(crate) fn a_block_device_of_the_host_is_out_of_reach() -> Result<(), Failed> {
    let victim = Victim::new()?;
    let before = fs::read(victim.file.path())?;
    let Victim { minor, .. } = victim;
    for flavor in FLAVORS {
        let steps = format!("mknod a/x block 7 {minor}\nfd1 = open b/x rdwr\nwrite-to fd1 \"changed by a program\"\n");
        let printed = run_on_host(&steps, flavor)?;
        if !printed.starts_with("unsupported: no right to make block devices here") {
            return Err(printed.into());
        }
        // In flavor host a symbolic link leads to the devices that the agent uses.
        let printed = run_on_host("symlink \"/dev/loop-control\" a/l\nfd1 = open a/l rdwr\n", flavor)?;
        if flavor == "host" && !printed.starts_with("unsupported: no right to open the character device 10:237 here") {
            return Err(printed.into());
        }
        Command::new("sync").arg(&victim.device).status()?;
        if fs::read(victim.file.path())? != before {
            return Err(format!("a program changed {} in flavor {flavor}", victim.device).into());
        }
    }
    Ok(())
}

pub(crate) fn what_belongs_to_the_kernel_is_not_changed() -> Result<(), Failed> {
    let before = fs::read(SYSCTL)?;
    let other = if before.starts_with(b"44") { 43 } else { 44 };
    let changes = [
        // The proc that is there, one that the program mounts, a bind of it, through a symbolic
        // link, by a descriptor.
        format!("write proc/sys/fs/lease-break-time \"{other}\"\n"),
        format!("mount proc p\nwrite p/sys/fs/lease-break-time \"{other}\"\n"),
        format!("mount proc p\nbind p/sys/fs/lease-break-time a/s\nwrite b/s \"{other}\"\nwrite a/s \"{other}\"\n"),
        format!("mount proc p\nsymlink \"../p/sys/fs/lease-break-time\" a/l\nappend a/l \"{other}\"\n"),
        format!("mount proc p\nfd1 = open p/sys/fs/lease-break-time rdwr\nwrite-to fd1 \"{other}\"\n"),
        format!("mount proc p\nfd1 = open p/sys/fs/lease-break-time path\nwrite fd1/. \"{other}\"\n"),
        "mount proc p\nchmod p/kallsyms 644\n".to_owned(),
        "mount sysfs s\nchmod s/power 700\n".to_owned(),
        "mount proc p\nfd1 = open p/sysrq-trigger wronly\n".to_owned(),
    ];
    for flavor in ALL_FLAVORS {
        for steps in &changes {
            let printed = run_on_host(steps, flavor);
            let after = fs::read(SYSCTL)?;
            if after != before {
                fs::write(SYSCTL, &before)?;
                return Err(format!("flavor {flavor} changed {SYSCTL}: {steps}{printed:?}").into());
            }
            printed?;
        }
    }
    Ok(())
}

/// The step `exec` executes the executor, whatever a program has put in its place.
pub(crate) fn a_program_is_no_code() -> Result<(), Failed> {
    // The checker refuses paths into the harness's own corner. A symbolic link leads there.
    let replaced = [
        "unlink l/executor\nwrite l/executor \"#!/bin/sh\"\nchmod l/executor 755\nexec\n",
        "write x \"#!/bin/sh\"\nchmod x 755\nbind x l/executor\nexec\n",
    ];
    for flavor in FLAVORS {
        for steps in replaced {
            let printed = run_on_host(&format!("symlink \".zdtm\" l\n{steps}"), flavor)?;
            if !printed.contains("another file has the executor's place") {
                return Err(format!("flavor {flavor}: {steps}{printed}").into());
            }
        }
    }
    Ok(())
}
