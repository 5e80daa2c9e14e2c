//! What a worker runs trials on: a VM, or the agent on the host's own kernel. A worker does not
//! care which.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::message::Ready;
use protocol::{Event, Request};

use crate::host::{HostAgent, HostError, HostSpec};
use crate::vm::{Clones, Vm, VmError, VmSpec};

/// The word for it on the command line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// `vm`: a VM for each worker.
    #[default]
    Vm,
    /// `host`: namespaces on the host's own kernel.
    Host,
}

impl FromStr for Backend {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "vm" => Ok(Self::Vm),
            "host" => Ok(Self::Host),
            _ => Err("known are vm and host".to_owned()),
        }
    }
}

/// What to start.
#[derive(Clone, Debug)]
pub enum MachineSpec {
    /// A VM that boots.
    Vm(Box<VmSpec>),
    /// A copy of one that was saved.
    Clone(Box<VmSpec>, Arc<Clones>),
    /// An agent on the host's own kernel.
    Host(HostSpec),
}

impl MachineSpec {
    /// By how much time limits are longer than on bare hardware.
    pub fn timeout_scale(&self) -> f64 {
        match self {
            Self::Vm(spec) | Self::Clone(spec, _) => spec.accelerator.timeout_scale(),
            Self::Host(_) => 1.0,
        }
    }

    /// How long it takes to come up where nothing else runs, without its accelerator's factor.
    pub fn usual_start(&self) -> Duration {
        Duration::from_millis(match self {
            Self::Vm(_) => 1000,
            Self::Clone(..) | Self::Host(_) => 200,
        })
    }

    /// Has the next machine of this kind wait, where that is possible: it is needed soon.
    pub fn expect(&self) {
        if let Self::Clone(_, clones) = self {
            clones.keep_one_waiting();
        }
    }

    /// What a machine leaves that does not come up; the rest is in the error.
    pub fn traces(&self) -> Traces {
        match self {
            Self::Vm(spec) | Self::Clone(spec, _) => Traces::Directory(spec.directory.clone()),
            Self::Host(_) => Traces::none(),
        }
    }
}

/// A running machine whose agent has said that it is ready. Dropping it ends it.
#[derive(Debug)]
pub enum Machine {
    /// A VM.
    Vm(Box<Vm>),
    /// An agent on the host's own kernel.
    Host(Box<HostAgent>),
}

impl Machine {
    /// Starts it.
    ///
    /// # Errors
    /// [`MachineError`]; nothing is left running.
    pub fn boot(spec: &MachineSpec, deadline: Instant) -> Result<Self, MachineError> {
        Ok(match spec {
            MachineSpec::Vm(spec) => Self::Vm(Box::new(Vm::boot(spec, deadline)?)),
            MachineSpec::Clone(spec, clones) => Self::Vm(Box::new(clones.vm(&spec.directory, deadline)?)),
            MachineSpec::Host(spec) => Self::Host(Box::new(HostAgent::boot(spec, deadline)?)),
        })
    }

    /// What the agent found when it came up.
    pub fn ready(&self) -> &Ready {
        match self {
            Self::Vm(vm) => vm.ready(),
            Self::Host(agent) => agent.ready(),
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`MachineError`]
    pub fn send(&mut self, request: &Request) -> Result<(), MachineError> {
        match self {
            Self::Vm(vm) => Ok(vm.send(request)?),
            Self::Host(agent) => Ok(agent.send(request)?),
        }
    }

    /// The agent's next event.
    ///
    /// # Errors
    /// [`MachineError`]
    pub fn receive(&mut self, deadline: Instant) -> Result<Event, MachineError> {
        match self {
            Self::Vm(vm) => Ok(vm.receive(deadline)?),
            Self::Host(agent) => Ok(agent.receive(deadline)?),
        }
    }

    /// The error of an agent that sent something else than it was asked for.
    pub fn astray(&self, what: String) -> MachineError {
        match self {
            Self::Vm(vm) => vm.astray(what).into(),
            Self::Host(_) => HostError::Protocol(format!("it sent {what}")).into(),
        }
    }

    /// What it leaves for the artifacts of a failed trial.
    pub fn traces(&self) -> Traces {
        match self {
            Self::Vm(vm) => Traces::Directory(vm.directory().to_owned()),
            Self::Host(agent) => Traces::Said(agent.said()),
        }
    }
}

/// What is left of a machine for the artifacts.
#[derive(Clone, Debug)]
pub enum Traces {
    /// A VM's directory, with its console and QEMU's output.
    Directory(PathBuf),
    /// What the agent on the host said.
    Said(Vec<u8>),
}

impl Traces {
    /// Nothing.
    pub const fn none() -> Self {
        Self::Said(Vec::new())
    }

    /// Files by name; what cannot be read is left out.
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        match self {
            Self::Directory(directory) => {
                let read = |name| std::fs::read(directory.join(name)).ok().map(|bytes| (name, bytes));
                ["console", "qemu-command", "qemu-stderr"].into_iter().filter_map(read).collect()
            }
            Self::Said(bytes) if bytes.is_empty() => Vec::new(),
            Self::Said(bytes) => vec![("agent-stderr", bytes.clone())],
        }
    }
}

/// Why a machine is not, or no longer, of use.
#[derive(Debug, thiserror::Error)]
pub enum MachineError {
    /// A VM.
    #[error("the VM: {0}")]
    Vm(#[from] VmError),
    /// The agent on the host's own kernel.
    #[error("the agent on this machine: {0}")]
    Host(#[from] HostError),
}

impl MachineError {
    /// The same error, where it is a time-out with what was waited for.
    #[must_use]
    pub(crate) fn waiting_for(mut self, what: String) -> Self {
        match &mut self {
            Self::Vm(VmError::TimedOut { waiting_for, .. }) | Self::Host(HostError::TimedOut { waiting_for, .. }) => {
                *waiting_for = what;
            }
            _ => {}
        }
        self
    }

    /// The user wants the run to end.
    pub fn is_interrupt(&self) -> bool {
        matches!(self, Self::Vm(VmError::Interrupted) | Self::Host(HostError::Interrupted))
    }
}
