//! Both sides of each scenario: the table for people, the document for programs.

use serde_json::{Value, json};

use super::said::{Word, errors, verdict};
use super::seen::seen;
use crate::exit;
use crate::judge::Judgement;
use crate::report::sanitize::columns;
use crate::sanitize::{brief, sanitized};

/// So many characters of a reason are printed.
const TEXT: usize = 160;

/// The harness's side.
#[derive(Clone, Debug)]
pub struct Harness {
    /// Its verdict: `fail(dump-failed)`.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// What a test of zdtm would say of it.
    pub word: Word,
    /// Comparisons that saw differences and that no test makes.
    pub left_out: Vec<String>,
    /// How long the trial took.
    pub seconds: f64,
}

impl Harness {
    /// A trial with this judgement.
    pub fn of(judgement: &Judgement, seconds: f64) -> Self {
        let (word, left_out) = seen(judgement);
        let (verdict, reason) = (judgement.verdict.to_string(), judgement.reason.clone());
        Self { verdict, reason, word, left_out, seconds }
    }
}

/// The side of `zdtm.py`.
#[derive(Clone, Debug)]
pub struct Zdtm {
    /// Its verdict.
    pub word: Word,
    /// The step at which the test failed, or why there is no verdict.
    pub text: String,
    /// Why there was no verdict in a VM that other tests had used.
    /// The rest is of a second try then, in a new one.
    pub first: Option<String>,
    /// The end of what `zdtm.py` said.
    pub log: String,
    /// How long `zdtm.py` took.
    pub seconds: f64,
}

impl Zdtm {
    /// A run of `zdtm.py` that came to its end.
    pub fn of(test: &str, status: i32, log: &str, seconds: f64) -> Self {
        let (word, text) = verdict(test, status, log);
        Self { word, text, first: None, log: log.to_owned(), seconds }
    }

    /// `fail at CRIU dump`
    fn rendered(&self) -> String {
        match self.word {
            Word::Failed => format!("fail at {}", brief(&self.text, TEXT)),
            word => word.text().to_owned(),
        }
    }
}

/// A scenario that both have run.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub scenario: String,
    /// The test's name.
    pub test: String,
    /// One side.
    pub harness: Harness,
    /// The other side.
    pub zdtm: Zdtm,
}

impl Row {
    /// Whether both say the same; `None` where one says nothing.
    pub fn agree(&self) -> Option<bool> {
        let known = self.harness.word != Word::Unknown && self.zdtm.word != Word::Unknown;
        known.then_some(self.harness.word == self.zdtm.word)
    }

    fn answer(&self) -> &'static str {
        match self.agree() {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "unknown",
        }
    }

    /// Lines below the table: what a reader needs to understand this row.
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.harness.left_out.is_empty() {
            notes.push(format!("left out, no test compares it: {}", self.harness.left_out.join(", ")));
        }
        if let Some(first) = &self.zdtm.first {
            notes.push(format!("zdtm.py ran it twice; in a VM that other tests had used: {}", brief(first, TEXT)));
        }
        if self.agree() != Some(true) {
            notes.push(format!("harness: {}: {}", self.harness.verdict, brief(&self.harness.reason, TEXT)));
            notes.push(format!("zdtm.py: {}", brief(&self.zdtm.text, TEXT)));
            notes.extend(errors(&self.zdtm.log).iter().map(|line| format!("  | {}", brief(line, TEXT))));
        }
        notes
    }
}

/// What must pass first.
#[derive(Clone, Debug)]
pub struct Control {
    /// The scenario's name.
    pub scenario: String,
    /// What `zdtm.py` says of it.
    pub zdtm: Zdtm,
}

/// A scenario that is no test of zdtm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unexpressed {
    /// Its name.
    pub scenario: String,
    /// Why.
    pub why: String,
}

/// All of it.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// What was tested.
    pub subject: String,
    /// Its version.
    pub criu: String,
    /// The kernel's name.
    pub kernel: String,
    /// What was run first.
    pub control: Control,
    /// What both have run.
    pub rows: Vec<Row>,
    /// What is no test.
    pub unexpressed: Vec<Unexpressed>,
}

