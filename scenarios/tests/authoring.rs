//! `docs/AUTHORING.md` and the parser say the same.

use std::fs;
use std::path::Path;

use scenarios::{grammar, text};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/AUTHORING.md");

/// What stands between two marks of the document must be this; with UPDATE_EXPECT it becomes so.
fn stands_in_the_document(name: &str, expected: &str) {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let document = fs::read_to_string(DOCUMENT).expect("docs/AUTHORING.md");
    let (before, rest) = document.split_once(&start).expect("the document has the mark where the tables start");
    let (tables, after) = rest.split_once(&end).expect("the document has the mark where the tables end");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(DOCUMENT, format!("{before}{start}{expected}{end}{after}")).expect("docs/AUTHORING.md");
    } else {
        assert!(
            tables == expected,
            "docs/AUTHORING.md lags behind the parser; run\n  UPDATE_EXPECT=1 cargo test -p scenarios --test authoring"
        );
    }
}

#[test]
fn documented_tables_are_the_parsers_own() {
    stands_in_the_document("steps", &grammar::reference());
    stands_in_the_document("bases", &bases());
}

/// What the axis `base` makes of the lines that know it.
fn bases() -> String {
    let lines = ["mkdir $in", "write $in/f \"\"", "bind $of b", "fd0 = open b$at", "assert fd0 link $link"];
    let source = format!(
        "# s\nrequires fs=btrfs base=whole|subdir|file|again|subvol\noutcome restored\nmount $fs a\n{}\n",
        lines.join("\n")
    );
    let scenarios = text::scenarios(source.as_bytes(), "x", Path::new(DOCUMENT)).expect("five scenarios");
    let mut table = format!("| base | `{}` |\n|{}\n", lines.join("` | `"), " --- |".repeat(lines.len() + 1));
    for scenario in scenarios {
        let made = (5..).take(lines.len()).map(|number| {
            let line = scenario.program.steps.iter().find(|line| line.number == number);
            line.map_or("nothing".to_owned(), |line| format!("`{}`", text::print_step(&line.step)))
        });
        let (_, base) = scenario.requires.axes.last().expect("the axis base");
        table.push_str(&format!("| `{base}` | {} |\n", made.collect::<Vec<_>>().join(" | ")));
    }
    table
}

#[test]
fn every_example_is_a_scenario() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let examples: Vec<_> = document.split("```scn\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        if let Err(diagnostics) = text::scenarios(example.as_bytes(), "example", Path::new(DOCUMENT)) {
            panic!("{}", diagnostics[0]);
        }
    }
}
