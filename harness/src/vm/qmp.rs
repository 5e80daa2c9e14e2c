//! QMP, QEMU's control protocol: commands and answers as JSON lines.
//!
//! As small as its use: connect, execute, skip events but those that tell how a migration goes. See
//! `docs/interop/qmp-spec.rst` in QEMU's sources.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::process::lines::{LineError, Lines};

/// The longest answer in bytes.
const LINE_LIMIT: usize = 4 << 20;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The connection failed, or no answer came in time.
    #[error("{command}: {source}")]
    Line {
        /// The command.
        command: String,
        /// Why.
        source: LineError,
    },
    /// QEMU sent something that is not QMP.
    #[error("{command}: not an answer of QMP: {said}")]
    Malformed {
        /// The command.
        command: String,
        /// What came, shortened.
        said: String,
    },
    /// QEMU refused the command.
    #[error("{command}: QEMU says {class}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// The class of the error.
        class: String,
        /// QEMU's reason.
        description: String,
    },
}

/// One line from QEMU.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    #[serde(rename = "QMP")]
    Greeting(Value),
    Return(Value),
    Error(Refusal),
}

#[derive(Deserialize)]
struct Refusal {
    class: String,
    desc: String,
}

/// A connection that takes commands.
#[derive(Debug)]
pub struct Qmp {
    lines: Lines,
    /// The last status of a migration, from an event.
    migration: Option<String>,
}

impl Qmp {
    /// A socket, and the end for QEMU.
    ///
    /// # Errors
    /// No socket pair could be made.
    pub(crate) fn pair() -> io::Result<(UnixStream, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((ours, theirs.into()))
    }

    /// Reads the greeting of the QEMU with this process ID and leaves the negotiation.
    ///
    /// # Errors
    /// [`QmpError`]
    pub fn connect(stream: UnixStream, pid: u32, deadline: Instant) -> Result<Self, QmpError> {
        let command = "qmp_capabilities";
        let mut lines = Lines::new(stream, LINE_LIMIT)
            .map_err(|error| QmpError::Line { command: command.to_owned(), source: error.into() })?;
        lines.watch(pid);
        let mut qmp = Self { lines, migration: None };
        match qmp.read(command, deadline)? {
            Line::Greeting(_) => {}
            Line::Return(said) => return Err(malformed(command, &said.to_string())),
            Line::Error(refusal) => return Err(malformed(command, &refusal.desc)),
        }
        qmp.execute(command, json!({}), deadline)?;
        Ok(qmp)
    }

    /// Executes a command and gives its answer; events that come before are dropped.
    ///
    /// # Errors
    /// [`QmpError`]. After a time-out the answer may still come, so the connection is of no more
    /// use.
    pub fn execute(&mut self, command: &str, arguments: Value, deadline: Instant) -> Result<Value, QmpError> {
        let failed = |source| QmpError::Line { command: command.to_owned(), source };
        self.lines.send(&order(command, arguments), deadline).map_err(failed)?;
        self.answer(command, deadline)
    }

    /// Gives QEMU a copy of a descriptor under a name.
    ///
    /// # Errors
    /// [`QmpError`]
    pub fn give(&mut self, name: &str, fd: BorrowedFd<'_>, deadline: Instant) -> Result<(), QmpError> {
        let command = "getfd";
        let failed = |source| QmpError::Line { command: command.to_owned(), source };
        self.lines.send_with(&order(command, json!({"fdname": name})), fd, deadline).map_err(failed)?;
        self.answer(command, deadline).map(drop)
    }

