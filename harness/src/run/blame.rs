//! Which programs of a pack are to blame for a dump or a restore that failed as a whole, by what was said: an error line that names
//! a program's top directory, or of a dump one of its descriptors. A guess that saves halving the pack: those who are named run alone, and
//! only what becomes of them there counts.

use protocol::message::{PackReport, TrialReport};
use protocol::observation::Object;

use crate::judge::refusal::labelled;

/// The top directory of a program, up to its number (`prepare`, in the guest's agent).
const PLOT: &str = ".zdtm/";
/// The first descriptor of a program that is alone, and of the first one of a pack.
const FIRST_DESCRIPTOR: i32 = 3;
/// What stands before a descriptor's number: `fd=3`, `Can't dump file 3 of that type`.
const LABELS: [&str; 3] = ["fd", "descriptor", "file"];

/// Their numbers, ascending; none when they could be all.
pub(super) fn named(report: &PackReport) -> Vec<usize> {
    let lines: Vec<&String> = report.frame.actions.iter().flat_map(|action| &action.error_lines).collect();
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    let by_place = lines.iter().flat_map(|line| line.split(PLOT).skip(1)).filter_map(number);
    let mut named: Vec<usize> = by_place.filter(|&index| index < report.programs.len()).collect();
    // A restore has descriptors of its own.
    let dumps = || report.frame.actions.iter().filter(|report| !report.action.restores());
    let of_dump = || dumps().flat_map(|report| &report.error_lines);
    let mut first = FIRST_DESCRIPTOR;
    for (index, program) in report.programs.iter().enumerate() {
        let behind = first + descriptors(program);
        let says = |number: i32| of_dump().any(|line| labelled(line, &LABELS, number.unsigned_abs().into()));
        named.extend((first..behind).any(says).then_some(index));
        first = behind;
    }
    named.sort_unstable();
    named.dedup();
    if named.len() < report.programs.len() { named } else { Vec::new() }
}

/// How many descriptor numbers a program of a pack takes: the next one's are behind its highest.
fn descriptors(program: &TrialReport) -> i32 {
    let objects = program.before.iter().flat_map(|before| &before.outside.objects);
    let numbers = objects.filter_map(|object| match object.object {
        Object::Fd(number) => Some(number + 1 - FIRST_DESCRIPTOR),
        _ => None,
    });
    numbers.max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use protocol::message::{Action, ActionEnd, ActionReport};
    use protocol::observation::{Observation, View};

    use super::*;
    use crate::fuzz_targets::world;

    /// A pack of so many programs with two descriptors each.
    fn pack(programs: usize, lines: &[&str]) -> PackReport {
        let action = ActionReport {
            action: Action::Dump,
            end: ActionEnd::Failed(1),
            error_lines: lines.iter().map(|&line| line.to_owned()).collect(),
            duration_ms: 1,
            after: None,
            unobservable: None,
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
        PackReport { frame, programs: vec![program; programs] }
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
    fn errors_name_programs_by_their_descriptors() {
        let line = "Error (criu/files-ext.c:94): Can't dump file 6 of that type [20644] (chr 42:7)";
        assert_eq!(named(&pack(3, &[line])), [1], "3 and 4 are the first one's");
        assert_eq!(named(&pack(3, &["Can't lookup mount=38 for fd=7 path=/d/f"])), [2]);
        assert_eq!(named(&pack(3, &["Can't lookup mount=38 for fd=9 path=/d/f"])), [0_usize; 0]);
    }
}
