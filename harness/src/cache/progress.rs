//! What is being done, for people who wait: pairs of start and end, and remarks.

use std::time::{Duration, Instant};

/// A step on the way to an image.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Something that may take a while begins; its end follows, whatever happens.
    Start {
        /// As a line for people: `kernel 6.12: downloading 1 package (34 MB)`.
        text: &'a str,
    },
    /// It is over.
    End {
        /// The same text as at its start.
        text: &'a str,
        /// How long it took.
        took: Duration,
        /// False when it failed; the error comes back to the caller.
        done: bool,
    },
    /// Something to know: a damaged image, another run that builds the same.
    Note {
        /// As a line for people.
        text: &'a str,
    },
}

/// Takes steps and shows them; a closure will do.
pub trait Progress: Send + Sync {
    /// Called from the thread that asked for the image.
    fn step(&self, step: Step<'_>);
}

impl<F: Fn(Step<'_>) + Send + Sync> Progress for F {
    fn step(&self, step: Step<'_>) {
        self(step);
    }
}

/// Shows nothing.
pub fn silent(_: Step<'_>) {}

/// Does something between a start and an end.
pub(crate) fn doing<T, E>(progress: &dyn Progress, text: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    progress.step(Step::Start { text });
    let start = Instant::now();
    let result = work();
    progress.step(Step::End { text, took: start.elapsed(), done: result.is_ok() });
    result
}

/// Megabytes for people.
pub fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    if tenths >= 100 { format!("{} MB", tenths / 10) } else { format!("{}.{} MB", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(megabytes(34_567_890), "34 MB");
        assert_eq!(megabytes(1_260_000), "1.2 MB");
        assert_eq!(megabytes(0), "0.0 MB");
    }
}
