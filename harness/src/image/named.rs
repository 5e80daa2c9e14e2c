//! The images that the manifest describes, and what people call them.

use std::fmt;

use crate::architecture::Architecture;

/// An image that the manifest describes. What has an architecture here is for guests; QEMU and
/// build roots run on this host, and so do the guests of zdtm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image<'a> {
    /// The QEMU that has guests of this architecture.
    Qemu(Architecture),
    /// The kernel of this name.
    Kernel(&'a str),
    /// The userland of this name.
    Userland(&'a str, Architecture),
    /// Where criu's sources are built, of this suite.
    BuildRoot(&'a str),
    /// Where a kernel's sources are built.
    KernelBuildRoot,
    /// What machines for people have besides.
    Tools(Architecture),
    /// What CRIU's own test suite needs in a VM.
    Zdtm,
}

impl fmt::Display for Image<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Qemu(Architecture::Amd64) => f.pad("qemu"),
            Self::Qemu(other) => f.pad(&format!("qemu {other}")),
            Self::Kernel(name) => f.pad(&format!("kernel {name}")),
            Self::Userland(name, architecture) => f.pad(&format!("userland {}", architecture.suffixed(name))),
            Self::BuildRoot(suite) => f.pad(&format!("build-root {suite}")),
            Self::KernelBuildRoot => f.pad("kernel-build-root"),
            Self::Tools(Architecture::Amd64) => f.pad("tools"),
            Self::Tools(other) => f.pad(&format!("tools {other}")),
            Self::Zdtm => f.pad("zdtm"),
        }
    }
}