    /// Waits for the end of a migration; the capability `events` must be on.
    ///
    /// # Errors
    /// [`QmpError`]; a migration that failed is a refusal.
    pub fn wait_for_migration(&mut self, deadline: Instant) -> Result<(), QmpError> {
        let command = "migrate";
        loop {
            match self.migration.as_deref() {
                Some("completed") => return Ok(()),
                Some(status @ ("failed" | "cancelled")) => {
                    let status = status.to_owned();
                    let answer = self.execute("query-migrate", json!({}), deadline)?;
                    let description = answer["error-desc"].as_str().unwrap_or(&status).to_owned();
                    let class = "GenericError".to_owned();
                    return Err(QmpError::Refused { command: command.to_owned(), class, description });
                }
                _ => {}
            }
            if let Some(line) = self.read_one(command, deadline)? {
                let said = match line {
                    Line::Greeting(said) | Line::Return(said) => said.to_string(),
                    Line::Error(refusal) => refusal.desc,
                };
                return Err(malformed(command, &said));
            }
        }
    }

    fn answer(&mut self, command: &str, deadline: Instant) -> Result<Value, QmpError> {
        match self.read(command, deadline)? {
            Line::Return(value) => Ok(value),
            Line::Error(Refusal { class, desc }) => {
                Err(QmpError::Refused { command: command.to_owned(), class, description: desc })
            }
            Line::Greeting(said) => Err(malformed(command, &said.to_string())),
        }
    }

    /// The next line that is not an event.
    fn read(&mut self, command: &str, deadline: Instant) -> Result<Line, QmpError> {
        loop {
            if let Some(line) = self.read_one(command, deadline)? {
                return Ok(line);
            }
        }
    }

    /// The next line; `None` when it was an event.
    fn read_one(&mut self, command: &str, deadline: Instant) -> Result<Option<Line>, QmpError> {
        let bytes =
            self.lines.receive(deadline).map_err(|source| QmpError::Line { command: command.to_owned(), source })?;
        let wrong = |_| malformed(command, &String::from_utf8_lossy(&bytes));
        let value: Value = serde_json::from_slice(&bytes).map_err(wrong)?;
        match value.get("event").and_then(Value::as_str) {
            None => serde_json::from_value(value).map(Some).map_err(wrong),
            Some(event) => {
                if event == "MIGRATION" {
                    self.migration = value["data"]["status"].as_str().map(str::to_owned);
                }
                Ok(None)
            }
        }
    }
}

fn order(command: &str, arguments: Value) -> Vec<u8> {
    let mut line = json!({"execute": command, "arguments": arguments}).to_string();
    line.push('\n');
    line.into_bytes()
}

