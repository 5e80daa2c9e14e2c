//! Assertions, answered by the model.

use super::Model;
use super::Refusal;
use super::mounts::Path;
use super::objects::Held;
use super::predict::{PredictedObject, Reached};
use crate::program::{Claim, ObjectName};
use vocabulary::Errno;
use vocabulary::object::LookupKind;
use vocabulary::object::MountState;

impl Model {
    /// Does an assertion hold at this point? `None` where the model does not know.
    pub fn holds(&self, object: &ObjectName, claim: &Claim) -> Option<bool> {
        let (process, name) = object.parts();
        if let Some(Held::Socket | Held::Watcher(_)) = self.view(&process)?.process.objects.get(&name) {
            return match claim {
                Claim::Internal => Some(true),
                Claim::Detached | Claim::Visible | Claim::Elsewhere => Some(false),
                Claim::SameDescription { other, not } => Some(self.queues.are_one(object, other)? != *not),
                _ => None,
            };
        }
        let seen = self.seen_object(object)?;
        let other = |other: &ObjectName| self.seen_object(other);
        Some(match claim {
            Claim::Detached => seen.state == MountState::Detached,
            Claim::Visible => seen.state == MountState::Visible,
            Claim::Elsewhere => seen.state == MountState::Elsewhere,
            Claim::Internal => seen.state == MountState::Internal,
            Claim::Link(text) => seen.link? == *text,
            Claim::Links(count) => seen.links? == *count,
            Claim::Content(bytes) => {
                let content = seen.content?;
                content.length() == bytes.0.len() as u64 && content.head(bytes.0.len()) == bytes.0
            }
            Claim::Position(offset) => seen.position? == *offset,
            Claim::LookupFails { path, errno } => match self.look_from(object, path.as_slice())? {
                Ok(_) => false,
                Err(found) => found == *errno,
            },
            Claim::LookupReaches { path, link } => match self.look_from(object, path.as_slice())? {
                Ok(reached) => reached.link? == *link,
                Err(_) => false,
            },
            Claim::SameFile { other: name, not } => (seen.file? == other(name)?.file?) != *not,
            Claim::SameMount { other: name, not } => (seen.mount == other(name)?.mount) != *not,
            Claim::SameDescription { other: name, not } => (seen.description? == other(name)?.description?) != *not,
        })
    }

    fn path_of(&self, object: &ObjectName) -> Option<Path> {
        match (object.0.as_str(), self.process.objects.get(object)) {
            ("cwd", _) => Some(self.process.cwd),
            ("root", _) => Some(self.process.root),
            ("exe", _) => Some(self.process.exe),
            (_, Some(Held::Descriptor(number) | Held::Mapping(number) | Held::InFlight(number))) => {
                Some(self.descriptions[*number].path)
            }
            _ => None,
        }
    }

    fn seen_object(&self, object: &ObjectName) -> Option<PredictedObject> {
        self.predict().objects.into_iter().find(|seen| seen.name == object.0)
    }

    fn look_from(&self, object: &ObjectName, text: &[u8]) -> Option<Result<Reached, Errno>> {
        let (process, name) = object.parts();
        let view = self.view(&process)?;
        match view.look_up(view.path_of(&name)?, text, LookupKind::Plain) {
            Ok(path) => Some(Ok(view.reached(path))),
            Err(Refusal::Errno(errno)) => Some(Err(errno)),
            Err(_) => None,
        }
    }
}
