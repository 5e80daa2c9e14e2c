//! What documents say about the language is what the code says.

use std::fs;
use std::path::Path;

use scenarios::model::Model;
use scenarios::{Step, capability, grammar, text};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/AUTHORING.md");
const FORMATS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FORMATS.md");

/// The text in a document between two marks is this table; it is written there when
/// `UPDATE_EXPECT` is set.
fn holds(document: &str, mark: &str, table: &str) {
    let (start, end) = (format!("<!-- {mark} -->\n"), format!("<!-- end of {mark} -->\n"));
    let text = fs::read_to_string(document).expect("the document can be read");
    let (before, rest) = text.split_once(&start).expect("the document has the mark where the table starts");
    let (found, after) = rest.split_once(&end).expect("the document has the mark where the table ends");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::write(document, format!("{before}{start}{table}{end}{after}")).expect("the document can be written");
    } else {
        let update = "UPDATE_EXPECT=1 cargo test -p scenarios --test authoring";
        assert!(found == table, "{document} lags behind the code; run\n  {update}");
    }
}

#[test]
fn the_capabilities_are_listed() {
    holds(FORMATS, "capabilities", &capability::reference());
}

#[test]
fn documented_tables_are_the_parsers_own() {
    holds(DOCUMENT, "steps", &grammar::reference());
    holds(DOCUMENT, "bases", &bases());
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

#[test]
fn every_file_of_the_folder_examples_holds_what_it_asserts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("the folder of examples can be read").flatten() {
        let path = entry.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let source = fs::read(&path).expect("an example can be read");
        let scenarios = text::scenarios(&source, &name, &path).unwrap_or_else(|wrong| panic!("{}", wrong[0]));
        for scenario in scenarios {
            let model = Model::run(&scenario.program)
                .unwrap_or_else(|(step, refusal)| panic!("{}: step {step}: {refusal}", scenario.name));
            for line in &scenario.program.steps {
                if let Step::Assert { object, claim } = &line.step {
                    assert_eq!(model.holds(object, claim), Some(true), "{}: line {}", scenario.name, line.number);
                }
            }
            count += 1;
        }
    }
    assert!(count >= 3, "only {count} examples were found");
}
