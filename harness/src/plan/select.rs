//! Which scenarios the words of a command line choose.

use std::path::Path;

use scenarios::Scenario;
use scenarios::catalogue::{self, Filter};
use scenarios::diagnostic::Diagnostic;
use scenarios::visible::{Controls, SUFFIX, controls, is_control};

use crate::usage::Usage;

/// A word that chooses nothing; exit status 4. Nothing is run then, also where other words choose
/// something: what was meant would be missing without a sign.
#[derive(Debug, thiserror::Error)]
#[error("no scenario matches {word}; {}`zdtm-detached list` shows all names", instead(.near))]
pub struct NoMatch {
    word: String,
    /// Names that look like it.
    near: Vec<String>,
}

fn instead(near: &[String]) -> String {
    if near.is_empty() { String::new() } else { format!("did you mean {}? ", near.join(" or ")) }
}

/// How many names are proposed for an unknown name.
const NEAR: usize = 2;
/// How much of a word must be right for that, from 0 to 1.
const ALIKE: f64 = 0.7;

/// The scenarios that the words choose: of the catalogue by name, and files by path. A derived
/// control is chosen by a word that names it, with `+visible`, and by no other.
///
/// # Errors
/// [`NoMatch`]; a control that does not exist; a file that cannot be read or is not a scenario.
pub fn select(what: &[String], tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    chosen(what, tree, false)
}

/// The same, and the derived controls are chosen by every word, and by none at all.
///
/// # Errors
/// Those of [`select`].
pub fn select_with_controls(what: &[String], tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    chosen(what, tree, true)
}

fn chosen(what: &[String], tree: &Path, with_controls: bool) -> anyhow::Result<Vec<Scenario>> {
    let (files, filters): (Vec<&String>, Vec<&String>) = what.iter().partition(|word| word.ends_with(".scn"));
    let mut chosen = Vec::new();
    if files.is_empty() || !filters.is_empty() {
        chosen = of_the_catalogue(&filters, tree, with_controls)?;
    }
    chosen.extend(self::files(&files)?);
    Ok(chosen)
}

fn of_the_catalogue(words: &[&String], tree: &Path, with_controls: bool) -> anyhow::Result<Vec<Scenario>> {
    let mut all = catalogue::load(&tree.join("scenarios/catalogue")).map_err(describe)?;
    let names_one = |word: &&&String| word.contains(SUFFIX);
    if with_controls || words.iter().any(|word| names_one(&word)) {
        let Controls { scenarios, missing } = controls(&all);
        if let Some((name, why)) = missing.iter().find(|(name, _)| words.contains(&name)) {
            return Err(Usage(format!("there is no {name}: {why}")).into());
        }
        all.extend(scenarios);
        all.sort_by(|one, other| one.name.cmp(&other.name));
    }
    // A whole name means that one scenario, also where it is a part of other names.
    let is_name = |word: &&&String| all.iter().any(|scenario| scenario.name == ***word);
    let (names, patterns): (Vec<&String>, Vec<&String>) = words.iter().copied().partition(|word| is_name(&word));
    let every = names.is_empty() && patterns.is_empty();
    let patterns: Vec<(&String, Filter, bool)> =
        patterns.into_iter().map(|word| (word, Filter::new(word), with_controls || names_one(&&word))).collect();
    let meant_by = |scenario: &Scenario, filter: &Filter, controls: bool| {
        filter.matches(&scenario.name) && (controls || !is_control(&scenario.name))
    };
    let idle = patterns.iter().find(|(_, filter, controls)| !all.iter().any(|one| meant_by(one, filter, *controls)));
    if let Some((word, ..)) = idle {
        return Err(NoMatch { word: (*word).clone(), near: near(word, &all) }.into());
    }
    all.retain(|scenario| {
        every
            || names.contains(&&scenario.name)
            || patterns.iter().any(|(_, filter, controls)| meant_by(scenario, filter, *controls))
    });
    Ok(all)
}

/// Names that look like the word: as a whole, or without the part behind the @.
fn near(word: &str, all: &[Scenario]) -> Vec<String> {
    let short = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    let mut names: Vec<String> = Vec::new();
    for scenario in all {
        let name = if word.contains('@') { scenario.name.clone() } else { short(&scenario.name) };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let word = word.trim_matches('*');
    let likeness = |name: &String| strsim::normalized_damerau_levenshtein(word, name);
    let mut alike: Vec<(f64, String)> = names.into_iter().map(|name| (likeness(&name), name)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|(one, _), (other, _)| other.total_cmp(one));
    alike.into_iter().take(NEAR).map(|(_, name)| name).collect()
}

/// The scenarios in files.
///
/// # Errors
/// [`Usage`]: a file that cannot be read or is not a scenario.
pub fn files<F: AsRef<Path>>(files: &[F]) -> Result<Vec<Scenario>, Usage> {
    let each = files.iter().map(|file| catalogue::load_file(file.as_ref()).map_err(describe));
    Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
}

/// What is wrong with them, each with its place.
fn describe(faults: Vec<Diagnostic>) -> Usage {
    let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
    Usage(text.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &[&str]) -> Vec<String> {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree");
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        select(&words, tree).expect("the catalogue is good").into_iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn a_word_that_chooses_nothing_is_reported_with_what_looks_like_it() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree");
        let describe = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            select(&words, tree).expect_err("it chooses nothing").to_string()
        };
        expect_test::expect![
            "no scenario matches deleted/unlnked; did you mean deleted/unlinked? `zdtm-detached list` shows all names"
        ]
        .assert_eq(&describe(&["deleted/unlnked"]));
        expect_test::expect!["no scenario matches delted/unlinked@ext4,rdwr; did you mean deleted/unlinked@ext4,rdwr,again or deleted/unlinked@ext4,rdwr,whole? `zdtm-detached list` shows all names"].assert_eq(&describe(&["overlay/control", "delted/unlinked@ext4,rdwr"]));
        expect_test::expect!["no scenario matches no such name; `zdtm-detached list` shows all names"]
            .assert_eq(&describe(&["no such name"]));
    }

    #[test]
    fn a_whole_name_means_one_and_a_part_means_all() {
        assert_eq!(names(&["overlay/control"]), ["overlay/control"]);
        assert_eq!(names(&["overlay/contro"]), ["overlay/control", "overlay/control-copied-up"]);
        assert_eq!(names(&["overlay/control*up"]), ["overlay/control-copied-up"]);
        assert!(names(&[]).len() > 400);
    }

    #[test]
    fn a_control_is_chosen_by_its_name_and_where_controls_are_asked_for() {
        let is_derived = |name: &String| is_control(name);
        assert_eq!(names(&["names/newline+visible@tmpfs,whole"]), ["names/newline+visible@tmpfs,whole"]);
        assert!(!names(&[]).iter().any(is_derived) && !names(&["deleted/*"]).iter().any(is_derived));
        let both = names(&["names/newline", "*/newline+visible*"]);
        assert!(both.iter().any(is_derived) && !both.iter().all(is_derived), "{both:?}");
        assert!(names(&["*+visible*"]).iter().all(is_derived));
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree");
        let all = select_with_controls(&[], tree).expect("the catalogue is good");
        assert_eq!(all.len(), names(&[]).len() + names(&["*+visible*"]).len());
        let describe =
            select(&["deleted/control+visible@tmpfs".to_owned()], tree).expect_err("nothing is detached in it");
        assert!(describe.to_string().starts_with("no scenario matches deleted/control+visible@tmpfs"), "{describe}");
    }
}
