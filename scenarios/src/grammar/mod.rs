//! The grammar of program text, in one place: a table of forms. A [`Form`] is a kind of step, its
//! arguments, its help line and how a [`Step`] is made of them. The parser, the printer, the
//! generator and the reference in `docs/AUTHORING.md` all read this table; only [`decompose`], the
//! way back from a step to its words, is written out a second time (the compiler keeps it complete,
//! a property test keeps it right).
//!
//! What is *meaningful* (an object used before it is made) is the business of [`crate::check`].

mod arguments;
mod asserts;
mod mount_steps;
mod reference;
mod state_steps;
mod step_kind;
mod steps;
mod unparse;
pub(crate) mod words;

use std::collections::HashMap;
use std::sync::LazyLock;

use arguments::StepArguments;
pub use reference::reference;
pub use step_kind::StepKind;
pub use unparse::{StepParts, decompose};
pub use words::{Vocabulary, word, words};

use crate::Bytes;
use crate::program::{MountAttribute, ObjectName, Place, Step};

/// One way to write a step.
pub struct Form {
    /// What the step does.
    pub kind: StepKind,
    /// The line starts with `NAME =`: the step makes an object.
    pub makes: bool,
    /// What follows the verb.
    pub arguments: &'static [Argument],
    /// What it does, in one line.
    pub help: &'static str,
    build: fn(&mut StepArguments) -> Step,
}

/// One argument of a form.
pub struct Argument {
    /// How it is called in the reference: `FROM`.
    pub label: &'static str,
    /// What it is.
    pub kind: Kind,
    /// It is written `key=value`, at any place after the arguments without a key.
    pub key: Option<&'static str>,
    /// How often it stands.
    pub count: Count,
}

/// What an argument is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// The name of an object that exists.
    Object,
    /// The name of a socket that exists.
    Socket,
    /// The name of an object that exists, which may be another process's: `child.fd0`.
    AnyObject,
    /// The name of a process.
    Process,
    /// A path.
    Place,
    /// Bytes, always printed in quotes.
    Text,
    /// Bytes, printed bare where that is possible.
    Label,
    /// A decimal number from the first to the second.
    Number(i128, i128),
    /// An octal number up to this one.
    Octal(i128),
    /// One word of a list.
    Word(fn() -> Vec<&'static str>),
    /// This very word; it tells forms of one verb apart.
    Literal(&'static str),
}

/// How often a line has an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Once.
    One,
    /// Once or not at all.
    Optional,
    /// Any number of times.
    Many,
    /// Once or more.
    Some,
}

/// One value of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// For [`Kind::Object`], [`Kind::Socket`] and [`Kind::AnyObject`].
    Object(ObjectName),
    /// For [`Kind::Process`].
    Process(ObjectName),
    /// For [`Kind::Place`].
    Place(Place),
    /// For [`Kind::Text`] and [`Kind::Label`].
    Text(Bytes),
    /// For [`Kind::Number`] and [`Kind::Octal`].
    Number(i128),
    /// For [`Kind::Word`], and for an optional [`Kind::Literal`] that is there.
    Word(&'static str),
}

/// All forms, in the order of the reference.
pub fn forms() -> impl Iterator<Item = &'static Form> {
    mount_steps::FORMS.iter().chain(steps::FORMS).chain(state_steps::FORMS).chain(asserts::FORMS)
}

/// Each kind has one form at its own place, but for `assert`, which has others after these.
const _: () = {
    let mut at = 0;
    while at + 1 < StepKind::ALL.len() {
        assert!(at < STEPS && step_form(at).kind as usize == at, "a kind has no form at its place");
        at += 1;
    }
    assert!(at == STEPS && StepKind::Assert as usize == at, "the last kind is `assert`");
};

/// How many forms the steps have, without those of `assert`.
const STEPS: usize = BEFORE_STATES + state_steps::FORMS.len();
const BEFORE_STATES: usize = mount_steps::FORMS.len() + steps::FORMS.len();

const fn step_form(at: usize) -> &'static Form {
    if at < mount_steps::FORMS.len() {
        &mount_steps::FORMS[at]
    } else if at < BEFORE_STATES {
        &steps::FORMS[at - mount_steps::FORMS.len()]
    } else {
        &state_steps::FORMS[at - BEFORE_STATES]
    }
}

/// The form of a kind; of `assert`, which has many, there is none.
fn form_of(kind: StepKind) -> Option<&'static Form> {
    let at = kind as usize;
    (at < STEPS).then(|| step_form(at))
}

