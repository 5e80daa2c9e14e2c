//! How long a trial is waited for, whatever the guest says meanwhile.
//!
//! A trial has stages: its setup, the first observation, each action of its lifecycle with an
//! observation after it, a second try of a restore that failed, the probes, the clean-up, the twin.
//! The agent tells each when it begins. A stage may take twice an action's limit, since the guest
//! tells its own time-outs before ours. The guest is not trusted to say the truth: only a stage of
//! this trial that is not the last one gives more time, never more in all than the lifecycle's
//! stages may take, and more stages than it has end the machine.

use std::time::{Duration, Instant};

use protocol::message::{Event, Lifecycle, Report};

use crate::machine::{Machine, MachineError};

/// Setup, first observation, a second try, probes, clean-up, the twin.
const OTHER_STAGES: u32 = 6;

/// What a wait is for, and how long it may last.
pub(crate) struct Patience {
    trial: u64,
    /// How long one stage may take.
    stage: Duration,
    /// How many stages the trial has.
    stages: u32,
    /// No event moves this.
    overall: Instant,
}

/// Why the wait ended without what it was for.
#[derive(Debug)]
pub(crate) enum Ended<E> {
    /// Nothing more came, or not in time.
    Machine {
        /// Why.
        error: E,
        /// What was waited for, the last news and the limit.
        waiting_for: String,
    },
    /// The agent sent an event that does not belong to a trial.
    Astray(String),
}

/// What an event is for one who waits.
pub(crate) enum Heard<T> {
    /// What it waits for.
    Wanted(T),
    /// Something else.
    Other(Event),
}

impl Patience {
    /// With a trial of this lifecycle, of whose actions each may take `limit`. It begins now.
    pub(crate) fn new(trial: u64, lifecycle: Lifecycle, limit: Duration) -> Self {
        let actions = u32::try_from(lifecycle.actions().len()).unwrap_or(u32::MAX);
        let (stage, stages) = (limit * 2, actions.saturating_add(OTHER_STAGES));
        Self { trial, stage, stages, overall: Instant::now() + stage.saturating_mul(stages) }
    }

    /// Takes events until the one that is `wanted`; `reached` is called with each stage.
    ///
    /// # Errors
    /// [`Ended`]; after it the machine is of no more use.
    pub(crate) fn wait<T, E>(
        &self,
        mut receive: impl FnMut(Instant) -> Result<Event, E>,
        wanted: impl Fn(Event) -> Heard<T>,
        mut reached: impl FnMut(&str),
    ) -> Result<T, Ended<E>> {
        let mut last = String::new();
        let mut begun = 0;
        let mut since = Instant::now();
        let mut deadline = self.overall.min(Instant::now() + self.stage);
        loop {
            let next = receive(deadline);
            let next = next.map_err(|error| Ended::Machine { error, waiting_for: self.waiting_for(&last, since) })?;
            let event = match wanted(next) {
                Heard::Wanted(wanted) => return Ok(wanted),
                Heard::Other(event) => event,
            };
            let Event::Progress { trial, stage } = event else {
                return Err(Ended::Astray(format!("{event:.200?} in trial {}", self.trial)));
            };
            begun += 1;
            if trial != self.trial {
                return Err(Ended::Astray(format!("progress of trial {trial} in trial {}", self.trial)));
            }
            if begun > self.stages {
                let what = format!("more stages than the {} of trial {}: {stage:.80}", self.stages, self.trial);
                return Err(Ended::Astray(what));
            }
            if stage != last {
                since = Instant::now();
                deadline = self.overall.min(since + self.stage);
            }
            reached(&stage);
            last = stage;
        }
    }

    /// What is waited for in a stage that began then.
    fn waiting_for(&self, stage: &str, since: Instant) -> String {
        let what = match stage {
            "" => "the trial's first stage".to_owned(),
            stage => format!("the end of the stage `{stage:.80}`, begun {:.1} s ago", since.elapsed().as_secs_f64()),
        };
        let (stage, all) = (self.stage.as_secs_f64(), self.stage.saturating_mul(self.stages).as_secs_f64());
        format!("{what} (limit of the trial: {stage:.1} s a stage, {all:.1} s in all)")
    }
}

