//! `make`: how many jobs, and what it said when it failed.

use std::path::Path;

/// How many lines of a failed build are reported, from the first error on.
const LINES: usize = 30;

/// As many jobs as this machine has cores.
pub(crate) fn jobs() -> String {
    format!("-j{}", std::thread::available_parallelism().map_or(1, usize::from))
}

/// What a failed `make` said, from the first error on, and where the rest is.
pub(crate) fn failure(text: &str, log: &Path) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // What the compiler says before what make says of it; make itself asks for many a thing that
    // need not be there.
    const SIGNS: [&[&str]; 2] = [&[" error: ", "undefined reference"], &["No rule to make target", "*** "]];
    let first = |signs: &&[&str]| lines.iter().position(|line| signs.iter().any(|sign| line.contains(sign)));
    let first = SIGNS.iter().find_map(first).unwrap_or(lines.len().saturating_sub(LINES));
    let first = first.saturating_sub(2);
    let quoted: Vec<String> = lines.iter().skip(first).take(LINES).map(|line| format!("\n  | {line}")).collect();
    let more = lines.len().saturating_sub(first + LINES);
    let more = if more == 0 { String::new() } else { format!("\n  ... and {more} more lines") };
    format!("does not build; make said (all of it is in {}):{}{more}", log.display(), quoted.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_reported_from_the_first_error_on() {
        let text =
            "  CC a.o\n  CC b.o\nIn function f:\nb.c:3:5: error: no such thing\n  CC c.o\nmake: *** [b.o] Error 1\n";
        expect_test::expect![[r#"
            does not build; make said (all of it is in /c/make.log):
              |   CC b.o
              | In function f:
              | b.c:3:5: error: no such thing
              |   CC c.o
              | make: *** [b.o] Error 1"#]]
        .assert_eq(&failure(text, Path::new("/c/make.log")));
    }
}
