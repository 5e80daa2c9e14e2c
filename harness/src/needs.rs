//! What a scenario needs of a trial and of a machine, looked at before it runs: what is not there makes the trial
//! `unsupported`, with the reason.

use protocol::message::Ready;
use scenarios::Scenario;

use crate::judge::Trial;
use crate::judge::range::Version;
use crate::judge::verdict::{flavor_word, lifecycle_word};

/// Why the scenario cannot be run as this trial, from its `requires` lines; none when it can.
pub fn unmet(scenario: &Scenario, trial: &Trial) -> Option<String> {
    let requires = &scenario.requires;
    let one_of = |what: &str, words: &[String], word: &str| {
        let met = words.is_empty() || words.iter().any(|known| known == word);
        (!met).then(|| format!("the scenario requires {what} {}, this is {word}", words.join(" or ")))
    };
    one_of("flavor", &requires.flavors, flavor_word(trial.flavor))
        .or_else(|| one_of("lifecycle", &requires.lifecycles, lifecycle_word(trial.lifecycle)))
        .or_else(|| {
            let release = Version::find(&trial.kernel)?.release();
            let too_old = requires.kernel_from.is_some_and(|from| release < from);
            let too_new = requires.kernel_to.is_some_and(|to| release > to);
            let end =
                |end: Option<(u32, u32)>| end.map_or_else(String::new, |(major, minor)| format!("{major}.{minor}"));
            let range = format!("{}..{}", end(requires.kernel_from), end(requires.kernel_to));
            (too_old || too_new).then(|| format!("the scenario requires kernel {range}, this is {}", trial.kernel))
        })
}

/// What the scenario needs and this machine lacks; none when it has all.
pub fn lacking(scenario: &Scenario, ready: &Ready) -> Option<String> {
    let filesystems = scenario.program.filesystems();
    let missing = filesystems.iter().find(|name| !ready.filesystems.contains(name))?;
    Some(match ready.lacking.get(missing.as_str()) {
        Some(why) => format!("no filesystem {missing} here: {why}"),
        None => format!("kernel {} has no filesystem {missing} here", ready.kernel),
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use protocol::message::{Flavor, Lifecycle};
    use scenarios::text;

    use super::*;

    fn scenario(head: &str) -> Scenario {
        let text = format!(
            "# A scenario.\n{head}\noutcome restored\n\nmount ext4 a\nfd0 = open a rdonly\nassert fd0 visible\n"
        );
        text::scenarios(text.as_bytes(), "names/x", std::path::Path::new("x.scn")).expect("a good scenario").remove(0)
    }

    fn told(head: &str, kernel: &str) -> String {
        let trial = Trial {
            scenario: "x".into(),
            family: String::new(),
            flavor: Flavor::Ns,
            lifecycle: Lifecycle::DumpRestore,
            kernel: kernel.into(),
            subject: "reference".into(),
        };
        unmet(&scenario(head), &trial).unwrap_or_default()
    }

    #[test]
    fn requirements_are_met_or_named() {
        assert_eq!(told("", "6.12"), "");
        assert_eq!(told("requires flavor=ns|host kernel=6.1..6.12", "6.12"), "");
        expect!["the scenario requires flavor host or userns, this is ns"]
            .assert_eq(&told("requires flavor=host|userns", "6.12"));
        expect!["the scenario requires lifecycle leave-running, this is dump-restore"]
            .assert_eq(&told("requires lifecycle=leave-running", "6.12"));
        expect!["the scenario requires kernel 7.0.., this is 6.12"].assert_eq(&told("requires kernel=7.0..", "6.12"));
        expect!["the scenario requires kernel ..6.1, this is 6.12"].assert_eq(&told("requires kernel=..6.1", "6.12"));
    }

    #[test]
    fn a_machine_has_the_filesystems_or_lacks_one() {
        let ready = |filesystems: &[&str]| Ready {
            kernel: "6.12.5".into(),
            filesystems: filesystems.iter().map(|name| (*name).to_owned()).collect(),
            ..Ready::default()
        };
        assert_eq!(lacking(&scenario(""), &ready(&["ext4", "tmpfs"])), None);
        expect!["kernel 6.12.5 has no filesystem ext4 here"]
            .assert_eq(&lacking(&scenario(""), &ready(&["tmpfs"])).unwrap_or_default());
        let confined = Ready { lacking: [("ext4".to_owned(), "only root may".to_owned())].into(), ..ready(&["tmpfs"]) };
        expect!["no filesystem ext4 here: only root may"]
            .assert_eq(&lacking(&scenario(""), &confined).unwrap_or_default());
    }
}
