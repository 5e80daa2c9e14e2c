//! Which scenarios the words of a command line choose.

use std::path::Path;

use scenarios::Scenario;
use scenarios::catalogue::{self, Filter};
use scenarios::diagnostic::Diagnostic;

use super::Usage;

/// The scenarios that the words choose: of the catalogue by name, and files by path.
///
/// # Errors
/// A file that cannot be read or is no scenario.
pub fn select(what: &[String], tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    let (files, filters): (Vec<&String>, Vec<&String>) = what.iter().partition(|word| word.ends_with(".scn"));
    let mut chosen = Vec::new();
    if files.is_empty() || !filters.is_empty() {
        let all = catalogue::load(&tree.join("scenarios/catalogue")).map_err(told)?;
        // A whole name means that one scenario, also where it is a part of other names.
        let is_name = |word: &&String| all.iter().any(|scenario| scenario.name == **word);
        let (names, patterns): (Vec<&String>, Vec<&String>) = filters.into_iter().partition(is_name);
        let patterns: Vec<Filter> = patterns.into_iter().map(Filter::new).collect();
        let every = names.is_empty() && patterns.is_empty();
        let meant =
            |name: &str| every || names.iter().any(|one| *one == name) || patterns.iter().any(|one| one.matches(name));
        chosen.extend(all.iter().filter(|scenario| meant(&scenario.name)).cloned());
    }
    chosen.extend(self::files(&files)?);
    Ok(chosen)
}

/// The scenarios in files.
///
/// # Errors
/// [`Usage`]: a file that cannot be read or is no scenario.
pub fn files<F: AsRef<Path>>(files: &[F]) -> Result<Vec<Scenario>, Usage> {
    let each = files.iter().map(|file| catalogue::load_file(file.as_ref()).map_err(told));
    Ok(each.collect::<Result<Vec<_>, _>>()?.concat())
}

/// What is wrong with them, each with its place.
fn told(faults: Vec<Diagnostic>) -> Usage {
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
    fn a_whole_name_means_one_and_a_part_means_all() {
        assert_eq!(names(&["overlay/control"]), ["overlay/control"]);
        assert_eq!(names(&["overlay/contro"]), ["overlay/control", "overlay/control-copied-up"]);
        assert_eq!(names(&["overlay/control*up"]), ["overlay/control-copied-up"]);
        assert_eq!(names(&["no such name"]), [""; 0]);
        assert!(names(&[]).len() > 400);
    }
}
