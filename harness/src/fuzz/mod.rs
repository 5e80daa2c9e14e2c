//! Campaigns: generated programs, for hours, unattended.
//!
//! Programs are drawn with the model at hand ([`scenarios::generate`]), or made from earlier ones
//! that showed something new; they run in packs. A failure that comes again in a fresh machine is
//! filed by its [`Signature`](crate::judge::Signature); the first of each is made as small as it
//! gets. After every batch all is on disk.
//!
//! - [`setup`]: from what a user asks for to a campaign
//! - [`campaign`]: the loop
//! - [`draw`]: which programs
//! - [`every`]: all programs up to a depth instead
//! - [`sides`]: on what they run, and a comparison of kernels and subjects
//! - [`learn`], [`risk`], `knowledge`: what the subject cannot do, so that programs are drawn
//!   without it
//! - `batch`: which programs run next, together or alone
//! - `one_cause`: where every program fails, the campaign ends
//! - [`known`]: what is known costs less
//! - `finding`, [`buckets`]: what a finding is
//! - [`features`], [`arcs`]: what is new
//! - `shrink`: a finding, made small
//! - [`state`]: what outlives a kill
//! - [`share`]: several processes as members of one campaign
//! - [`page`]: how it went, for a browser; `document`: for programs
//!
//! A worker of a campaign owns one `run::Worker`, or with `--differential` one for each kernel and
//! subject. `run_all` takes tasks and reports each when it is over; `try_out` runs one program
//! once, for shrinking. The loop and the shrinker see one outcome for a program either way.

pub mod arcs;
mod batch;
pub mod buckets;
pub mod campaign;
pub(crate) mod document;
pub mod draw;
pub mod every;
pub mod features;
mod finding;
mod knowledge;
pub mod known;
pub mod learn;
mod one_cause;
pub mod page;
pub mod risk;
pub mod setup;
pub mod share;
pub(crate) mod shrink;
pub mod sides;
pub mod state;

pub use campaign::{Campaign, Settings};
pub use every::Every;
pub use known::KnownFailures;
pub use setup::{Place, Request, Setup};
pub use sides::Side;
pub use state::State;
