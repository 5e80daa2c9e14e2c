//! Which programs of a pack are to blame for a dump or a restore that failed as a whole, by what
//! was said: an error line that names a program's top directory, one of its mounts, or of a dump
//! one of its descriptors; or else one out of the part of criu that has to do with named pipes. A
//! guess that saves halving the pack: those who are named run alone, and only what becomes of them
//! there counts.

use protocol::message::{FIRST_DESCRIPTOR, TrialReport};
use protocol::observation::{FileKind, Object, ObjectView, Outcome};

use crate::judge::refusal::labelled;

/// The top directory of a program, up to its number (`prepare`, in the guest's agent).
const PLOT: &str = ".zdtm/";
/// What stands before a descriptor's number: `fd=3`, `Can't dump file 3 of that type`.
const LABELS: [&str; 3] = ["fd", "descriptor", "file"];
/// What stands before a mount's number in the names of its own yard of mount points,
/// `mnt-0000000055` (criu/mount-v2.c).
const MOUNT: &str = "/mnt-";
/// Where errors come from that name nothing and are of named pipes.
const PIPES: [&str; 2] = ["(criu/pipes.c:", "(criu/fifo.c:"];

/// Their numbers, ascending; `None` when they could be all.
pub(super) fn named(frame: &TrialReport, programs: &[TrialReport]) -> Vec<usize> {
    let lines: Vec<&String> = frame.actions.iter().flat_map(|action| &action.error_lines).collect();
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let behind = |label: &'static str| lines.iter().flat_map(move |line| line.split(label).skip(1)).filter_map(number);
    let mut named: Vec<usize> = behind(PLOT).filter(|&index| index < programs.len()).collect();
    let mounts: Vec<u64> = behind(MOUNT).map(|number| number as u64).filter(|&id| !has_mount(frame, id)).collect();
    named.extend(those(programs, |program| mounts.iter().any(|&id| has_mount(program, id))));
    // A restore has descriptors of its own.
    let dumps = || frame.actions.iter().filter(|report| !report.action.restores());
    let of_dump = || dumps().flat_map(|report| &report.error_lines);
    let mut first = FIRST_DESCRIPTOR;
    for (index, program) in programs.iter().enumerate() {
        let behind = first + descriptors(program);
        let says = |number: i32| of_dump().any(|line| labelled(line, &LABELS, number.unsigned_abs().into()));
        named.extend((first..behind).any(says).then_some(index));
        first = behind;
    }
    if named.is_empty() && lines.iter().any(|line| PIPES.iter().any(|file| line.contains(file))) {
        named.extend(those(programs, |program| objects(program).any(is_named_pipe)));
    }
    named.sort_unstable();
    named.dedup();
    if named.len() < programs.len() { named } else { Vec::new() }
}

/// The numbers of the programs of which it is true.
fn those(programs: &[TrialReport], is_true: impl Fn(&TrialReport) -> bool) -> impl Iterator<Item = usize> {
    programs.iter().enumerate().filter(move |(_, program)| is_true(program)).map(|(index, _)| index)
}

fn has_mount(report: &TrialReport, id: u64) -> bool {
    report.before.iter().any(|before| before.mounts.iter().any(|mount| mount.id == id))
}

fn objects(program: &TrialReport) -> impl Iterator<Item = &ObjectView> {
    program.before.iter().flat_map(|before| &before.outside.objects)
}

fn is_named_pipe(view: &ObjectView) -> bool {
    matches!(&view.status, Outcome::Ok(status) if status.kind == FileKind::Fifo)
}

