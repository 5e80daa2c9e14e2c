//! QEMU's command line: one small pure function for each device, tested as text.
//!
//! The machine is `pc` or, for arm64, `virt`, with as little in it as the guest needs. Every device
//! must be the same in a machine that is saved and in one that takes the saved state over, so
//! nothing here depends on the host; only the memory's backing file would differ between the two
//! ([`Memory`]).

use std::ffi::OsString;
use std::fmt::Write as _;
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::accelerator::Accelerator;
use crate::architecture::Architecture;

/// The virtio-serial port that the agent looks for.
pub const AGENT_PORT: &str = "zdtm.agent";

/// The machine that a command line describes.
#[derive(Debug)]
pub struct Machine<'a> {
    /// What its code is for.
    pub architecture: Architecture,
    /// What runs its code.
    pub accelerator: Accelerator,
    /// Directories with QEMU's firmware.
    pub data_dirs: &'a [PathBuf],
    /// Size of the memory in MiB.
    pub memory_mib: u32,
    /// Where the memory is.
    pub memory: Memory,
    /// How it starts.
    pub start: Start<'a>,
    /// The file for the serial console.
    pub console: &'a Path,
    /// The socket of the channel to the agent, inherited by QEMU.
    pub agent_fd: RawFd,
    /// The socket of QMP, inherited by QEMU.
    pub qmp_fd: RawFd,
}

/// What backs the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Memory {
    /// Nothing: it is gone with QEMU.
    Anonymous,
    /// A file. Create it in the memory's full size first: QEMU may not make a file longer than the
    /// console's limit.
    File {
        /// Where; on a tmpfs, or every change goes to the disk.
        path: PathBuf,
        /// Changes go to the file; otherwise they stay with this QEMU, copy-on-write.
        shared: bool,
    },
}

/// How a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start<'a> {
    /// It boots a kernel.
    Boot {
        /// `vmlinux` with a PVH entry or a `bzImage`; for arm64 an `Image`.
        kernel: &'a Path,
        /// A cpio archive with `/init`.
        initramfs: &'a Path,
        /// The kernel's command line.
        cmdline: &'a str,
    },
    /// It waits for QMP's `migrate-incoming` with the state of a machine that was saved. Kernel and
    /// initramfs are not named: both are in that machine's memory.
    Incoming,
}

impl Machine<'_> {
    /// The words after the program.
    pub fn argv(&self) -> Vec<OsString> {
        [
            surroundings(self.data_dirs),
            machine(self.architecture, self.accelerator),
            memory(self.memory_mib, &self.memory),
            start(self.start),
            console(self.architecture, self.console),
            agent(self.agent_fd),
            qmp(self.qmp_fd),
            generation_id(self.architecture),
        ]
        .concat()
    }
}

/// QEMU's own seccomp filter: it starts no program and gains no rights.
const SANDBOX: [&str; 2] = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"];

