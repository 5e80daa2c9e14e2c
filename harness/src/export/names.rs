//! The calls of the steps that make, change and remove names and files.

use scenarios::program::{DeviceKind, Place};
use scenarios::{Bytes, Step};

use super::literal::string;
use super::steps::{Part, Writer};

type Done = Result<(), &'static str>;

pub(super) fn carry_out(writer: &mut Writer<'_>, step: &Step) -> Done {
    match step {
        Step::Mkdir { at } => on_path(writer, "mkdir", at, "0755"),
        Step::Write { at, bytes } => write(writer, at, "O_WRONLY | O_CREAT | O_TRUNC, 0644", bytes),
        Step::Append { at, bytes } => write(writer, at, "O_WRONLY | O_APPEND", bytes),
        Step::Truncate { at, length } => on_path(writer, "truncate", at, &length.to_string()),
        Step::Symlink { target, at } => {
            let path = writer.path(at)?;
            writer.run(format!("symlink({}, {path})", string(target.as_slice())));
            Ok(())
        }
        Step::Link { old, new } => {
            let (old_path, new_path) = (writer.path(old)?, writer.path(new)?);
            // With a descriptor alone the file itself is meant: its magic link is followed.
            let is_itself = old.base.is_some() && old.path.is_empty();
            let flags = if is_itself { "AT_SYMLINK_FOLLOW" } else { "0" };
            writer.run(format!("linkat(AT_FDCWD, {old_path}, AT_FDCWD, {new_path}, {flags})"));
            Ok(())
        }
        Step::Rename { old, new } => {
            let (old, new) = (writer.path(old)?, writer.path(new)?);
            writer.run(format!("rename({old}, {new})"));
            Ok(())
        }
        Step::Unlink { at } => on_path(writer, "unlink", at, ""),
        Step::Rmdir { at } => on_path(writer, "rmdir", at, ""),
        Step::Mkfifo { at } => on_path(writer, "mkfifo", at, "0644"),
        Step::Mksocket { at } => on_path(writer, "mknod", at, "S_IFSOCK | 0644, 0"),
        Step::Mknod { at, kind, major, minor } => {
            writer.parts.insert(Part::Devices);
            let kind = if *kind == DeviceKind::Char { "S_IFCHR" } else { "S_IFBLK" };
            on_path(writer, "mknod", at, &format!("{kind} | 0644, makedev({major}, {minor})"))
        }
        Step::Chmod { at, mode } => on_path(writer, "chmod", at, &format!("{mode:#06o}").replace("0o", "")),
        Step::Chown { at, uid, gid } => {
            writer.parts.insert(Part::Owners);
            on_path(writer, "chown", at, &format!("{uid}, {gid}"))
        }
        Step::Setxattr { at, name, value } => {
            writer.xattrs.push(name.clone());
            let value = format!("{}, {}", string(value.as_slice()), value.0.len());
            on_path(writer, "setxattr", at, &format!("{}, {value}, 0", string(name.as_slice())))
        }
        Step::Touch { at, seconds, nanoseconds } => {
            writer.parts.insert(Part::Times);
            let path = writer.path(at)?;
            let time = format!("{{ {seconds}, {nanoseconds} }}");
            writer.run(format!("utimensat(AT_FDCWD, {path}, (struct timespec[]){{ {time}, {time} }}, 0)"));
            Ok(())
        }
        _ => subvolumes(writer, step),
    }
}

fn on_path(writer: &mut Writer<'_>, call: &str, at: &Place, rest: &str) -> Done {
    let (path, between) = (writer.path(at)?, if rest.is_empty() { "" } else { ", " });
    writer.run(format!("{call}({path}{between}{rest})"));
    Ok(())
}

fn write(writer: &mut Writer<'_>, at: &Place, flags: &str, bytes: &Bytes) -> Done {
    let path = writer.path(at)?;
    writer.parts.insert(Part::File);
    writer.run(format!("file = open({path}, {flags})"));
    match bytes.0.len() {
        0 => writer.run("close(file)"),
        length => {
            let bytes = string(bytes.as_slice());
            writer.run(format!("write(file, {bytes}, {length}) == {length} ? close(file) : -1"));
        }
    }
    Ok(())
}

fn subvolumes(writer: &mut Writer<'_>, step: &Step) -> Done {
    writer.parts.extend([Part::Btrfs, Part::File]);
    let (at, request, from) = match step {
        Step::Subvolume { at } => (at, "BTRFS_IOC_SUBVOL_CREATE", None),
        Step::DeleteSubvolume { at } => (at, "BTRFS_IOC_SNAP_DESTROY", None),
        Step::Snapshot { from, to, read_only } => (to, "BTRFS_IOC_SNAP_CREATE_V2", Some((from, *read_only))),
        _ => return Err("a step that this version cannot write"),
    };
    let bytes = at.path.as_slice();
    let (parent, name) = match bytes.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => (bytes[..slash].to_vec(), &bytes[slash + 1..]),
        None => (b".".to_vec(), bytes),
    };
    let parent = writer.path(&Place { base: at.base.clone(), path: Bytes(parent) })?;
    writer.run(format!("file = open({parent}, O_RDONLY)"));
    let name = format!(".name = {}", string(name));
    match from {
        None => writer.run(format!("ioctl(file, {request}, &(struct btrfs_ioctl_vol_args){{ {name} }})")),
        Some((from, read_only)) => {
            let flags = if read_only { ", .flags = BTRFS_SUBVOL_RDONLY" } else { "" };
            let from = writer.path(from)?;
            writer.lines.push("{".to_owned());
            writer.lines.push(format!("\tstruct btrfs_ioctl_vol_args_v2 snapshot = {{ {name}{flags} }};"));
            writer.lines.push(String::new());
            writer.run(format!("snapshot.fd = open({from}, O_RDONLY | O_DIRECTORY)"));
            writer.run(format!("ioctl(file, {request}, &snapshot)"));
            writer.run("close(snapshot.fd)");
            let inner = writer.lines.len() - 3;
            writer.lines[inner..].iter_mut().for_each(|line| line.insert(0, '\t'));
            writer.lines.push("}".to_owned());
        }
    }
    writer.run("close(file)");
    Ok(())
}
