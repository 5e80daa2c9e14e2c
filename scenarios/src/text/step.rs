//! The words of a line into a step, led by the table in [`crate::grammar`].

use super::lexer::Word;
use super::{Mistake, Span};
use crate::Bytes;
use crate::grammar::{Argument, Count, Form, Item, Kind, forms};
use crate::program::{ObjectName, Place, Step};

/// A step and where its parts are in the line.
pub(super) struct Parsed {
    pub(super) step: Step,
    pub(super) verb: Span,
    pub(super) name: Option<Span>,
    /// The values of each argument, as in [`Form::arguments`].
    pub(super) slots: Slots<Span>,
}

/// Parses the words of one line; there is at least one.
pub(super) fn step(words: &[Word]) -> Result<Parsed, Mistake> {
    let (name, rest) = made(words)?;
    let Some((verb, arguments)) = rest.split_first() else {
        return Err(Mistake::new(words[1].span.after(), "a step that makes an object is missing").expected(verbs(true)));
    };
    let form = choose(verb, arguments, name.is_some())?;
    let (slots, spans) = Arguments::new(form, verb).parse(arguments).map_err(|mistake| {
        let usage = format!("it is written so: {}", form.usage());
        mistake.hint_if_none(usage)
    })?;
    let (name, name_span) = name.unzip();
    Ok(Parsed { step: form.step(name, slots), verb: verb.span, name: name_span, slots: spans })
}

type Made = (ObjectName, Span);

/// The object that a line makes, and the words behind `=`.
fn made(words: &[Word]) -> Result<(Option<Made>, &[Word]), Mistake> {
    let first = &words[0];
    if words.get(1).is_some_and(Word::is_equals) {
        return Ok((Some((object(first)?, first.span)), &words[2..]));
    }
    match &first.key {
        Some(key) => {
            let mistake = Mistake::new(first.span, "blanks are missing around `=`");
            Err(mistake.hint(format!("it is written so: {key} = open PATH")))
        }
        None => Ok((None, words)),
    }
}

fn verbs(makes: bool) -> Vec<String> {
    let mut verbs: Vec<_> = forms().filter(|form| form.makes == makes).map(|form| form.verb().to_owned()).collect();
    verbs.dedup();
    verbs
}

/// The form that the words are written in.
fn choose(verb: &Word, arguments: &[Word], makes: bool) -> Result<&'static Form, Mistake> {
    let text = verb.plain().unwrap_or("");
    let mut left: Vec<_> = forms().filter(|form| form.verb() == text).collect();
    let Some(first) = left.first() else {
        let known = verbs(makes);
        let mistake = Mistake::new(verb.span, format!("unknown step `{}`", Bytes::from(verb.text.clone())));
        return Err(mistake.near(text, forms().map(Form::verb)).expected(known));
    };
    if first.makes && !makes {
        let mistake = Mistake::new(verb.span, format!("`{text}` makes an object, which needs a name"));
        return Err(mistake.hint(format!("it is written so: {}", first.usage())));
    }
    if makes && !first.makes {
        return Err(Mistake::new(verb.span, format!("`{text}` makes no object")).expected(verbs(true)));
    }
    let fixed = |form: &Form, at: usize| match form.arguments.get(at) {
        Some(Argument { kind: Kind::Literal(word), count: Count::One, .. }) => Some(*word),
        _ => None,
    };
    for at in 0.. {
        if left.len() == 1 {
            break;
        }
        let possible: Vec<_> = left.iter().filter_map(|form| fixed(form, at)).collect();
        let word = arguments.get(at);
        let text = word.and_then(Word::plain).unwrap_or("");
        if possible.contains(&text) {
            left.retain(|form| fixed(form, at) == Some(text));
        } else {
            left.retain(|form| fixed(form, at).is_none());
        }
        if left.is_empty() {
            let mut known = Vec::new();
            for word in possible {
                if !known.contains(&word) {
                    known.push(word);
                }
            }
            let (span, what) = match word {
                Some(word) => (word.span, format!("unknown word `{}`", Bytes::from(word.text.clone()))),
                None => (arguments.last().unwrap_or(verb).span.after(), "a word is missing".to_owned()),
            };
            return Err(Mistake::new(span, what).near(text, known.clone()).expected(known));
        }
    }
    Ok(left[0])
}

