//! The calls of the steps that make, change and remove mounts.

use scenarios::Step;
use scenarios::model::EntryKind;
use scenarios::program::{Filesystem, MountAttribute, Place, Propagation, Subvolume};

use super::Dialect;
use super::holdings::Holding;
use super::literal::string;
use super::steps::{Part, Writer};

type Done = Result<(), &'static str>;

pub(super) fn carry_out(writer: &mut Writer<'_>, step: &Step) -> Done {
    match step {
        Step::Mount { filesystem, at, attributes } => mount(writer, *filesystem, at, attributes),
        Step::MountAgain { of, at, subvolume, attributes } => {
            let disk = writer.disks.iter().position(|(place, _)| place == of);
            let disk = disk.ok_or("no `mount` step put a block device there")?;
            let fs_type = writer.disks[disk].1;
            let first = mount_point(writer, at, false)?;
            let path = writer.path(at)?;
            let options = match subvolume {
                Some(Subvolume::Path(path)) => string(&[b"subvol=".as_slice(), path.as_slice()].concat()),
                Some(Subvolume::Id(id)) => format!("\"subvolid={id}\""),
                None => options_of(fs_type).to_owned(),
            };
            let (flags, source) = (flags_of(attributes), source_of(writer.dialect, disk));
            writer.run(format!("{first}mount({source}, {path}, \"{fs_type}\", {flags}, {options})"));
            Ok(())
        }
        Step::Overlay { .. } => overlay(writer, step),
        Step::Bind { from, to, recursive, attributes } => bind(writer, from, to, *recursive, attributes),
        Step::Move { from, to } => {
            let first = mount_point(writer, to, false)?;
            let (from, to) = (writer.path(from)?, writer.path(to)?);
            writer.run(format!("{first}mount({from}, {to}, NULL, MS_MOVE, NULL)"));
            Ok(())
        }
        Step::Remount { at, superblock: true, .. } => {
            let path = writer.path(at)?;
            writer.run(format!("mount(NULL, {path}, NULL, MS_REMOUNT | MS_RDONLY, NULL)"));
            // The filesystem stays read-only, the mount does not.
            set_attributes(writer, at, &[])
        }
        Step::Remount { at, attributes, .. } => set_attributes(writer, at, attributes),
        Step::Propagate { at, kind, recursive } => {
            let path = writer.path(at)?;
            let kind = match kind {
                Propagation::Shared => "MS_SHARED",
                Propagation::Slave => "MS_SLAVE",
                Propagation::Private => "MS_PRIVATE",
                Propagation::Unbindable => "MS_UNBINDABLE",
            };
            let recursive = if *recursive { " | MS_REC" } else { "" };
            writer.run(format!("mount(NULL, {path}, NULL, {kind}{recursive}, NULL)"));
            Ok(())
        }
        Step::Unmount { at, lazy } => {
            let path = writer.path(at)?;
            writer.run(format!("umount2({path}, {})", if *lazy { "MNT_DETACH" } else { "0" }));
            Ok(())
        }
        _ => tree(writer, step),
    }
}

/// The block device with this number.
fn source_of(dialect: Dialect, disk: usize) -> String {
    match dialect {
        Dialect::Zdtm => format!("\".disk{disk}\""),
        Dialect::Alone => format!("disks[{disk}]"),
    }
}

fn mount(writer: &mut Writer<'_>, filesystem: Filesystem, at: &Place, attributes: &[MountAttribute]) -> Done {
    let first = mount_point(writer, at, false)?;
    let path = writer.path(at)?;
    let fs_type = filesystem.type_name();
    let source = if filesystem.needs_disk() {
        writer.disks.push((at.clone(), fs_type));
        source_of(writer.dialect, writer.disks.len() - 1)
    } else {
        format!("\"{fs_type}\"")
    };
    writer.run(format!("{first}mount({source}, {path}, \"{fs_type}\", 0, {})", options_of(fs_type)));
    // Attributes belong to this mount, not to the superblock: a bind of it may have others.
    if attributes.is_empty() { Ok(()) } else { set_attributes(writer, at, attributes) }
}

