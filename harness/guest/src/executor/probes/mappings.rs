//! Mappings: whether each can be made writable (mprotect(2)), and whether a private one shows what
//! is written to its file. One whose page is a copy of its own does not. mmap(2) leaves open what
//! shows there, but the kernel copies a page only where it is written to.

use std::io;
use std::os::fd::BorrowedFd;

use protocol::observation::Object;
use protocol::probe::ProbeGroup::Mappings;

use super::{Outcomes, Subject, done};
use crate::observe::{read_memory, read_own_shared_mapping};
use crate::sys;

/// A program maps one page. Behind the end of the file it has zeros.
const PAGE: u64 = 4096;

/// The mappings before anything is written.
pub(super) struct Before(Vec<Mapping>);

struct Mapping {
    name: String,
    start: u64,
    /// Its memory, where it is private; none of a page that is wholly behind the end of the file.
    private: Option<Option<Vec<u8>>>,
}

/// Notes what the mappings show.
pub(super) fn before(proc: BorrowedFd<'_>, subjects: &[Subject]) -> io::Result<Before> {
    let mut all = Vec::new();
    for subject in subjects {
        let Object::Map(start) = subject.object else { continue };
        let is_private = read_own_shared_mapping(proc, start)?.is_none();
        let private = is_private.then(|| memory(proc, start));
        all.push(Mapping { name: subject.name.clone(), start, private });
    }
    Ok(Before(all))
}

fn memory(proc: BorrowedFd<'_>, start: u64) -> Option<Vec<u8>> {
    read_memory(proc, "self", start, PAGE).ok()
}

impl Before {
    /// What became of the memory, and what can be made of it.
    pub(super) fn probe(self, proc: BorrowedFd<'_>, outcomes: &mut Outcomes) {
        for Mapping { name, start, private } in self.0 {
            if let Some(before) = private {
                let outcome = if memory(proc, start) == before { "the same" } else { "changed" };
                outcomes.add(Mappings, &name, "its memory after the file was written to", outcome);
            }
            outcomes.add(Mappings, &name, "make it writable", done(sys::make_page_writable(start)));
        }
    }
}
