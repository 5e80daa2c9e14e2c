//! From a subject to what is in the VM besides the kernel: a userland, and a criu that takes the
//! place of its own.

use std::path::Path;

use super::criu::Criu;
use super::{Identity, Subject, suffix};
use crate::architecture::HOST;
use crate::cache::error::ImageError;
use crate::image::{Image, Store};

/// What is in a VM besides the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A userland of the manifest.
    pub userland: String,
    /// What takes the place of its criu.
    pub criu: Option<Criu>,
    /// Tools for people.
    pub tools: bool,
    /// Which criu that is; none for the reference engine.
    pub identity: Option<Identity>,
}

impl Parts {
    /// The default userland as it is.
    pub fn plain(store: &Store) -> Self {
        Self { userland: store.manifest().defaults.userland.clone(), criu: None, tools: false, identity: None }
    }
}

impl Subject {
    /// A mistake in the subject that can be seen without building anything; `None` when there is
    /// none.
    pub fn mistake(&self, store: &Store) -> Option<String> {
        let no_file = |path: &Path| format!("{self}: there is no file {}", path.display());
        match self {
            Self::Debian(suite) if !store.manifest().userland.contains_key(suite) => {
                let known: Vec<&str> = store.manifest().userland.keys().map(String::as_str).collect();
                Some(format!("there is no userland {suite}; vm-images/images.toml has {}", known.join(", ")))
            }
            Self::Path(file) if !file.is_file() => Some(no_file(file)),
            Self::Sources(sources) => {
                let folder = sources.tree.folder();
                if !folder.is_dir() {
                    let meant = suffix::meant(&folder.to_string_lossy()).unwrap_or_default();
                    return Some(format!("{self}: there is no directory {}{meant}", folder.display()));
                }
                let roots = &store.manifest().build.roots;
                if let Some(suite) = sources.variant.suite.as_ref().filter(|suite| !roots.contains(suite)) {
                    let known = roots.join(", ");
                    return Some(format!("{self}: there is no build root {suite}; vm-images/images.toml has {known}"));
                }
                sources.patches.iter().find(|patch| !patch.is_file()).map(|patch| no_file(patch))
            }
            Self::Assisted(criu) => criu.mistake(store),
            Self::Crossed(dumper, restorer) => match (&**dumper, &**restorer) {
                (Self::Debian(one), Self::Debian(other)) if one != other => {
                    let why = "a VM has the packages of one suite; build the other criu";
                    Some(format!("{self}: {why}: image source criu --suite {one} --to DIR, then src:DIR"))
                }
                (dumper, restorer) => dumper.mistake(store).or_else(|| restorer.mistake(store)),
            },
            _ => None,
        }
    }

    /// Makes what is missing.
    ///
    /// # Errors
    /// [`ImageError::Subject`] where the subject itself is at fault.
    pub fn prepare(&self, store: &Store) -> Result<Parts, ImageError> {
        let plain = Parts::plain(store);
        let own = |criu: Criu, identity: Identity| {
            let identity = Identity { subject: self.to_string(), criu: criu.version.clone(), ..identity };
            Parts { identity: Some(identity), criu: Some(criu), ..plain.clone() }
        };
        Ok(match self {
            Self::Debian(suite) => {
                // Its first package is criu.
                let package = store.build(Image::Userland(suite, HOST), false)?.version;
                let version = package.split_whitespace().nth(1).unwrap_or(&package).to_owned();
                let identity = Identity { subject: self.to_string(), criu: version, ..Identity::default() };
                Parts { userland: suite.clone(), identity: Some(identity), ..plain }
            }
            Self::Path(file) => own(store.carried_criu(file)?, Identity::default()),
            Self::Sources(sources) => {
                // First: a folder may change while it is built.
                let identity = Identity::of(sources, store);
                own(store.built_criu(sources)?, identity)
            }
            Self::Reference(_) => plain,
            Self::Crossed(dumper, restorer) => {
                let (dumps, restores) = (dumper.prepare(store)?, restorer.prepare(store)?);
                let version = |parts: &Parts| parts.identity.as_ref().map(|one| one.criu.clone()).unwrap_or_default();
                let own = format!("{}, restored by {}", version(&dumps), version(&restores));
                let identity = Identity { subject: self.to_string(), criu: own, ..Identity::default() };
                let userland = if dumps.criu.is_none() { dumps.userland } else { restores.userland };
                let criu = Criu::crossed(dumps.criu, restores.criu, identity.criu.clone());
                Parts { userland, criu, identity: Some(identity), ..plain }
            }
            Self::Assisted(criu) => {
                let parts = criu.prepare(store)?;
                let identity = parts.identity.map(|identity| Identity { subject: self.to_string(), ..identity });
                Parts { identity, ..parts }
            }
        })
    }
}