/// How many descriptor numbers a program of a pack takes: the next one's are behind its highest.
fn descriptors(program: &TrialReport) -> i32 {
    let numbers = objects(program).filter_map(|object| match object.object {
        Object::Fd(number) => Some(number + 1 - FIRST_DESCRIPTOR),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use protocol::message::{Action, ActionEnd, ActionReport};
    use protocol::observation::{Mount, Observation, View};

    use testing::world;

    use super::*;

    /// The frame and the programs.
    type Pack = (TrialReport, Vec<TrialReport>);

    fn named((frame, programs): &Pack) -> Vec<usize> {
        super::named(frame, programs)
    }

    /// A pack of so many programs with two descriptors each.
    fn pack(programs: usize, lines: &[&str]) -> Pack {
        let action = ActionReport {
            action: Action::Dump,
            end: ActionEnd::Failed(1),
            error_lines: lines.iter().map(|&line| line.to_owned()).collect(),
            duration_ms: 1,
            after: None,
            unobservable: None,
            caller: Vec::new(),
            left: Vec::new(),
            second_try: None,
        };
        let mut objects = world::observation(0).outside.objects;
        objects.retain(|view| matches!(view.object, Object::Fd(_)));
        objects.truncate(2);
        for (number, view) in objects.iter_mut().enumerate() {
            view.object = Object::Fd(FIRST_DESCRIPTOR + i32::try_from(number).unwrap());
        }
        let before = Some(Observation { outside: View { objects }, ..Observation::default() });
        let program = TrialReport { before, ..TrialReport::default() };
        let frame = TrialReport { actions: vec![action], ..TrialReport::default() };
        (frame, vec![program; programs])
    }

    #[test]
    fn errors_name_programs_by_their_top_directories() {
        let lines = [
            "mnt: Can't open ./.zdtm/12/new\\012line: No such file",
            "bad root /.zdtm/3 of /.zdtm/12/a",
            "Dumping FAILED.",
        ];
        assert_eq!(named(&pack(32, &lines)), [3, 12]);
        assert_eq!(named(&pack(10, &lines)), [3], "there are no more programs");
        assert_eq!(named(&pack(2, &["./.zdtm/0/a, ./.zdtm/1/a"])), [0_usize; 0], "all of them say nothing");
        assert_eq!(named(&pack(2, &["no place .zdtm/x"])), [0_usize; 0]);
    }

    #[test]
    fn errors_name_programs_by_their_mounts() {
        let line = "mnt-v2: Can't stat mountpoint /tmp/.criu.mntns.AvtD8Y/mnt-0000000046/f: No such file or directory";
        let mut pack = pack(3, &[line]);
        let mount = |id: u64| Mount { id, ..world::observation(0).mounts[0].clone() };
        pack.0.before = Some(Observation { mounts: vec![mount(40)], ..Observation::default() });
        for (program, id) in pack.1.iter_mut().zip([45, 46, 47]) {
            program.before.as_mut().unwrap().mounts = vec![mount(40), mount(id)];
        }
        assert_eq!(named(&pack), [1]);
        pack.0.actions[0].error_lines = vec!["cannot open /mnt-0000000040/.zdtm".to_owned()];
        assert_eq!(named(&pack), [0_usize; 0], "the one that all stand on is nobody's");
    }

    #[test]
    fn errors_of_named_pipes_are_of_those_who_have_some() {
        let mut pack = pack(3, &["Error (criu/pipes.c:425): Can't obtain piped data size: Bad file descriptor"]);
        assert_eq!(named(&pack), [0_usize; 0], "nobody has one");
        let objects = &mut pack.1[2].before.as_mut().unwrap().outside.objects;
        let Outcome::Ok(status) = &mut objects[1].status else { panic!("a file") };
        status.kind = FileKind::Fifo;
        assert_eq!(named(&pack), [2]);
    }

    #[test]
    fn errors_name_programs_by_their_descriptors() {
        let line = "Error (criu/files-ext.c:94): Can't dump file 6 of that type [20644] (chr 42:7)";
        assert_eq!(named(&pack(3, &[line])), [1], "3 and 4 are the first one's");
        assert_eq!(named(&pack(3, &["Can't lookup mount=38 for fd=7 path=/d/f"])), [2]);
        assert_eq!(named(&pack(3, &["Can't lookup mount=38 for fd=9 path=/d/f"])), [0_usize; 0]);
    }
}
