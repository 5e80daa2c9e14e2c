//! What of an observation belongs to which program of a pack, as if the program had been
//! alone: paths from its top directory, descriptors from the first number on. A judge that compares
//! two such parts finds what it would find in two observations of the program alone; what is no
//! program's is in the *frame*.
//!
//! It does not observe. It only splits an observation.

use protocol::Observation;
use protocol::message::FIRST_DESCRIPTOR;
use protocol::observation::{Lookup, Mount, MountState, Object, ObjectView, Outcome, TreeEntry, View};
use scenarios::Bytes;

use super::Made;

/// One program of a pack.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its top directory, without a slash at the end.
    pub top: String,
    /// Its descriptors have this number or a higher one, below that of the next part.
    pub first_descriptor: i32,
    /// What it made.
    pub made: Vec<Made>,
}

/// All programs of a pack.
#[derive(Clone, Debug)]
pub struct Parts {
    /// In the order of their descriptors.
    pub parts: Vec<Part>,
    /// The top directory that a program has when it is alone, without a slash at the end.
    pub alone: String,
}

impl Parts {
    /// The top directories.
    pub fn tops(&self) -> Vec<String> {
        self.parts.iter().map(|part| part.top.clone()).collect()
    }

    /// The frame, then each program's part. `tops` are the top directories as the process sees
    /// them, `trees` the names below them, both in the order of the parts.
    pub fn split(&self, whole: Observation, tops: Vec<ObjectView>, trees: Vec<Vec<TreeEntry>>) -> Vec<Observation> {
        let mut frame = Observation {
            inside: self.of_no_program(&whole.inside),
            outside: self.of_no_program(&whole.outside),
            shared_descriptions: Vec::new(),
            mounts: Vec::new(),
            ..whole
        };
        let mut parts: Vec<Observation> = Vec::new();
        for (index, (top, tree)) in tops.into_iter().zip(trees).enumerate() {
            let mut part = Observation { tree, process: frame.process.clone(), ..Observation::default() };
            part.inside.objects.push(self.as_alone(index, top));
            // Something to compare also where a program has no objects of its own.
            part.outside.objects.extend(frame.outside.objects.iter().find(|view| view.object == Object::Cwd).cloned());
            parts.push(part);
        }
        for (object, side) in [(whole.inside, true), (whole.outside, false)].into_iter().flat_map(sided) {
            if let Some((index, own)) = self.owner(object.object) {
                let view = self.as_alone(index, ObjectView { object: own, ..object });
                let part = &mut parts[index];
                if side { &mut part.inside } else { &mut part.outside }.objects.push(view);
            }
        }
        for (one, other) in whole.shared_descriptions {
            match (self.owner(one.object), self.owner(other.object)) {
                (Some((index, one)), Some((same, other))) if index == same => {
                    parts[index].shared_descriptions.push((one.into(), other.into()));
                }
                _ => frame.shared_descriptions.push((one, other)),
            }
        }
        for mount in whole.mounts {
            match self.owner_of_path(&mount.mount_point) {
                Some(index) => parts[index].mounts.push(self.mount_as_alone(index, mount)),
                None => {
                    // The mount below all of them is the parent of theirs.
                    if mount.mount_point.0 == b"/" || mount.mount_point.0 == self.alone.as_bytes() {
                        parts.iter_mut().for_each(|part| part.mounts.push(mount.clone()));
                    }
                    frame.mounts.push(mount);
                }
            }
        }
        for part in &mut parts {
            part.inside.objects.sort_by_key(|view| view.object);
            part.outside.objects.sort_by_key(|view| view.object);
        }
        std::iter::once(frame).chain(parts).collect()
    }

    fn of_no_program(&self, view: &View) -> View {
        View { objects: view.objects.iter().filter(|view| self.owner(view.object).is_none()).cloned().collect() }
    }

    /// Whose an object is, and what it is called there.
    fn owner(&self, object: Object) -> Option<(usize, Object)> {
        let of = |number: i32| {
            let index = self.parts.iter().rposition(|part| part.first_descriptor <= number)?;
            Some((index, number - self.parts[index].first_descriptor + FIRST_DESCRIPTOR))
        };
        match object {
            Object::Fd(number) => of(number).map(|(index, number)| (index, Object::Fd(number))),
            Object::InFlight { socket, nth } => {
                of(socket).map(|(index, socket)| (index, Object::InFlight { socket, nth }))
            }
            Object::Map(_) => {
                let made = |part: &Part| part.made.iter().any(|made| made.object == object);
                Some((self.parts.iter().position(made)?, object))
            }
            Object::Cwd | Object::Root | Object::Exe => None,
        }
    }