/// Something for each value of each argument of a form.
type Slots<T> = Vec<Vec<T>>;

struct Arguments {
    form: &'static Form,
    last: Span,
    slots: Slots<Item>,
    spans: Slots<Span>,
}

impl Arguments {
    fn new(form: &'static Form, verb: &Word) -> Self {
        let count = form.arguments.len();
        Arguments { form, last: verb.span, slots: vec![Vec::new(); count], spans: vec![Vec::new(); count] }
    }

    fn parse(mut self, words: &[Word]) -> Result<(Slots<Item>, Slots<Span>), Mistake> {
        let mut words = words.iter();
        for (slot, argument) in self.form.arguments.iter().enumerate() {
            if argument.count != Count::One {
                continue;
            }
            let Some(word) = words.next() else {
                let what = format!("missing: {}", argument.describe());
                return Err(Mistake::new(self.last.after(), what));
            };
            self.take(slot, argument, word)?;
        }
        for word in words {
            let (slot, argument) = self.tail(word)?;
            if argument.count == Count::Optional && !self.slots[slot].is_empty() {
                return Err(Mistake::new(word.span, "this stands a second time"));
            }
            self.take(slot, argument, word)?;
        }
        let key = |key: &str| self.form.arguments.iter().position(|argument| argument.key == Some(key));
        if let (Some(path), Some(id)) = (key("subvol"), key("subvolid"))
            && !self.slots[path].is_empty()
            && let Some(span) = self.spans[id].first()
        {
            return Err(Mistake::new(*span, "`subvolid=` contradicts `subvol=`"));
        }
        for (slot, argument) in self.form.arguments.iter().enumerate() {
            if argument.count == Count::Some && self.slots[slot].is_empty() {
                let what = format!("missing: {}", argument.describe());
                return Err(Mistake::new(self.last.after(), what));
            }
        }
        Ok((self.slots, self.spans))
    }

    fn take(&mut self, slot: usize, argument: &Argument, word: &Word) -> Result<(), Mistake> {
        self.last = word.span;
        self.spans[slot].push(word.span);
        if let (Kind::Literal(_), Count::One) = (argument.kind, argument.count) {
            return Ok(()); // `choose` has looked at it
        }
        self.slots[slot].push(item(argument, word)?);
        Ok(())
    }

    /// Which of the arguments that need no fixed place this word is.
    fn tail(&self, word: &Word) -> Result<(usize, &'static Argument), Mistake> {
        let tail = || self.form.arguments.iter().enumerate().filter(|(_, argument)| argument.count != Count::One);
        let fits = |argument: &Argument| match (&word.key, argument.key, argument.kind) {
            (Some(key), Some(own), _) => key == own,
            (None, None, Kind::Word(words)) => word.plain().is_some_and(|text| words().contains(&text)),
            (None, None, Kind::Literal(own)) => word.plain() == Some(own),
            (None, None, Kind::Number(..) | Kind::Object | Kind::Place) => true,
            _ => false,
        };
        if let Some(found) = tail().find(|(_, argument)| fits(argument)) {
            return Ok(found);
        }
        let mut known = Vec::new();
        for (_, argument) in tail() {
            match (argument.key, argument.kind) {
                (Some(key), _) => known.push(format!("{key}=")),
                (None, Kind::Word(words)) => known.extend(words().into_iter().map(str::to_owned)),
                (None, Kind::Literal(own)) => known.push(own.to_owned()),
                _ => {}
            }
        }
        if known.is_empty() {
            return Err(Mistake::new(word.span, "one word too many").expected(["the end of the line"]));
        }
        let text = match &word.key {
            Some(key) => format!("{key}="),
            None => Bytes::from(word.text.clone()).to_string(),
        };
        let mistake = Mistake::new(word.span, format!("unknown word `{text}`"));
        Err(mistake.near(&text, known.iter().map(String::as_str)).expected(known))
    }
}

