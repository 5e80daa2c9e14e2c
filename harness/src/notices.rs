//! Lines on standard error beside a report: what is being prepared, what does not work as well as
//! it could.
//!
//! A progress bar is on standard error, too. Its screen is one for the whole process, so is
//! what is known of it here: a caller need not know whether one is drawn.

use std::io::{self, Write as _};
use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

use crate::sanitize::sanitized_lines;

static BAR: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// Says a line, made harmless, the bar out of its way.
pub fn say(line: &str) {
    let line = sanitized_lines(line);
    // Where standard error is gone, as a closed terminal is, the run goes on without it.
    let print = || _ = writeln!(io::stderr(), "{line}");
    match &*BAR.lock().unwrap_or_else(PoisonError::into_inner) {
        Some(bar) => bar.suspend(print),
        None => print(),
    }
}

/// From now on this bar is drawn, or none.
pub(crate) fn bar(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}