    fn owner_of_path(&self, path: &Bytes) -> Option<usize> {
        self.parts.iter().position(|part| below(&part.top, path).is_some())
    }

    /// A path as the program has it when it is alone.
    fn path_as_alone(&self, index: usize, path: &Bytes) -> Bytes {
        match below(&self.parts[index].top, path) {
            Some(rest) if rest.is_empty() && self.alone.is_empty() => "/".into(),
            Some(rest) => [self.alone.as_bytes(), rest].concat().into(),
            None => path.clone(),
        }
    }

    fn mount_as_alone(&self, index: usize, mount: Mount) -> Mount {
        Mount { mount_point: self.path_as_alone(index, &mount.mount_point), ..mount }
    }

    fn as_alone(&self, index: usize, mut view: ObjectView) -> ObjectView {
        if view.mount.state == MountState::Visible {
            view.link = self.path_as_alone(index, &view.link);
        }
        view.reopen = self.lookups_as_alone(index, view.reopen);
        view.lookups = self.lookups_as_alone(index, view.lookups);
        view
    }

    fn lookups_as_alone(&self, index: usize, mut lookups: Vec<Lookup>) -> Vec<Lookup> {
        for lookup in &mut lookups {
            if let Outcome::Ok(reached) = &mut lookup.outcome
                && reached.mount.state == MountState::Visible
            {
                reached.link = self.path_as_alone(index, &reached.link);
            }
        }
        lookups
    }
}

fn sided((view, side): (View, bool)) -> impl Iterator<Item = (ObjectView, bool)> {
    view.objects.into_iter().map(move |object| (object, side))
}

/// What of a path is behind the top directory, with the slash; none for one that is not below it.
fn below<'a>(top: &str, path: &'a Bytes) -> Option<&'a [u8]> {
    let rest = path.0.strip_prefix(top.as_bytes())?;
    // A deleted directory's link text goes on behind its name.
    (rest.is_empty() || rest.starts_with(b"/") || rest == b" (deleted)").then_some(rest)
}

#[cfg(test)]
mod tests {
    use protocol::observation::{FileId, FileKind, LookupKind};
    use protocol::observation::{FilesystemStatus, MountRef, Reached};

    use super::*;

    fn object(object: Object, link: &str, state: MountState) -> ObjectView {
        ObjectView {
            process: 0,
            object,
            name: None,
            link: link.into(),
            getcwd: None,
            mount: MountRef { id: 1, state },
            descriptor: None,
            mapping: None,
            status: Outcome::Err(vocabulary::Errno::EIO.into()),
            filesystem: Outcome::Ok(FilesystemStatus { magic: 0, flags: 0 }),
            statmount: None,
            content: None,
            xattrs: Outcome::Ok(Vec::new()),
            queue: None,
            reopen: Vec::new(),
            lookups: vec![Lookup {
                path: "..".into(),
                how: LookupKind::Plain,
                outcome: Outcome::Ok(Reached {
                    file: FileId { device: 1, inode: 1 },
                    kind: FileKind::Directory,
                    link: link.into(),
                    mount: MountRef { id: 1, state },
                }),
            }],
        }
    }

    fn mount(at: &str) -> Mount {
        Mount {
            id: 1,
            parent: 0,
            major: 0,
            minor: 1,
            root: "/".into(),
            mount_point: at.into(),
            options: "rw".into(),
            propagation: Vec::new(),
            fs_type: "tmpfs".into(),
            source: "tmpfs".into(),
            super_options: "rw".into(),
        }
    }

