//! The forms of `assert`: one for each claim.

use super::words::errnos;
use super::{Form, OFFSET, StepArguments, StepKind, any_object, choice, literal, number, text};
use crate::program::{Claim, Step};

const COUNT: i128 = u32::MAX as i128;

fn assert(a: &mut StepArguments, claim: impl FnOnce(&mut StepArguments) -> Claim) -> Step {
    Step::Assert { object: a.object(), claim: claim(a) }
}

pub(super) static FORMS: &[Form] = &[
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("detached")],
        help: "Its mount is in fdinfo and not in mountinfo.",
        build: |a| assert(a, |_| Claim::Detached),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("visible")],
        help: "Its mount is in mountinfo.",
        build: |a| assert(a, |_| Claim::Visible),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("elsewhere")],
        help: "Its mount is in the namespace that the process left with `unshare-mounts keep-old`.",
        build: |a| assert(a, |_| Claim::Elsewhere),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("internal")],
        help: "It is on a mount of the kernel's own (memfd, socket).",
        build: |a| assert(a, |_| Claim::Internal),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("link"), text("text")],
        help: "What readlink(2) on `/proc/self/fd/N` gives; for a visible object from the top directory.",
        build: |a| assert(a, |a| Claim::Link(a.text())),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("links"), number("N", COUNT)],
        help: "The number of hard links, `st_nlink`.",
        build: |a| assert(a, |a| Claim::Links(a.number())),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("content"), text("bytes")],
        help: "What can be read through `/proc/self/fd/N`.",
        build: |a| assert(a, |a| Claim::Content(a.text())),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("position"), number("N", OFFSET)],
        help: "The file offset in bytes.",
        build: |a| assert(a, |a| Claim::Position(a.number())),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("lookup"), text("path"), choice("ERRNO", errnos)],
        help: "`openat(O_PATH)` relative to it fails with this error.",
        build: |a| assert(a, |a| Claim::LookupFails { path: a.text(), errno: a.errno() }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("lookup"), text("path"), literal("link"), text("text")],
        help: "`openat(O_PATH)` relative to it reaches a file with this link text.",
        build: |a| assert(a, |a| Claim::LookupReaches { path: a.text(), link: a.text() }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("same-file"), any_object("OTHER")],
        help: "Both are one inode.",
        build: |a| assert(a, |a| Claim::SameFile { other: a.object(), not: false }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("not"), literal("same-file"), any_object("OTHER")],
        help: "They are two.",
        build: |a| assert(a, |a| Claim::SameFile { other: a.object(), not: true }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("same-mount"), any_object("OTHER")],
        help: "Both are on one mount.",
        build: |a| assert(a, |a| Claim::SameMount { other: a.object(), not: false }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("not"), literal("same-mount"), any_object("OTHER")],
        help: "They are on two.",
        build: |a| assert(a, |a| Claim::SameMount { other: a.object(), not: true }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("same-description"), any_object("OTHER")],
        help: "Both are one open file description, kcmp(2).",
        build: |a| assert(a, |a| Claim::SameDescription { other: a.object(), not: false }),
    },
    Form {
        kind: StepKind::Assert,
        makes: false,
        arguments: &[any_object("OBJECT"), literal("not"), literal("same-description"), any_object("OTHER")],
        help: "They are two.",
        build: |a| assert(a, |a| Claim::SameDescription { other: a.object(), not: true }),
    },
];
