//! The program language: what a process under test does before it is checkpointed, as typed steps
//! and as text.
//!
//! One format is scenario, fuzz corpus entry and reproducer alike. This crate makes no system call:
//! it knows what a program *says*. Running it is the guest's business, judging the outcome the
//! harness's.
//!
//! - [`program`]: the typed steps
//! - [`scenario`]: a program with a name, requirements and an expected outcome
//! - [`grammar`]: the table of all forms that a step can be written in
//! - [`text`]: from bytes to scenarios and back
//! - [`check`]: is a program meaningful?
//! - [`diagnostic`]: what is wrong, where, and what would be right
//! - [`catalogue`]: all scenarios below a directory; filters
//! - [`pattern`]: names with `*`
//! - [`model`]: what a program does to mounts and names, and what must be observed then
//! - [`capability`]: what a program needs an implementation to get right
//! - [`coverage`](mod@coverage): which scenarios are on which point of what must be covered
//! - [`generate`]: programs that are carried out to their end, and others made from them
//! - [`arbitrary_text`]: programs that are only well-formed
//! - [`sharing`]: programs that can be carried out side by side
//! - [`shrink`](mod@shrink): from a program that shows something to a short one that still does
//! - [`visible`]: controls, derived from scenarios with detached mounts
//! - [`fuzz`]: the properties that the fuzz targets test

pub mod arbitrary_text;
pub mod capability;
pub mod catalogue;
pub mod check;
pub mod coverage;
pub mod diagnostic;
pub mod fuzz;
pub mod generate;
pub mod grammar;
pub mod model;
pub mod pattern;
pub mod program;
pub mod scenario;
pub mod sharing;
pub mod shrink;
pub mod text;
pub mod visible;

pub use catalogue::Filter;
pub use diagnostic::Diagnostic;
pub use program::{Program, Step};
pub use scenario::{Outcome, Scenario};
pub use vocabulary::bytes;
pub use vocabulary::{Bytes, Errno};
