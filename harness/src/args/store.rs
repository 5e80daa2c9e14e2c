//! Where images are kept and where they come from; the same flags wherever images are used.

use std::path::PathBuf;

use clap::Args;

use crate::session::StoreSettings;

/// Where images are kept and where they come from.
#[derive(Args, Clone, Debug, Default)]
pub struct StoreArgs {
    /// Directory for images [default: ~/.cache/zdtm-detached]
    #[arg(long, value_name = "DIR", env = "ZDTM_DETACHED_CACHE", global = true)]
    pub cache: Option<PathBuf>,
    /// Source tree, or `embedded` for the one in this program [default: the checkout that this
    /// program was built from, else `embedded`]
    #[arg(long, value_name = "DIR", env = "ZDTM_DETACHED_TREE", global = true)]
    pub tree: Option<PathBuf>,
    /// Debian mirror to build images from [default: that of this system's apt, else deb.debian.org]
    #[arg(long, value_name = "URL", env = "ZDTM_DETACHED_MIRROR", global = true)]
    pub mirror: Option<String>,
    /// Keys that sign the mirror's lists [default: those of Debian 12 and 13]
    #[arg(long, value_name = "FILE", env = "ZDTM_DETACHED_KEYRING", global = true)]
    pub keyring: Option<PathBuf>,
    /// Service that has what the mirror has no more [default: snapshot.debian.org]
    #[arg(long, value_name = "URL", env = "ZDTM_DETACHED_SNAPSHOT", global = true)]
    pub snapshot: Option<String>,
    /// Fail where an image cannot be made of the packages of vm-images/images.lock
    #[arg(long, env = "ZDTM_DETACHED_LOCKED", global = true)]
    pub locked: bool,
}

impl StoreArgs {
    /// What they say.
    pub fn settings(&self) -> StoreSettings {
        let Self { cache, tree, mirror, keyring, snapshot, locked } = self.clone();
        StoreSettings { cache, tree, mirror, keyring, snapshot, locked }
    }
}
