//! The model of mounts and names against what the kernel showed: every prediction is held against
//! the observation before the dump. Where they differ one of them is wrong, and `docs/KERNEL.md`
//! says who was, the times it happened.
//!
//! Numbers of the kernel are never compared: that two files are one inode, or two objects on one
//! mount, is compared as a partition over everything that was seen at once.
//!
//! `cargo test -p harness --test machines model::` compares for the catalogue, for the programs of
//! `docs/KERNEL.md` and for generated ones: on the host's kernel, or in a VM with
//! `ZDTM_DETACHED_TEST_KERNEL=6.1`. It counts what the model does not know and limits that number.
//! It compares errors too, with programs that end in a step that the model refuses.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::hash::Hash;

use protocol::Observation;
use protocol::observation::{FileKind, LookupKind, ObjectView, Outcome, Reached, ReadError};
use scenarios::Bytes;
use scenarios::model::{self, FileKey, MountKey, PredictedObject, Prediction};
use sha2::{Digest, Sha256};
use vocabulary::Errno;

/// The observer reads no more of a file than this.
const CONTENT_LIMIT: usize = 4 << 20;
/// What the observer shows of a content.
const HEAD: usize = 64;

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Predictions that were held against something.
    pub known: usize,
    /// Things that were seen and about which the model says that it does not know.
    pub unknown: usize,
    /// Where model and kernel differ: what, predicted, seen.
    pub differences: Vec<String>,
}

/// Compares every prediction with what was observed before anything was done to the process.
pub fn compare(prediction: &Prediction, observation: &Observation) -> Agreement {
    let mut comparison = Comparison::default();
    let mut matched = Vec::new();
    for seen in &prediction.objects {
        let view = observation.inside.objects.iter().find(|view| is(view, &seen.name));
        match view {
            Some(view) => {
                comparison.object(seen, view);
                matched.push((seen, view));
            }
            None => comparison.differ(&seen.name, "object", &"there", &"not there"),
        }
    }
    for view in &observation.inside.objects {
        let expected = matched.iter().any(|(_, other)| other.id() == view.id());
        let socket = matches!(&view.status, Outcome::Ok(status) if status.kind == FileKind::Socket);
        // epoll, inotify and fanotify.
        let watches = view.link.0.starts_with(b"anon_inode:");
        if !expected && !socket && !watches {
            comparison.differ(&format!("{:?}", view.object), "object", &"none", &view.link);
        }
    }
    comparison.descriptions(&matched, observation);
    comparison.agreement
}

fn is(view: &ObjectView, name: &str) -> bool {
    view.name.as_deref() == Some(name)
}

/// One side's keys are the other's numbers, one to one.
#[derive(Debug)]
struct Pairs<A, B>(HashMap<A, B>, HashMap<B, A>);

impl<A, B> Default for Pairs<A, B> {
    fn default() -> Self {
        Pairs(HashMap::new(), HashMap::new())
    }
}

impl<A: Copy + Eq + Hash, B: Copy + Eq + Hash> Pairs<A, B> {
    fn agree(&mut self, one: A, other: B) -> bool {
        *self.0.entry(one).or_insert(other) == other && *self.1.entry(other).or_insert(one) == one
    }
}

#[derive(Default)]
struct Comparison {
    agreement: Agreement,
    files: Pairs<FileKey, (u64, u64)>,
    mounts: Pairs<MountKey, u64>,
}

impl Comparison {
    fn differ(&mut self, object: &str, what: &str, predicted: &dyn Debug, seen: &dyn Debug) {
        self.agreement.differences.push(format!("{object}: {what}: predicted {predicted:?}, seen {seen:?}"));
    }

    fn same<T: Debug + PartialEq>(&mut self, object: &str, what: &str, predicted: Option<T>, seen: &T) {
        match predicted {
            None => self.agreement.unknown += 1,
            Some(predicted) => {
                self.agreement.known += 1;
                if predicted != *seen {
                    self.differ(object, what, &predicted, seen);
                }
            }
        }
    }

    fn object(&mut self, seen: &PredictedObject, view: &ObjectView) {
        let name = seen.name.as_str();
        self.same(name, "link", seen.link.clone(), &view.link);
        self.same(name, "mount state", Some(seen.state), &view.mount.state);
        self.mount(name, "mount", seen.mount, view.mount.id);
        if let Some(getcwd) = &view.getcwd {
            let predicted = seen.getcwd.clone().map(outcome_of);
            self.same(name, "getcwd", predicted, getcwd);
        }
        let Outcome::Ok(status) = &view.status else {
            return self.differ(name, "status", &"there", &"not there");
        };
        self.same(name, "kind", Some(seen.kind), &status.kind);
        self.same(name, "links", seen.links, &status.links);
        self.file(name, "file", seen.file, (status.file.device, status.file.inode));
        if let Some(descriptor) = &view.descriptor {
            self.same(name, "position", seen.position, &descriptor.position);
        }
        self.content(seen, view);
        for (index, lookup) in view.reopen.iter().enumerate() {
            let predicted = seen.reopen.get(index).cloned().flatten();
            self.reached(name, &format!("{:?}", lookup.how), predicted.as_ref(), &lookup.outcome);
        }
        self.lookups(seen, view);
    }

