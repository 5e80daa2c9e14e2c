//! The page of a campaign: programs, features, branches and findings over time, and each finding
//! with its program. Nothing from elsewhere, no scripts.

use std::fmt::Write as _;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::buckets::Bucket;
use super::state::{Point, State};
use crate::sanitize::sanitized_lines;

const STYLE: &str = include_str!("page.css");
/// Of a plot, in its own units.
const SIZE: (f64, f64) = (320.0, 120.0);

/// The page of a campaign.
pub fn page(state: &State) -> String {
    draw(state, &[])
}

/// The page of a campaign by several members, with a row for each.
pub fn page_of_all(members: &[(&str, State)]) -> String {
    draw(&State::together(members.iter().map(|(_, state)| state)), members)
}

fn draw(state: &State, members: &[(&str, State)]) -> String {
    let rate = match members {
        [] => rate(state),
        members => members.iter().map(|(_, state)| rate(state)).sum(),
    };
    let mut buckets: Vec<&Bucket> = state.buckets.iter().collect();
    buckets.sort_by(|one, other| one.first_seconds.total_cmp(&other.first_seconds));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "zdtm-detached fuzz: " (buckets.len()) " findings" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { "zdtm-detached fuzz" }
                p.what { (state.what) @if state.every.is_none() && members.is_empty() { ", seed " (state.seed) } }
                dl {
                    (number("programs", &state.programs.to_string()))
                    @if let Some(every) = &state.every { (number("done", &every.describe(state.next))) }
                    (number("programs/s", &format!("{rate:.1}")))
                    (number("time", &duration(state.seconds)))
                    (number("features", &state.features.len().to_string()))
                    @if !state.arcs.is_empty() { (number("arcs", &state.arcs.len().to_string())) }
                    (number("findings", &buckets.len().to_string()))
                    (number("resets", &state.resets.to_string()))
                    (number("flaky", &state.flaky.to_string()))
                    (number("unusable", &state.unusable.to_string()))
                }
                @if members.is_empty() { (plots(state)) } @else { (table(members)) }
                h2 { "Findings" }
                @if buckets.is_empty() { p { "None yet." } }
                @for bucket in buckets { (finding(bucket)) }
                @if !state.known.is_empty() {
                    h2 { "Known" }
                    table { @for (signature, count) in &state.known { tr { td.count { (count) } td { (signature) } } } }
                }
            }
        }
    };
    sanitized_lines(&page.into_string()) + "\n"
}

/// Programs a second, over all runs.
fn rate(state: &State) -> f64 {
    if state.seconds > 0.0 { state.programs as f64 / state.seconds } else { 0.0 }
}

fn plots(state: &State) -> Markup {
    html! {
        div.plots {
            (plot("programs", &state.history, |point| point.programs as f64))
            (plot("features", &state.history, |point| point.features as f64))
            @if !state.arcs.is_empty() { (plot("arcs", &state.history, |point| point.arcs as f64)) }
            (plot("findings", &state.history, |point| point.buckets as f64))
        }
    }
}

/// What each member has done.
fn table(members: &[(&str, State)]) -> Markup {
    html! {
        table.members {
            tr { th { "member" } th { "programs" } th { "programs/s" } th { "findings" } th { "time" } th { "seed" } }
            @for (name, state) in members {
                tr {
                    td { a href=(format!("{name}/index.html")) { (name) } }
                    td.count { (state.programs) }
                    td.count { (format!("{:.1}", rate(state))) }
                    td.count { (state.buckets.len()) }
                    td.count { (duration(state.seconds)) }
                    td.count { (state.seed) }
                }
            }
        }
    }
}

fn number(name: &str, value: &str) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

