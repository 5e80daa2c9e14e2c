//! Processes of the host: starting them, waiting for them, ending them.
//!
//! - [`child`]: a process that ends with its guard
//! - [`command`]: a program that runs to its end and whose output matters
//! - [`interrupt`](mod@interrupt): Ctrl-C, in two stages
//! - [`left`]: what a run that ended could have left
//! - [`lines`]: lines from a descriptor, with a deadline
//! - [`work_folder`]: folders in `TMPDIR`, and those that dead runs left
//! - `vigil`: waiting for a process that may be stopped
//! - `wait`: waiting for several descriptors at once
//! - [`memory`]: what the host has, what a process takes
//! - `sys`: system calls without a safe form

pub mod child;
pub mod command;
pub mod interrupt;
pub mod left;
pub mod lines;
pub mod memory;
pub(crate) mod sys;
mod vigil;
pub(crate) mod wait;
pub mod work_folder;
