//! `docs/AUTHORING.md` and the parser say the same.

use std::fs;
use std::path::Path;

use scenarios::{grammar, text};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/AUTHORING.md");
const START: &str = "<!-- steps -->\n";
const END: &str = "<!-- end of steps -->\n";

#[test]
fn the_reference_is_the_parsers_own_table() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(START).expect("the document has the mark where the tables start");
    let (tables, after) = rest.split_once(END).expect("the document has the mark where the tables end");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(DOCUMENT, format!("{before}{START}{}{END}{after}", grammar::reference())).unwrap();
    } else {
        assert!(
            tables == grammar::reference(),
            "docs/AUTHORING.md lags behind the parser; run\n  UPDATE_EXPECT=1 cargo test -p scenarios --test authoring"
        );
    }
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
