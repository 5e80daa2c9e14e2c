//! From a manifest to QEMU, kernel and initramfs, in the cache.
//!
//! Everything comes from Debian packages, without root and without installing anything: the room
//! `debian` resolves, downloads and unpacks them, `qemu`, `kernel` and `userland` take what is
//! needed out of them, and the `cache` keeps the result with a build record of what it is made of.
//! The guest's own binary is built from the source tree by `agent`. [`Store`] is the door: it gives
//! what is asked for and builds what is missing.
//!
//! Left to others: starting QEMU (`vm`), what the guest does with `/modules` and `/blank` (crate
//! `guest`), printing progress (the caller).
//!
//! An initramfs is the concatenation of three cpio segments:
//! - userland: programs, libraries, `/blank/NAME-N` in the form of [`protocol::blank`], empty
//!   `/proc`, `/sys`, `/dev`, `/run`, `/tmp`, `/etc`, `/root`, `/t`, and the device `/dev/console`;
//! - modules: `/modules/NAME.ko` and `/modules/index`, a line for each group of the manifest,
//!   `base: virtio tun ...`, in loading order, dependencies included (a module can be in several
//!   groups), built-in ones left out. A filesystem that is built in has an empty line, one that the
//!   kernel does not have has no line;
//! - agent: `/init`.

mod agent;
mod arm64_image;
mod build_root;
mod bundle;
mod bzimage;
pub mod cpio;
mod kernel;
mod kernel_build;
mod manifest;
mod modules;
mod named;
mod own_kernel;
mod qemu;
pub(crate) mod recipe;
mod store;
mod store_agent;
mod store_host;
mod store_lock;
mod store_removal;
mod tools;
pub mod tree;
mod userland;
mod zdtm;

pub(crate) use build_root::ROOT as BUILD_ROOT;
pub use bundle::{Exported, Imported};
pub use bzimage::BzImageError;
pub use manifest::{Manifest, ManifestError};
pub use named::Image;
pub use own_kernel::{FORMS as OWN_KERNEL_FORMS, OwnKernel};
pub use qemu::Qemu;
pub use store::{BootImage, ImageState, Settings, Store, default_cache_dir};
pub use store_host::HostImage;
pub use store_removal::Removed;
pub use userland::add_files;
pub(crate) use userland::through_loader;
