//! A line of text into tokens: `[KEY=][OBJECT:]VALUE`, the value bare or quoted. Bare parts may
//! hold `$variables`.

use super::{Mistake, Span, base};
use crate::bytes::unescape;

/// A token with its variables still in it.
pub(super) struct Token {
    pub(super) span: Span,
    key: Option<Vec<Piece>>,
    base: Option<Vec<Piece>>,
    value: Value,
}

enum Value {
    Bare(Vec<Piece>),
    Quoted(Vec<u8>),
    /// Bare parts with a variable among them, and what is in quotes behind them: `$of/"two words"`.
    Joined(Vec<Piece>, Vec<u8>),
}

enum Piece {
    Text(String),
    Variable(String, Span),
}

/// A token with the axes' values in place of the variables.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) span: Span,
    pub(super) key: Option<String>,
    pub(super) base: Option<String>,
    pub(super) text: Vec<u8>,
    pub(super) quoted: bool,
}

/// The characters of words that need no quotes.
pub(super) fn is_bare(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '+' | ',' | '-')
}

pub(super) fn is_variable(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r')
}

/// The tokens of a line up to its comment.
pub(super) fn tokens(line: &str) -> Result<Vec<Token>, Mistake> {
    let mut lexer = Lexer { line, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.run(is_blank);
        match lexer.peek() {
            None | Some('#') => return Ok(tokens),
            Some(_) => tokens.push(lexer.token()?),
        }
    }
}

struct Lexer<'a> {
    line: &'a str,
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.line[self.at..].chars().next()
    }

    /// Takes all characters that are so.
    fn run(&mut self, so: fn(char) -> bool) -> String {
        let rest = &self.line[self.at..];
        let end = rest.find(|c| !so(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn token(&mut self) -> Result<Token, Mistake> {
        let start = self.at;
        let (mut key, mut base) = (None, None);
        loop {
            let pieces = self.pieces()?;
            match self.peek() {
                Some('=') if key.is_none() && base.is_none() => {
                    self.at += 1;
                    key = Some(pieces);
                }
                Some(':') if base.is_none() && !pieces.is_empty() => {
                    self.at += 1;
                    base = Some(pieces);
                }
                Some('"') if pieces.is_empty() => {
                    let value = Value::Quoted(self.quoted()?);
                    return self.end(start, key, base, value);
                }
                Some('"') if pieces.iter().any(|piece| matches!(piece, Piece::Variable(..))) => {
                    let value = Value::Joined(pieces, self.quoted()?);
                    return self.end(start, key, base, value);
                }
                _ => return self.end(start, key, base, Value::Bare(pieces)),
            }
        }
    }

    fn end(
        &self,
        start: usize,
        key: Option<Vec<Piece>>,
        base: Option<Vec<Piece>>,
        value: Value,
    ) -> Result<Token, Mistake> {
        match self.peek() {
            Some(c) if !is_blank(c) => {
                let span = Span { start: self.at, end: self.at + c.len_utf8() };
                let what = match value {
                    Value::Quoted(_) | Value::Joined(..) => "a blank is missing after the closing quote".to_owned(),
                    Value::Bare(_) => {
                        let shown = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
                        format!("`{shown}` cannot stand in a word without quotes")
                    }
                };
                Err(Mistake::new(span, what).hint("put the whole word, or what follows `=` or `:`, in double quotes"))
            }
            _ => Ok(Token { span: Span { start, end: self.at }, key, base, value }),
        }
    }

    fn pieces(&mut self) -> Result<Vec<Piece>, Mistake> {
        let mut pieces = Vec::new();
        loop {
            match self.peek() {
                Some('$') => {
                    let start = self.at;
                    self.at += 1;
                    let name = self.run(is_variable);
                    let span = Span { start, end: self.at };
                    if name.is_empty() {
                        let mistake = Mistake::new(span, "`$` starts the name of an axis");
                        return Err(mistake.hint("a word that holds a `$` itself stands in double quotes"));
                    }
                    pieces.push(Piece::Variable(name, span));
                }
                Some(c) if is_bare(c) => pieces.push(Piece::Text(self.run(is_bare))),
                _ => return Ok(pieces),
            }
        }
    }

    /// From an opening quote to behind the closing one.
    fn quoted(&mut self) -> Result<Vec<u8>, Mistake> {
        let start = self.at + 1;
        let mut escaped = false;
        let end = self.line[start..].char_indices().find(|(_, c)| match c {
            _ if escaped => {
                escaped = false;
                false
            }
            '\\' => {
                escaped = true;
                false
            }
            c => *c == '"',
        });
        let Some((length, _)) = end else {
            let span = Span { start: self.at, end: self.line.len() };
            return Err(Mistake::new(span, "the closing quote is missing").hint("a newline in a word is written \\n"));
        };
        self.at = start + length + 1;
        let text = &self.line[start..start + length];
        unescape(text).map_err(|bad| {
            let at = start + bad.at;
            let width = text[bad.at..].chars().take(2).map(char::len_utf8).sum::<usize>();
            Mistake::new(Span { start: at, end: at + width }, format!("a bad escape: {}", bad.what))
        })
    }
}

impl Token {
    /// The names of all variables in it.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let value = match &self.value {
            Value::Bare(pieces) | Value::Joined(pieces, _) => Some(pieces),
            Value::Quoted(_) => None,
        };
        let pieces = self.key.iter().chain(&self.base).chain(value).flatten();
        pieces.filter_map(|piece| if let Piece::Variable(name, _) = piece { Some(name.as_str()) } else { None })
    }

    /// It is this variable and nothing else.
    pub(super) fn is_variable(&self, variable: &str) -> bool {
        let pieces = match &self.value {
            Value::Bare(pieces) if self.key.is_none() && self.base.is_none() => pieces.as_slice(),
            _ => &[],
        };
        matches!(pieces, [Piece::Variable(name, _)] if name == variable)
    }

    /// The word that it is when the axes have these values.
    pub(super) fn word(&self, axes: &[(String, String)]) -> Result<Word, Mistake> {
        let fill_in = |pieces: &Vec<Piece>| fill_in(pieces, axes);
        let (text, quoted) = match &self.value {
            Value::Bare(pieces) => (fill_in(pieces)?.into_bytes(), false),
            Value::Quoted(bytes) => (bytes.clone(), true),
            Value::Joined(pieces, bytes) => ([fill_in(pieces)?.as_bytes(), bytes].concat(), true),
        };
        let key = self.key.as_ref().map(fill_in).transpose()?;
        let base = self.base.as_ref().map(fill_in).transpose()?;
        Ok(Word { span: self.span, key, base, text, quoted })
    }
}

