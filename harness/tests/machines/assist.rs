//! Stock criu with the files on detached mounts given from outside.

#![allow(clippy::unwrap_used, reason = "what fails here is the end of the test")]

use std::io::Write;
use std::process::{Output, Stdio};

use libtest_mimic::{Arguments, Trial};

use crate::program::{program_in, rendered};

/// For those who met the message.
const PAGE: &str = include_str!("../../../docs/ASSIST.md");

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    trials!(None =>
        the_commands_of_the_page_bring_a_process_back,
        what_cannot_be_brought_back_goes_on,
        what_is_unmounted_before_the_freeze_is_dumped_too,
        what_is_refused_at_the_freeze_goes_on,
    )
}

/// Has a shell in a VM carry out commands.
fn in_a_vm(commands: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let mut shell = program_in(&["shell"], folder.path());
    let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(commands.as_bytes()).unwrap();
    shell.wait_with_output().unwrap()
}

/// The first block of shell commands.
fn example() -> &'static str {
    PAGE.split_once("```sh\n").unwrap().1.split_once("```").unwrap().0
}

fn the_commands_of_the_page_bring_a_process_back() {
    // The same with criu alone, first.
    let (before, after) = example().split_once("zdtm-detached assist dump").unwrap();
    let alone = "criu dump --tree $PID --images-dir /run/images --log-file alone.log || echo $?\n\
                 grep -c \"Can't lookup mount\" /run/images/alone.log\n";
    let link = "readlink /proc/$PID/fd/3; grep -c /run/bound /proc/$PID/mountinfo\n";
    let output = in_a_vm(&format!("set -e\n{before}{alone}zdtm-detached assist dump{after}set +e\n{link}"));
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "1\n1\none\ntwo\n/log\n0\n", "{}", rendered(&output));
}

fn what_cannot_be_brought_back_goes_on() {
    let commands = "\
mkdir -p /run/data /run/images
mount -t tmpfs data /run/data
echo one > /run/data/log
setsid tail -f /run/data/log > /dev/null 2>&1 < /dev/null &
PID=$!
until readlink /proc/$PID/fd/3; do :; done
umount -l /run/data
zdtm-detached assist dump --tree $PID --images-dir /run/images; echo $?
kill -0 $PID && ls /run/images | wc -l
";
    let output = in_a_vm(commands);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "/run/data/log\n1\n0\n", "{}", rendered(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    let why = "fd 3 (\"/log\"): it is on a detached mount, and no visible mount shows its filesystem";
    assert!(said.contains(why), "{}", rendered(&output));
}

/// Two files of one filesystem, one on a detached mount. Criu's place is taken by a script, which
/// unmounts more before it becomes criu: when `assist` has looked for the first time.
fn with_late(unmounted: &str, after: &str) -> Output {
    in_a_vm(&format!(
        "\
mkdir -p /run/data /run/first /run/second /run/images
mount -t tmpfs data /run/data
echo one > /run/data/log; echo two > /run/data/other
mount --bind /run/data /run/first; mount --bind /run/data /run/second
setsid tail -f /run/first/log /run/second/other > /dev/null 2>&1 < /dev/null &
PID=$!
until readlink /proc/$PID/fd/4; do :; done
umount -l /run/first
printf '#!/tools/busybox sh\n[ $1 = restore ] || umount -l {unmounted}\nexec /usr/sbin/criu \"$@\"\n' > /run/late
chmod 755 /run/late
zdtm-detached assist dump --tree $PID --images-dir /run/images --criu /run/late -- -o dump.log; echo $?
{after}"
    ))
}

fn what_is_unmounted_before_the_freeze_is_dumped_too() {
    let after = "\
zdtm-detached assist restore --images-dir /run/images -- --restore-detached
readlink /proc/$PID/fd/3; readlink /proc/$PID/fd/4
";
    let output = with_late("/run/second", after);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "/run/second/other\n0\n/log\n/other\n", "{}", rendered(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("files on detached mounts: 2"), "{}", rendered(&output));
}

fn what_is_refused_at_the_freeze_goes_on() {
    let after = "\
grep -c '^State:.S' /proc/$PID/status
ls /run/images | grep -c json
";
    let output = with_late("/run/second /run/data", after);
    let seen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(seen, "/run/second/other\n1\n1\n0\n", "{}", rendered(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no visible mount shows its filesystem"), "{}", rendered(&output));
}