/// The command that makes a filesystem in a file; those that are written once have the files that
/// the language promises.
pub(super) fn make_filesystem(fs_type: &str, file: &str) -> String {
    let tree = format!("mkdir -p {file}.d/d && printf hello >{file}.d/f && printf deeper >{file}.d/d/f");
    match fs_type {
        "squashfs" => format!("{tree} && mksquashfs {file}.d {file} -noappend -quiet -all-root && rm -r {file}.d"),
        "erofs" => format!("{tree} && mkfs.erofs --quiet --all-root {file} {file}.d && rm -r {file}.d"),
        "vfat" => format!("truncate -s 320M {file} && mkfs.vfat {file}"),
        _ => format!("truncate -s 320M {file} && mkfs.{fs_type} -q {file}"),
    }
}

/// Options that every mount of this type has: those of the executor.
fn options_of(fs_type: &str) -> &'static str {
    match fs_type {
        "devpts" => "\"newinstance,ptmxmode=0666\"",
        "xfs" => "\"nouuid\"",
        _ => "NULL",
    }
}

fn overlay(writer: &mut Writer<'_>, step: &Step) -> Done {
    let Step::Overlay { at, lower, upper, work, nfs_export, settings, attributes } = step else {
        return Err("a step that this version cannot write");
    };
    let first = mount_point(writer, at, false)?;
    let mut options = b"lowerdir=".to_vec();
    let mut tops = 0;
    let mut add = |options: &mut Vec<u8>, place: &Place| {
        if place.base.is_some() {
            return Err("a layer that is not below the top directory");
        }
        tops += 1;
        // The text is a format.
        let path: Vec<u8> =
            place.path.0.iter().flat_map(|&byte| vec![byte; if byte == b'%' { 2 } else { 1 }]).collect();
        options.extend([b"%s/".as_slice(), &path].concat());
        Ok(())
    };
    for (index, place) in lower.iter().enumerate() {
        if index > 0 {
            options.push(b':');
        }
        add(&mut options, place)?;
    }
    for (key, place) in [("upperdir", upper), ("workdir", work)] {
        if let Some(place) = place {
            let directory = mount_point(writer, place, false)?;
            if let Some(call) = directory.strip_suffix(" ?: ") {
                writer.run(call);
            }
            options.extend(format!(",{key}=").bytes());
            add(&mut options, place)?;
        }
    }
    if *nfs_export {
        options.extend(b",index=on,nfs_export=on");
    }
    options.extend(settings.options().bytes());
    let (path, flags) = (writer.path(at)?, flags_of(attributes));
    writer.parts.insert(Part::Options);
    let tops = ", top".repeat(tops);
    writer.run(format!("snprintf(options, sizeof(options), {}{tops})", string(&options)));
    writer.run(format!("{first}mount(\"overlay\", {path}, \"overlay\", {flags}, options)"));
    Ok(())
}

fn bind(writer: &mut Writer<'_>, from: &Place, to: &Place, recursive: bool, attributes: &[MountAttribute]) -> Done {
    let is_file = writer.kind_after_step(to).is_some_and(|kind| kind != EntryKind::Directory);
    let first = mount_point(writer, to, is_file)?;
    let (from, path) = (writer.path(from)?, writer.path(to)?);
    let recursive = if recursive { " | MS_REC" } else { "" };
    writer.run(format!("{first}mount({from}, {path}, NULL, MS_BIND{recursive}, NULL)"));
    if attributes.is_empty() { Ok(()) } else { set_attributes(writer, to, attributes) }
}

/// The mount has these attributes and no others.
fn set_attributes(writer: &mut Writer<'_>, at: &Place, attributes: &[MountAttribute]) -> Done {
    let path = writer.path(at)?;
    writer.run(format!("mount(NULL, {path}, NULL, MS_REMOUNT | MS_BIND | {}, NULL)", flags_of(attributes)));
    Ok(())
}

