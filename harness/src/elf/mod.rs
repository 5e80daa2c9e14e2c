//! Programs and what they need to start.
//!
//! - [`needed`]: interpreter and libraries, by the rules of ld.so(8)
//! - `ld_cache`: `/etc/ld.so.cache`

pub(crate) mod ld_cache;
pub mod needed;
