//! A template: a machine that was saved when it was ready and warm. Copies of it start where it
//! stopped.
//!
//! It is a folder with the memory, a sparse file that every copy maps copy-on-write, and the state
//! of the devices and the processor (QEMU's migration stream, with `x-ignore-shared` so that the
//! memory does not belong to it). Where folders are kept, and when one is made anew, is the
//! business of [`super::template_cache`].
//!
//! A template has every module loaded, and the userland's criu has dumped and restored one process,
//! so that criu knows the kernel (`/run/criu.kdat`). When that fails, each run starts with one line
//! about it. When it leaves something that cannot be removed, the machine is thrown away, and
//! another one is saved without that dump and restore.
//!
//! The files of the folder:
//!
//! - `ram`: the guest's memory, a sparse file of which about 150 MiB are used. QEMU has it as
//!   shared memory while it makes the template.
//! - `state`: the migration stream.
//! - `ready.json`: the agent's first message.
//! - `cold.json`: which parts of the warm-up failed.
//!
//! A copy is a QEMU with the same devices, the memory mapped copy-on-write (`share=off`), no
//! `-kernel`, and `-incoming defer`. The stream goes through a socket pair (`getfd`, `fd:`), which
//! QEMU takes from 7.2 on (tried: 7.2, 10.0, 11.1). The agent waits for a request when the machine
//! is saved, so its port is quiet. The copy has another socket behind the same port. The first
//! message of a copy answers `Wake`, which carries the time and a number that was never used
//! before, so that answer cannot come from the saved machine. The agent sets its clock and repeats
//! the number.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use protocol::message::Ready;
use protocol::{Event, Request};
use sha2::{Digest, Sha256};

use super::Accelerator;
use super::argv::{self, Machine, Memory, Start};
use super::cmdline;
use super::error::VmError;
use super::machine::{Paused, Vm, VmSpec};

/// Raised when templates are made otherwise than before by the same command lines.
const FORMAT: u32 = 2;

const RAM: &str = "ram";
const STATE: &str = "state";
const READY: &str = "ready.json";
const COLD: &str = "cold.json";

/// A saved machine in its folder.
#[derive(Clone, Debug)]
pub struct Template {
    ram: PathBuf,
    state: Arc<[u8]>,
    ready: Ready,
    /// What could not be warmed up.
    cold: Vec<String>,
}

impl Template {
    /// Boots a machine, has it warm up, saves it into the folder `to`, and ends it. A machine on
    /// which the warm-up left traces is not saved, but another one that only loaded its modules.
    ///
    /// # Errors
    /// [`VmError`]; the folder is then of no use.
    pub fn make(spec: &VmSpec, to: &Path, deadline: Instant) -> Result<(), VmError> {
        let (vm, mut cold, traces) = Self::warm(spec, to, true, deadline)?;
        let vm = if traces.is_empty() {
            vm
        } else {
            drop(vm);
            cold.extend(traces.iter().map(|trace| format!("it left a trace that cannot be taken away: {trace}")));
            let (vm, more, traces) = Self::warm(spec, to, false, deadline)?;
            if !traces.is_empty() {
                return Err(vm.astray(format!("traces of loading modules: {}", traces.join(", "))));
            }
            cold.extend(more);
            vm
        };
        let ready = serde_json::to_vec_pretty(vm.ready()).expect("strings and numbers have a JSON form");
        write(&to.join(READY), &ready)?;
        let cold = serde_json::to_vec_pretty(&cold).expect("strings have a JSON form");
        write(&to.join(COLD), &cold)?;
        let state = vm.save(deadline)?;
        write(&to.join(STATE), &state)
    }

    /// A machine that is as warm as it gets, what could not be done, and what traces there are of
    /// it.
    fn warm(
        spec: &VmSpec,
        to: &Path,
        cycle: bool,
        deadline: Instant,
    ) -> Result<(Vm, Vec<String>, Vec<String>), VmError> {
        let ram = to.join(RAM);
        let file = File::create(&ram).map_err(prepare("create", &ram))?;
        file.set_len(u64::from(spec.memory_mib) << 20).map_err(prepare("lengthen", &ram))?;
        drop(file);
        let mut vm = Vm::boot_in(spec, Memory::File { path: ram, shared: true }, deadline)?;
        vm.send(&Request::WarmUp { cycle })?;
        match vm.receive(deadline)? {
            Event::Warm { failed, traces } => Ok((vm, failed, traces)),
            other => Err(vm.astray(format!("{other:.200?} and not Warm"))),
        }
    }

    /// The template in a folder.
    ///
    /// # Errors
    /// A file cannot be read, or this harness did not write it.
    pub fn open(folder: &Path) -> Result<Self, VmError> {
        let read = |name| {
            let path = folder.join(name);
            fs::read(&path).map_err(prepare("read", &path))
        };
        let unreadable = |name| move |error: serde_json::Error| prepare("read", &folder.join(name))(error.into());
        let ready = serde_json::from_slice(&read(READY)?).map_err(unreadable(READY))?;
        let cold = serde_json::from_slice(&read(COLD)?).map_err(unreadable(COLD))?;
        Ok(Self { ram: folder.join(RAM), state: read(STATE)?.into(), ready, cold })
    }

    /// What of the warm-up failed when it was made.
    pub fn cold(&self) -> &[String] {
        &self.cold
    }

    /// What its agent found when it came up.
    pub fn ready(&self) -> &Ready {
        &self.ready
    }

