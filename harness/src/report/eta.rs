//! The progress of a run in one line: done, rate, remaining time, busy machines, resets, running
//! trials.

use std::time::{Duration, Instant};

use super::sanitize::sanitized;

/// The number of trials before rate and remaining time are printed: before that they are guesses.
const ENOUGH: usize = 3;

/// What is known of a run's pace.
#[derive(Debug)]
pub(super) struct Eta {
    /// From when on trials are counted.
    pub(super) start: Instant,
    running: Vec<String>,
    /// Machines that took the place of one that was thrown away.
    pub(super) resets: usize,
}

impl Eta {
    pub(super) fn new(start: Instant) -> Self {
        Self { start, running: Vec::new(), resets: 0 }
    }

    /// A trial begins.
    pub(super) fn begun(&mut self, trial: String) {
        // A trial that ran in vain among others begins once more, alone.
        if !self.running.contains(&trial) {
            self.running.push(trial);
        }
    }

    /// A trial is over. A trial that did not start is not counted.
    pub(super) fn over(&mut self, trial: &str) {
        if let Some(at) = self.running.iter().position(|running| running == trial) {
            self.running.remove(at);
        }
    }

    /// `12/410 trials, 3.1 trials/s, 2:08 left, 2 VMs busy, 1 reset: deleted/unlinked@ext4`
    pub(super) fn line(&self, done: usize, all: usize, now: Instant) -> String {
        let mut parts = vec![format!("{done}/{all} trials")];
        let seconds = now.duration_since(self.start).as_secs_f64();
        if done >= ENOUGH && seconds > 0.0 {
            let rate = done as f64 / seconds;
            let left = Duration::from_secs_f64(all.saturating_sub(done) as f64 / rate);
            parts.push(format!("{rate:.1} trials/s"));
            parts.push(format!("{} left", clock(left)));
        }
        parts.push(counted(self.running.len(), "VM busy", "VMs busy"));
        parts.push(counted(self.resets, "reset", "resets"));
        let running = self.running.first().map(|trial| format!(": {}", sanitized(trial)));
        format!("{}{}", parts.join(", "), running.unwrap_or_default())
    }
}

fn counted(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// `0:07`, `12:30`, `1:00:00`
fn clock(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    match minutes / 60 {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{:02}:{seconds:02}", minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_run_from_its_start_to_its_end() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut eta = Eta::new(start);
        let mut text = format!("{}\n", eta.line(0, 400, start));
        eta.begun("a/one".to_owned());
        eta.begun("a/two".to_owned());
        text += &format!("{}\n", eta.line(0, 400, after(2)));
        eta.over("a/one");
        eta.over("never/begun");
        eta.resets = 1;
        text += &format!("{}\n", eta.line(10, 400, after(5)));
        eta.over("a/two");
        text += &format!("{}\n", eta.line(1, 9000, after(1)));
        text += &format!("{}\n", eta.line(100, 9000, after(50)));
        expect![[r#"
            0/400 trials, 0 VMs busy, 0 resets
            0/400 trials, 2 VMs busy, 0 resets: a/one
            10/400 trials, 2.0 trials/s, 3:15 left, 1 VM busy, 1 reset: a/two
            1/9000 trials, 0 VMs busy, 1 reset
            100/9000 trials, 2.0 trials/s, 1:14:10 left, 0 VMs busy, 1 reset
        "#]]
        .assert_eq(&text);
    }
}
