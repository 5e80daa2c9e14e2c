//! The commands of a script that carry out the steps.

use scenarios::Step;
use scenarios::program::{Filesystem, MountAttribute, ObjectName, OpenFlag, Place, Propagation, Subvolume};

use crate::export::literal::comment;

type Done = Result<(), &'static str>;

/// POSIX shells take one digit; the first three are the standard streams, and the script itself
/// uses the last one.
const NUMBERS: std::ops::Range<usize> = 3..9;

/// The script as far as it is written.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) lines: Vec<String>,
    /// The filesystem of each disk.
    pub(super) disks: Vec<&'static str>,
    /// Where each disk was mounted.
    mounted: Vec<Place>,
    /// What is held, by its number, in the order in which it was opened.
    objects: Vec<(ObjectName, String)>,
    opened: usize,
}

impl Steps {
    /// The number of a held object, or `cwd`.
    pub(super) fn number(&self, name: &ObjectName) -> Option<&str> {
        self.objects.iter().find(|(one, _)| one == name).map(|(_, number)| number.as_str())
    }

    pub(super) fn held(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().map(|(_, number)| number.as_str())
    }

    fn run(&mut self, command: impl Into<String>) -> Done {
        self.lines.push(command.into());
        Ok(())
    }

    /// A place as a word: a path from the top directory, or one that starts from a descriptor.
    fn path(&self, place: &Place) -> Result<String, &'static str> {
        let below = quoted(place.path.as_slice())?;
        let start = match &place.base {
            None => "\"$top\"".to_owned(),
            Some(base) => format!("/proc/$$/fd/{}", self.number(base).ok_or("a path that starts from no descriptor")?),
        };
        Ok(if place.path.is_empty() { start } else { format!("{start}/{below}") })
    }

    pub(super) fn carry_out(&mut self, step: &Step) -> Done {
        let before = self.lines.len();
        self.step(step)?;
        if let Some(first) = self.lines.get_mut(before) {
            first.insert_str(0, &format!("# {}\n", comment(&step.to_string())));
        }
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Done {
        match step {
            Step::Mount { .. }
            | Step::MountAgain { .. }
            | Step::Overlay { .. }
            | Step::Bind { .. }
            | Step::Move { .. }
            | Step::Propagate { .. }
            | Step::Unmount { .. } => self.mounts(step),
            Step::Open { .. } | Step::Read { .. } | Step::WriteTo { .. } | Step::Close { .. } | Step::Chdir { .. } => {
                self.objects(step)
            }
            Step::Remount { .. } => Err("mount(8) remounts with flags of its own"),
            Step::Fork { .. } | Step::As { .. } | Step::Exit { .. } => Err("more than one process"),
            Step::Dup { .. } => Err("whether descriptors are one description, which a shell cannot see"),
            Step::Chroot { .. } | Step::PivotRoot { .. } | Step::UnshareMounts { .. } | Step::Exec => {
                Err("the programs that the shell starts are not below its new root, or it starts anew")
            }
            Step::Mksocket { .. } | Step::Setxattr { .. } => Err("no program of coreutils does this step"),
            Step::Seek { .. } | Step::ReadEntries { .. } | Step::Lock { .. } | Step::Memfd { .. } => {
                Err("a shell has no call for this step")
            }
            Step::Mkdir { .. }
            | Step::Write { .. }
            | Step::Append { .. }
            | Step::Truncate { .. }
            | Step::Symlink { .. }
            | Step::Link { .. }
            | Step::Rename { .. }
            | Step::Unlink { .. }
            | Step::Rmdir { .. }
            | Step::Mkfifo { .. }
            | Step::Mknod { .. }
            | Step::Chmod { .. }
            | Step::Chown { .. }
            | Step::Touch { .. }
            | Step::Subvolume { .. }
            | Step::Snapshot { .. }
            | Step::DeleteSubvolume { .. } => self.names(step),
            _ => Err("a shell has no call for this step"),
        }
    }

    fn names(&mut self, step: &Step) -> Done {
        let command = match step {
            Step::Mkdir { at } => format!("mkdir {}", self.path(at)?),
            Step::Write { at, bytes: content } => format!("printf {} >{}", bytes(content.as_slice()), self.path(at)?),
            Step::Append { at, bytes: content } => format!("printf {} >>{}", bytes(content.as_slice()), self.path(at)?),
            Step::Truncate { at, length } => format!("truncate -s {length} {}", self.path(at)?),
            Step::Symlink { target, at } => format!("ln -s -- {} {}", quoted(target.as_slice())?, self.path(at)?),
            Step::Link { old, new } => {
                // With a descriptor alone the file itself is meant: its magic link is followed.
                let follow = if old.base.is_some() && old.path.is_empty() { "-L" } else { "-P" };
                format!("ln {follow} {} {}", self.path(old)?, self.path(new)?)
            }
            Step::Rename { old, new } => format!("mv -fT {} {}", self.path(old)?, self.path(new)?),
            Step::Unlink { at } => format!("unlink {}", self.path(at)?),
            Step::Rmdir { at } => format!("rmdir {}", self.path(at)?),
            Step::Mkfifo { at } => format!("mkfifo {}", self.path(at)?),
            Step::Mknod { at, kind, major, minor } => {
                let kind = if *kind == scenarios::program::DeviceKind::Char { "c" } else { "b" };
                format!("mknod {} {kind} {major} {minor}", self.path(at)?)
            }
            Step::Chmod { at, mode } => format!("chmod {mode:o} {}", self.path(at)?),
            Step::Chown { at, uid, gid } => format!("chown {uid}:{gid} {}", self.path(at)?),
            Step::Touch { at, seconds, nanoseconds } => {
                format!("touch -d @{seconds}.{nanoseconds:09} {}", self.path(at)?)
            }
            Step::Subvolume { at } => format!("btrfs -q subvolume create {}", self.path(at)?),
            Step::DeleteSubvolume { at } => format!("btrfs -q subvolume delete {}", self.path(at)?),
            Step::Snapshot { from, to, read_only } => {
                let read_only = if *read_only { "-r " } else { "" };
                format!("btrfs -q subvolume snapshot {read_only}{} {}", self.path(from)?, self.path(to)?)
            }
            _ => return Err("a shell has no call for this step"),
        };
        self.run(command)
    }

    fn objects(&mut self, step: &Step) -> Done {
        match step {
            Step::Open { name, at, flags } => {
                let operator = operator(flags)?;
                let number = NUMBERS.start + self.opened;
                if !NUMBERS.contains(&number) {
                    return Err("more than six descriptors");
                }
                self.opened += 1;
                let path = self.path(at)?;
                self.objects.push((name.clone(), number.to_string()));
                self.run(format!("exec {number}{operator}{path}"))
            }
            Step::Read { object, length } => {
                let number = self.number(object).ok_or("it reads from what a shell cannot hold")?;
                self.run(format!("dd bs={} count=1 status=none <&{number} >/dev/null", (*length).max(1)))
            }
            Step::WriteTo { object, bytes: content } => {
                let number = self.number(object).ok_or("it writes to what a shell cannot hold")?;
                self.run(format!("printf {} >&{number}", bytes(content.as_slice())))
            }
            Step::Close { object } => {
                let number = self.number(object).ok_or("it closes what a shell cannot hold")?.to_owned();
                self.objects.retain(|(name, _)| name != object);
                self.run(format!("exec {number}>&-"))
            }
            Step::Chdir { at } => {
                let path = self.path(at)?;
                let name = ObjectName("cwd".to_owned());
                if self.number(&name).is_none() {
                    self.objects.push((name, "cwd".to_owned()));
                }
                self.run(format!("cd {path}"))
            }
            _ => Err("a shell has no call for this step"),
        }
    }

    fn mounts(&mut self, step: &Step) -> Done {
        match step {
            Step::Mount { filesystem, at, attributes } => self.mount(*filesystem, at, attributes),
            Step::MountAgain { of, at, subvolume, attributes } => {
                plain(attributes)?;
                let disk = self.mounted.iter().position(|place| place == of);
                let disk = disk.ok_or("no `mount` step put a block device there")?;
                let options = match subvolume {
                    Some(Subvolume::Path(path)) => format!(" -o subvol={}", quoted(path.as_slice())?),
                    Some(Subvolume::Id(id)) => format!(" -o subvolid={id}"),
                    None => options_of(self.disks[disk]).to_owned(),
                };
                let (path, fs_type) = (self.path(at)?, self.disks[disk]);
                self.run(format!("[ -e {path} ] || mkdir {path}"))?;
                self.run(format!("mount -t {fs_type}{options} \"${}\" {path}", disk + 1))
            }
            Step::Overlay { .. } => Err("the layers of an overlay, which mount(8) takes in another form"),
            Step::Bind { from, to, recursive, attributes } => {
                plain(attributes)?;
                let (from, to) = (self.path(from)?, self.path(to)?);
                let option = if *recursive { "--rbind" } else { "--bind" };
                self.run(format!("[ -e {to} ] || if [ -d {from} ]; then mkdir {to}; else : >{to}; fi"))?;
                self.run(format!("mount {option} {from} {to}"))
            }
            Step::Move { from, to } => {
                let (from, to) = (self.path(from)?, self.path(to)?);
                self.run(format!("[ -e {to} ] || mkdir {to}"))?;
                self.run(format!("mount --move {from} {to}"))
            }
            Step::Propagate { at, kind, recursive } => {
                let kind = match kind {
                    Propagation::Shared => "shared",
                    Propagation::Slave => "slave",
                    Propagation::Private => "private",
                    Propagation::Unbindable => "unbindable",
                };
                let path = self.path(at)?;
                self.run(format!("mount --make-{}{kind} {path}", if *recursive { "r" } else { "" }))
            }
            Step::Unmount { at, lazy } => {
                let path = self.path(at)?;
                self.run(format!("umount {}{path}", if *lazy { "-l " } else { "" }))
            }
            _ => Err("a shell has no call for this step"),
        }
    }

    fn mount(&mut self, filesystem: Filesystem, at: &Place, attributes: &[MountAttribute]) -> Done {
        plain(attributes)?;
        let (path, fs_type) = (self.path(at)?, filesystem.type_name());
        let source = if filesystem.needs_disk() {
            self.disks.push(fs_type);
            self.mounted.push(at.clone());
            format!("\"${}\"", self.disks.len())
        } else {
            fs_type.to_owned()
        };
        if !at.path.is_empty() {
            self.run(format!("[ -e {path} ] || mkdir {path}"))?;
        }
        self.run(format!("mount -t {fs_type}{} {source} {path}", options_of(fs_type)))
    }
}

