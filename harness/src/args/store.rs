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
    /// Debian mirror to build images from [default: the one of this system's apt]
    #[arg(long, value_name = "URL", env = "ZDTM_DETACHED_MIRROR", global = true)]
    pub mirror: Option<String>,
    /// Debian's archive keys [default: those of the package debian-archive-keyring]
    #[arg(long, value_name = "FILE", env = "ZDTM_DETACHED_KEYRING", global = true)]
    pub keyring: Option<PathBuf>,
}

impl StoreArgs {
    /// What they say.
    pub fn settings(&self) -> StoreSettings {
        let Self { cache, tree, mirror, keyring } = self.clone();
        StoreSettings { cache, tree, mirror, keyring }
    }
}
