//! The file's form, and the findings of this tree.

use std::path::Path;

use arbtest::arbtest;
use expect_test::expect;

use super::*;

fn finding() -> Finding {
    Finding {
        number: 7,
        title: "A bind of a removed directory has mode 0600".to_owned(),
        signature: Signature("wrong-content tree tree-attributes".to_owned()),
        subject: "debian:trixie".to_owned(),
        kernel: "6.12".to_owned(),
        flavor: Flavor::Ns,
        lifecycle: Lifecycle::DumpRestore,
        seen: "criu 4.1.1".to_owned(),
        upstream: "not reported".to_owned(),
        program: "mkdir b\nbind b a\nrmdir b\nassert cwd visible".to_owned(),
        happens: "a, tree: mode: expected 0755, got 0600".to_owned(),
        cause: String::new(),
    }
}

#[test]
fn a_finding_reads_as_a_bug_report() {
    expect![[r#"
        # 007: A bind of a removed directory has mode 0600

        - signature: wrong-content tree tree-attributes
        - subject: debian:trixie
        - kernel: 6.12
        - flavor: ns
        - lifecycle: dump-restore
        - seen: criu 4.1.1
        - upstream: not reported

        ## Program
        ```
        mkdir b
        bind b a
        rmdir b
        assert cwd visible
        ```

        ## What happens
        a, tree: mode: expected 0755, got 0600

        ## Cause
        Not established.
    "#]]
    .assert_eq(&text::print(&finding()));
    assert_eq!(finding().file_name(), "007-a-bind-of-a-removed-directory-has-mode-0600.md");
}

#[test]
fn what_is_printed_is_read_back() {
    arbtest(|u| {
        let mut word = |first: &str| -> arbitrary::Result<String> {
            let count = u.int_in_range(0..=20)?;
            let more: String =
                (0..count).map(|_| u.choose(&['a', ' ', ':', '|', '`', '(', 'é'])).collect::<Result<_, _>>()?;
            Ok(format!("{first}{more}").trim().to_owned())
        };
        let one = Finding {
            number: 1,
            title: word("T")?,
            signature: Signature(word("crash ")?),
            subject: word("s")?,
            kernel: word("6")?,
            seen: word("criu")?,
            upstream: word("u")?,
            program: word("mkdir ")?,
            happens: word("h")?,
            cause: word("c")?,
            ..finding()
        };
        assert_eq!(text::parse(&text::print(&one)).as_ref(), Ok(&one));
        Ok(())
    });
}

#[test]
fn a_mistake_is_reported_with_its_line() {
    let good = text::print(&finding());
    let mistakes = [
        good.replace("# 007: ", "# seven: "),
        good.replace("- kernel: 6.12\n", ""),
        good.replace("wrong-content tree", "wrong"),
        good.replace("flavor: ns", "flavor: nested"),
        good.replace("dump-restore", "dump"),
        good.replace("## What happens", "## What"),
        good.replace("```\n\n", "\n"),
        good.replace("Not established.\n", ""),
    ];
    let messages = mistakes.map(|text| {
        let text::Mistake { line, why } = text::parse(&text).unwrap_err();
        format!("{line}: {why}\n")
    });
    expect![[r#"
        1: `# NUMBER: TITLE` is missing here
        5: `- kernel: ...` is missing here
        3: signature: does not begin with the kind of a failure
        6: flavor: unknown flavor "nested"; known are host, ns, userns
        7: lifecycle: unknown lifecycle "dump"; known are dump-restore, leave-running, three-times, leave-running-dump, leave-stopped, pre-dump, compat-mode, failed-dump, killed-dump, failed-restore, killed-restore, changed-tree, page-server, service, input-pipe, input-terminal, input-closed, relative-paths, relative-script, untouched
        19: `## What happens` is missing here
        23: a fence, ```, is missing here
        23: a text is missing here
    "#]]
    .assert_eq(&messages.concat());
}

#[test]
fn the_findings_of_this_tree_can_be_run_and_are_in_the_table() {
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let all = read(tree).unwrap();
    assert!(all.len() > 20, "{}", all.len());
    for finding in &all {
        assert!(finding.severity().is_some(), "{}", finding.file_name());
        finding.scenario().unwrap_or_else(|error| panic!("{}: {error}", finding.file_name()));
    }
    let written = fs::read_to_string(tree.join(INDEX)).unwrap();
    assert!(written == index::document(&all), "{INDEX} is old: `zdtm-detached finding index --write`");
}