impl Agreement {
    /// How many rows agree, and of how many that is known.
    pub fn counts(&self) -> (usize, usize) {
        let known: Vec<bool> = self.rows.iter().filter_map(Row::agree).collect();
        (known.iter().filter(|agree| **agree).count(), known.len())
    }

    /// A disagreement weighs more than what is unknown.
    pub fn exit_status(&self) -> u8 {
        let (agree, known) = self.counts();
        match () {
            () if self.control.zdtm.word != Word::Passed => exit::INFRASTRUCTURE,
            () if agree < known => exit::FAILED,
            () if known < self.rows.len() => exit::INFRASTRUCTURE,
            () if known == 0 => exit::NOTHING_RAN,
            () => exit::AS_EXPECTED,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        let Agreement { subject, criu, kernel, .. } = self;
        let mut out = format!("{}\n\n", sanitized(&format!("{subject}: criu {criu}, kernel {kernel}, flavor ns")));
        let head = ["scenario", "harness", "s", "zdtm.py", "s", "agree"].map(str::to_owned);
        let rows = self.rows.iter().map(|row| {
            let seconds = |seconds: f64| format!("{seconds:.1}");
            let (harness, zdtm) = (&row.harness, &row.zdtm);
            [
                sanitized(&row.scenario),
                harness.verdict.clone(),
                seconds(harness.seconds),
                zdtm.rendered(),
                seconds(zdtm.seconds),
                row.answer().to_owned(),
            ]
        });
        out.push_str(&table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
        for row in &self.rows {
            let notes = row.notes();
            if !notes.is_empty() {
                out.push_str(&format!("\n{}\n", sanitized(&row.scenario)));
                out.extend(notes.iter().map(|note| format!("  {}\n", sanitized(note))));
            }
        }
        for Unexpressed { scenario, why } in &self.unexpressed {
            out.push_str(&sanitized(&format!("no test of zdtm: {scenario}: {why}")));
            out.push('\n');
        }
        let (agree, known) = self.counts();
        let unknown = self.rows.len() - known;
        let unknown = if unknown == 0 { String::new() } else { format!(", {unknown} unknown") };
        out + &format!("\n{agree} of {known} agree{unknown}\n")
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let zdtm = |zdtm: &Zdtm| {
            let (word, text) = (zdtm.word.text(), &zdtm.text);
            json!({
                "verdict": word, "text": text, "first": zdtm.first, "seconds": zdtm.seconds, "errors": errors(&zdtm.log),
            })
        };
        let row = |row: &Row| {
            let Harness { verdict, reason, word, left_out, seconds } = &row.harness;
            let harness = json!({
                "verdict": verdict, "reason": reason, "as-a-test": word.text(), "left-out": left_out, "seconds": seconds,
            });
            let (test, agree) = (&row.test, row.agree());
            json!({"scenario": row.scenario, "test": test, "harness": harness, "zdtm": zdtm(&row.zdtm), "agree": agree})
        };
        let unexpressed = |one: &Unexpressed| json!({"scenario": one.scenario, "why": one.why});
        let (agree, known) = self.counts();
        json!({
            "subject": self.subject, "criu": self.criu, "kernel": self.kernel, "flavor": "ns",
            "control": {"scenario": self.control.scenario, "zdtm": zdtm(&self.control.zdtm)},
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
            "unexpressed": self.unexpressed.iter().map(unexpressed).collect::<Vec<_>>(),
            "agree": agree, "compared": known,
        })
    }
}

/// The cells of each line below each other; numbers to the right.
fn table<const N: usize>(lines: &[[String; N]]) -> String {
    let width = |at: usize| lines.iter().map(|line| columns(&line[at])).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let mut out = String::new();
    for line in lines {
        let cells = line.iter().zip(widths).map(|(cell, width)| {
            let fill = " ".repeat(width - columns(cell));
            let is_number = cell.parse::<f64>().is_ok() || cell == "s";
            if is_number { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
        });
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{FailureKind, Verdict};

    fn row(scenario: &str, judged: Verdict, word: Word) -> Row {
        let text = match word {
            Word::Passed => "",
            Word::Failed => "CRIU dump",
            Word::Unknown => "it fails before the checkpoint, at make",
        };
        let log = "b'(00.1) Error (criu/a.c:1): No\u{1b}[2J'\n".to_owned();
        Row {
            scenario: scenario.to_owned(),
            test: scenario.replace('/', "_"),
            harness: Harness::of(&Judgement::plain(judged, "why"), 0.5),
            zdtm: Zdtm { word, text: text.to_owned(), first: None, log, seconds: 12.25 },
        }
    }

    fn agreement(rows: Vec<Row>) -> Agreement {
        Agreement {
            subject: "src:criu".into(),
            criu: "4.1.1".into(),
            kernel: "6.12".into(),
            control: Control { scenario: "a/control".into(), zdtm: row("a/control", Verdict::Pass, Word::Passed).zdtm },
            rows,
            unexpressed: vec![Unexpressed { scenario: "a/fork".into(), why: "more than one process".into() }],
        }
    }

    const DUMP: Verdict = Verdict::Fail(FailureKind::DumpFailed);

    #[test]
    fn a_difference_is_explained_below_the_table() {
        let mut rows = vec![
            row("a/control", Verdict::Pass, Word::Passed),
            row("a/detached", DUMP, Word::Failed),
            row("a/other", Verdict::Pass, Word::Failed),
            row("a/broken", Verdict::Pass, Word::Unknown),
            row("a/again", Verdict::Pass, Word::Passed),
        ];
        rows[4].zdtm.first = Some("it fails before the checkpoint, at mkfs".to_owned());
        expect_test::expect![[r#"
            src:criu: criu 4.1.1, kernel 6.12, flavor ns

            scenario    harness              s  zdtm.py               s  agree
            a/control   pass               0.5  pass               12.2  yes
            a/detached  fail(dump-failed)  0.5  fail at CRIU dump  12.2  yes
            a/other     pass               0.5  fail at CRIU dump  12.2  NO
            a/broken    pass               0.5  unknown            12.2  unknown
            a/again     pass               0.5  pass               12.2  yes

            a/other
              harness: pass: why
              zdtm.py: CRIU dump
                | b'(00.1) Error (criu/a.c:1): No\u{1b}[2J'

            a/broken
              harness: pass: why
              zdtm.py: it fails before the checkpoint, at make
                | b'(00.1) Error (criu/a.c:1): No\u{1b}[2J'

            a/again
              zdtm.py ran it twice; in a VM that other tests had used: it fails before the checkpoint, at mkfs
            no test of zdtm: a/fork: more than one process

            3 of 4 agree, 1 unknown
        "#]]
        .assert_eq(&agreement(rows).text());
    }

    #[test]
    fn the_exit_status_says_what_is_known() {
        let status = |rows| agreement(rows).exit_status();
        let (same, other, unknown) = (
            row("a/1", DUMP, Word::Failed),
            row("a/2", Verdict::Pass, Word::Failed),
            row("a/3", Verdict::Pass, Word::Unknown),
        );
        assert_eq!(status(vec![same.clone()]), exit::AS_EXPECTED);
        assert_eq!(status(vec![same.clone(), other.clone(), unknown.clone()]), exit::FAILED);
        assert_eq!(status(vec![same.clone(), unknown]), exit::INFRASTRUCTURE);
        assert_eq!(status(vec![]), exit::NOTHING_RAN);
        let mut broken = agreement(vec![same, other]);
        broken.control.zdtm.word = Word::Failed;
        assert_eq!(broken.exit_status(), exit::INFRASTRUCTURE);
    }

    #[test]
    fn the_document_has_both_sides() {
        let document = agreement(vec![row("a/other", Verdict::Pass, Word::Failed)]).document();
        assert_eq!(document["rows"][0]["agree"], false);
        assert_eq!(document["rows"][0]["harness"]["verdict"], "pass");
        assert_eq!(document["rows"][0]["zdtm"]["text"], "CRIU dump");
        assert_eq!((&document["agree"], &document["compared"]), (&json!(0), &json!(1)));
    }
}
