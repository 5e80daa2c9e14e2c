//! A criu that takes the place of the userland's: handed over to a machine that runs already,
//! whether it booted or is a copy of a saved one. So one saved machine serves every criu that
//! somebody builds.
//!
//! What is handed over is the segment of [`crate::subject::criu::Criu`], file by file, behind the
//! request that lists them.

use std::fs;
use std::path::Path;
use std::time::Instant;

use protocol::message::HandedFile;
use protocol::{Event, Request};

use super::error::VmError;
use super::qemu_process::QemuProcess;
use crate::image::cpio;

/// Where the files are in the segment, and in the guest.
const FOLDER: &str = "subject/";

/// Hands it over; the version that it tells in the guest.
pub(super) fn hand_over(guest: &mut QemuProcess, segment: &Path, deadline: Instant) -> Result<Option<String>, VmError> {
    let prepare = |source| VmError::Prepare { what: "read", path: segment.to_owned(), source };
    let bytes = fs::read(segment).map_err(prepare)?;
    let none = || prepare(std::io::Error::other("it is no segment that was made here"));
    let files = cpio::files_below(&bytes, FOLDER).ok_or_else(none)?;
    let mut line = Vec::new();
    let listed =
        files.iter().map(|(name, content)| HandedFile { name: (*name).to_owned(), bytes: content.len() as u64 });
    let request = Request::HandOver(listed.collect());
    for (_, content) in &files {
        line.extend_from_slice(content);
    }
    let begin = Instant::now();
    let sent = guest.channel.send(&request).and_then(|()| guest.channel.send_bytes(&line));
    sent.map_err(|error| guest.explain(error, "the agent to take a criu", begin))?;
    match guest.receive("the agent to have taken a criu", deadline)? {
        Event::HandedOver { criu } => Ok(criu),
        other => {
            Err(VmError::Protocol { what: format!("it sent {other:.200?} and not HandedOver"), console: guest.tail() })
        }
    }
}
