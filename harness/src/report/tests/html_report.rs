//! The page: everything in it, nothing from elsewhere, no text that acts.

use std::fs;

use super::run::{events, failure};
use crate::report::{Event, Finished, SharedAxes, Wanted};

/// The page of these events.
pub(super) fn page(events: &[Event]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let wanted: Wanted = format!("html={}", file.display()).parse().unwrap();
    let mut report = wanted.open().unwrap();
    for event in events {
        report.event(event).unwrap();
    }
    drop(report);
    fs::read_to_string(&file).unwrap()
}

fn page_of(finished: Finished) -> String {
    let shared = SharedAxes::of([&finished.trial]);
    page(&[
        Event::RunStarted { trials: 1, shared },
        Event::TrialFinished(Box::new(finished)),
        Event::RunFinished { seconds: 1.0, interrupted: false },
    ])
}

#[test]
fn every_trial_is_there_failures_first() {
    let page = page(&events());
    assert_eq!(page.matches("<article").count(), 6);
    assert!(page.contains("result: 2 passed, 3 failed, 1 skipped"));
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in the page"));
    assert!(at("deleted/un'linked@ext4</span>") < at("deleted/fixed@xfs</span>"));
    assert!(at("own</span>") < at("attributes/nosuid@tmpfs</span>"));
    assert!(at("attributes/nosuid@tmpfs</span>") < at("attributes/ro@tmpfs</span>"));
    // The matrix: what a family's row has.
    assert!(page.contains("data-family=\"deleted\""));
    assert!(page.contains("data-family=\"(own files)\""));
}

#[test]
fn nothing_comes_from_elsewhere_and_no_text_acts() {
    let mut finished = failure();
    finished.judgement.reason = "<script>alert(1)</script>\u{202e}\u{1b}[2J".to_owned();
    finished.program = Some("write a \"</pre><img src=x>\"\n".to_owned());
    let page = page_of(finished);
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        let found = page.find(outside).map(|at| &page[at..(at + 60).min(page.len())]);
        assert!(found.is_none_or(|text| text.starts_with("src=x&gt;")), "{found:?}");
    }
    assert_eq!(page.matches("<script>").count(), 1);
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;\\u{202e}\\u{1b}[2J"));
    assert!(page.contains("&lt;/pre&gt;&lt;img src=x&gt;"));
}

#[test]
fn the_first_difference_is_marked() {
    let page = page_of(failure());
    assert!(page.contains("&quot;/<mark>f (deleted)&quot;</mark>"), "expected");
    assert!(page.contains("&quot;/<mark>d/f&quot;</mark>"), "got");
    assert!(page.contains("... and 7 more"));
}

#[test]
fn observations_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let observation = |link: &str, more: &str| {
        format!(
            r#"{{"inside": {{"objects": [{{"name": "fd0", "object": {{"fd": 3}}, "link": "{link}", "mode": 420, "lookups": [
                {{"path": "x", "how": ["plain", "beneath"], "outcome": {{"ok": {{"link": "{link}"}}}}}},
                {{"path": "y", "how": ["plain"], "outcome": {{"err": "ENOENT"}}}}]}}{more}]}}, "mounts": []}}"#
        )
    };
    fs::write(folder.path().join("before.json"), observation("/f", "")).unwrap();
    let added = r#", {"name": "fd9", "link": "/new"}"#;
    fs::write(folder.path().join("after-2-restore.json"), observation("/g", added)).unwrap();
    let page = page_of(Finished { artifacts: Some(folder.path().to_owned()), ..failure() });
    assert!(page.contains("Observations: before, and after 2 restore"));
    assert!(page.contains("2 of 2 objects are not the same"));
    assert!(
        page.contains("<td>link</td><td class=\"text\">/<mark>f</mark></td><td class=\"text\">/<mark>g</mark></td>")
    );
    assert!(page.contains("lookups[&quot;x&quot; (plain)]") && page.contains("lookups[&quot;x&quot; (beneath)]"));
    assert!(!page.contains("lookups[&quot;y&quot; (plain)]"), "a list shows only what differs");
    assert!(page.contains("<tr class=\"alike\"><td>mode</td>"));
    assert!(page.contains("<em>nothing</em></td><td class=\"text\"><mark>/new</mark>"));
}

#[test]
fn a_folder_that_is_gone_is_reported() {
    let gone = std::path::PathBuf::from("/nonexistent/folder");
    let page = page_of(Finished { artifacts: Some(gone), ..failure() });
    assert!(page.contains("The observations are not here: /nonexistent/folder/before.json: No such file"));
}

#[test]
fn the_page_is_written_also_when_the_run_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("r.html");
    let wanted: Wanted = format!("html={}", file.display()).parse().unwrap();
    let mut report = wanted.open().unwrap();
    for event in &events()[..4] {
        report.event(event).unwrap();
    }
    drop(report);
    assert_eq!(fs::read_to_string(&file).unwrap().matches("<article").count(), 1);
}
