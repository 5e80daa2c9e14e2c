//! Line by line through a file: header and steps apart, then every point of the axes parsed and
//! checked.

use std::path::Path;

use super::header::{self, Header};
use super::lexer::{self, Token, Word};
use super::step::{self, Parsed};
use super::{CHANGE, DIAGNOSTIC_LIMIT, Mistake, Span, VARIANT_LIMIT, base, of_the_file};
use crate::check::{self, Fault, Part};
use crate::diagnostic::Diagnostic;
use crate::program::Line;
use crate::scenario::Requirements;
use crate::{Outcome, Program, Scenario};

struct StepLine {
    number: usize,
    tokens: Vec<Token>,
}

/// A file on its way into scenarios.
pub(super) struct Reader<'a> {
    path: &'a Path,
    lines: Vec<&'a str>,
    summary: Option<String>,
    header: Header,
    steps: Vec<StepLine>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str, path: &'a Path) -> Self {
        let lines = text.split('\n').collect();
        let (header, steps, diagnostics) = (Header::default(), Vec::new(), Vec::new());
        Reader { path, lines, summary: None, header, steps, diagnostics }
    }

    fn diagnostic(&self, number: usize, mistake: Mistake) -> Diagnostic {
        let source = self.lines[number - 1].trim_end_matches('\r');
        let Span { start, end } = mistake.span;
        let (start, end) = (start.min(source.len()), end.min(source.len()));
        Diagnostic {
            path: self.path.to_owned(),
            line: number,
            column: source[..start].chars().count() + 1,
            length: source[start..end].chars().count().max(1),
            source: source.to_owned(),
            what: mistake.what,
            expected: mistake.expected,
            hint: mistake.hint,
        }
    }

    /// The scenarios of the whole file; without a name the one program of a text that has no
    /// variables.
    pub(super) fn read(mut self, name: Option<&str>) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
        self.read_lines();
        if name.is_none() {
            self.header.axes.clear();
        }
        self.read_variants(name)
    }

    fn read_lines(&mut self) {
        for number in 1..=self.lines.len() {
            if let Err(mistake) = self.read_line(number) {
                let diagnostic = self.diagnostic(number, mistake);
                self.diagnostics.push(diagnostic);
            }
        }
    }

    fn read_line(&mut self, number: usize) -> Result<(), Mistake> {
        let line = self.lines[number - 1];
        let trimmed = line.trim_matches([' ', '\t', '\r']);
        if let Some(comment) = trimmed.strip_prefix('#') {
            let first = self.summary.is_none() && self.steps.is_empty() && self.header.is_empty();
            if first && !comment.trim().is_empty() {
                self.summary = Some(comment.trim().to_owned());
            }
            return Ok(());
        }
        let Some(keyword) = header::keyword(line) else {
            let tokens = lexer::tokens(line)?;
            if !tokens.is_empty() {
                self.steps.push(StepLine { number, tokens });
            }
            return Ok(());
        };
        if !self.steps.is_empty() {
            let start = line.len() - line.trim_start().len();
            let span = Span { start, end: start + keyword.len() };
            return Err(Mistake::new(span, format!("`{keyword}` must stand before the first step")));
        }
        if keyword == "outcome" {
            let words: Result<Vec<_>, _> = lexer::tokens(line)?.iter().map(|token| token.word(&[])).collect();
            self.header.outcome(&words?)
        } else {
            self.header.pairs(keyword, line, number)
        }
    }

    /// Parses and checks every point of the axes. With a name it must be a whole scenario.
    fn read_variants(mut self, name: Option<&str>) -> Result<Vec<Scenario>, Vec<Diagnostic>> {
        let mut found: Vec<(Diagnostic, usize, String)> = Vec::new();
        let points = self.points();
        let mut scenarios = Vec::new();
        for point in &points {
            let (scenario, diagnostics) = self.read_variant(name, point);
            scenarios.push(scenario);
            for diagnostic in diagnostics {
                match found.iter_mut().find(|(other, ..)| *other == diagnostic) {
                    Some((_, count, _)) => *count += 1,
                    None => found.push((diagnostic, 1, label(point))),
                }
            }
        }
        for (mut diagnostic, count, label) in found {
            if count < points.len() {
                diagnostic.what.push_str(&format!(" (with {label})"));
            }
            self.diagnostics.push(diagnostic);
        }
        if let Some(name) = name {
            self.whole(name);
        }
        if self.diagnostics.is_empty() {
            return Ok(scenarios);
        }
        self.diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        self.diagnostics.truncate(DIAGNOSTIC_LIMIT);
        Err(self.diagnostics)
    }

    /// What a scenario must have that a program need not.
    fn whole(&mut self, name: &str) {
        if name.is_empty() || name.len() > 200 {
            self.diagnostics.push(of_the_file(self.path, "the scenario's name is empty or longer than 200 bytes"));
        }
        if self.summary.is_none() {
            let what = "the first line must be a comment that says in one line what this scenario is about";
            self.diagnostics.push(of_the_file(self.path, what));
        }
        let line = |keyword| self.lines.iter().any(|line| header::keyword(line) == Some(keyword));
        if self.header.outcome.is_none() && !line("outcome") {
            let mut diagnostic = of_the_file(self.path, "the line with the outcome is missing");
            diagnostic.expected = vec!["outcome restored".to_owned(), "outcome refused \"why\"".to_owned()];
            self.diagnostics.push(diagnostic);
        }
        for axis in &self.header.axes {
            let used = self.steps.iter().flat_map(|step| &step.tokens).flat_map(Token::variables);
            if used.into_iter().any(|variable| base::gives(&axis.name, variable)) {
                continue;
            }
            let mistake = Mistake::new(axis.span, format!("`${}` stands in no step", axis.name))
                .hint("an axis that changes nothing makes the same scenario several times");
            let known = ["fs", "base", "kernel", "flavor", "lifecycle"].into_iter().filter(|known| *known != axis.name);
            let diagnostic = self.diagnostic(axis.line, mistake.near(&axis.name, known));
            self.diagnostics.push(diagnostic);
        }
    }

    /// All combinations of the axes' values that can be, the last axis fastest.
    fn points(&mut self) -> Vec<Vec<(String, String)>> {
        let count = self.header.axes.iter().fold(1, |count: usize, axis| count.saturating_mul(axis.values.len()));
        if count > VARIANT_LIMIT {
            let what = format!("the axes make {count} scenarios; at most {VARIANT_LIMIT} are allowed in one file");
            self.diagnostics.push(of_the_file(self.path, what));
            return Vec::new();
        }
        let mut points = vec![Vec::new()];
        for axis in &self.header.axes {
            let with = |point: &Vec<(String, String)>, value: &String| {
                let mut point = point.clone();
                point.push((axis.name.clone(), value.clone()));
                point
            };
            points = points.iter().flat_map(|point| axis.values.iter().map(move |value| with(point, value))).collect();
        }
        points.retain(|point| base::is_possible(point));
        for axis in self.header.axes.iter().filter(|axis| axis.name == "fs" || axis.name == base::AXIS) {
            if let Some(mistake) = base::without_a_point(axis, &points) {
                let diagnostic = self.diagnostic(axis.line, mistake);
                self.diagnostics.push(diagnostic);
                break;
            }
        }
        points
    }

    fn read_variant(&self, name: Option<&str>, point: &[(String, String)]) -> (Scenario, Vec<Diagnostic>) {
        let mut parsed = Vec::new();
        let mut diagnostics = Vec::new();
        let mut program = Program::default();
        let values = base::with_variables(point);
        for StepLine { number, tokens } in &self.steps {
            let words: Result<Vec<_>, _> = tokens.iter().map(|token| token.word(&values)).collect();
            let Some(words) = words.map(|words| base::meant(point, tokens, words)).transpose() else { continue };
            match words.and_then(|words| line(&words, !program.changes.is_empty())) {
                Ok((step, is_change)) => {
                    let lines = if is_change { &mut program.changes } else { &mut program.steps };
                    lines.push(Line { number: *number, step: step.step.clone() });
                    parsed.push(step);
                }
                Err(mistake) => diagnostics.push(self.diagnostic(*number, mistake)),
            }
        }
        let scenario = self.scenario(name.unwrap_or_default(), point, program);
        if diagnostics.is_empty() && self.diagnostics.is_empty() {
            let faults = match name {
                Some(_) => check::scenario(&scenario),
                None => check::program(&scenario.program),
            };
            diagnostics.extend(faults.into_iter().map(|fault| self.fault(fault, &parsed, &scenario.program)));
        }
        (scenario, diagnostics)
    }

    fn fault(&self, fault: Fault, parsed: &[Parsed], program: &Program) -> Diagnostic {
        let Some(index) = fault.step else {
            return of_the_file(self.path, fault.what);
        };
        let parts = &parsed[index];
        let span = match fault.part {
            Part::Whole => parts.verb,
            Part::Name => parts.name.unwrap_or(parts.verb),
            Part::Argument { argument, nth } => parts.slots[argument].get(nth).copied().unwrap_or(parts.verb),
        };
        let mistake = Mistake::new(span, fault.what).expected(fault.expected);
        let line = program.steps.iter().chain(&program.changes).nth(index).expect("a fault is one of a line");
        self.diagnostic(line.number, Mistake { hint: fault.hint, ..mistake })
    }

    fn scenario(&self, name: &str, point: &[(String, String)], program: Program) -> Scenario {
        let header = &self.header;
        let values: Vec<_> = point.iter().map(|(_, value)| value.as_str()).collect();
        let suffix = if values.is_empty() { String::new() } else { format!("@{}", values.join(",")) };
        let file_name = name.split('@').next().unwrap_or_default();
        let (kernel_from, kernel_to) = header.kernel.unwrap_or_default();
        Scenario {
            name: format!("{name}{suffix}"),
            family: file_name.rsplit_once('/').map_or("", |(family, _)| family).to_owned(),
            summary: self.summary.clone().unwrap_or_default(),
            requires: Requirements {
                axes: header.with.iter().chain(point).cloned().collect(),
                kernel_from,
                kernel_to,
                flavors: header.flavors.clone(),
                lifecycles: header.lifecycles.clone(),
            },
            outcome: header.outcome.clone().unwrap_or(Outcome::Restored),
            program,
            file: Some(self.path.to_owned()),
        }
    }
}

/// A step, and whether it is a change; nothing but changes stands behind one.
fn line(words: &[Word], after_a_change: bool) -> Result<(Parsed, bool), Mistake> {
    match words {
        [change, step @ ..] if change.plain() == Some(CHANGE) => match step {
            [] => {
                let mistake = Mistake::new(change.span.after(), format!("a step is missing after `{CHANGE}`"));
                Err(mistake.expected(check::changes::VERBS))
            }
            step => Ok((step::step(step)?, true)),
        },
        [first, ..] if after_a_change => {
            let what = format!("a step after a `{CHANGE}`: what others change comes last");
            Err(Mistake::new(first.span, what))
        }
        step => Ok((step::step(step)?, false)),
    }
}

fn label(point: &[(String, String)]) -> String {
    let values: Vec<_> = point.iter().map(|(name, value)| format!("{name}={value}")).collect();
    values.join(" ")
}