/// No configuration files, no window, no default devices; a guest that resets ends QEMU. Debian's
/// QEMU, which is started with the folders of its firmware, has the filter. One of the host's need
/// not be built with it.
fn surroundings(data_dirs: &[PathBuf]) -> Vec<OsString> {
    let mut argv = words(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"]);
    for directory in data_dirs {
        argv.extend(["-L".into(), directory.into()]);
    }
    if !data_dirs.is_empty() {
        argv.extend(words(SANDBOX));
    }
    argv
}

/// One virtual processor: a second one costs more than it gives under TCG, and one VM per core
/// fills the host better. `max` has RDRAND, without which the guest's random numbers come late.
/// Switching off the machine's HPET, keyboard controller, SMBus or USB saves no time that could be
/// measured.
///
/// On arm64 the processor is without pointer authentication, with which the restore of criu 4.1.1
/// does not come to its end, and without the vector registers of variable length, whose size is
/// the host's. `gic-version=max` is the newest interrupt controller that the accelerator has.
fn machine(architecture: Architecture, accelerator: Accelerator) -> Vec<OsString> {
    let (machine, cpu) = match (architecture, accelerator) {
        (Architecture::Amd64, _) => ("pc,memory-backend=ram", "max"),
        (Architecture::Arm64, Accelerator::Tcg) => (ARM64_MACHINE, "max,pauth=off,sve=off,sme=off"),
        (Architecture::Arm64, Accelerator::Kvm) => (ARM64_MACHINE, "host,pauth=off,sve=off"),
    };
    words(["-machine", machine, "-accel", accelerator.name(), "-cpu", cpu, "-smp", "1"])
}

const ARM64_MACHINE: &str = "virt,gic-version=max,memory-backend=ram";

fn memory(mib: u32, memory: &Memory) -> Vec<OsString> {
    let mut object = OsString::new();
    match memory {
        Memory::Anonymous => object.push("memory-backend-ram,id=ram"),
        Memory::File { path, shared } => {
            object.push("memory-backend-file,id=ram,mem-path=");
            object.push(option_value(path));
            object.push(if *shared { ",share=on" } else { ",share=off" });
        }
    }
    object.push(format!(",size={mib}M"));
    vec!["-m".into(), format!("{mib}M").into(), "-object".into(), object]
}

fn start(start: Start<'_>) -> Vec<OsString> {
    match start {
        Start::Boot { kernel, initramfs, cmdline } => {
            vec!["-kernel".into(), kernel.into(), "-initrd".into(), initramfs.into(), "-append".into(), cmdline.into()]
        }
        Start::Incoming => words(["-incoming", "defer"]),
    }
}

/// The kernel's console, into a file: what it prints is never mixed with the messages.
fn console(architecture: Architecture, file: &Path) -> Vec<OsString> {
    let mut chardev = OsString::from("file,id=console,path=");
    chardev.push(option_value(file));
    let port = match architecture {
        Architecture::Amd64 => ["-device", "isa-serial,chardev=console"],
        // A part of the machine, not a device that is added.
        Architecture::Arm64 => ["-serial", "chardev:console"],
    };
    [vec!["-chardev".into(), chardev], words(port)].concat()
}

fn agent(fd: RawFd) -> Vec<OsString> {
    let port = format!("virtserialport,chardev=agent,name={AGENT_PORT}");
    let mut argv = words(["-device", "virtio-serial-pci,max_ports=2"]);
    argv.extend(words(["-chardev", &format!("socket,id=agent,fd={fd}"), "-device", &port]));
    argv
}

fn qmp(fd: RawFd) -> Vec<OsString> {
    words(["-chardev", &format!("socket,id=qmp,fd={fd}"), "-mon", "chardev=qmp,mode=control"])
}

/// Tells the kernel that it runs on in another copy, so that it seeds its random numbers anew. QEMU
/// has this device for amd64 only; the agent does it on arm64.
fn generation_id(architecture: Architecture) -> Vec<OsString> {
    match architecture {
        Architecture::Amd64 => words(["-device", "vmgenid,guid=auto"]),
        Architecture::Arm64 => Vec::new(),
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<OsString> {
    words.map(OsString::from).into()
}

/// A path as the value of a QEMU option: a comma ends the value unless it is doubled.
fn option_value(path: &Path) -> OsString {
    let double = |&byte: &u8| if byte == b',' { vec![b',', b','] } else { vec![byte] };
    OsString::from_vec(path.as_os_str().as_bytes().iter().flat_map(double).collect())
}

/// A command line for people: an option and its value on a line, quoted for a shell where needed.
pub fn to_text<'a>(argv: impl IntoIterator<Item = &'a std::ffi::OsStr>) -> String {
    let mut text = String::new();
    for word in argv {
        let word = word.to_string_lossy();
        let plain = |char: char| char.is_ascii_alphanumeric() || "-_=,./:+@%".contains(char);
        let quoted = if !word.is_empty() && word.chars().all(plain) { word.into_owned() } else { quote(&word) };
        let separator = match text.is_empty() {
            true => "",
            false if quoted.starts_with('-') => " \\\n  ",
            false => " ",
        };
        let _ = write!(text, "{separator}{quoted}");
    }
    text.push('\n');
    text
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn machine(memory: Memory) -> Machine<'static> {
        Machine {
            architecture: Architecture::Amd64,
            accelerator: Accelerator::Tcg,
            data_dirs: &[],
            memory_mib: 512,
            memory,
            start: Start::Boot {
                kernel: Path::new("/c/vmlinux"),
                initramfs: Path::new("/c/initramfs"),
                cmdline: "console=ttyS0 panic=-1",
            },
            console: Path::new("/a/b/console"),
            agent_fd: 7,
            qmp_fd: 9,
        }
    }

    fn text(argv: Vec<OsString>) -> String {
        to_text(argv.iter().map(OsString::as_os_str))
    }

    #[test]
    fn the_whole_line() {
        let directories = ["/q/share/qemu".into(), "/q/share/seabios".into()];
        let machine = Machine { data_dirs: &directories, ..machine(Memory::Anonymous) };
        expect![[r#"
            -no-user-config \
              -nodefaults \
              -display none \
              -no-reboot \
              -L /q/share/qemu \
              -L /q/share/seabios \
              -sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny \
              -machine pc,memory-backend=ram \
              -accel tcg \
              -cpu max \
              -smp 1 \
              -m 512M \
              -object memory-backend-ram,id=ram,size=512M \
              -kernel /c/vmlinux \
              -initrd /c/initramfs \
              -append 'console=ttyS0 panic=-1' \
              -chardev file,id=console,path=/a/b/console \
              -device isa-serial,chardev=console \
              -device virtio-serial-pci,max_ports=2 \
              -chardev socket,id=agent,fd=7 \
              -device virtserialport,chardev=agent,name=zdtm.agent \
              -chardev socket,id=qmp,fd=9 \
              -mon chardev=qmp,mode=control \
              -device vmgenid,guid=auto
        "#]]
        .assert_eq(&text(machine.argv()));
    }

    #[test]
    fn arm64_has_another_machine_and_console() {
        let of = |architecture| text(Machine { architecture, ..machine(Memory::Anonymous) }.argv());
        let (amd64, arm64) = (of(Architecture::Amd64), of(Architecture::Arm64));
        let lines = arm64.lines().filter(|line| !amd64.lines().any(|other| other == *line));
        expect![[r#"
            -machine virt,gic-version=max,memory-backend=ram \
            -cpu max,pauth=off,sve=off,sme=off \
            -serial chardev:console \
            -mon chardev=qmp,mode=control
        "#]]
        .assert_eq(&lines.map(|line| format!("{}\n", line.trim())).collect::<String>());
        let kvm =
            Machine { architecture: Architecture::Arm64, accelerator: Accelerator::Kvm, ..machine(Memory::Anonymous) };
        assert!(text(kvm.argv()).contains("-accel kvm \\\n  -cpu host,pauth=off,sve=off "));
    }

    #[test]
    fn kvm_differs_in_one_word() {
        let kvm = Machine { accelerator: Accelerator::Kvm, ..machine(Memory::Anonymous) }.argv();
        let tcg = machine(Memory::Anonymous).argv();
        let different: Vec<_> = kvm.iter().zip(&tcg).filter(|(kvm, tcg)| kvm != tcg).collect();
        assert_eq!(different, [(&OsString::from("kvm"), &OsString::from("tcg"))]);
    }

    #[test]
    fn a_clone_differs_from_its_template_in_how_it_starts_and_in_what_becomes_of_its_memory() {
        let file = |shared| Memory::File { path: "/dev/shm/ram".into(), shared };
        let template = text(machine(file(true)).argv());
        let clone = text(Machine { start: Start::Incoming, ..machine(file(false)) }.argv());
        let differing = |of: &str, from: &str| -> String {
            of.lines()
                .filter(|line| !from.lines().any(|other| other == *line))
                .map(|line| format!("{}\n", line.trim()))
                .collect()
        };
        expect![[r#"
              -object memory-backend-file,id=ram,mem-path=/dev/shm/ram,share=on,size=512M \
              -kernel /c/vmlinux \
              -initrd /c/initramfs \
              -append 'console=ttyS0 panic=-1' \
        "#]]
        .assert_eq(&differing(&template, &clone));
        expect![[r#"
              -object memory-backend-file,id=ram,mem-path=/dev/shm/ram,share=off,size=512M \
              -incoming defer \
        "#]]
        .assert_eq(&differing(&clone, &template));
    }

    #[test]
    fn memory_in_a_file() {
        let file = |shared| Memory::File { path: "/dev/shm/a,b".into(), shared };
        expect![[r#"
            -m 256M \
              -object memory-backend-file,id=ram,mem-path=/dev/shm/a,,b,share=on,size=256M \
              -m 256M \
              -object memory-backend-file,id=ram,mem-path=/dev/shm/a,,b,share=off,size=256M
        "#]]
        .assert_eq(&text([memory(256, &file(true)), memory(256, &file(false))].concat()));
    }

    #[test]
    fn commas_in_paths_stay_a_part_of_the_path() {
        expect![[r#"
            -chardev file,id=console,path=/a,,b/console \
              -device isa-serial,chardev=console
        "#]]
        .assert_eq(&text(console(Architecture::Amd64, Path::new("/a,b/console"))));
    }
}
