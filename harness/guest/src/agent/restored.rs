//! Finds the process that a restore made, without the help of who restored it: by the pipe of the
//! harness's that is its standard input. What criu writes into a pidfile is criu's claim, and no
//! trial's verdict hangs on it.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;

use super::child::pipe_inode;
use crate::sys;

/// The process that has the reading end of this pipe as its standard input. The pidfd was there
/// before the last check of the descriptor, so the number cannot be another process's by now.
/// The inner error says why it is not clear which one it is.
pub(super) fn find(input: &OwnedFd) -> io::Result<Result<(i32, OwnedFd), String>> {
    let link = format!("pipe:[{}]", pipe_inode(input)?);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if !reads_from(pid, &link) {
            continue;
        }
        match sys::pidfd_open(pid) {
            Ok(pidfd) if reads_from(pid, &link) => found.push((pid, pidfd)),
            Ok(_) => {}
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(the_first(found))
}

/// The process that has this number as it sees it, has ended, and is still there because its
/// parent, one of these, has not waited for it.
pub(super) fn find_zombie(number: i32, parents: &[i32]) -> io::Result<Option<(i32, OwnedFd)>> {
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
        let last = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|line| line.split_ascii_whitespace().last()?.parse::<i32>().ok())
        };
        let is_zombie = status.lines().any(|line| line.starts_with("State:\tZ"));
        let is_child = last("PPid:").is_some_and(|parent| parents.contains(&parent));
        if is_zombie && is_child && last("NSpid:") == Some(number) {
            return Ok(Some((pid, sys::pidfd_open(pid)?)));
        }
    }
    Ok(None)
}

/// Of a process and its children the process: children inherit its standard input.
fn the_first(mut found: Vec<(i32, OwnedFd)>) -> Result<(i32, OwnedFd), String> {
    let all: Vec<i32> = found.iter().map(|(pid, _)| *pid).collect();
    found.retain(|(pid, _)| parent(*pid).is_none_or(|parent| !all.contains(&parent)));
    match found.pop() {
        None => Err("no process reads from the pipe that leads to the harness".to_owned()),
        Some(only) if found.is_empty() => Ok(only),
        Some(last) => {
            let name = |pid: i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let names: Vec<_> =
                found.iter().chain([&last]).map(|(pid, _)| format!("{pid} ({})", name(*pid).trim())).collect();
            Err(format!("more than one process reads from the pipe that leads to the harness: {}", names.join(", ")))
        }
    }
}

fn reads_from(pid: i32, link: &str) -> bool {
    fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|target| target.as_os_str() == link)
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;

    use super::*;

    /// The shell waits for its child, which has the same standard input.
    fn shell_with_child(input: &OwnedFd) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exec 3<&0; (echo; read line) <&3 & wait"]);
        command.stdin(input.try_clone().expect("a copy")).stdout(Stdio::piped());
        command.spawn().expect("a shell")
    }

    fn await_line(child: &mut Child) {
        let mut byte = [0];
        let output = child.stdout.as_mut().expect("a pipe");
        io::Read::read_exact(output, &mut byte).expect("the child's line");
    }

    #[test]
    fn the_one_process_is_found_and_two_are_reported() {
        let (input, held) = pipe2(OFlag::O_CLOEXEC).expect("a pipe");
        let none = find(&input).expect("a look at /proc").expect_err("nobody has it");
        assert_eq!(none, "no process reads from the pipe that leads to the harness");
        let mut first = shell_with_child(&input);
        await_line(&mut first);
        let (pid, _) = find(&input).expect("a look at /proc").expect("one process");
        assert_eq!(pid.cast_unsigned(), first.id());
        let mut second = shell_with_child(&input);
        await_line(&mut second);
        let two = find(&input).expect("a look at /proc").expect_err("two have it");
        assert!(two.contains(&format!("{} (sh)", first.id())) && two.contains(&second.id().to_string()), "{two}");
        drop(held);
        for mut child in [first, second] {
            child.wait().expect("its end: the pipe is closed");
        }
    }
}
