//! The map of what the catalogue must cover is true: every point has scenarios, or a reason why it
//! has none. The points and the reasons are in `coverage.txt`.

use std::path::Path;

use scenarios::catalogue;
use scenarios::coverage::{AXES, Coverage, coverage};
use scenarios::grammar::words;
use scenarios::program::{Filesystem, LockKind, MountAttribute, Propagation};
use vocabulary::{Flavor, Lifecycle};

fn map() -> Vec<Coverage> {
    let all = catalogue::load(Path::new(catalogue::DIRECTORY)).expect("the catalogue can be read");
    coverage(&all)
}

#[test]
fn every_point_has_scenarios_or_a_reason_that_is_true() {
    let mut wrong = Vec::new();
    for Coverage { axis, point, scenarios, files } in map() {
        let place = format!("{axis}: {}", point.name);
        match point.reason {
            None if scenarios == 0 => wrong.push(format!("{place}: no scenario, and nothing says why")),
            Some(reason) if scenarios > 0 => {
                wrong.push(format!("{place}: {} is on it, remove the reason: {reason}", files[0]));
            }
            Some(reason) if reason.is_outdated() => {
                wrong.push(format!("{place}: the word is known now, remove the reason: {reason}"));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_points_and_the_reasons_are_these() {
    let mut text = String::new();
    for axis in AXES {
        text.push_str(&format!("{}\n", axis.name));
        for point in axis.points {
            let reason = point.reason.map(|reason| {
                let kind = if reason.is_expressible() { "no scenario" } else { "not expressible" };
                format!(": {kind}: {reason}")
            });
            text.push_str(&format!("  {}{}\n", point.name, reason.unwrap_or_default()));
        }
    }
    expect_test::expect_file!["coverage.txt"].assert_eq(&text);
}

#[test]
fn every_lifecycle_is_on_the_map() {
    // What is about the harness alone is no situation of a user's.
    for &lifecycle in Lifecycle::ALL.iter().filter(|lifecycle| lifecycle.has_a_subject()) {
        let mut points = AXES.iter().flat_map(|axis| axis.points);
        assert!(points.any(|point| point.is_about(lifecycle)), "no point is about `{lifecycle}`");
    }
}

#[test]
fn every_word_of_these_vocabularies_is_on_the_map() {
    let on_axis = |name: &str, word: &str| {
        let axis = AXES.iter().find(|axis| axis.name == name).expect("the axis exists");
        axis.points.iter().any(|point| point.name.to_lowercase().split([' ', ',']).any(|part| part == word))
    };
    for word in words::<Filesystem>() {
        assert!(on_axis("Filesystem", word), "no point is about the filesystem `{word}`");
    }
    for word in words::<MountAttribute>() {
        assert!(on_axis("Mount property", word), "no point is about the attribute `{word}`");
    }
    for word in words::<Propagation>() {
        assert!(on_axis("Mount property", word), "no point is about the propagation `{word}`");
    }
    for word in words::<LockKind>() {
        assert!(on_axis("Flags and state", word), "no point is about the lock `{word}`");
    }
    for flavor in Flavor::ALL {
        assert!(on_axis("Flavor", flavor.word()), "no point is about the flavor `{flavor}`");
    }
}

/// What is printed names points by axis and name, in a column of this width.
#[test]
fn every_point_has_a_short_name_of_its_own() {
    for axis in AXES {
        let long = axis.points.iter().find(|point| point.name.len() > 42);
        assert!(long.is_none(), "{}: {long:?}", axis.name);
        let mut names: Vec<&str> = axis.points.iter().map(|point| point.name).collect();
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{}: {names:?}", axis.name);
    }
}
