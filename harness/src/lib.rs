//! The host side of zdtm-detached: from a scenario to a verdict.
//!
//! - [`mod@bless`]: from results to the file of known failures
//! - [`mod@causes`]: why trials failed, and what the subject can do
//! - [`cmd`]: one small file per subcommand
//! - [`image`]: from a manifest to QEMU, kernel and initramfs, in the cache
//! - [`interrupt`](mod@interrupt): Ctrl-C, in two stages
//! - [`subject`]: what is tested
//! - [`vm`]: QEMU, the channel to the agent
//! - [`mod@fuzz`]: campaigns with generated programs
//! - [`fuzz_targets`]: the properties that the targets of cargo-fuzz test
//! - [`host`]: the agent without a VM, on the host's own kernel
//! - [`machine`]: either of them
//! - [`memory`]: what the host has, what a process takes
//! - [`judge`]: observation against observation gives a verdict; expectations
//! - [`oracle`]: the model's predictions against an observation
//! - [`needs`]: what a scenario needs and a trial or a machine lacks
//! - [`run`]: workers, each with its machine
//! - [`report`]: one event stream, one file per format

pub mod bless;
pub mod causes;
pub mod cmd;
pub mod fuzz;
pub mod fuzz_targets;
pub mod host;
pub mod image;
pub mod interrupt;
pub mod judge;
pub mod machine;
pub mod memory;
pub mod needs;
pub mod oracle;
pub mod report;
pub mod run;
pub mod subject;
mod sys;
pub mod vm;