/// `2 h 03 min`, `4 min 05 s`, `6 s`
pub fn duration(seconds: f64) -> String {
    let all = seconds.max(0.0) as u64;
    match (all / 3600, all / 60 % 60, all % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

fn finding(bucket: &Bucket) -> Markup {
    html! {
        details {
            summary {
                span.count { (bucket.count) " x" } " "
                strong { (bucket.signature) }
                span.when { " " (bucket.steps) " steps, after " (duration(bucket.first_seconds)) }
            }
            p { (bucket.verdict) ": " (bucket.reason) }
            pre { (bucket.program) }
        }
    }
}

/// One value over time.
fn plot(name: &str, history: &[Point], read: fn(&Point) -> f64) -> Markup {
    let end = history.last().map_or(1.0, |point| point.seconds.max(1.0));
    let most = history.iter().map(read).fold(1.0, f64::max);
    let mut line = String::from("0,120");
    for point in history {
        let (x, y) = (point.seconds / end * SIZE.0, SIZE.1 - read(point) / most * SIZE.1);
        let _ = write!(line, " {x:.1},{y:.1}");
    }
    html! {
        figure {
            figcaption { (name) span.most { (format!("{most:.0}")) } }
            svg viewBox="0 -2 320 124" preserveAspectRatio="none" role="img" aria-label=(format!("{name} over time, up to {most:.0}")) {
                polyline points=(line) {}
            }
            p.axis { span { "0" } span { (duration(end)) } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Signature;

    #[test]
    fn everything_is_in_the_page_and_nothing_acts() {
        let mut state = State::new("reference on host-6.18".to_owned(), 3);
        (state.programs, state.seconds) = (600, 60.0);
        state.note();
        state.buckets.file(Bucket {
            signature: Signature("wrong-path descriptor link".to_owned()),
            count: 4,
            program: "write f \"<script>\"".to_owned(),
            steps: 1,
            verdict: "fail(wrong-path)".to_owned(),
            reason: "it <differs>".to_owned(),
            first_seconds: 3725.0,
            trial: "t".to_owned(),
            shrunk: true,
        });
        let page = page(&state);
        for text in [
            "reference on host-6.18",
            "<dd>10.0</dd>",
            "4 x",
            "after 1 h 02 min",
            "&lt;script&gt;",
            "it &lt;differs&gt;",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("arcs"), "nothing was counted");
        assert!(!page.contains("<script") && !page.contains("http"));
        assert!(page.contains("points=\"0,120 320.0,0.0\""));
    }

    #[test]
    fn the_page_of_all_members_has_each_finding_once() {
        let bucket = |steps| Bucket {
            signature: Signature("wrong-path descriptor link".to_owned()),
            count: 4,
            program: format!("write f \"{steps}\""),
            steps,
            verdict: "fail(wrong-path)".to_owned(),
            reason: "it differs".to_owned(),
            first_seconds: 5.0,
            trial: "t".to_owned(),
            shrunk: true,
        };
        let member = |seed, steps| {
            let mut state = State::new("reference on host-6.18".to_owned(), seed);
            (state.programs, state.seconds) = (600, 60.0);
            state.buckets.file(bucket(steps));
            state
        };
        let mut third = State::new("reference on host-6.18".to_owned(), 9);
        third.known.extend([("wrong-path descriptor link".to_owned(), 3), ("known to all".to_owned(), 1)]);
        let page = page_of_all(&[("a", member(7, 3)), ("b", member(8, 2)), ("c", third)]);
        for text in ["<dd>1200</dd>", "<dd>20.0</dd>", "11 x", " 2 steps", "href=\"a/index.html\"", "known to all"] {
            assert!(page.contains(text), "{text}: {page}");
        }
        assert_eq!(page.matches("<details>").count(), 1);
        assert!(!page.contains("<svg"));
    }

    #[test]
    fn arcs_are_in_the_page_where_they_are_counted() {
        let mut state = State::new("src:criu+coverage".to_owned(), 3);
        state.arcs.add(&crate::run::CoverageHits::new(vec![5, 6, 7]));
        state.seconds = 60.0;
        state.note();
        let page = page(&state);
        assert!(page.contains("<dt>arcs</dt><dd>3</dd>") && page.contains("arcs over time, up to 3"), "{page}");
    }
}
