//! A machine for tests that run many programs: an agent on the host's own kernel, or, with
//! `ZDTM_DETACHED_TEST_KERNEL=6.1`, a VM with that kernel.

use std::time::{Duration, Instant};

use harness::host::{self, HostSpec};
use harness::image::{Settings, Store, default_cache_dir, tree};
use harness::machine::{Machine, MachineSpec};
use harness::subject::{ReferenceOptions, Subject};
use harness::vm::{Accelerator, QemuProgram, VmSpec};
use libtest_mimic::Failed;
use protocol::message::{Event, Flavor, Lifecycle, Probing, Request, TrialReport, TrialRequest};
use scenarios::Program;

/// Where the blank filesystems come from, and a VM's programs.
const USERLAND: &str = "trixie";
/// Names a kernel of the manifest.
const KERNEL: &str = "ZDTM_DETACHED_TEST_KERNEL";

/// A machine and the number of its next trial.
pub struct Rig {
    /// Runs one trial after the other.
    pub machine: Machine,
    next: u64,
    /// Where a VM's files are.
    _directory: tempfile::TempDir,
}

impl Rig {
    /// A machine; with `disks` it has blank filesystems, where this user may use them.
    ///
    /// # Errors
    /// Those of making and booting it.
    pub fn new(disks: bool) -> Result<Self, Failed> {
        let store = Store::open(&default_cache_dir()?, &tree::locate(None)?, Settings::default())?;
        let directory = tempfile::tempdir()?;
        let spec = match std::env::var(KERNEL) {
            Ok(kernel) => vm(&store, &kernel, directory.path())?,
            Err(_) => {
                let image = store.host_image((disks && host::is_root()).then_some(USERLAND))?;
                MachineSpec::Host(HostSpec { agent: image.agent, blank: image.blank })
            }
        };
        let machine = Machine::boot(&spec, soon())?;
        Ok(Rig { machine, next: 1, _directory: directory })
    }

    /// One trial by the reference engine.
    ///
    /// # Errors
    /// Those of the machine.
    pub fn run(
        &mut self,
        program: &Program,
        lifecycle: Lifecycle,
        reference_options: ReferenceOptions,
    ) -> Result<TrialReport, Failed> {
        let trial = self.next;
        self.next += 1;
        self.machine.send(&Request::Run(TrialRequest {
            trial,
            programs: vec![scenarios::text::print_program_in_place(program)],
            flavor: Flavor::Ns,
            lifecycle,
            engine: Subject::Reference(None).engine(reference_options),
            action_timeout_ms: 10_000,
            thorough: true,
            probing: Probing::Never,
        }))?;
        loop {
            if let Event::Finished { report, .. } = self.machine.receive(soon())? {
                return report.alone().ok_or_else(|| "no report of one program".into());
            }
        }
    }
}

fn vm(store: &Store, kernel: &str, directory: &std::path::Path) -> Result<MachineSpec, Failed> {
    let image = store.boot_image(kernel, USERLAND, false)?;
    let qemu = store.qemu(image.architecture)?;
    let libraries = qemu.library_path.to_string_lossy();
    Ok(MachineSpec::Vm(Box::new(VmSpec {
        architecture: image.architecture,
        qemu: QemuProgram::private(&qemu.loader, &libraries, &qemu.program, &qemu.data_dir, &qemu.version),
        accelerator: Accelerator::Tcg,
        kernel: image.kernel,
        initramfs: image.initramfs,
        memory_mib: 640,
        directory: directory.join("vm"),
        extra_cmdline: String::new(),
        criu: None,
    })))
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(120)
}