    /// Two programs with two descriptors each; the first one has one in flight, too.
    fn split(alone: &str) -> Vec<Observation> {
        use MountState::{Detached, Visible};
        let top = |index: usize| format!("{alone}/.zdtm/{index}");
        let part = |index, first| Part { top: top(index), first_descriptor: first, made: Vec::new() };
        let parts = Parts { parts: vec![part(0, 3), part(1, 6)], alone: alone.to_owned() };
        let fd = |number, link: String, state| object(Object::Fd(number), &link, state);
        let inside = View {
            objects: vec![
                fd(3, format!("{}/f", top(0)), Visible),
                fd(5, "/f".to_owned(), Detached),
                object(Object::InFlight { socket: 5, nth: 0 }, "/g", Detached),
                fd(6, format!("{}/a/f (deleted)", top(1)), Visible),
                fd(8, format!("{}/f", top(0)), Detached),
                object(Object::Cwd, "/", Visible),
                object(Object::Root, "/", Visible),
            ],
        };
        let whole = Observation {
            outside: inside.clone(),
            inside,
            shared_descriptions: [(6, 8), (3, 6)]
                .map(|(one, other)| (Object::Fd(one).into(), Object::Fd(other).into()))
                .into(),
            mounts: vec![mount("/"), mount("/proc"), mount(&format!("{}/a", top(0))), mount(&top(1))],
            ..Observation::default()
        };
        let tops = vec![object(Object::Cwd, &top(0), Visible), object(Object::Cwd, &top(1), Visible)];
        parts.split(whole, tops, vec![Vec::new(), Vec::new()])
    }

    fn as_alone(observation: &Observation) -> String {
        let object = |view: &ObjectView| format!("{:?} {}", view.object, view.link);
        let objects = |view: &View| view.objects.iter().map(object).collect::<Vec<_>>().join(", ");
        let reached = |lookup: &Lookup| match &lookup.outcome {
            Outcome::Ok(reached) => reached.link.to_string(),
            Outcome::Err(error) => error.to_string(),
        };
        let lookups: Vec<String> =
            observation.inside.objects.iter().flat_map(|view| view.lookups.iter().map(reached)).collect();
        let mounts: Vec<String> = observation.mounts.iter().map(|mount| mount.mount_point.to_string()).collect();
        format!(
            "inside: {}\nlookups: {}\noutside: {}\nshared: {:?}\nmounts: {}\n",
            objects(&observation.inside),
            lookups.join(", "),
            objects(&observation.outside),
            observation.shared_descriptions,
            mounts.join(", ")
        )
    }

    #[test]
    fn each_is_reported_as_if_it_were_alone() {
        let all: Vec<String> = split("").iter().map(as_alone).collect();
        expect_test::expect![[r#"
            inside: Cwd /, Root /
            lookups: /, /
            outside: Cwd /, Root /
            shared: [(ObjectId { process: 0, object: Fd(3) }, ObjectId { process: 0, object: Fd(6) })]
            mounts: /, /proc

            inside: Fd(3) /f, Fd(5) /f, InFlight { socket: 5, nth: 0 } /g, Cwd /
            lookups: /f, /f, /g, /
            outside: Fd(3) /f, Fd(5) /f, InFlight { socket: 5, nth: 0 } /g, Cwd /
            shared: []
            mounts: /, /a

            inside: Fd(3) /a/f (deleted), Fd(5) /.zdtm/0/f, Cwd /
            lookups: /a/f (deleted), /.zdtm/0/f, /
            outside: Fd(3) /a/f (deleted), Fd(5) /.zdtm/0/f, Cwd /
            shared: [(ObjectId { process: 0, object: Fd(3) }, ObjectId { process: 0, object: Fd(5) })]
            mounts: /, /
        "#]]
        .assert_eq(&all.join("\n"));
    }

    #[test]
    fn where_roots_are_shared_the_top_directory_is_the_trials() {
        let first = &split("/t/1")[1];
        expect_test::expect![[r#"
            inside: Fd(3) /t/1/f, Fd(5) /f, InFlight { socket: 5, nth: 0 } /g, Cwd /t/1
            lookups: /t/1/f, /f, /g, /t/1
            outside: Fd(3) /t/1/f, Fd(5) /f, InFlight { socket: 5, nth: 0 } /g, Cwd /
            shared: []
            mounts: /, /t/1/a
        "#]]
        .assert_eq(&as_alone(first));
    }

    #[test]
    fn nothing_is_lost_and_nothing_is_reported_twice() {
        let all = split("");
        let count = |object: fn(&Object) -> bool| {
            all.iter().flat_map(|part| &part.inside.objects).filter(|view| object(&view.object)).count()
        };
        assert_eq!(count(|object| matches!(object, Object::Fd(_))), 4);
        assert_eq!(count(|object| matches!(object, Object::InFlight { .. })), 1);
    }
}
