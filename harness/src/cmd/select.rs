//! Which scenarios the words of a command line choose.

use std::path::Path;

use scenarios::Scenario;
use scenarios::catalogue::{self, Filter};

/// The scenarios that the words choose: of the catalogue by name, and files by path.
///
/// # Errors
/// A file that cannot be read or is no scenario.
pub fn select(what: &[String], tree: &Path) -> anyhow::Result<Vec<Scenario>> {
    let told = |faults: Vec<scenarios::diagnostic::Diagnostic>| {
        let text: Vec<String> = faults.iter().map(ToString::to_string).collect();
        super::Usage(text.join("\n"))
    };
    let (files, filters): (Vec<&String>, Vec<&String>) = what.iter().partition(|word| word.ends_with(".scn"));
    let mut chosen = Vec::new();
    if files.is_empty() || !filters.is_empty() {
        let filters: Vec<Filter> = filters.into_iter().map(Filter::new).collect();
        let all = catalogue::load(&tree.join("scenarios/catalogue")).map_err(told)?;
        chosen.extend(all.into_iter().filter(|s| filters.is_empty() || Filter::any(&filters, &s.name)));
    }
    for file in files {
        chosen.extend(catalogue::load_file(Path::new(file)).map_err(told)?);
    }
    Ok(chosen)
}
