//! What runs the guest's code, and what the user asks for.

use serde::{Deserialize, Serialize};

/// What runs the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor, through the host's kernel.
    Kvm,
    /// QEMU's translator: works everywhere, ten times slower.
    Tcg,
}

impl Accelerator {
    /// Its name on QEMU's command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }

    /// The factor for every time limit inside the guest; limits are chosen for KVM.
    ///
    /// Measured on an otherwise idle host, TCG is 6 times slower at booting and 10 times at a
    /// checkpoint.
    pub fn timeout_scale(self) -> f64 {
        match self {
            Self::Kvm => 1.0,
            Self::Tcg => 10.0,
        }
    }
}

/// What the user asks for with `--accel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AcceleratorChoice {
    /// KVM where a boot proves that it works, else TCG.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// TCG.
    Tcg,
}
