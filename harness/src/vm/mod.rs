//! QEMU: its command line, its process, the channel to the agent.
//!
//! [`Vm::boot`] starts a machine and comes back when its agent is ready; dropping the [`Vm`] ends
//! it. A [`Template`] is a machine that was saved when it was ready, [`Clones`] gives out copies of
//! it. The image (QEMU, kernel, initramfs) comes from elsewhere, what is said over the channel is
//! the protocol's business, and no verdict is made here. Blocking calls with deadlines, no runtime:
//! a thread per VM.

pub mod accelerator;
pub mod argv;
mod boot_watch;
pub mod channel;
pub mod clones;
pub mod cmdline;
pub mod console;
pub mod error;
pub mod kvm;
pub mod machine;
pub mod qemu;
mod qemu_process;
pub mod qmp;
mod subject;
pub mod template;
pub mod template_cache;

pub use accelerator::{Accelerator, AcceleratorChoice};
pub use clones::Clones;
pub use error::VmError;
pub use machine::{Paused, Vm, VmSpec};
pub use qemu::{QemuError, QemuProgram};
pub use template::Template;
pub use template_cache::TemplateCache;
