//! From names of packages to everything that they depend on, as `apt-get install` does it on an
//! empty system without recommendations.
//!
//! A package is the newest one of the first suite that has it. Of alternatives the first one counts
//! that is chosen already, else the first one that there is. Conflicts do not count: packages are
//! unpacked side by side and never installed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::index::{Deb, Index};
use super::relation::{self, Group, Relation};
use crate::cache::error::{ImageError, content};

/// Suites, the preferred one first.
pub(super) struct Suites {
    names: Vec<String>,
    indexes: Vec<Arc<Index>>,
    /// Names of packages by what they provide.
    providers: HashMap<String, Vec<String>>,
}

impl Suites {
    pub(super) fn new(names: &[String], indexes: Vec<Arc<Index>>) -> Suites {
        let mut suites = Suites { names: names.to_vec(), indexes, providers: HashMap::new() };
        let mut providers: HashMap<String, Vec<String>> = HashMap::new();
        for deb in suites.indexes.iter().flat_map(|index| index.debs()).filter(|deb| suites.is_candidate(deb)) {
            for provided in relation::parse(&deb.provides).unwrap_or_default().into_iter().flatten() {
                providers.entry(provided.name).or_default().push(deb.package.name.clone());
            }
        }
        suites.providers = providers;
        suites
    }

    fn candidate(&self, name: &str) -> Option<&Deb> {
        self.indexes.iter().find_map(|index| index.get(name))
    }

    fn is_candidate(&self, deb: &Deb) -> bool {
        self.candidate(&deb.package.name).is_some_and(|candidate| candidate.package == deb.package)
    }

    /// The packages with all that they depend on, sorted by name.
    ///
    /// # Errors
    /// Something is in none of the suites; the error says who needs it.
    pub(super) fn resolve(&self, names: &[String]) -> Result<Vec<Deb>, ImageError> {
        let mut chosen: BTreeMap<&str, &Deb> = BTreeMap::new();
        for name in names {
            let deb = self.candidate(name).ok_or_else(|| {
                let why =
                    "the suite does not have it; correct its name in vm-images/images.toml, or on the command line";
                content(format!("package {name} in {}", self.names.join(" + ")), why)
            })?;
            chosen.insert(&deb.package.name, deb);
        }
        for name in names {
            self.follow(chosen[name.as_str()], &mut chosen)?;
        }
        Ok(chosen.into_values().cloned().collect())
    }

    /// Chooses what a package depends on, one dependency with all that comes of it after the other.
    fn follow<'a>(&'a self, deb: &'a Deb, chosen: &mut BTreeMap<&'a str, &'a Deb>) -> Result<(), ImageError> {
        let needs = |deb: &'a Deb| {
            let groups = relation::parse(&deb.depends);
            let groups = groups.map_err(|why| content(format!("what {} depends on", deb.package.name), why))?;
            Ok::<_, ImageError>(groups.into_iter().rev().map(move |group| (group, deb)))
        };
        let mut todo: Vec<(Group, &Deb)> = needs(deb)?.collect();
        while let Some((group, by)) = todo.pop() {
            if group.iter().any(|relation| chosen.values().any(|deb| satisfies(deb, relation))) {
                continue;
            }
            let found = group.iter().find_map(|relation| self.choose(relation));
            let found = found.ok_or_else(|| self.missing(&group, by))?;
            chosen.insert(&found.package.name, found);
            todo.extend(needs(found)?);
        }
        Ok(())
    }

    /// The package of this name, or the most important one that provides it.
    fn choose(&self, relation: &Relation) -> Option<&Deb> {
        let named = self.candidate(&relation.name).filter(|deb| satisfies(deb, relation));
        let providers = || {
            let names = self.providers.get(&relation.name).into_iter().flatten();
            let debs = names.filter_map(|name| self.candidate(name)).filter(|deb| satisfies(deb, relation));
            debs.min_by_key(|deb| (deb.priority, deb.package.name.clone()))
        };
        named.or_else(providers)
    }

    fn missing(&self, group: &Group, by: &Deb) -> ImageError {
        let wanted: Vec<String> = group.iter().map(Relation::to_string).collect();
        let there = |relation: &Relation| {
            let deb = self.candidate(&relation.name)?;
            Some(format!("; {} is there in version {}", relation.name, deb.package.version))
        };
        let there = group.iter().find_map(there).unwrap_or_default();
        content(
            format!("{} of {}", wanted.join(" or "), self.names.join(" + ")),
            format!(
                "is needed by {} {} and none of the suites has it{there}; the mirror is being updated (try again), or \
                 `suites` in vm-images/images.toml lacks one",
                by.package.name, by.package.version
            ),
        )
    }
}