    /// A copy, loaded and not yet running. `spec` is what the template was made of, with another
    /// directory.
    ///
    /// # Errors
    /// [`VmError`]; nothing is left running.
    pub fn copy(&self, spec: &VmSpec, deadline: Instant) -> Result<Paused, VmError> {
        Paused::load(spec, &self.ram, Arc::clone(&self.state), deadline)
    }
}

/// A hash of everything that makes one template another: the program and version of QEMU, its whole
/// command line (with accelerator, processor, memory and devices), kernel and initramfs (with
/// userland and agent), and for KVM the host's processor and kernel. A criu of the user's is not in
/// it: copies get it when they are awake.
///
/// # Errors
/// A file that the machine is made of cannot be examined.
pub fn key(spec: &VmSpec) -> Result<String, VmError> {
    let cmdline = cmdline::with(spec.architecture, &spec.extra_cmdline);
    let machine = Machine {
        architecture: spec.architecture,
        accelerator: spec.accelerator,
        data_dirs: &spec.qemu.data_dirs,
        memory_mib: spec.memory_mib,
        memory: Memory::Anonymous,
        start: Start::Boot { kernel: &spec.kernel, initramfs: &spec.initramfs, cmdline: &cmdline },
        console: Path::new("console"),
        agent_fd: 0,
        qmp_fd: 0,
    };
    let words = spec.qemu.argv_prefix.iter().cloned().chain(machine.argv());
    let words: Vec<_> = words.collect();
    let mut text = format!("template {FORMAT}, QEMU {}\n", spec.qemu.version);
    text.push_str(&argv::to_text(words.iter().map(std::ffi::OsString::as_os_str)));
    let programs = spec.qemu.argv_prefix.iter().map(Path::new).filter(|path| path.is_absolute() && path.is_file());
    for path in programs.chain([spec.kernel.as_path(), spec.initramfs.as_path()]) {
        text.push_str(&identity(path)?);
    }
    if spec.accelerator == Accelerator::Kvm {
        text.push_str(&host_processor());
    }
    Ok(Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file's identity without reading it: a replaced file differs in at least one of these.
fn identity(path: &Path) -> Result<String, VmError> {
    use std::os::unix::fs::MetadataExt;
    let data = path.metadata().map_err(prepare("look at", path))?;
    let (dev, ino, size, mtime, ns) = (data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec());
    Ok(format!("{} {dev} {ino} {size} {mtime}.{ns:09}\n", path.display()))
}

/// What the guest's processor is made of under KVM.
fn host_processor() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let all = read("/proc/cpuinfo");
    let first = all.split("\n\n").next().unwrap_or_default();
    let kept = |line: &&str| {
        let amd64 = ["vendor_id", "cpu family", "model", "stepping", "microcode", "flags"];
        let arm64 = ["CPU ", "Features"];
        amd64.iter().chain(&arm64).any(|name| line.starts_with(name))
    };
    let lines: Vec<&str> = first.lines().filter(kept).collect();
    format!("{}\n{}", lines.join("\n"), read("/proc/sys/kernel/osrelease"))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), VmError> {
    fs::write(path, bytes).map_err(prepare("write", path))
}

fn prepare(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> VmError {
    move |source| VmError::Prepare { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::Architecture;
    use crate::vm::QemuProgram;

    #[test]
    fn everything_that_makes_a_difference_is_in_the_key() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["qemu", "vmlinux", "initramfs"] {
            fs::write(at(name), "1").unwrap();
        }
        let qemu = QemuProgram {
            argv_prefix: vec![at("qemu").into()],
            data_dirs: Vec::new(),
            module_dir: None,
            version: "10.0.2".to_owned(),
        };
        let spec = VmSpec {
            qemu,
            architecture: Architecture::Amd64,
            accelerator: Accelerator::Tcg,
            kernel: at("vmlinux"),
            initramfs: at("initramfs"),
            memory_mib: 64,
            directory: at("vm"),
            extra_cmdline: String::new(),
            criu: None,
        };
        let first = key(&spec).unwrap();
        assert_eq!(first, key(&VmSpec { directory: at("other"), ..spec.clone() }).unwrap(), "the directory counts");
        let newer = QemuProgram { version: "10.0.3".to_owned(), ..spec.qemu.clone() };
        let elsewhere = QemuProgram { data_dirs: vec![at("share")], ..spec.qemu.clone() };
        for (what, other) in [
            ("QEMU's version", VmSpec { qemu: newer, ..spec.clone() }),
            ("QEMU's firmware", VmSpec { qemu: elsewhere, ..spec.clone() }),
            ("the architecture", VmSpec { architecture: Architecture::Arm64, ..spec.clone() }),
            ("the accelerator", VmSpec { accelerator: Accelerator::Kvm, ..spec.clone() }),
            ("the memory", VmSpec { memory_mib: 65, ..spec.clone() }),
            ("the kernel", VmSpec { kernel: at("initramfs"), ..spec.clone() }),
            ("the command line", VmSpec { extra_cmdline: "quiet".to_owned(), ..spec.clone() }),
        ] {
            assert_ne!(key(&other).unwrap(), first, "{what} does not count");
        }
        let mut last = first;
        for name in ["qemu", "vmlinux", "initramfs"] {
            fs::write(at(name), "12").unwrap();
            let next = key(&spec).unwrap();
            assert_ne!(next, last, "what {name} is does not count");
            last = next;
        }
        fs::remove_file(at("vmlinux")).unwrap();
        assert!(key(&spec).unwrap_err().to_string().contains("vmlinux"));
    }
}
