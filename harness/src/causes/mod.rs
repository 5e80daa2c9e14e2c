//! Why trials failed, in as many lines as there are causes, and what the subject can do.
//!
//! Failures with one [`Signature`](crate::judge::Signature) have one *cause*. A cause has the
//! smallest program that shows it, and what its scenarios have that no passing one has
//! ([`scenarios::capability::explain`]). The *ladder* counts what comes back, capability by base.
//! Both are computed from [`Case`]s, which a report makes of its trials, so a run, a merged report
//! and a page tell the same.
//!
//! - [`case`]: what is needed of a trial
//! - [`group`]: failures by cause
//! - [`ladder`]: capability by base
//!
//! `run`, `gate`, `fuzz`, reports and the confirmation of failures all use the same signature. A
//! cause that breaks ordinary files comes first, whatever its count.

pub mod case;
pub mod group;
pub mod ladder;
#[cfg(test)]
mod tests;

pub use case::Case;
pub use group::{Cause, causes};
pub use ladder::Ladder;