/// Is this package what is asked for, or does it provide it?
fn satisfies(deb: &Deb, relation: &Relation) -> bool {
    if deb.package.name == relation.name && relation.admits(Some(&deb.package.version)) {
        return true;
    }
    deb.provides.contains(&relation.name)
        && relation::parse(&deb.provides).unwrap_or_default().iter().flatten().any(|provided| {
            let version = provided.version.as_ref().map(|(_, version)| version.as_str());
            provided.name == relation.name && relation.admits(version)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A list of lines `NAME VERSION [FIELD: ...]`, fields separated by `;`.
    fn suites(lists: &[(&str, &[&str])]) -> Suites {
        let list = |lines: &[&str]| -> String {
            let paragraph = |line: &&str| {
                let (head, fields) = line.split_once(';').unwrap_or((line, ""));
                let (name, version) = head.split_once(' ').unwrap();
                let fields = fields.replace(';', "\n");
                let hash = "0".repeat(64);
                format!(
                    "Package: {name}\nVersion: {version}\nFilename: pool/{name}.deb\nSHA256: {hash}\nSize: 1\n{fields}\n\n"
                )
            };
            lines.iter().map(paragraph).collect()
        };
        let names: Vec<String> = lists.iter().map(|(name, _)| (*name).to_owned()).collect();
        let index = |(name, lines): &(&str, &[&str])| Arc::new(Index::parse(&list(lines), name).unwrap());
        Suites::new(&names, lists.iter().map(index).collect())
    }

    fn names(suites: &Suites, wanted: &[&str]) -> String {
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        match suites.resolve(&wanted) {
            Ok(debs) => debs.iter().map(|deb| format!("{}={} ", deb.package.name, deb.package.version)).collect(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn dependencies_are_followed_in_a_circle_too() {
        let suites = suites(&[("s", &["a 1;Depends: b (>= 2)", "b 2;Pre-Depends: c", "c 1;Depends: a", "d 1"])]);
        assert_eq!(names(&suites, &["a"]), "a=1 b=2 c=1 ");
    }

    #[test]
    fn the_first_alternative_counts_unless_another_one_is_chosen() {
        let debs = ["a 1;Depends: x | y", "b 1;Depends: y, x | y", "c 1;Depends: gone | y", "x 1", "y 1"];
        let suites = suites(&[("s", &debs)]);
        assert_eq!(names(&suites, &["a"]), "a=1 x=1 ");
        assert_eq!(names(&suites, &["b"]), "b=1 y=1 ");
        assert_eq!(names(&suites, &["c"]), "c=1 y=1 ");
        assert_eq!(names(&suites, &["a", "y"]), "a=1 y=1 ");
    }

    #[test]
    fn what_is_provided_counts_with_its_version() {
        let debs = [
            "a 1;Depends: virtual",
            "b 1;Depends: virtual (>= 2)",
            "c 1;Depends: virtual (>= 9)",
            "p 1;Provides: virtual;Priority: optional",
            "q 1;Provides: other, virtual (= 2);Priority: optional",
            "z 1;Provides: virtual;Priority: required",
        ];
        let suites = suites(&[("s", &debs)]);
        assert_eq!(names(&suites, &["a"]), "a=1 z=1 ");
        assert_eq!(names(&suites, &["a", "p"]), "a=1 p=1 ");
        assert_eq!(names(&suites, &["b"]), "b=1 q=1 ");
        assert!(names(&suites, &["c"]).starts_with("virtual (>= 9) of s: is needed by c 1 and none of the suites has"));
    }

    #[test]
    fn the_first_suite_is_preferred_and_later_ones_fill_the_gaps() {
        let suites = suites(&[("new", &["a 1", "a 2;Depends: b"]), ("old", &["a 3", "b 1~", "b 1"])]);
        assert_eq!(names(&suites, &["a"]), "a=2 b=1 ");
        assert_eq!(suites.resolve(&["a".into()]).unwrap()[1].package.suite, "old");
    }

    #[test]
    fn what_is_missing_is_named_with_who_needs_it() {
        let suites = suites(&[("s", &["a 1;Depends: b", "b 2;Depends: c (>= 3) | gone", "c 1"])]);
        expect_test::expect!["c (>= 3) or gone of s: is needed by b 2 and none of the suites has it; c is there in version 1; the mirror is being updated (try again), or `suites` in vm-images/images.toml lacks one"]
            .assert_eq(&names(&suites, &["a"]));
        expect_test::expect!["package nothing in s: the suite does not have it; correct its name in vm-images/images.toml, or on the command line"]
            .assert_eq(&names(&suites, &["nothing"]));
    }

    #[test]
    fn a_list_with_a_path_out_of_the_pool_is_refused() {
        let hash = "0".repeat(64);
        for (name, path) in [("a", "../../etc/x"), ("a", "/etc/x"), ("../a", "pool/a.deb"), ("a", "pool/a b")] {
            let text = format!("Package: {name}\nVersion: 1\nFilename: {path}\nSHA256: {hash}\nSize: 1\n");
            let error = Index::parse(&text, "s").unwrap_err().to_string();
            assert_eq!(
                error,
                format!("the package list of s: package `{name}` lacks a field or has one that cannot be")
            );
        }
    }
}