fn flags_of(attributes: &[MountAttribute]) -> String {
    let word = |attribute: &MountAttribute| match attribute {
        MountAttribute::Ro => "MS_RDONLY",
        MountAttribute::Nosuid => "MS_NOSUID",
        MountAttribute::Nodev => "MS_NODEV",
        MountAttribute::Noexec => "MS_NOEXEC",
        MountAttribute::Noatime => "MS_NOATIME",
        MountAttribute::Relatime => "MS_RELATIME",
        MountAttribute::Strictatime => "MS_STRICTATIME",
        MountAttribute::Nodiratime => "MS_NODIRATIME",
        MountAttribute::Nosymfollow => "MS_NOSYMFOLLOW",
    };
    let words: Vec<_> = attributes.iter().map(word).collect();
    if words.is_empty() { "0".to_owned() } else { words.join(" | ") }
}

/// The call that makes a mount point which is not there, and the operator before the next call: a
/// directory, or an empty file for a file.
fn mount_point(writer: &mut Writer<'_>, at: &Place, file: bool) -> Result<String, &'static str> {
    let entry = writer.entry(at);
    if at.path.is_empty() || matches!(entry, Ok(Some(_))) {
        return Ok(String::new());
    }
    let path = writer.path(at)?;
    let call = if file { format!("mknod({path}, S_IFREG | 0644, 0)") } else { format!("mkdir({path}, 0755)") };
    if entry.is_err() {
        // It may be there: then the mount call says what is wrong with it.
        writer.lines.push(format!("{call};"));
        return Ok(String::new());
    }
    Ok(format!("{call} ?: "))
}

/// Mounts that are attached nowhere.
fn tree(writer: &mut Writer<'_>, step: &Step) -> Done {
    let (name, attributes, recursive) = match step {
        Step::OpenTree { name, attributes, recursive, .. } => (name, attributes, *recursive),
        Step::NewTree { name, attributes, .. } => (name, attributes, false),
        _ => return Err("a step that this version cannot write"),
    };
    let with_all = if recursive { " | AT_RECURSIVE" } else { "" };
    let fd = match step {
        Step::OpenTree { at, .. } => {
            let path = writer.path(at)?;
            let fd = writer.holdings.add(name, Holding::Descriptor);
            writer.run(format!("{fd} = open_tree(AT_FDCWD, {path}, OPEN_TREE_CLONE{with_all})"));
            fd
        }
        Step::NewTree { filesystem, .. } => {
            writer.parts.insert(Part::File);
            let fd = writer.holdings.add(name, Holding::Descriptor);
            writer.run(format!("file = fsopen(\"{}\", 0)", filesystem.type_name()));
            writer.run("fsconfig(file, FSCONFIG_CMD_CREATE, NULL, NULL, 0)");
            writer.run(format!("{fd} = fsmount(file, 0, 0)"));
            writer.run("close(file)");
            fd
        }
        _ => return Err("a step that this version cannot write"),
    };
    if !attributes.is_empty() {
        writer.parts.insert(Part::MountAttributes);
        let set: Vec<_> = attributes.iter().map(bit).collect();
        writer.lines.push(format!("attributes.attr_set = {};", set.join(" | ")));
        writer.run(format!("mount_setattr({fd}, \"\", AT_EMPTY_PATH{with_all}, &attributes, sizeof(attributes))"));
    }
    Ok(())
}

fn bit(attribute: &MountAttribute) -> &'static str {
    match attribute {
        MountAttribute::Ro => "MOUNT_ATTR_RDONLY",
        MountAttribute::Nosuid => "MOUNT_ATTR_NOSUID",
        MountAttribute::Nodev => "MOUNT_ATTR_NODEV",
        MountAttribute::Noexec => "MOUNT_ATTR_NOEXEC",
        MountAttribute::Relatime => "MOUNT_ATTR_RELATIME",
        MountAttribute::Noatime => "MOUNT_ATTR_NOATIME",
        MountAttribute::Strictatime => "MOUNT_ATTR_STRICTATIME",
        MountAttribute::Nodiratime => "MOUNT_ATTR_NODIRATIME",
        MountAttribute::Nosymfollow => "MOUNT_ATTR_NOSYMFOLLOW",
    }
}
