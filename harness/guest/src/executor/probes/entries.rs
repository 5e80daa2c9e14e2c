//! Directories: what comes next. A directory that was read in part goes on where it stood, and one
//! that was read to its end is at its end.

use protocol::observation::FileKind;
use protocol::probe::ProbeGroup;
use scenarios::Bytes;

use super::{Outcomes, Subject, list, text};
use crate::sys;

pub(super) fn probe(subjects: &[Subject], outcomes: &mut Outcomes) {
    for subject in subjects.iter().filter(|subject| matches!(subject.object, super::Object::Fd(_))) {
        let Some(directory) = subject.fd_of(FileKind::Directory) else { continue };
        let rest = sys::entries(directory).map(|entries| {
            // The order is the filesystem's.
            let mut names: Vec<Bytes> = entries.into_iter().map(|entry| entry.name.into()).collect();
            names.sort();
            names
        });
        outcomes.add(ProbeGroup::Entries, &subject.name, "read on", text(rest, |names| list(&names)));
    }
}
