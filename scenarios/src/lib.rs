//! The program language: what a process under test does before it is checkpointed, as typed steps and as text.
//!
//! One format is scenario, fuzz corpus entry and reproducer alike. This crate makes no system call: it knows
//! what a program *says*. Running it is the guest's business, judging the outcome the harness's.
//!
//! - [`bytes`]: byte strings that may be anything but are readable in text and JSON
//! - [`program`]: the typed steps
//! - [`scenario`]: a program with a name, requirements and an expected outcome

pub mod bytes;
pub mod program;
pub mod scenario;

pub use bytes::Bytes;
pub use program::{Program, Step};
pub use scenario::{Outcome, Scenario};