    fn content(&mut self, seen: &PredictedObject, view: &ObjectView) {
        let Some(content) = &view.content else { return };
        let Some(predicted) = &seen.content else {
            self.agreement.unknown += 1;
            return;
        };
        let Outcome::Ok(content) = content else {
            return self.differ(&seen.name, "content", &predicted.head(HEAD), content);
        };
        let bytes = predicted.head(CONTENT_LIMIT);
        let digest: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        self.agreement.known += 1;
        if content.length != bytes.len() as u64 || content.sha256 != digest {
            let head = Bytes::from(predicted.head(HEAD));
            self.differ(&seen.name, "content", &(head, bytes.len()), &(&content.head, content.length));
        }
    }

    fn lookups(&mut self, seen: &PredictedObject, view: &ObjectView) {
        let mut predicted: BTreeMap<(Bytes, LookupKind), _> =
            seen.lookups.iter().map(|lookup| ((lookup.path.clone(), lookup.how), lookup.outcome.as_ref())).collect();
        for lookup in &view.lookups {
            let what = format!("{:?} {:?}", lookup.how, lookup.path);
            match predicted.remove(&(lookup.path.clone(), lookup.how)) {
                Some(outcome) => self.reached(&seen.name, &what, outcome, &lookup.outcome),
                None if seen.complete => self.differ(&seen.name, &what, &"no such name", &lookup.outcome),
                None => self.agreement.unknown += 1,
            }
        }
        let mut left: Vec<_> = predicted.into_keys().map(|(path, _)| path).collect();
        left.sort();
        left.dedup();
        // Names that the model does not know can push others over the observer's limit.
        if !left.is_empty() && seen.complete {
            self.differ(&seen.name, "lookups", &left, &"not looked up");
        }
    }

    fn reached(
        &mut self,
        object: &str,
        what: &str,
        predicted: Option<&Result<model::Reached, Errno>>,
        seen: &Outcome<Reached>,
    ) {
        match (predicted, seen) {
            (None, _) => self.agreement.unknown += 1,
            // What a restricted lookup gives when the kernel could not make sure of `..`,
            // openat2(2): it is of no path.
            (_, Outcome::Err(ReadError::Errno(Errno::EAGAIN))) => self.agreement.unknown += 1,
            (Some(Ok(predicted)), Outcome::Ok(seen)) => {
                self.same(object, &format!("{what}: link"), predicted.link.clone(), &seen.link);
                self.same(object, &format!("{what}: kind"), Some(predicted.kind), &seen.kind);
                self.same(object, &format!("{what}: state"), Some(predicted.state), &seen.mount.state);
                self.mount(object, &format!("{what}: mount"), predicted.mount, seen.mount.id);
                self.file(object, &format!("{what}: file"), predicted.file, (seen.file.device, seen.file.inode));
            }
            (Some(Err(predicted)), Outcome::Err(seen)) => {
                self.same(object, what, Some(ReadError::from(*predicted)), seen);
            }
            (Some(predicted), seen) => self.differ(object, what, predicted, seen),
        }
    }

    fn mount(&mut self, object: &str, what: &str, predicted: MountKey, seen: u64) {
        self.agreement.known += 1;
        if !self.mounts.agree(predicted, seen) {
            self.differ(object, what, &predicted, &(seen, "another mount elsewhere"));
        }
    }

    fn file(&mut self, object: &str, what: &str, predicted: Option<FileKey>, seen: (u64, u64)) {
        let Some(predicted) = predicted else {
            self.agreement.unknown += 1;
            return;
        };
        self.agreement.known += 1;
        if !self.files.agree(predicted, seen) {
            self.differ(object, what, &predicted, &(seen, "another file elsewhere"));
        }
    }

    /// Which descriptors are one open file description.
    fn descriptions(&mut self, matched: &[(&PredictedObject, &ObjectView)], observation: &Observation) {
        for (index, (one, one_view)) in matched.iter().enumerate() {
            for (other, other_view) in &matched[index + 1..] {
                let (Some(a), Some(b)) = (one.description, other.description) else { continue };
                let pair = (one_view.id().min(other_view.id()), one_view.id().max(other_view.id()));
                let seen = observation.shared_descriptions.contains(&pair);
                self.same(&one.name, &format!("one description with {}", other.name), Some(a == b), &seen);
            }
        }
    }
}

fn outcome_of(result: Result<Bytes, Errno>) -> Outcome<Bytes> {
    match result {
        Ok(text) => Outcome::Ok(text),
        Err(errno) => Outcome::Err(errno.into()),
    }
}