fn fill_in(pieces: &[Piece], axes: &[(String, String)]) -> Result<String, Mistake> {
    let mut text = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(piece) => text.push_str(piece),
            Piece::Variable(name, span) => match axes.iter().find(|(axis, _)| axis == name) {
                Some((_, value)) => text.push_str(value),
                None => {
                    let known = axes.iter().map(|(axis, _)| axis.as_str());
                    let line = match base::gives(base::AXIS, name) {
                        true => format!("{}=whole|subdir", base::AXIS),
                        false => format!("{name}=VALUE|VALUE"),
                    };
                    let mistake = Mistake::new(*span, format!("`${name}` is no axis of this file"))
                        .expected(known.clone().map(|axis| format!("${axis}")))
                        .hint(format!("an axis is made by `requires {line}`"));
                    return Err(mistake.near(name, known));
                }
            },
        }
    }
    Ok(text)
}

impl Word {
    /// Another text in this place of the line.
    pub(super) fn with_text(&self, text: &[u8]) -> Word {
        Word { span: self.span, key: None, base: None, text: text.to_vec(), quoted: false }
    }

    /// The word when it is bare, without key and object: a verb, a flag, a name.
    pub(super) fn plain(&self) -> Option<&str> {
        let plain = !self.quoted && self.key.is_none() && self.base.is_none();
        if plain { std::str::from_utf8(&self.text).ok() } else { None }
    }

    /// The same, or what stands bare behind a key.
    pub(super) fn value(&self) -> Option<&str> {
        let bare = !self.quoted && self.base.is_none();
        if bare { std::str::from_utf8(&self.text).ok() } else { None }
    }

    /// A `=` that stands alone.
    pub(super) fn is_equals(&self) -> bool {
        self.key.as_deref() == Some("") && self.base.is_none() && self.text.is_empty() && !self.quoted
    }
}
