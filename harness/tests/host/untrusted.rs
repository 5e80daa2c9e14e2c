//! Programs and folders of somebody else: nothing of them runs on this machine unless the user says so, and what runs cannot
//! change it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use libtest_mimic::Failed;
use protocol::message::{Flavor, Lifecycle};
use serde_json::json;

/// A sysctl that is there everywhere and harms nobody.
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
    let tree = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut command = Command::new(env!("CARGO_BIN_EXE_zdtm-detached"));
    command.env_remove("ZDTM_DETACHED_BACKEND").args(words).args(["--tree", tree]).current_dir(folder);
    Ok(command.output()?)
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
