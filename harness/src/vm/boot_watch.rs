//! The wait for a booting machine's first message, with an eye on its console.
//!
//! A kernel prints many lines a second while it comes up. One that prints nothing for a long time
//! hangs, and one that panicked and did not reset, as its command line has it, is dead: neither is
//! waited for until the deadline. A bisection meets such kernels by the dozen.

use std::time::{Duration, Instant};

use protocol::Event;

use super::console::Tail;
use super::error::VmError;

/// Which part of the time that it has a kernel may spend in silence: under TCG that is a minute for
/// a template; on a busy machine Debian's kernels need 16 s for the whole boot.
const SILENT_PART: u32 = 5;

/// The shortest such time: a host that is busy for a moment is no kernel that hangs.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// How often the console is examined. Long enough that a QEMU which is stopped is found within one
/// wait (`process::vigil`).
const SLICE: Duration = Duration::from_secs(5);

/// What was seen of the console.
#[derive(Debug)]
struct BootWatch {
    limit: Duration,
    /// The length of the console's file.
    length: u64,
    /// For how long it did not grow.
    silence: Duration,
}

impl BootWatch {
    /// For a machine that has so long to come up.
    fn new(time: Duration) -> Self {
        Self { limit: SILENCE_LIMIT.max(time / SILENT_PART), length: 0, silence: Duration::ZERO }
    }

    /// After so long without a message: why it is not worth while to go on.
    fn verdict(&mut self, waited: Duration, length: u64, console: impl FnOnce() -> Tail) -> Option<VmError> {
        // Time in which this process was stopped does not count.
        self.silence = if length > self.length { Duration::ZERO } else { self.silence + waited.min(SLICE) };
        self.length = length;
        let console = console();
        match () {
            () if console.panic.is_some() => Some(VmError::Died { console }),
            () if self.silence >= self.limit => Some(VmError::Silent { silence: self.silence, console }),
            () => None,
        }
    }
}

/// The first message of a machine that boots: `receive` takes one until a deadline, `console` gives
/// the end of its console.
///
/// # Errors
/// [`VmError::NoBoot`] when the kernel hangs, dies, or is not up in time; or what else `receive`
/// gives.
pub(super) fn first_message(
    mut deadline: Instant,
    mut receive: impl FnMut(Instant) -> Result<Event, VmError>,
    console: impl Fn() -> Tail,
) -> Result<Event, VmError> {
    let mut watch = BootWatch::new(deadline.saturating_duration_since(Instant::now()));
    let begin = Instant::now();
    loop {
        let slice = Instant::now();
        let end = deadline.min(slice + SLICE);
        let error = match receive(end) {
            Err(VmError::TimedOut { waiting_for, console: tail, .. }) => {
                let length = tail.path.metadata().map_or(0, |data| data.len());
                let verdict = watch.verdict(slice.elapsed(), length, &console);
                // A slice that took much longer: this process did not run.
                deadline += Some(end.elapsed()).filter(|late| *late > SLICE).unwrap_or_default();
                match verdict {
                    Some(error) => error,
                    None if Instant::now() < deadline => continue,
                    None => VmError::TimedOut { waiting_for, waited: begin.elapsed(), console: tail },
                }
            }
            other => return other.map_err(|error| if is_death(&error) { no_boot(error) } else { error }),
        };
        return Err(no_boot(error));
    }
}

fn is_death(error: &VmError) -> bool {
    matches!(error, VmError::Died { .. })
}

fn no_boot(error: VmError) -> VmError {
    VmError::NoBoot(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch() -> BootWatch {
        BootWatch::new(Duration::from_secs(300))
    }

    fn after(watch: &mut BootWatch, seconds: u64, length: u64, panic: Option<&str>) -> Option<String> {
        let tail = Tail { panic: panic.map(str::to_owned), ..Tail::default() };
        let error = watch.verdict(Duration::from_secs(seconds), length, || tail)?;
        Some(error.to_string().lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn a_minute_without_a_line_is_a_hang() {
        let mut watch = watch();
        assert_eq!(after(&mut watch, 5, 100, None), None);
        for _ in 0..11 {
            assert_eq!(after(&mut watch, 5, 100, None), None);
        }
        let expected = "the kernel printed nothing for 60 s, and the agent did not come up";
        assert_eq!(after(&mut watch, 5, 100, None).as_deref(), Some(expected));
    }

    #[test]
    fn a_kernel_that_prints_is_waited_for() {
        let mut watch = watch();
        for length in 1..100 {
            assert_eq!(after(&mut watch, 5, length / 8, None), None, "{length}");
        }
    }

    /// The harness was stopped, or the machine slept.
    #[test]
    fn time_in_which_the_harness_did_not_run_does_not_count() {
        let mut watch = watch();
        for _ in 0..5 {
            assert_eq!(after(&mut watch, 3600, 0, None), None);
        }
    }

    #[test]
    fn a_panic_ends_the_wait_at_once() {
        let panic = "Kernel panic - not syncing: no init";
        assert_eq!(after(&mut watch(), 5, 100, Some(panic)), Some(format!("the guest died ({panic})")));
    }

    #[test]
    fn what_came_of_a_boot_says_so() {
        let tail = || Tail::default();
        let soon = || Instant::now() + Duration::from_millis(20);
        let late = |deadline: Instant| {
            std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
            let waited = Duration::ZERO;
            Err(VmError::TimedOut { waiting_for: "a message".to_owned(), waited, console: Tail::default() })
        };
        let error = first_message(soon(), late, tail).unwrap_err();
        assert!(matches!(&error, VmError::NoBoot(why) if matches!(**why, VmError::TimedOut { .. })), "{error}");
        let died = |_| Err(VmError::Died { console: Tail::default() });
        let error = first_message(soon(), died, tail).unwrap_err();
        assert!(error.to_string().starts_with("the kernel does not come up: the guest died"), "{error}");
        let interrupted = |_| Err(VmError::Interrupted);
        let error = first_message(soon(), interrupted, tail).unwrap_err();
        assert!(matches!(error, VmError::Interrupted));
    }
}
