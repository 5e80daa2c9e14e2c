//! `list --coverage`: the map of what the catalogue must cover, for people and programs. The map
//! itself is `scenarios::coverage`.

use std::fmt::Write as _;

use scenarios::coverage::{AXES, Coverage, Status};

use crate::report::sanitize::{Colour, columns, paint};

/// How wide the column with the numbers is: `1234/567`.
const NUMBERS: usize = 8;
/// What a text has at least, in columns, however narrow the terminal is.
const TEXT: usize = 20;

/// Where the map is printed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paper {
    /// In columns; `None` where lines may be as long as they are.
    pub(super) width: Option<usize>,
    pub(super) colour: bool,
}

/// The map as text: axes with their points, and how many points there are of each sort.
pub(super) fn human(map: &[Coverage], paper: Paper) -> String {
    let names = map.iter().map(|row| columns(row.point.name)).max().unwrap_or(0);
    let before = 2 + names + 2 + NUMBERS + 2;
    let room = paper.width.map_or(usize::MAX, |width| width.saturating_sub(before).max(TEXT));
    let mut out = String::new();
    for axis in AXES {
        let heading = format!("{:<width$}", axis.name, width = before - 2 - "scenarios/files".len());
        let heading = paint(paper.colour, Colour::Bold, &heading);
        let _ = writeln!(out, "{heading}{}", paint(paper.colour, Colour::Dim, "scenarios/files"));
        for row in map.iter().filter(|row| row.axis == axis.name) {
            let numbers = match row.scenarios {
                0 => "-".to_owned(),
                scenarios => format!("{scenarios}/{}", row.files.len()),
            };
            let (text, colour) = text(row);
            for (index, line) in wrapped(&text, room).iter().enumerate() {
                let line = colour.map_or_else(|| line.clone(), |colour| paint(paper.colour, colour, line));
                match index {
                    0 => writeln!(out, "  {:<names$}  {numbers:>NUMBERS$}  {line}", row.point.name),
                    _ => writeln!(out, "{:before$}{line}", ""),
                }
                .expect("text can be written to a text");
            }
        }
    }
    out.push_str(&totals(map));
    out
}

/// The file that needs the least, or why there is none.
fn text(row: &Coverage) -> (String, Option<Colour>) {
    match (row.status(), row.point.reason) {
        (Status::Covered, _) => (row.files[0].clone(), None),
        (Status::NotExpressible, Some(reason)) => (format!("not expressible: {reason}"), Some(Colour::Dim)),
        (_, Some(reason)) => (format!("no scenario: {reason}"), Some(Colour::Yellow)),
        // A test holds that the whole catalogue has one.
        (_, None) => ("no scenario is chosen".to_owned(), Some(Colour::Yellow)),
    }
}

fn totals(map: &[Coverage]) -> String {
    let count = |status| map.iter().filter(|row| row.status() == status).count();
    format!(
        "{} points: {} covered, {} without a scenario, {} not expressible\n",
        map.len(),
        count(Status::Covered),
        count(Status::Without),
        count(Status::NotExpressible)
    )
}

/// Lines of at most so many columns. A name of a scenario may be broken behind its family, and in
/// itself where it is longer than a line.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let parts = text.split_inclusive([' ', '/']).flat_map(|part| {
        let hyphens: &[char] = if columns(part.trim_end()) > room { &['-'] } else { &[] };
        part.split_inclusive(hyphens)
    });
    for part in parts {
        let line = lines.last_mut().expect("there is a first line");
        if !line.is_empty() && columns(line) + columns(part.trim_end()) > room {
            line.truncate(line.trim_end().len());
            lines.push(part.to_owned());
        } else {
            line.push_str(part);
        }
    }
    lines
}

/// The map as one JSON array.
pub(super) fn json(map: &[Coverage]) -> serde_json::Value {
    let row = |row: &Coverage| {
        serde_json::json!({
            "axis": row.axis,
            "point": row.point.name,
            "status": row.status().word(),
            "scenarios": row.scenarios,
            "files": row.files,
            "reason": row.point.reason.map(|reason| reason.to_string()),
        })
    };
    map.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use scenarios::coverage::coverage;

    use super::*;

    /// Two scenarios of the catalogue.
    fn map() -> Vec<Coverage> {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree");
        let words = ["whole-bind/mount-again@xfs", "only-mount/file@ext4"].map(str::to_owned);
        coverage(&crate::plan::select::select(&words, tree).expect("the catalogue has them"))
    }

    #[test]
    fn points_are_below_their_axis_and_the_last_line_adds_up() {
        let map = map();
        let text = human(&map, Paper { width: Some(80), colour: false });
        let waits = text.lines().skip_while(|line| !line.contains("subvolid=")).take(3);
        let excerpt: Vec<&str> = text.lines().take(2).chain(waits).collect();
        expect_test::expect![[r#"
            Filesystem                            scenarios/files
              tmpfs                                             -  no scenario is chosen
              mount with subvolid=                              -  no scenario is chosen
              same inode number in two subvolumes               -  no scenario is chosen
              overlay without nfs_export                        -  no scenario is chosen"#]]
        .assert_eq(&excerpt.join("\n"));
        let last = text.lines().last().expect("it has lines");
        let numbers: Vec<usize> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        assert_eq!(numbers.len(), 4, "{last}");
        assert_eq!((numbers[0], map.len()), (numbers[1..].iter().sum(), numbers[0]), "{last}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_and_none_is_broken_without_one() {
        let tree = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the harness is a directory of the tree");
        let map = coverage(&crate::plan::select::select(&[], tree).expect("the catalogue is good"));
        for width in [80, 200] {
            let text = human(&map, Paper { width: Some(width), colour: false });
            let longest = text.lines().map(columns).max();
            assert!(longest <= Some(width), "{longest:?} of {width}");
        }
        let text = human(&map, Paper { width: None, colour: false });
        assert_eq!(text.lines().count(), map.len() + AXES.len() + 1);
    }

    #[test]
    fn json_says_the_same_of_every_point() {
        let map = map();
        let rows = json(&map);
        let rows = rows.as_array().expect("it is an array");
        assert_eq!(rows.len(), map.len());
        let xfs = rows.iter().find(|row| row["point"] == "xfs").expect("xfs is a point");
        let expected = serde_json::json!({
            "axis": "Filesystem", "point": "xfs", "status": "covered", "scenarios": 1,
            "files": ["whole-bind/mount-again"], "reason": null,
        });
        assert_eq!(*xfs, expected);
    }
}
