//! Everything that runs inside the VM: one static binary in several roles.
//!
//! - [`agent`]: PID 1; brings the machine up, takes requests, leads a trial, tells the host what
//!   was observed
//! - [`executor`]: the process under test; carries out a program, observes itself, waits
//! - [`observe`]: the observation of a process, from inside and from outside
//! - [`caller`]: what the caller of criu finds around itself
//! - [`external`]: files and mounts that the caller of a checkpointer has, too
//! - [`criu`]: dump and restore through the `criu` command line
//! - `breakpoints`: what a criu must do without on an emulated processor
//! - [`asan`]: what the address sanitizer says of a criu that has it
//! - [`coverage`]: what a criu says that was built to count its branches
//! - [`reference`](mod@reference): the known way out for files on detached mounts, without CRIU
//! - [`assist`]: help for a criu that refuses files on detached mounts
//! - [`fuzz`]: the properties that the fuzz targets test
//! - [`sys`]: system calls that no crate wraps, and the only unsafe code
//!
//! The guest only tells what it saw. What that means is judged on the host.

pub mod agent;
pub mod asan;
pub mod assist;
mod breakpoints;
pub mod caller;
pub mod coverage;
pub mod criu;
pub mod executor;
pub mod external;
pub mod fuzz;
pub mod observe;
pub mod reference;
pub mod sys;
