//! A finding as Markdown: what people read, and what a command reads back.

use vocabulary::flavor::UnknownFlavor;

use super::Finding;
use crate::judge::Signature;

/// What is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what is right.
    pub why: String,
}

/// The lines below the title, in their order.
const KEYS: [&str; 7] = ["signature", "subject", "kernel", "flavor", "lifecycle", "seen", "upstream"];
/// The sections, in their order. The first is a program and stands between fences.
const SECTIONS: [&str; 3] = ["Program", "What happens", "Cause"];
/// Where no cause is known.
const NO_CAUSE: &str = "Not established.";

/// The text.
pub fn print(finding: &Finding) -> String {
    let Finding { number, title, signature, subject, kernel, lifecycle, seen, upstream, .. } = finding;
    let flavor = finding.flavor.word();
    let values = [&*signature.0, subject, kernel, flavor, lifecycle.word(), seen, upstream];
    let lines: String = KEYS.iter().zip(values).map(|(key, value)| format!("- {key}: {value}\n")).collect();
    let cause = if finding.cause.is_empty() { NO_CAUSE } else { &finding.cause };
    let [program, happens, why] = SECTIONS;
    format!(
        "# {number:03}: {title}\n\n{lines}\n## {program}\n```\n{}\n```\n\n## {happens}\n{}\n\n## {why}\n{cause}\n",
        finding.program, finding.happens
    )
}

/// The finding of a text.
///
/// # Errors
/// The first mistake.
pub fn parse(text: &str) -> Result<Finding, Mistake> {
    let mut lines = Lines { lines: text.lines().collect(), next: 0 };
    let title = lines.take("`# NUMBER: TITLE`", |line| {
        let (number, title) = line.strip_prefix("# ")?.split_once(": ")?;
        Some((number.parse().ok().filter(|number| *number > 0)?, title.to_owned()))
    });
    let (number, title) = title?;
    lines.blank()?;
    let mut values = Vec::new();
    for key in KEYS {
        let form = format!("`- {key}: ...`");
        let value = lines.take(&form, |line| line.strip_prefix("- ")?.strip_prefix(key)?.strip_prefix(": "))?;
        values.push(value.trim().to_owned());
    }
    let of = |key: &str| values[KEYS.iter().position(|known| *known == key).expect("it is one of them")].clone();
    let wrong = |key: &str, why: String| {
        let line = 3 + KEYS.iter().position(|known| *known == key).expect("it is one of them");
        Mistake { line, why: format!("{key}: {why}") }
    };
    let signature = Signature(of("signature"));
    if signature.kind().is_none() {
        return Err(wrong("signature", "does not begin with the kind of a failure".to_owned()));
    }
    let flavor = of("flavor").parse().map_err(|why: UnknownFlavor| wrong("flavor", why.to_string()))?;
    let lifecycle = of("lifecycle").parse().map_err(|why: String| wrong("lifecycle", why))?;
    lines.blank()?;
    let mut sections = Vec::new();
    for (at, section) in SECTIONS.iter().enumerate() {
        lines.take(&format!("`## {section}`"), |line| (line.strip_prefix("## ") == Some(section)).then_some(()))?;
        sections.push(if at == 0 { lines.fenced()? } else { lines.paragraphs()? });
    }
    let [program, happens, cause] = <[String; 3]>::try_from(sections).expect("a text for each section");
    let cause = if cause == NO_CAUSE { String::new() } else { cause };
    let [subject, kernel, seen, upstream] = ["subject", "kernel", "seen", "upstream"].map(of);
    Ok(Finding {
        number,
        title,
        signature,
        subject,
        kernel,
        flavor,
        lifecycle,
        seen,
        upstream,
        program,
        happens,
        cause,
    })
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// The next line, of this form.
    fn take<T>(&mut self, form: &str, read: impl FnOnce(&'a str) -> Option<T>) -> Result<T, Mistake> {
        let value = self.lines.get(self.next).and_then(|line| read(line));
        self.next += 1;
        value.ok_or_else(|| Mistake { line: self.next, why: format!("{form} is missing here") })
    }

    fn blank(&mut self) -> Result<(), Mistake> {
        self.take("an empty line", |line| line.trim().is_empty().then_some(()))
    }

    /// What stands between two fences, and the empty line behind.
    fn fenced(&mut self) -> Result<String, Mistake> {
        let fence = |line: &str| (line == "```").then_some(());
        self.take("a fence, ```,", fence)?;
        let from = self.next;
        while self.lines.get(self.next).is_some_and(|line| *line != "```") {
            self.next += 1;
        }
        let text = self.lines[from..self.next].join("\n");
        self.take("a fence, ```,", fence)?;
        self.blank()?;
        Ok(text)
    }

    /// Everything up to the next section.
    fn paragraphs(&mut self) -> Result<String, Mistake> {
        let from = self.next;
        while self.lines.get(self.next).is_some_and(|line| !line.starts_with("## ")) {
            self.next += 1;
        }
        let text = self.lines[from..self.next].join("\n").trim().to_owned();
        match text.is_empty() {
            true => Err(Mistake { line: from + 1, why: "a text is missing here".to_owned() }),
            false => Ok(text),
        }
    }
}
