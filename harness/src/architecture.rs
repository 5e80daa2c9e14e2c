//! Processor architectures: of this host, of guests. Names are Debian's.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An architecture that hosts and guests can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// x86-64.
    #[default]
    Amd64,
    /// AArch64.
    Arm64,
}

/// The one of this program, and so of what it can start.
#[cfg(target_arch = "x86_64")]
pub const HOST: Architecture = Architecture::Amd64;
/// The one of this program, and so of what it can start.
#[cfg(target_arch = "aarch64")]
pub const HOST: Architecture = Architecture::Arm64;

impl Architecture {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// Debian's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Whether it is that of amd64, whose names have nothing besides.
    pub(crate) fn is_amd64(&self) -> bool {
        *self == Self::Amd64
    }

    /// What tells images of this architecture apart that have no name; nothing for amd64.
    pub(crate) fn suffix(self) -> String {
        if self.is_amd64() { String::new() } else { self.to_string() }
    }

    /// A name of the manifest for this architecture: `trixie`, `trixie-arm64`.
    pub(crate) fn suffixed(self, name: &str) -> String {
        match self {
            Self::Amd64 => name.to_owned(),
            Self::Arm64 => format!("{name}-{self}"),
        }
    }

    /// The folder of its libraries in Debian (multiarch).
    pub(crate) fn triplet(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }

    /// Where libraries of its Debian packages are, in ld.so's order, relative to the root.
    pub fn library_directories(self) -> [String; 6] {
        let triplet = self.triplet();
        let directories =
            [&format!("lib/{triplet}"), &format!("usr/lib/{triplet}"), "lib64", "usr/lib64", "lib", "usr/lib"];
        directories.map(str::to_owned)
    }

    /// Of programs, elf(5): `e_machine`.
    pub(crate) fn elf_machine(self) -> u16 {
        match self {
            Self::Amd64 => 62,
            Self::Arm64 => 183,
        }
    }

    /// The QEMU that has guests of it.
    pub(crate) fn qemu_program(self) -> &'static str {
        match self {
            Self::Amd64 => "qemu-system-x86_64",
            Self::Arm64 => "qemu-system-aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