fn malformed(command: &str, said: &str) -> QmpError {
    QmpError::Malformed { command: command.to_owned(), said: said.chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::thread::JoinHandle;
    use std::time::Duration;

    use super::*;

    const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#;

    /// A QEMU that says the first answer at once and one more after each command; gives the
    /// commands back.
    fn qemu(answers: &'static [&'static str]) -> (UnixStream, JoinHandle<Vec<String>>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let peer = std::thread::spawn(move || {
            let mut commands = BufReader::new(theirs.try_clone().unwrap()).lines();
            let mut theirs = theirs;
            let mut got = Vec::new();
            for answer in answers {
                theirs.write_all(answer.as_bytes()).unwrap();
                theirs.write_all(b"\r\n").unwrap();
                got.extend(commands.next().map(Result::unwrap));
            }
            got
        });
        (ours, peer)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(10)
    }

    #[test]
    fn a_conversation_with_events_in_between() {
        let (stream, peer) = qemu(&[
            GREETING,
            r#"{"return": {}}"#,
            "{\"event\": \"RESUME\", \"timestamp\": {}}\r\n{\"return\": {\"status\": \"running\"}}",
            r#"{"error": {"class": "GenericError", "desc": "no such disk"}}"#,
        ]);
        let mut qmp = Qmp::connect(stream, std::process::id(), soon()).unwrap();
        let status = qmp.execute("query-status", json!({}), soon()).unwrap();
        assert_eq!(status["status"], "running");
        let error = qmp.execute("eject", json!({"id": "x"}), soon()).unwrap_err();
        assert_eq!(error.to_string(), "eject: QEMU says GenericError: no such disk");
        drop(qmp);
        let commands = peer.join().unwrap();
        assert_eq!(
            commands,
            [
                r#"{"arguments":{},"execute":"qmp_capabilities"}"#,
                r#"{"arguments":{},"execute":"query-status"}"#,
                r#"{"arguments":{"id":"x"},"execute":"eject"}"#,
            ]
        );
    }

    #[test]
    fn a_migration_is_followed_by_its_events() {
        let (stream, peer) = qemu(&[
            GREETING,
            r#"{"return": {}}"#,
            "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"setup\"}}\r\n{\"return\": {}}\r\n\
             {\"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}",
        ]);
        let mut qmp = Qmp::connect(stream, std::process::id(), soon()).unwrap();
        qmp.execute("migrate", json!({"uri": "fd:state"}), soon()).unwrap();
        qmp.wait_for_migration(soon()).unwrap();
        drop(qmp);
        peer.join().unwrap();

        let (stream, peer) = qemu(&[
            GREETING,
            r#"{"return": {}}"#,
            "{\"event\": \"MIGRATION\", \"data\": {\"status\": \"failed\"}}\r\n{\"return\": {}}",
            r#"{"return": {"status": "failed", "error-desc": "Unknown ramblock"}}"#,
        ]);
        let mut qmp = Qmp::connect(stream, std::process::id(), soon()).unwrap();
        qmp.execute("migrate", json!({"uri": "fd:state"}), soon()).unwrap();
        let error = qmp.wait_for_migration(soon()).unwrap_err();
        assert_eq!(error.to_string(), "migrate: QEMU says GenericError: Unknown ramblock");
        drop(qmp);
        peer.join().unwrap();
    }

    #[test]
    fn a_descriptor_goes_along() {
        use std::io::IoSliceMut;
        use std::os::fd::{AsFd, AsRawFd};
        let (stream, theirs) = UnixStream::pair().unwrap();
        let peer = std::thread::spawn(move || {
            let mut theirs = theirs;
            theirs.write_all(format!("{GREETING}\n{{\"return\": {{}}}}\n{{\"return\": {{}}}}\n").as_bytes()).unwrap();
            let mut got = None;
            let (mut bytes, mut space) = ([0; 4096], nix::cmsg_space!([i32; 1]));
            while got.is_none() {
                let mut slices = [IoSliceMut::new(&mut bytes)];
                let flags = nix::sys::socket::MsgFlags::empty();
                let message =
                    nix::sys::socket::recvmsg::<()>(theirs.as_raw_fd(), &mut slices, Some(&mut space), flags).unwrap();
                for control in message.cmsgs().unwrap() {
                    if let nix::sys::socket::ControlMessageOwned::ScmRights(fds) = control {
                        got = fds.first().copied();
                    }
                }
            }
            std::fs::read_to_string(format!("/proc/self/fd/{}", got.unwrap())).unwrap()
        });
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"mine").unwrap();
        let mut qmp = Qmp::connect(stream, std::process::id(), soon()).unwrap();
        qmp.give("state", file.as_fd(), soon()).unwrap();
        assert_eq!(peer.join().unwrap(), "mine");
    }

    #[test]
    fn silence_noise_and_a_close_are_distinguished() {
        let (stream, _silent) = UnixStream::pair().unwrap();
        let error = Qmp::connect(stream, std::process::id(), Instant::now() + Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.to_string(), "qmp_capabilities: timed out");

        let (stream, peer) = qemu(&["login:"]);
        assert!(matches!(Qmp::connect(stream, std::process::id(), soon()), Err(QmpError::Malformed { .. })));
        peer.join().unwrap();

        let (stream, peer) = qemu(&[GREETING]);
        let error = Qmp::connect(stream, std::process::id(), soon()).unwrap_err();
        assert_eq!(error.to_string(), "qmp_capabilities: the other side closed the channel");
        peer.join().unwrap();
    }
}
