//! Lines on standard error beside a report: what is being prepared, what does not work as well as
//! it could. Text on standard output. What to do where neither a file nor a stream can be written.
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

/// Prints text on standard output: a result, as it is.
///
/// # Errors
/// It cannot be written, as on a disk that is full.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot write to standard output: {error}{}", advice(&error, "send it to another disk")),
        )
    })
}

/// What to do about a disk that is full, behind an error; nothing for any other error. `elsewhere`
/// is what else to do.
pub(crate) fn advice(error: &io::Error, elsewhere: &str) -> String {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("; make room, or {elsewhere}")
        }
        _ => String::new(),
    }
}

/// From now on this bar is drawn, or none.
pub(crate) fn bar(bar: Option<ProgressBar>) {
    *BAR.lock().unwrap_or_else(PoisonError::into_inner) = bar;
}
