//! A shell in the machine: where a trial is stopped for it, and what the two ends say to each other
//! while it runs.

use serde::{Deserialize, Serialize};
use vocabulary::Bytes;

use crate::message::TrialRequest;

/// When the shell is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// The program is carried out.
    Setup,
    /// All before the last restore is done: the process is gone, unless the dump failed.
    Dumped,
    /// The whole lifecycle is done, or what of it could be done.
    Restored,
}

/// A shell, alone or beside a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShellRequest {
    /// The trial whose process is to be there.
    pub trial: Option<TrialRequest>,
    /// How far it is led.
    pub at: Moment,
    /// The user's terminal; `None` where standard input is not a terminal: then the shell gets
    /// pipes.
    pub terminal: Option<Terminal>,
}

/// A user's terminal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// `TERM`
    pub kind: String,
    /// Its window.
    pub size: WindowSize,
}

/// In characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// From the user to the shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToShell {
    /// What was typed.
    Input(Bytes),
    /// Nothing more comes.
    End,
    /// The window has another size now.
    Resize(WindowSize),
}

/// From the shell to the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FromShell {
    /// It runs from here on; lines for people that name the variables and folders.
    Ready(Vec<String>),
    /// What it and its programs wrote to their standard output, or to the terminal.
    Output(Bytes),
    /// What they wrote to their standard error, without a terminal.
    Errors(Bytes),
    /// It ended with this status, 128 and the signal's number when by a signal. The last message.
    Ended(i32),
}