/// Options that every mount of this type has: those of the executor.
fn options_of(fs_type: &str) -> &'static str {
    match fs_type {
        "devpts" => " -o newinstance,ptmxmode=0666",
        "xfs" => " -o nouuid",
        _ => "",
    }
}

fn plain(attributes: &[MountAttribute]) -> Done {
    if attributes.is_empty() { Ok(()) } else { Err("mount(8) gives a mount flags of its own") }
}

/// The redirection that opens with these flags and no others.
fn operator(flags: &[OpenFlag]) -> Result<&'static str, &'static str> {
    let mut flags = flags.to_vec();
    flags.retain(|flag| *flag != OpenFlag::Rdonly);
    flags.sort_unstable_by_key(|flag| format!("{flag:?}"));
    match flags[..] {
        // A shell opens a directory without O_DIRECTORY, which is not about the directory.
        [] | [OpenFlag::Directory] => Ok("<"),
        [OpenFlag::Rdwr] => Ok("<>"),
        [OpenFlag::Append, OpenFlag::Wronly] => Ok(">>"),
        _ => Err("a shell has no redirection with these flags"),
    }
}

/// Text in single quotes.
pub(super) fn quoted(text: &[u8]) -> Result<String, &'static str> {
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) => {
            Ok(format!("'{}'", text.replace('\'', "'\\''")))
        }
        _ => Err("a name with other characters than printable ASCII"),
    }
}

/// Any bytes as the format of printf(1).
pub(super) fn bytes(content: &[u8]) -> String {
    let one = |&byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b' ' | b'.' | b'_' => char::from(byte).to_string(),
        _ => format!("\\{byte:03o}"),
    };
    format!("'{}'", content.iter().map(one).collect::<String>())
}