/// What the guest tells of this trial, within the time that it may take.
pub(crate) fn wait_for_report(machine: &mut Machine, number: u64, patience: &Patience) -> Result<Report, MachineError> {
    let wanted = |event| match event {
        Event::Finished { trial, report } if trial == number => Heard::Wanted(*report),
        other => Heard::Other(other),
    };
    patience.wait(|deadline| machine.receive(deadline), wanted, |_| {}).map_err(|ended| match ended {
        Ended::Machine { error, waiting_for } => error.waiting_for(waiting_for),
        Ended::Astray(what) => machine.astray(what),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::thread;

    use protocol::wire;

    use super::*;
    use crate::vm::channel::{Channel, ChannelError};

    /// Short, so that even a stage's time is soon over; a busy machine needs a part of it.
    const LIMIT: Duration = Duration::from_millis(250);
    /// For waits that must end before.
    const LONG: Duration = Duration::from_secs(60);
    const LIFECYCLE: Lifecycle = Lifecycle::DumpRestore;

    fn progress(trial: u64, stage: &str) -> Event {
        Event::Progress { trial, stage: stage.to_owned() }
    }

    fn finished(trial: u64) -> Event {
        Event::Finished { trial, report: Box::default() }
    }

    /// The agent's end of a channel.
    struct Agent(UnixStream);

    impl Agent {
        /// False when the receiver is gone.
        fn send(&mut self, event: &Event) -> bool {
            self.0.write_all(&wire::encode(event).unwrap()).is_ok()
        }
    }

    /// What came of a wait.
    struct Waited {
        end: Result<Report, Ended<ChannelError>>,
        stages: Vec<String>,
        /// The deadline of each event.
        deadlines: Vec<Instant>,
        overall: Instant,
    }

    /// What comes of waiting for trial 7 of an agent that behaves like this.
    fn waited(limit: Duration, behave: impl FnOnce(Agent) + Send + 'static) -> Waited {
        let (mut channel, end) = Channel::pair().unwrap();
        let agent = thread::spawn(move || behave(Agent(UnixStream::from(end))));
        let (mut stages, mut deadlines) = (Vec::new(), Vec::new());
        let wanted = |event| match event {
            Event::Finished { trial: 7, report } => Heard::Wanted(*report),
            other => Heard::Other(other),
        };
        let patience = Patience::new(7, LIFECYCLE, limit);
        let receive = |deadline| {
            deadlines.push(deadline);
            channel.receive(deadline)
        };
        let end = patience.wait(receive, wanted, |stage| stages.push(stage.to_owned()));
        drop(channel);
        agent.join().unwrap();
        Waited { end, stages, deadlines, overall: patience.overall }
    }

    fn timed_out(behave: impl FnOnce(Agent) + Send + 'static) -> Waited {
        let waited = waited(LIMIT, behave);
        assert!(waiting_for(&waited.end).contains("(limit of the trial: 0.5 s a stage, 4.0 s in all)"));
        waited
    }

    /// What a wait was for that ended too late.
    fn waiting_for(end: &Result<Report, Ended<ChannelError>>) -> &str {
        match end {
            Err(Ended::Machine { error: ChannelError::TimedOut, waiting_for }) => waiting_for,
            end => panic!("{end:?}"),
        }
    }

    fn astray(behave: impl FnOnce(Agent) + Send + 'static) -> String {
        match waited(LONG, behave) {
            Waited { end: Err(Ended::Astray(what)), .. } => what,
            Waited { end, stages, .. } => panic!("{stages:?}: {end:?}"),
        }
    }

    /// Waits until the receiver is gone.
    fn listen(agent: &mut Agent) {
        let _ = std::io::copy(&mut agent.0, &mut std::io::sink());
    }

    #[test]
    fn a_trial_that_tells_its_stages_is_waited_for() {
        let all = ["setup", "observe", "dump", "restore", "clean-up"];
        let waited = waited(LONG, move |mut agent| {
            for stage in all {
                agent.send(&progress(7, stage));
            }
            agent.send(&finished(7));
        });
        assert_eq!(waited.end.unwrap(), Report::default());
        assert_eq!(waited.stages, all);
        assert!(waited.deadlines.is_sorted() && waited.deadlines.iter().all(|deadline| *deadline <= waited.overall));
    }

    #[test]
    fn silence_ends_with_the_first_stage() {
        let waited = timed_out(|mut agent| listen(&mut agent));
        assert!(waiting_for(&waited.end).starts_with("the trial's first stage ("));
        assert!(waited.deadlines.len() == 1 && waited.deadlines[0] < waited.overall);
    }

    #[test]
    fn bytes_without_a_newline_are_silence() {
        let waited = timed_out(|mut agent| while agent.0.write_all(b"x").is_ok() {});
        assert!(waited.deadlines.len() == 1 && waited.deadlines[0] < waited.overall);
    }

    #[test]
    fn the_same_stage_again_gives_no_time() {
        let waited = timed_out(|mut agent| {
            for _ in 0..3 {
                agent.send(&progress(7, "setup"));
            }
            listen(&mut agent);
        });
        assert_eq!(waited.stages.len(), 3);
        assert!(waiting_for(&waited.end).starts_with("the end of the stage `setup`, begun "));
        assert!(waited.deadlines[0] < waited.deadlines[1], "a new stage");
        assert!(waited.deadlines[1..].iter().all(|deadline| *deadline == waited.deadlines[1]), "the same stage");
    }

    /// A stage that begins late, and whose time would go beyond that of the whole trial.
    #[test]
    fn no_stage_gives_time_beyond_that_of_the_whole_trial() {
        let patience = Patience { overall: Instant::now() + LIMIT, ..Patience::new(7, LIFECYCLE, LIMIT) };
        let mut stages = ["setup", "observe"].into_iter();
        let receive = |deadline| {
            assert_eq!(deadline, patience.overall);
            stages.next().map(|stage| progress(7, stage)).ok_or(ChannelError::TimedOut)
        };
        let end = patience.wait(receive, Heard::<()>::Other, |_| {});
        assert!(matches!(end, Err(Ended::Machine { error: ChannelError::TimedOut, .. })));
    }

    #[test]
    fn a_flood_of_progress_ends_the_machine() {
        let same = |mut agent: Agent| while agent.send(&progress(7, "setup")) {};
        assert_eq!(astray(same), "more stages than the 8 of trial 7: setup");
        let other = |mut agent: Agent| while agent.send(&progress(7, "dump")) && agent.send(&progress(7, "restore")) {};
        assert_eq!(astray(other), "more stages than the 8 of trial 7: dump");
    }

    #[test]
    fn another_trial_ends_the_machine() {
        let other = |mut agent: Agent| {
            agent.send(&progress(6, "setup"));
        };
        assert_eq!(astray(other), "progress of trial 6 in trial 7");
        let late = |mut agent: Agent| {
            agent.send(&finished(6));
        };
        assert!(astray(late).starts_with("Finished { trial: 6,"), "a report of another trial");
    }
}
