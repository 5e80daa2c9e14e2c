//! The host side of zdtm-detached: from a scenario to a verdict.
//!
//! - [`mod@bless`]: from results to the file of known failures
//! - [`mod@causes`]: why trials failed, and what the subject can do
//! - [`cmd`]: one small file per subcommand
//! - `compare`: results of one trial beside each other
//! - [`architecture`]: of processors
//! - `archive`: many files in one, written and read
//! - [`process`](mod@process): processes of the host
//! - [`cache`]: finished images, addressed by what they are made of
//! - [`debian`]: packages from a Debian archive
//! - [`elf`]: what a program needs to start
//! - [`export`](mod@export): scenarios as C programs
//! - [`exit`]: exit statuses
//! - [`usage`]: mistakes of the user
//! - [`sanitize`]: text from anywhere, made harmless
//! - [`limited`]: files of others, up to a limit
//! - [`notices`]: lines on standard error
//! - [`sources`]: sources of the user's, and where they are built
//! - [`image`]: from a manifest to QEMU, kernel and initramfs
//! - [`subject`]: what is tested, and the criu that is built or carried for it
//! - [`vm`]: QEMU, the channel to the agent
//! - [`findings`]: what the tests have shown about CRIU, as bug reports
//! - [`mod@fuzz`]: campaigns with generated programs
//! - [`gate`]: two subjects compared
//! - [`host`]: the agent without a VM, on the host's own kernel
//! - [`machine`]: either of them
//! - [`judge`]: observation against observation gives a verdict; expectations
//! - [`oracle`]: the model's predictions against an observation
//! - [`needs`]: what a scenario needs and a trial or a machine lacks
//! - [`plan`]: which trials a run has
//! - [`selftest`]: proves that the judge catches mistakes
//! - [`mod@bench`]: what the rig costs more than bare dumps and restores
//! - [`mod@soak`]: the same trials for a long time
//! - [`torture`]: runs that end at random moments
//! - [`trials`]: runs planned trials and reports each
//! - [`shrink`]: a short program that fails as a scenario does
//! - [`zdtm`]: the same scenarios by CRIU's own test suite
//! - [`session`]: images, machines, subjects and known failures of one command
//! - [`args`]: arguments that several commands have
//! - [`rules`]: the rules of `docs/KERNEL.md` on a kernel
//! - [`run`]: workers, each with its machine
//! - [`report`]: one event stream, one file per format

pub mod architecture;
mod archive;
pub mod args;
pub mod bench;
pub mod bless;
pub mod cache;
pub mod causes;
pub mod cmd;
mod compare;
pub mod debian;
pub mod elf;
pub mod exit;
pub mod export;
pub mod findings;
#[cfg(test)]
mod fixtures;
pub mod fuzz;
pub mod gate;
pub mod host;
pub mod image;
pub mod judge;
pub mod limited;
pub mod machine;
pub mod needs;
pub mod notices;
pub mod oracle;
pub mod plan;
pub mod process;
pub mod report;
pub mod rules;
pub mod run;
pub mod sanitize;
pub mod selftest;
pub mod session;
pub mod shrink;
pub mod soak;
pub mod sources;
pub mod subject;
pub mod torture;
pub mod trials;
pub mod usage;
pub mod vm;
pub mod zdtm;