/// The value of one word.
fn item(argument: &Argument, word: &Word) -> Result<Item, Mistake> {
    let unfit = || Mistake::new(word.span, "this cannot stand here").expected([argument.describe()]);
    if word.key.is_some() != argument.key.is_some() {
        return Err(unfit());
    }
    let bytes = Bytes::from(word.text.clone());
    match argument.kind {
        Kind::Place => {
            let base = match &word.base {
                Some(base) => Some(object_name(base, word.span)?),
                None => None,
            };
            return Ok(Item::Place(Place { base, path: bytes }));
        }
        Kind::Text | Kind::Label if word.base.is_none() => return Ok(Item::Text(bytes)),
        _ => {}
    }
    let text = word.value().ok_or_else(unfit)?;
    match argument.kind {
        Kind::Object | Kind::Socket => object(word).map(Item::Object),
        Kind::AnyObject => any_object(word).map(Item::Object),
        Kind::Process => process(word).map(Item::Process),
        Kind::Number(from, to) => match text.parse::<i128>() {
            Ok(number) if (from..=to).contains(&number) && !text.starts_with('+') => Ok(Item::Number(number)),
            Ok(_) => Err(Mistake::new(word.span, format!("`{text}` is out of range"))
                .expected([format!("a number from {from} to {to}")])),
            Err(_) => Err(Mistake::new(word.span, format!("`{text}` is not a number")).expected([argument.describe()])),
        },
        Kind::Octal(to) => match i128::from_str_radix(text, 8) {
            Ok(number) if (0..=to).contains(&number) && !text.starts_with('+') => Ok(Item::Number(number)),
            _ => Err(Mistake::new(word.span, format!("`{text}` is not an octal number up to {to:o}"))
                .expected(["digits from 0 to 7, as in 0644"])),
        },
        Kind::Word(words) => match words().into_iter().find(|known| *known == text) {
            Some(known) => Ok(Item::Word(known)),
            None => {
                let mistake = Mistake::new(word.span, format!("unknown word `{text}`"));
                Err(mistake.near(text, words()).expected(words()))
            }
        },
        Kind::Literal(own) => Ok(Item::Word(own)),
        Kind::Place | Kind::Text | Kind::Label => Err(unfit()),
    }
}

fn object(word: &Word) -> Result<ObjectName, Mistake> {
    match word.plain() {
        Some(text) if let Some((process, _)) = text.split_once('.') => {
            let mistake = Mistake::new(word.span, "only an `assert` names objects of other processes");
            Err(mistake.hint(format!("write `as {process}` in a line before")))
        }
        Some(text) => object_name(text, word.span),
        None => Err(Mistake::new(word.span, "this is not the name of an object").expected([NAMES])),
    }
}

/// An object, of the process that carries out the step or of the one that is named: `child.fd0`.
fn any_object(word: &Word) -> Result<ObjectName, Mistake> {
    let Some((process, name)) = word.plain().and_then(|text| text.split_once('.')) else { return object(word) };
    let (process, name) = (object_name(process, word.span)?, object_name(name, word.span)?);
    Ok(ObjectName(format!("{process}.{name}")))
}

fn process(word: &Word) -> Result<ObjectName, Mistake> {
    let not = || Mistake::new(word.span, "this is not the name of a process").expected([NAMES]);
    let name = word.plain().ok_or_else(not)?;
    object_name(name, word.span).map_err(|_| not())
}

const NAMES: &str = "a small letter, then small letters, digits, `_` and `-`";

fn object_name(text: &str, span: Span) -> Result<ObjectName, Mistake> {
    let name = ObjectName(text.to_owned());
    if crate::check::is_object_name(&name) {
        return Ok(name);
    }
    Err(Mistake::new(span, format!("`{text}` is not the name of an object")).expected([NAMES]))
}
