//! What the address sanitizer says of a criu that was built with it (subject `src:DIR+asan`).
//!
//! Its report goes to standard error, which is a file of the trial's, and the process ends. Where
//! the report comes from a task that is being restored, criu ends like after any other failure:
//! only the report tells.

use std::path::Path;
use std::process::Command;

use protocol::message::SANITIZER;

/// Beside such a criu (crate `harness`, module `subject::criu::package`).
const MARK: &str = "/subject/asan";
/// Its options. A leak is not a mistake in a program that ends; a small quarantine fits a small
/// machine.
const OPTIONS: (&str, &str) = ("ASAN_OPTIONS", "detect_leaks=0:quarantine_size_mb=16");

/// What a report begins with, after the process's number.
const REPORT: &str = "==ERROR: AddressSanitizer: ";
/// The sanitizer's own functions, which replace those of the C library.
const RUNTIME: &str = "libasan";
/// Where sources are when they are built.
const SOURCES: &str = "/build/";

/// Whether the criu has it. Such a one names its loader and libraries itself.
pub(crate) fn is_there() -> bool {
    Path::new(MARK).exists()
}

/// Tells a criu with the sanitizer what to do.
pub(crate) fn instruct(command: &mut Command) {
    if is_there() {
        command.env(OPTIONS.0, OPTIONS.1);
    }
}

/// The first report in what a program printed, as one line: what it is, in which function, and
/// where.
pub fn report(printed: &str) -> Option<String> {
    let (_, text) = printed.split_once(REPORT)?;
    let mut lines = text.lines();
    let head = lines.next()?;
    let kind = [" on ", ": ", " ("].iter().fold(head, |kind, end| kind.split_once(end).map_or(kind, |(kind, _)| kind));
    // The first call stack: who did it. Others say who allocated and who freed.
    let stack = lines.skip_while(|line| !is_frame(line)).take_while(|line| is_frame(line));
    let place = stack.filter(|frame| !frame.contains(RUNTIME)).find_map(place);
    Some(format!("{SANITIZER}{kind}{}", place.map_or_else(String::new, |place| format!(" in {place}"))))
}

/// `    #0 0x55d0c5 in dump_one /build/criu/a.c:12`
fn is_frame(line: &str) -> bool {
    line.trim_start().strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Function and place of a frame; the program alone where it could not be read, as in another root.
fn place(frame: &str) -> Option<String> {
    if let Some((_, place)) = frame.split_once(" in ") {
        let place = place.split_once(" (BuildId").map_or(place, |(place, _)| place);
        return Some(place.replacen(SOURCES, "", 1).trim().to_owned());
    }
    let (_, program) = frame.split_once('(')?;
    let (program, _) = program.split_once('+')?;
    Some(format!("an unknown function of {}", program.rsplit('/').next()?))
}

#[cfg(test)]
mod tests {
    use super::report;

    const REPORT: &str = "\
warning: before it
=================================================================
==17==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x502000000014 at pc 0x7f bp 0x7f sp 0x7f
READ of size 4 at 0x502000000014 thread T0
    #0 0x7f9d5c in memcpy (/subject/lib/libasan.so.8+0xfb5c) (BuildId: 10b8)
    #1 0x55d0c5 in dump_one_reg_file /build/criu/files-reg.c:1871
    #2 0x55d0c6 in main /build/criu/crtools.c:1

0x502000000014 is located 0 bytes after 4-byte region
allocated by thread T0 here:
    #0 0x7f9d5d in malloc (/subject/lib/libasan.so.8+0xfb5d)
    #1 0x55d0c7 in other /build/criu/b.c:2
";

    #[test]
    fn a_report_becomes_kind_function_and_place() {
        let first_line = |text: &str| report(text).unwrap_or_default();
        assert_eq!(
            first_line(REPORT),
            "AddressSanitizer: heap-buffer-overflow in dump_one_reg_file criu/files-reg.c:1871"
        );
        let other_root = REPORT.replace("in dump_one_reg_file /build/criu/files-reg.c:1871", " (/subject/criu+0x51)");
        assert_eq!(first_line(&other_root), "AddressSanitizer: heap-buffer-overflow in an unknown function of criu");
        let segv = "==1==ERROR: AddressSanitizer: SEGV on unknown address 0x0 (pc 0x5 bp 0x0 sp 0x7 T0)\n";
        assert_eq!(first_line(segv), "AddressSanitizer: SEGV");
        let overlap =
            "==1==ERROR: AddressSanitizer: memcpy-param-overlap: memory ranges [0x1,0x2) and [0x1, 0x2) overlap\n";
        assert_eq!(first_line(overlap), "AddressSanitizer: memcpy-param-overlap");
        assert_eq!(report("Error: AddressSanitizer\n"), None);
    }
}
