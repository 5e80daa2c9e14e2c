//! The page opens on causes and the ladder, and what they say leads to the trials.

use expect_test::expect;
use regex_lite::Regex;
use scenarios::capability::{Base, Capability, Profile};

use super::html_report::page;
use super::run::{causes, finished};
use crate::judge::{Judgement, Verdict};
use crate::report::comparison::{Comparison, Ladders};
use crate::report::{Event, Finished};

/// The part of the page between two texts, an element a line.
fn part(page: &str, from: &str, to: &str) -> String {
    let start = page.find(from).unwrap_or_else(|| panic!("{from} is not in the page"));
    let end = page[start..].find(to).unwrap_or_else(|| panic!("{to} is not in the page"));
    page[start..start + end].replace("><", ">\n<") + "\n"
}

#[test]
fn causes_have_what_a_reader_needs_first() {
    let page = page(&causes());
    expect![[r##"
        <section class="causes" aria-label="Causes">
        <h2>3 causes of 9 failures</h2>
        <ol start="1">
        <li class="cause" data-cause="1">
        <p class="head">
        <a class="choose" href="#cause=1">7 trials</a> <span class="verdict fail">restore-failed</span>
        </p>
        <p class="text">Error (criu/a.c:10): no /x/10, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long </p>
        <p class="note">blocked by: subdirectory bind</p>
        <p class="example">smallest: <span class="name">subdir/file</span>
        </p>
        <pre class="program">mount tmpfs a
        mkdir a/d
        write a/d/f &quot;x&quot;
        bind a/d b
        fd0 = open b/f rdwr
        umount-lazy b
        </pre>
        </li>
        <li class="cause" data-cause="2">
        <p class="head">
        <a class="choose" href="#cause=2">1 trial</a> <span class="verdict fail">dump-failed</span>
        </p>
        <p class="text">&lt;img src=x&gt; | [y](https://e.invalid) `c`\n::error::z\u{1b}[2J\u{202e}</p>
        <p class="note">blocked by: file bind</p>
        <p class="example">smallest: <span class="name">x/&lt;script&gt;alert(1)&lt;</span>
        </p>
        </li>
        <li class="cause" data-cause="3">
        <p class="head">
        <a class="choose" href="#cause=3">1 trial</a> <span class="verdict fail">error</span>
        </p>
        <p class="text">the agent is gone</p>
        <p class="example">smallest: <span class="name">whole/broken</span>
        </p>
        </li>
        </ol>
        </section>
    "##]].assert_eq(&part(&page, "<section class=\"causes\"", "<section class=\"ladder\""));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in the page"));
    let order = ["class=\"causes\"", "class=\"ladder\"", "class=\"families\"", "id=\"filters\"", "id=\"trials\""];
    assert!(order.is_sorted_by_key(|text| at(text)), "causes, ladder, families, filters, trials");
    assert!(page.contains("<details class=\"families\"><summary>"), "closed: the ladder is there");
}

#[test]
fn the_ladder_is_a_table_whose_cells_lead_to_trials() {
    let page = page(&causes());
    expect![[r##"
        <section class="ladder" aria-label="Ladder">
        <h2>Ladder</h2>
        <p class="common">How many trials came back, of how many: capability by base.</p>
        <div class="scroll">
        <table>
        <thead>
        <tr>
        <th scope="col">capability</th>
        <th scope="col" title="The root of the mount is the root of the superblock.">whole</th>
        <th scope="col" title="The root of the mount is a directory below the root of the superblock.">subdir</th>
        <th scope="col" title="The root of the mount is a single file.">file</th>
        </tr>
        </thead>
        <tbody>
        <tr>
        <th scope="row" title="Every trial.">total</th>
        <td class="all" data-capability="total" data-base="whole">
        <a class="choose" href="#base=whole" title="total on whole: 2 of 2">2/2</a>
        </td>
        <td class="none" data-capability="total" data-base="subdir">
        <a class="choose" href="#base=subdir" title="total on subdir: 0 of 7">0/7</a>
        </td>
        <td class="none" data-capability="total" data-base="file">
        <a class="choose" href="#base=file" title="total on file: 0 of 1">0/1</a>
        </td>
        </tr>
        <tr>
        <th scope="row" title="Trials that need nothing beside the base.">alone</th>
        <td class="all" data-capability="alone" data-base="whole">
        <a class="choose" href="#base=whole&amp;capability=alone" title="alone on whole: 1 of 1">1/1</a>
        </td>
        <td class="none" data-capability="alone" data-base="subdir">
        <a class="choose" href="#base=subdir&amp;capability=alone" title="alone on subdir: 0 of 1">0/1</a>
        </td>
        <td class="none" data-capability="alone" data-base="file">
        <a class="choose" href="#base=file&amp;capability=alone" title="alone on file: 0 of 1">0/1</a>
        </td>
        </tr>
        <tr>
        <th scope="row" title="The file's name was removed, and no other name leads to it.">deleted</th>
        <td class="all" data-capability="deleted" data-base="whole">
        <a class="choose" href="#base=whole&amp;capability=deleted" title="deleted on whole: 1 of 1">1/1</a>
        </td>
        <td class="none" data-capability="deleted" data-base="subdir">
        <a class="choose" href="#base=subdir&amp;capability=deleted" title="deleted on subdir: 0 of 6">0/6</a>
        </td>
        <td>
        </td>
        </tr>
        </tbody>
        </table>
        </div>
        </section>
        </div>
    "##]]
    .assert_eq(&part(&page, "<section class=\"ladder\"", "<details class=\"families\""));
}

/// The value of an attribute in a start tag.
fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("{tag} has no {name}"));
    rest.split('"').next().unwrap_or_default()
}

#[test]
fn a_cell_and_a_cause_lead_to_as_many_trials_as_they_say() {
    let page = page(&causes());
    let trials: Vec<&str> =
        page.split("<article class=\"trial\"").skip(1).map(|rest| rest.split('>').next().unwrap()).collect();
    assert_eq!(trials.len(), 12);
    let has = |trial: &str, name: &str, word: &str| attribute(trial, name).split(' ').any(|own| own == word);
    let cell = Regex::new(r##"href="#base=(\w+)(?:&amp;capability=([\w-]+))?"[^>]*>\d+/(\d+)</a>"##).unwrap();
    let mut cells = 0;
    for found in cell.captures_iter(&page) {
        let chosen = trials.iter().filter(|trial| {
            let wanted = found.get(2).is_none_or(|word| has(trial, "data-capability", word.as_str()));
            wanted && has(trial, "data-base", &found[1])
        });
        assert_eq!(chosen.count().to_string(), found[3], "{}", &found[0]);
        cells += 1;
    }
    assert_eq!(cells, 8);
    let cause = Regex::new(r##"href="#cause=(\d+)">(\d+) trials?</a>"##).unwrap();
    for found in cause.captures_iter(&page) {
        let chosen = trials.iter().filter(|trial| attribute(trial, "data-cause") == &found[1]).count();
        assert_eq!(chosen.to_string(), found[2]);
        assert_eq!(page.matches(&format!(" id=\"cause={}\"", &found[1])).count(), 1, "without scripts it leads there");
    }
    assert_eq!(cause.captures_iter(&page).count(), 3);
}

#[test]
fn failures_stand_by_cause_and_a_closed_row_says_why() {
    let page = page(&causes());
    let numbers: Vec<&str> = page.split("data-cause=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(numbers[3..], ["1", "1", "1", "1", "1", "1", "1", "2", "3", "", "", ""], "behind the causes themselves");
    let line = part(&page, "<span class=\"name\">subdir/deleted-11</span>", "</summary>");
    expect![[r#"
        <span class="name">subdir/deleted-11</span> <span class="rest">
        </span>
        <span class="brief">Error (criu/a.c:11): no /x/11, long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long long...</span>
        <span class="seconds">0.4 s</span>
    "#]].assert_eq(&line);
}

#[test]
fn no_text_of_a_cause_acts() {
    let page = page(&causes());
    assert_eq!(page.matches("<script").count(), 1);
    assert!(!page.contains("<img") && !page.contains('\u{1b}') && !page.contains('\u{202e}'));
    assert!(page.contains("&lt;img src=x&gt; | [y](https://e.invalid) `c`\\n::error::z\\u{1b}[2J\\u{202e}"));
}

#[test]
fn without_words_of_programs_the_families_are_open() {
    let events = [Event::TrialFinished(Box::new(finished("a/b", Judgement::plain(Verdict::Pass, ""))))];
    let page = page(&events);
    assert!(page.contains("<div class=\"opening\"></div><details class=\"families\" open>"), "{page}");
}

#[test]
fn many_causes_are_behind_a_line() {
    let failed = |word: char| -> Finished {
        let said = format!("broken {}", word.to_string().repeat(4));
        finished(&format!("a/{word}"), Judgement::plain(Verdict::Error, said))
    };
    let events: Vec<Event> = ('a'..='j').map(|word| Event::TrialFinished(Box::new(failed(word)))).collect();
    let page = page(&events);
    assert!(page.contains("<h2>10 causes of 10 failures</h2>"));
    assert!(page.contains("<summary>and 2 more causes</summary><ol start=\"9\"><li class=\"cause\" data-cause=\"9\">"));
}

#[test]
fn a_comparison_has_both_ladders() {
    let mut comparison = Comparison::new("old".into(), "new".into(), 1.0);
    let profile = |base, capabilities: &[Capability]| Profile {
        bases: [base].into(),
        capabilities: capabilities.iter().copied().collect(),
    };
    let mut ladders = Ladders::default();
    for (profile, old, new) in [
        (profile(Base::Whole, &[]), true, true),
        (profile(Base::Whole, &[Capability::Deleted]), true, false),
        (profile(Base::Subdir, &[]), false, true),
    ] {
        ladders.base.count(&profile, old);
        ladders.candidate.count(&profile, new);
    }
    comparison.ladder = ladders;
    let page = comparison.in_format("html").unwrap();
    expect![[r#"
        <section class="ladder" aria-label="Ladders">
        <h2>Ladders</h2>
        <p class="common">How many trials came back with the base | with the candidate: capability by base of the mount.</p>
        <div class="scroll">
        <table>
        <thead>
        <tr>
        <th scope="col">capability</th>
        <th scope="colgroup" colspan="2" title="The root of the mount is the root of the superblock.">whole</th>
        <th scope="colgroup" colspan="2" title="The root of the mount is a directory below the root of the superblock.">subdir</th>
        </tr>
        </thead>
        <tbody>
        <tr>
        <th scope="row" title="Every trial.">total</th>
        <td class="all" data-side="base" data-capability="total" data-base="whole">2/2</td>
        <td class="some" data-side="candidate" data-capability="total" data-base="whole">1/2▼</td>
        <td class="none" data-side="base" data-capability="total" data-base="subdir">0/1</td>
        <td class="all" data-side="candidate" data-capability="total" data-base="subdir">1/1▲</td>
        </tr>
        <tr>
        <th scope="row" title="Trials that need nothing beside the base.">alone</th>
        <td class="all" data-side="base" data-capability="alone" data-base="whole">1/1</td>
        <td class="all" data-side="candidate" data-capability="alone" data-base="whole">1/1</td>
        <td class="none" data-side="base" data-capability="alone" data-base="subdir">0/1</td>
        <td class="all" data-side="candidate" data-capability="alone" data-base="subdir">1/1▲</td>
        </tr>
        <tr>
        <th scope="row" title="The file's name was removed, and no other name leads to it.">deleted</th>
        <td class="all" data-side="base" data-capability="deleted" data-base="whole">1/1</td>
        <td class="none" data-side="candidate" data-capability="deleted" data-base="whole">0/1▼</td>
        <td>
        </td>
        <td>
        </td>
        </tr>
        </tbody>
        </table>
        </div>
        </section>
    "#]].assert_eq(&part(&page, "<section class=\"ladder\"", "<form"));
}
