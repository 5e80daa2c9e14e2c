//! An agent on the host's own kernel, for tests that run many programs.

use std::time::{Duration, Instant};

use harness::host::{self, HostAgent, HostSpec};
use harness::image::{Settings, Store, default_cache_dir, tree};
use harness::subject::{Manner, Subject};
use libtest_mimic::Failed;
use protocol::message::{Event, Flavor, Lifecycle, Request, TrialReport, TrialRequest};
use scenarios::Program;

/// Where the blank filesystems come from.
const USERLAND: &str = "trixie";

/// An agent and the number of its next trial.
pub(crate) struct Rig {
    pub(crate) agent: HostAgent,
    next: u64,
}

impl Rig {
    /// An agent; with `disks` it has blank filesystems, where this user may use them.
    pub(crate) fn new(disks: bool) -> Result<Self, Failed> {
        let store = Store::open(&default_cache_dir()?, &tree::locate(None)?, Settings::default())?;
        let image = store.host_image((disks && host::is_root()).then_some(USERLAND))?;
        let spec = HostSpec { agent: image.agent, blank: image.blank };
        Ok(Rig { agent: HostAgent::boot(&spec, soon())?, next: 1 })
    }

    /// One trial by the reference engine.
    pub(crate) fn run(
        &mut self,
        program: &Program,
        lifecycle: Lifecycle,
        manner: Manner,
    ) -> Result<TrialReport, Failed> {
        let trial = self.next;
        self.next += 1;
        self.agent.send(&Request::Run(TrialRequest {
            trial,
            program: scenarios::text::print_program_in_place(program),
            flavor: Flavor::Ns,
            lifecycle,
            engine: Subject::Reference(None).engine(manner),
            action_timeout_ms: 10_000,
            keep_logs: true,
        }))?;
        loop {
            if let Event::Finished { report, .. } = self.agent.receive(soon())? {
                return Ok(*report);
            }
        }
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}
