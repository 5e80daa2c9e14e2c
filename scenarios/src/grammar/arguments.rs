//! From the values of a line to the fields of a step.

use std::collections::VecDeque;

use super::{Item, Vocabulary, words};
use crate::program::{ObjectName, Place, Subvolume};
use crate::{Bytes, Errno};

/// The arguments of a line on their way into a [`Step`]: each call takes the next one. A form's
/// arguments and its `build` stand side by side in the table and must agree; the tests build every
/// form.
pub(super) struct StepArguments {
    name: Option<ObjectName>,
    slots: VecDeque<Vec<Item>>,
}

const AGREES: &str = "a form's arguments and its build agree";

impl StepArguments {
    pub(super) fn new(name: Option<ObjectName>, slots: VecDeque<Vec<Item>>) -> Self {
        StepArguments { name, slots }
    }

    pub(super) fn name(&mut self) -> ObjectName {
        self.name.take().expect(AGREES)
    }

    fn slot(&mut self) -> Vec<Item> {
        self.slots.pop_front().expect(AGREES)
    }

    fn one(&mut self) -> Item {
        self.slot().pop().expect(AGREES)
    }

    pub(super) fn object(&mut self) -> ObjectName {
        let Item::Object(name) = self.one() else { panic!("{AGREES}") };
        name
    }

    pub(super) fn objects(&mut self) -> Vec<ObjectName> {
        let object = |item| if let Item::Object(name) = item { name } else { panic!("{AGREES}") };
        self.slot().into_iter().map(object).collect()
    }

    pub(super) fn process(&mut self) -> ObjectName {
        let Item::Process(name) = self.one() else { panic!("{AGREES}") };
        name
    }

    pub(super) fn places(&mut self) -> Vec<Place> {
        let place = |item| if let Item::Place(place) = item { place } else { panic!("{AGREES}") };
        self.slot().into_iter().map(place).collect()
    }

    pub(super) fn place(&mut self) -> Place {
        self.places().pop().expect(AGREES)
    }

    pub(super) fn text(&mut self) -> Bytes {
        self.optional_text().expect(AGREES)
    }

    pub(super) fn optional_text(&mut self) -> Option<Bytes> {
        self.slot().pop().map(|item| if let Item::Text(bytes) = item { bytes } else { panic!("{AGREES}") })
    }

    /// By its number where that is given, else by its path.
    pub(super) fn subvolume(&mut self) -> Option<Subvolume> {
        let (path, number) = (self.optional_text(), self.optional_number());
        number.map(Subvolume::Id).or(path.map(Subvolume::Path))
    }

    pub(super) fn number<T: TryFrom<i128>>(&mut self) -> T {
        self.optional_number().expect(AGREES)
    }

    pub(super) fn optional_number<T: TryFrom<i128>>(&mut self) -> Option<T> {
        let number = |item| if let Item::Number(number) = item { number } else { panic!("{AGREES}") };
        self.slot().pop().map(|item| T::try_from(number(item)).ok().expect("the argument's range is the field's"))
    }

    pub(super) fn words<T: Vocabulary>(&mut self) -> Vec<T> {
        let value = |item| match item {
            Item::Word(word) => words::value(word).expect(AGREES),
            _ => panic!("{AGREES}"),
        };
        self.slot().into_iter().map(value).collect()
    }

    pub(super) fn word<T: Vocabulary>(&mut self) -> T {
        self.words().pop().expect(AGREES)
    }

    /// A setting, where it is given.
    pub(super) fn on_off(&mut self) -> Option<bool> {
        self.words().pop().map(|words::OnOff(on)| on)
    }

    pub(super) fn errno(&mut self) -> Errno {
        let Item::Word(word) = self.one() else { panic!("{AGREES}") };
        word.parse().expect(AGREES)
    }

    pub(super) fn switch(&mut self) -> bool {
        !self.slot().is_empty()
    }
}
