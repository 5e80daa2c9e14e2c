//! The forms of the steps on the state of descriptors.

use super::words::words;
use super::{Argument, Count, Form, Kind, StepKind, argument, number, object};
use crate::program::{Seal, Step};

const SEALS: Argument = argument("SEAL", Kind::Word(words::<Seal>), Count::Some);

pub(super) static FORMS: &[Form] = &[
    Form {
        kind: StepKind::Seal,
        makes: false,
        arguments: &[object("OBJECT"), SEALS],
        help: "What can no longer be done with a `sealable` memfd, `F_ADD_SEALS` in fcntl(2).",
        build: |a| Step::Seal { object: a.object(), seals: a.words() },
    },
    Form {
        kind: StepKind::SetOwner,
        makes: false,
        arguments: &[object("OBJECT")],
        help: "The process itself gets the signals of the open file description, `F_SETOWN` in fcntl(2).",
        build: |a| Step::SetOwner { object: a.object() },
    },
    Form {
        kind: StepKind::SetSignal,
        makes: false,
        arguments: &[object("OBJECT"), number("SIGNAL", 64)],
        help: "Which signal that is, by its number, `F_SETSIG` in fcntl(2); 0 is the default, `SIGIO`.",
        build: |a| Step::SetSignal { object: a.object(), signal: a.number() },
    },
];