/// The form with this [`head`](Form::head).
pub fn form(head: &str) -> Option<&'static Form> {
    static BY_HEAD: LazyLock<HashMap<String, &'static Form>> =
        LazyLock::new(|| forms().map(|form| (form.head(), form)).collect());
    BY_HEAD.get(head).copied()
}

impl Form {
    /// The word that the line starts with, after `NAME =` where there is one.
    pub fn verb(&self) -> &'static str {
        self.kind.verb()
    }

    /// What tells this form from all others: the verb and the words that must stand,
    /// `assert not same-file`.
    pub fn head(&self) -> String {
        let mut head = self.verb().to_owned();
        for argument in self.arguments {
            if let (Kind::Literal(word), Count::One) = (argument.kind, argument.count) {
                head.push(' ');
                head.push_str(word);
            }
        }
        head
    }

    /// How the line is written: `bind FROM TO [ATTRIBUTE...]`.
    pub fn usage(&self) -> String {
        let mut line = if self.makes { format!("NAME = {}", self.verb()) } else { self.verb().to_owned() };
        for argument in self.arguments {
            line.push(' ');
            line.push_str(&argument.usage());
        }
        line
    }

    /// The step of a name and the values of each argument, in the order of [`Form::arguments`].
    ///
    /// # Panics
    /// When the values are not of the kinds and counts that the arguments say.
    pub fn step(&self, name: Option<ObjectName>, slots: Vec<Vec<Item>>) -> Step {
        assert_eq!(slots.len(), self.arguments.len(), "one slot for each argument of {}", self.verb());
        let fixed = |argument: &Argument| matches!(argument.kind, Kind::Literal(_)) && argument.count == Count::One;
        let slots = self.arguments.iter().zip(slots).filter(|(argument, _)| !fixed(argument)).map(|(_, slot)| slot);
        (self.build)(&mut StepArguments::new(name, slots.collect()))
    }
}

impl Argument {
    fn usage(&self) -> String {
        let core = match (self.kind, self.key) {
            (Kind::Literal(word), _) => word.to_owned(),
            (Kind::Text, None) => format!("\"{}\"", self.label),
            (_, Some(key)) => format!("{key}={}", self.label),
            (_, None) => self.label.to_owned(),
        };
        match self.count {
            Count::One => core,
            Count::Optional => format!("[{core}]"),
            Count::Many => format!("[{core}...]"),
            Count::Some => format!("{core}..."),
        }
    }

    const fn key(mut self, key: &'static str) -> Self {
        self.key = Some(key);
        self
    }

    const fn optional(mut self) -> Self {
        self.count = Count::Optional;
        self
    }

    const fn some(mut self) -> Self {
        self.count = Count::Some;
        self
    }
}

const fn argument(label: &'static str, kind: Kind, count: Count) -> Argument {
    Argument { label, kind, key: None, count }
}

/// An object of any process.
const fn any_object(label: &'static str) -> Argument {
    argument(label, Kind::AnyObject, Count::One)
}

const PROCESS: Argument = argument("PROCESS", Kind::Process, Count::One);

const fn object(label: &'static str) -> Argument {
    argument(label, Kind::Object, Count::One)
}

const ATTRIBUTES: Argument = flags("ATTRIBUTE", words::<MountAttribute>);
const ID: i128 = u32::MAX as i128 - 1; // (uid_t) -1 means "leave it", chown(2)
const OFFSET: i128 = i64::MAX as i128;

/// An object that must be a socket.
const SOCKET: Argument = argument("SOCKET", Kind::Socket, Count::One);

const fn place(label: &'static str) -> Argument {
    argument(label, Kind::Place, Count::One)
}

const fn text(label: &'static str) -> Argument {
    argument(label, Kind::Text, Count::One)
}

const fn label(label: &'static str) -> Argument {
    argument(label, Kind::Label, Count::One)
}

/// A number from 0 to `max`.
const fn number(label: &'static str, max: i128) -> Argument {
    argument(label, Kind::Number(0, max), Count::One)
}

const fn choice(label: &'static str, words: fn() -> Vec<&'static str>) -> Argument {
    argument(label, Kind::Word(words), Count::One)
}

/// Any number of words of a list.
const fn flags(label: &'static str, words: fn() -> Vec<&'static str>) -> Argument {
    argument(label, Kind::Word(words), Count::Many)
}

/// A word that is there or not.
const fn switch(word: &'static str) -> Argument {
    argument(word, Kind::Literal(word), Count::Optional)
}

/// A word that must be there.
const fn literal(word: &'static str) -> Argument {
    argument(word, Kind::Literal(word), Count::One)
}
