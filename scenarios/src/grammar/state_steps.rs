//! The forms of the steps on the state of descriptors and processes.

use super::words::words;
use super::{Argument, Count, Form, Kind, PROCESS, StepKind, argument, choice, number, object, place};
use crate::program::{Mark, Seal, Step};

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
    Form {
        kind: StepKind::Epoll,
        makes: true,
        arguments: &[argument("OBJECT", Kind::Object, Count::Some)],
        help: "An instance of epoll(7) that watches named pipes, sockets and instances of inotify(7) for input.",
        build: |a| Step::Epoll { name: a.name(), of: a.objects() },
    },
    Form {
        kind: StepKind::Inotify,
        makes: true,
        arguments: &[argument("P", Kind::Place, Count::Some)],
        help: "An instance of inotify(7) that watches files for changes of contents and attributes.",
        build: |a| Step::Inotify { name: a.name(), at: a.places() },
    },
    Form {
        kind: StepKind::Fanotify,
        makes: true,
        arguments: &[choice("MARK", words::<Mark>), place("P")],
        help: "An instance of fanotify(7) with `FAN_REPORT_FID` that watches for writers that close a file: this file, \
               all on its mount, or all on its filesystem. A user namespace does not allow it.",
        build: |a| Step::Fanotify { name: a.name(), mark: a.word(), at: a.place() },
    },
    Form {
        kind: StepKind::Exit,
        makes: false,
        arguments: &[PROCESS],
        help: "Another process ends with status 0, _exit(2), and stays a zombie: it holds nothing any more.",
        build: |a| Step::Exit { process: a.process() },
    },
];
