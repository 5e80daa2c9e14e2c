//! Findings by signature: how often, and the smallest program that shows each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::judge::Signature;

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// What it is like.
    pub signature: Signature,
    /// How many programs showed it.
    pub count: u64,
    /// The smallest of them, as a scenario file.
    pub program: String,
    /// Its steps.
    pub steps: usize,
    /// What became of it.
    pub verdict: String,
    /// Why.
    pub reason: String,
    /// When it was first seen, in seconds of the campaign.
    pub first_seconds: f64,
    /// The trial that shows it, as an id: kernel, subject, flavor, lifecycle.
    pub trial: String,
    /// The program was made as small as it gets.
    pub shrunk: bool,
}

/// All findings of a campaign.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    all: BTreeMap<Signature, Bucket>,
}

/// What filing a failure came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// It is new: worth shrinking.
    New,
    /// The smallest program so far.
    Smaller,
    /// One more.
    Counted,
}

impl Buckets {
    /// Files a failure.
    pub fn file(&mut self, bucket: Bucket) -> Filed {
        let Some(known) = self.all.get_mut(&bucket.signature) else {
            self.all.insert(bucket.signature.clone(), bucket);
            return Filed::New;
        };
        known.count += bucket.count;
        // One that was shrunk gives way only to a smaller one.
        if bucket.steps >= known.steps {
            return Filed::Counted;
        }
        *known = Bucket { count: known.count, first_seconds: known.first_seconds, ..bucket };
        Filed::Smaller
    }

    /// A smaller program for a finding; `None` if none was found.
    pub fn shrunk(&mut self, signature: &Signature, program: String, steps: usize) {
        if let Some(bucket) = self.all.get_mut(signature) {
            bucket.shrunk = true;
            if steps < bucket.steps {
                (bucket.program, bucket.steps) = (program, steps);
            }
        }
    }

    /// Counts programs that showed a finding; whether there is such a finding.
    pub fn count(&mut self, signature: &str, programs: u64) -> bool {
        let bucket = self.all.get_mut(&Signature(signature.to_owned()));
        bucket.map(|bucket| bucket.count += programs).is_some()
    }

    /// Whether there is this finding.
    pub fn has(&self, signature: &Signature) -> bool {
        self.all.contains_key(signature)
    }

    /// All, by signature.
    pub fn iter(&self) -> impl Iterator<Item = &Bucket> {
        self.all.values()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// None yet.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Writes each finding as a scenario file, ready for the catalogue; files that are the same
    /// stay untouched.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        for bucket in self.iter() {
            let path = folder.join(format!("{}.scn", bucket.signature.file_name()));
            let text = bucket.text(&path);
            if fs::read_to_string(&path).is_ok_and(|old| old == text) {
                continue;
            }
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.persist(&path).map_err(|error| error.error)?;
        }
        Ok(())
    }
}

impl Bucket {
    /// The scenario with its story above it: comments of the file stay above its header.
    fn text(&self, path: &Path) -> String {
        // `fuzz/NUMBER/FLAVOR/LIFECYCLE/KERNEL/SUBJECT`; a subject may have slashes.
        let parts: Vec<&str> = self.trial.splitn(6, '/').collect();
        let place = match &parts[..] {
            [_, _, flavor, lifecycle, kernel, subject] if kernel.starts_with(crate::host::KERNEL_PREFIX) => {
                format!("--flavor {flavor} --lifecycle {lifecycle} --backend host --subject {subject}")
            }
            [_, _, flavor, lifecycle, kernel, subject] => {
                format!("--flavor {flavor} --lifecycle {lifecycle} --kernel {kernel} --subject {subject}")
            }
            _ => String::new(),
        };
        let comment = |text: &str| text.lines().map(|line| format!("# {line}\n")).collect::<String>();
        let summary = comment(&format!("Found by fuzz: {}.", self.signature));
        let story = comment(&format!("{}: {}", self.verdict, self.reason));
        let again = comment(&format!("zdtm-detached run {} {place}", path.display()));
        let own = self.program.lines().skip_while(|line| line.starts_with('#')).collect::<Vec<_>>().join("\n");
        format!("{summary}{story}{again}{own}\n")
    }
}

/// Signatures that are known: a line each, `#` begins a comment.
///
/// # Errors
/// The file cannot be read.
pub fn known(file: &Path) -> io::Result<BTreeSet<Signature>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(|line| Signature(line.to_owned())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(name: &str, steps: usize) -> Bucket {
        Bucket {
            signature: Signature(name.to_owned()),
            count: 1,
            program: format!("# Generated.\noutcome restored\n\nwrite f \"{steps}\"\n"),
            steps,
            verdict: "fail(wrong-path)".to_owned(),
            reason: "the link\ndiffers".to_owned(),
            first_seconds: 1.0,
            trial: "fuzz/7/ns/dump-restore/6.12/debian:trixie".to_owned(),
            shrunk: false,
        }
    }

    #[test]
    fn the_smallest_program_stays_and_all_are_counted() {
        let mut all = Buckets::default();
        assert_eq!(all.file(bucket("a", 9)), Filed::New);
        assert_eq!(all.file(bucket("a", 12)), Filed::Counted);
        assert_eq!(all.file(Bucket { first_seconds: 5.0, ..bucket("a", 4) }), Filed::Smaller);
        assert_eq!(all.file(bucket("b", 1)), Filed::New);
        let a = all.iter().next().unwrap();
        assert_eq!((a.count, a.steps, a.first_seconds), (3, 4, 1.0));
        all.shrunk(&Signature("a".into()), "p".into(), 7);
        assert_eq!(all.iter().next().map(|a| (a.steps, a.shrunk)), Some((4, true)));
        assert_eq!((all.len(), all.is_empty()), (2, false));
    }

    #[test]
    fn a_finding_is_a_scenario_that_says_how_it_was_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut all = Buckets::default();
        all.file(bucket("wrong-path descriptor link", 3));
        all.write(folder.path()).unwrap();
        let path = folder.path().join("wrong-path-descriptor-link.scn");
        let text = fs::read_to_string(&path).unwrap().replace(&folder.path().display().to_string(), "DIR");
        expect_test::expect![[r#"
            # Found by fuzz: wrong-path descriptor link.
            # fail(wrong-path): the link
            # differs
            # zdtm-detached run DIR/wrong-path-descriptor-link.scn --flavor ns --lifecycle dump-restore --kernel 6.12 --subject debian:trixie
            outcome restored

            write f "3"
        "#]]
        .assert_eq(&text);
        let source = Bucket { trial: "fuzz/7/ns/dump-restore/6.12/src:../criu".to_owned(), ..bucket("x", 1) };
        assert!(
            source.text(&path).contains("--flavor ns --lifecycle dump-restore --kernel 6.12 --subject src:../criu\n")
        );
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        all.write(folder.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn known_signatures_are_lines() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known");
        fs::write(&file, "# criu\n\nwrong-path descriptor link\n  dump-failed x  \n").unwrap();
        let all = known(&file).unwrap();
        assert_eq!(all.len(), 2);
        assert!(all.contains(&Signature("dump-failed x".into())));
    }
}
