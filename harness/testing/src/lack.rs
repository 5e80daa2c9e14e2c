//! What a machine may lack for these tests, found out when they are listed.

use std::process::Command;

/// Why namespaces cannot be made here.
pub fn lack_of_namespaces() -> Option<String> {
    let root = nix::unistd::geteuid().is_root();
    let flags = if root { "-mpiu" } else { "-Umpiun" };
    said_no(Command::new("unshare").args([flags, "--fork", "true"]), "no namespaces")
}

/// Why the reference engine cannot use all that it needs here: disks, file handles.
pub fn lack_of_root() -> Option<String> {
    let root = nix::unistd::geteuid().is_root();
    if root { lack_of_namespaces() } else { Some("disks and file handles need root".to_owned()) }
}

/// Why a user namespace is impossible here.
pub fn lack_of_user_namespaces() -> Option<String> {
    said_no(Command::new("unshare").args(["-Umpiun", "--fork", "true"]), "no user namespaces")
}

/// Why no namespace with shared mounts can be made here.
pub fn lack_of_shared_mounts() -> Option<String> {
    said_no(Command::new("unshare").args(["-m", "--propagation", "shared", "true"]), "no shared mounts")
}

/// Why no other user can be played here.
pub fn lack_of_users() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("the other tests run as a user already".to_owned());
    }
    said_no(as_nobody().args(["unshare", "-Umpiun", "--fork", "true"]), "no user namespaces").or_else(|| {
        let exe = std::env::current_exe().ok()?;
        said_no(as_nobody().args(["test", "-x"]).arg(exe), "another user cannot reach this test's program")
    })
}

fn said_no(command: &mut Command, what: &str) -> Option<String> {
    match command.output() {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(format!("{what}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Some(format!("{what}: {}: {error}", command.get_program().display())),
    }
}

/// What its arguments name, as the user `nobody`.
pub fn as_nobody() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]);
    command
}
