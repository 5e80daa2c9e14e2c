//! The agent for each architecture: built from the tree, or ready in it.

use std::path::{Path, PathBuf};

use super::agent;
use super::recipe;
use super::store::{KEEP, Store};
use super::tree;
use crate::architecture::Architecture;
use crate::cache::error::{ImageError, at, content};
use crate::cache::progress::doing;
use crate::cache::record::{BuildRecord, sha256};
use crate::cache::{Built, Slot};

/// The version of the builder: part of every key, to be raised when it makes something else of the
/// same sources.
const AGENT_BUILDER: u32 = 3;

impl Store {
    /// The directory with the agent's segment, and a hash of it.
    pub(crate) fn agent(&self, architecture: Architecture) -> Result<(PathBuf, String), ImageError> {
        let slot = self.agent_slot(architecture)?;
        let build = |to: &Path, _: Option<&BuildRecord>| {
            if let Some(binary) = self.ready_agent(architecture)? {
                agent::pack(&binary, architecture, to)?;
                return Ok(Some(Built { version: "given".into(), packages: Vec::new() }));
            }
            let target = recipe::target(architecture.name());
            let text = format!("{}: building", slot.title());
            doing(self.cache.progress(), &text, || agent::build(&self.tree, target, architecture, to)).map(Some)
        };
        let result = self.take(&slot, false, build, |entry| (entry.directory.clone(), entry.record.content_key()))?;
        self.cache.prune("agent", KEEP)?;
        Ok(result)
    }

    /// Which agent: the one of these sources, or this binary.
    pub(super) fn agent_slot(&self, architecture: Architecture) -> Result<Slot, ImageError> {
        let key = match self.ready_agent(architecture)? {
            Some(binary) => sha256(&std::fs::read(&binary).map_err(at("read", &binary))?),
            None => agent::key(&self.tree, recipe::target(architecture.name()))?,
        };
        Ok(Slot {
            kind: "agent",
            name: architecture.suffix(),
            key: sha256(format!("{AGENT_BUILDER} {key}").as_bytes()),
        })
    }

    /// The binary that was given, or the one that the tree has ready.
    fn ready_agent(&self, architecture: Architecture) -> Result<Option<PathBuf>, ImageError> {
        let ready = self.agent.clone().or_else(|| tree::ready_agent(&self.tree, architecture));
        if ready.is_none() && tree::is_embedded(&self.tree) {
            let why = "is not in this program; `cargo install --path harness --features both-architectures` makes one \
                       that has it, --tree names a checkout that builds it";
            return Err(content(format!("the agent for {architecture}"), why));
        }
        Ok(ready)
    }
}
