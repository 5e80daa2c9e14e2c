//! A criu that takes the place of the userland's: handed over to a machine that runs already,
//! whether it booted or is a copy of a saved one. So one saved machine serves every criu that
//! somebody builds.
//!
//! What is handed over are the segments of [`Criu`], file by file, behind the request that lists
//! them.

use std::fs;
use std::time::Instant;

use protocol::message::HandedFile;
use protocol::{Event, Request};

use super::error::VmError;
use super::qemu_process::QemuProcess;
use crate::image::cpio;
use crate::subject::criu::Criu;

/// Where the files are in the segment, and in the guest.
const FOLDER: &str = "subject/";

/// Hands it over; the version that it tells in the guest.
pub(super) fn hand_over(guest: &mut QemuProcess, criu: &Criu, deadline: Instant) -> Result<Option<String>, VmError> {
    let (mut listed, mut contents) = (Vec::new(), Vec::new());
    for (segment, folder) in criu.segments() {
        let prepare = |source| VmError::Prepare { what: "read", path: segment.to_owned(), source };
        let bytes = fs::read(segment).map_err(prepare)?;
        let none = || prepare(std::io::Error::other("it is no segment that was made here"));
        for (name, content) in cpio::files_below(&bytes, FOLDER).ok_or_else(none)? {
            listed.push(HandedFile { name: format!("{folder}{name}"), bytes: content.len() as u64 });
            contents.extend_from_slice(content);
        }
    }
    listed.extend(criu.mark().map(|name| HandedFile { name, bytes: 0 }));
    let request = Request::HandOver(listed);
    let begin = Instant::now();
    let sent = guest.channel.send(&request).and_then(|()| guest.channel.send_bytes(&contents));
    sent.map_err(|error| guest.explain(error, "the agent to take a criu", begin))?;
    match guest.receive("the agent to have taken a criu", deadline)? {
        Event::HandedOver { criu } => Ok(criu),
        other => {
            Err(VmError::Protocol { what: format!("it sent {other:.200?} and not HandedOver"), console: guest.tail() })
        }
    }
}
