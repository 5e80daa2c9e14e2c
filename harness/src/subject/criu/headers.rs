//! Does a failed build fail because of the kernel headers of its build root?
//!
//! A tree that is ahead of released headers defines structures and constants itself. In a suite
//! whose headers have them, too, a structure is defined twice; in one whose headers do not have
//! what the tree expects, it is unknown. Either way another suite's root may do.

use std::cell::LazyCell;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// Where the headers of the C library and the kernel are in a build root. What else is there comes
/// from packages that criu links against.
const HEADERS: &str = "/usr/include/";

/// Of these, the folders of the kernel and of what the C library takes from it.
const OF_KERNEL: [&str; 3] =
    ["usr/include/linux", "usr/include/x86_64-linux-gnu/sys", "usr/include/aarch64-linux-gnu/sys"];

/// What GCC says of something that is there already, before its name. A note says where that is.
const TWICE: [&str; 5] = [
    "redefinition of '",
    "redefinition of struct or union '",
    "redeclaration of '",
    "conflicting types for '",
    "redeclaration of enumerator '",
];
/// The one error of this sort without a note: GCC 15 on an enumeration in C23, its default.
const TWICE_SOMEWHERE: &str = "conflicting redefinition of enum '";

/// What is wrong with the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// They define what the tree defines as well.
    Newer { what: String },
    /// They lack what the tree wants.
    Older { what: String },
}

/// The texts of the root's headers; what cannot be read is left out, as this only looks for advice.
pub(super) fn of_root(root: &Path) -> Vec<Vec<u8>> {
    let files = OF_KERNEL.iter().filter_map(|folder| fs::read_dir(root.join(folder)).ok()).flatten().flatten();
    files.filter_map(|file| fs::read(file.path()).ok()).collect()
}

/// What to try, where the headers are to blame; `suites` are the build roots, oldest first, `suite`
/// is the one that was used, `sources` the texts of the tree, `headers` those of the root.
pub(super) fn advice<'a>(
    log: &str,
    suite: &str,
    suites: &[String],
    mut sources: impl Iterator<Item = &'a [u8]>,
    headers: impl FnOnce() -> Vec<Vec<u8>>,
) -> Option<String> {
    let fault = find(log, headers)?;
    // What the tree has itself, and misses somewhere, is its own mistake.
    if let Fault::Older { what } = &fault
        && sources.any(|text| defines(text, what))
    {
        return None;
    }
    let at = suites.iter().position(|known| known == suite)?;
    let words = |suites: Vec<&String>| {
        let words: Vec<String> = suites.into_iter().map(|suite| format!("+build={suite}")).collect();
        words.join(" or ")
    };
    let mut advice_text = String::new();
    let (more, none) = match fault {
        Fault::Newer { what } => {
            let _ = write!(advice_text, "The headers of {suite} define {what}, which this tree defines as well.");
            // The oldest has the least.
            (words(suites[..at].iter().collect()), "there is no build root of an older suite")
        }
        Fault::Older { what } => {
            let _ = write!(advice_text, "The headers of {suite} do not have {what}; newer ones may.");
            (words(suites[at + 1..].iter().collect()), "there is no build root of a newer suite")
        }
    };
    let _ = if more.is_empty() {
        write!(advice_text, " No +build= helps: {none}.")
    } else {
        write!(advice_text, " Try {more}.")
    };
    Some(advice_text)
}

/// The first error that the headers explain. An error that comes before it may be anything, and
/// often is the same fault seen from elsewhere.
fn find(log: &str, headers: impl FnOnce() -> Vec<Vec<u8>>) -> Option<Fault> {
    let headers = LazyCell::new(headers);
    let lines: Vec<&str> = log.lines().collect();
    let errors = lines.iter().enumerate().filter(|(_, line)| line.contains(" error: "));
    errors.into_iter().find_map(|(at, line)| {
        // What GCC adds to an error, up to the next one.
        let notes: Vec<&str> = lines[at + 1..].iter().take_while(|line| !line.contains(" error: ")).copied().collect();
        let somewhere = quoted_behind(line, TWICE_SOMEWHERE);
        let in_headers = somewhere.filter(|name| headers.iter().any(|text| defines(text, name)));
        twice(line, &notes)
            .or(in_headers.map(str::to_owned))
            .map(|what| Fault::Newer { what })
            .or_else(|| lacking(line).map(|what| Fault::Older { what }))
    })
}

/// What is defined twice, once of it in a header of the root.
fn twice(line: &str, notes: &[&str]) -> Option<String> {
    let name = TWICE.iter().find_map(|sign| quoted_behind(line, sign))?;
    let in_header = |line: &str| line.starts_with(HEADERS);
    let note = |line: &&str| line.contains(" note: ") && in_header(line);
    (in_header(line) || notes.iter().any(note)).then(|| name.to_owned())
}

/// What is unknown: a header file, a structure without its members, a constant in capitals.
fn lacking(line: &str) -> Option<String> {
    if let Some((file, _)) = line.split_once(": No such file or directory") {
        let file = file.rsplit_once(" fatal error: ").map(|(_, file)| file)?;
        return (file.starts_with("linux/") || file.starts_with("asm/")).then(|| format!("<{file}>"));
    }
    const INCOMPLETE: [&str; 3] = ["incomplete type '", "incomplete typedef '", "undefined type '"];
    if let Some(name) = INCOMPLETE.iter().find_map(|sign| quoted_behind(line, sign)) {
        return Some(name.to_owned());
    }
    // A misspelt variable has nothing to do with headers.
    let name = line.split_once(" error: '").and_then(|(_, rest)| rest.split_once("' undeclared"))?.0;
    let of_constant = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    (name.contains('_') && name.chars().all(of_constant)).then(|| name.to_owned())
}

/// Whether a text defines a structure or an enumeration (`struct a {`), a constant (`#define A`,
/// `A,` or `A =` at the start of a line).
fn defines(text: &[u8], name: &str) -> bool {
    let is_structure = name.contains(' ');
    String::from_utf8_lossy(text).lines().map(str::trim_start).any(|line| match is_structure {
        true => line.strip_prefix(name).is_some_and(|rest| rest.trim_start().starts_with('{')),
        false => {
            let rest = line.strip_prefix("#define ").unwrap_or(line).strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', ',', '=', '(']))
        }
    })
}

/// `struct a` of `error: redefinition of 'struct a'`.
fn quoted_behind<'a>(line: &'a str, sign: &str) -> Option<&'a str> {
    let (_, rest) = line.split_once(sign)?;
    rest.split_once('\'').map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_text(log: &str, suite: &str) -> String {
        const SOURCES: [&[u8]; 2] =
            [b"int a;\n", b"struct pstree_item {\n  int a;\n};\n#define OWN_A 1\nenum {\n\tOWN_B,\n};\n"];
        let headers = || vec![b"enum rseq_flags {\n\tRSEQ_A = 0,\n};\n".to_vec()];
        let suites = ["bookworm", "trixie", "sid"].map(str::to_owned);
        advice(log, suite, &suites, SOURCES.into_iter(), headers).unwrap_or_else(|| "nothing".to_owned())
    }

    /// Of GCC 14, for a file that includes <linux/mount.h> and defines the structure itself.
    const TWICE: &str = "\
criu/mount-id.c:3:8: error: redefinition of 'struct mnt_id_req'
    3 | struct mnt_id_req {
      |        ^~~~~~~~~~
In file included from criu/mount-id.c:1:
/usr/include/linux/mount.h:190:8: note: originally defined here
  190 | struct mnt_id_req {
      |        ^~~~~~~~~~
make[2]: *** [/build/scripts/nmk/scripts/build.mk:221: criu/mount-id.o] Error 1
";

    #[test]
    fn a_structure_that_the_headers_have_as_well_asks_for_an_older_suite() {
        expect_test::expect![
            "The headers of trixie define struct mnt_id_req, which this tree defines as well. Try +build=bookworm."
        ]
        .assert_eq(&advice_text(TWICE, "trixie"));
        assert!(advice_text(TWICE, "sid").ends_with("Try +build=bookworm or +build=trixie."));
        assert!(
            advice_text(TWICE, "bookworm").ends_with("No +build= helps: there is no build root of an older suite.")
        );
        // The other order: the tree's own header comes first.
        let reverse = "/usr/include/linux/mount.h:190:8: error: redefinition of 'struct mnt_id_req'\n\
                       criu/include/mount-id.h:3:8: note: originally defined here\n";
        assert!(advice_text(reverse, "trixie").ends_with("Try +build=bookworm."));
        let newer_compiler = "criu/mount-id.c:5:1: error: redefinition of struct or union 'struct mnt_id_req'\n\
                              /usr/include/linux/mount.h:200:8: note: originally defined here\n";
        assert!(advice_text(newer_compiler, "sid").ends_with("Try +build=bookworm or +build=trixie."));
        let without_note =
            "criu/include/linux/rseq.h:33:1: error: conflicting redefinition of enum 'enum rseq_flags'\n";
        assert!(advice_text(without_note, "sid").starts_with("The headers of sid define enum rseq_flags,"));
        let constant = "criu/a.c:2:6: error: redeclaration of enumerator 'FSCONFIG_SET_FLAG'\n\
                        /usr/include/linux/mount.h:97:9: note: previous definition of 'FSCONFIG_SET_FLAG' with type 'enum fsconfig_command'\n";
        assert!(advice_text(constant, "trixie").contains("define FSCONFIG_SET_FLAG,"));
    }

    #[test]
    fn what_the_headers_lack_asks_for_a_newer_suite() {
        let constant = "criu/a.c:5:32: error: 'STATMOUNT_BY_FD' undeclared (first use in this function)\n";
        expect_test::expect![
            "The headers of bookworm do not have STATMOUNT_BY_FD; newer ones may. Try +build=trixie or +build=sid."
        ]
        .assert_eq(&advice_text(constant, "bookworm"));
        assert!(advice_text(constant, "sid").ends_with("No +build= helps: there is no build root of a newer suite."));
        let incomplete = "criu/a.c:5:32: error: invalid use of undefined type 'struct statmount'\n";
        assert!(advice_text(incomplete, "bookworm").contains("do not have struct statmount;"));
        let missing = "criu/a.c:1:10: fatal error: linux/new.h: No such file or directory\n";
        assert!(advice_text(missing, "trixie").contains("do not have <linux/new.h>;"));
    }

    #[test]
    fn the_trees_own_mistakes_are_not_the_headers() {
        for own in [
            "criu/a.c:1:8: error: redefinition of 'struct a'\ncriu/include/a.h:1:8: note: originally defined here\n",
            "criu/a.c:5:32: error: 'nonsense' undeclared (first use in this function)\n",
            "criu/a.c:5:32: error: 'OWN_A' undeclared (first use in this function)\n",
            "criu/a.c:5:32: error: 'OWN_B' undeclared (first use in this function)\n",
            "criu/a.c:5:32: error: invalid use of undefined type 'struct pstree_item'\n",
            "criu/a.c:5:32: error: 'struct pstree_item' has no member named 'nonsense'\n",
            "criu/a.c:1:10: fatal error: mine.h: No such file or directory\n",
            "criu/a.c:1:8: error: conflicting redefinition of enum 'enum own'\n",
            "a.o: undefined reference to `f'\n",
            // The note belongs to another error.
            "criu/a.c:1:8: error: redefinition of 'f'\ncriu/b.c:1:1: error: x\n/usr/include/a.h:1:8: note: here\n",
            "",
        ] {
            assert_eq!(advice_text(own, "trixie"), "nothing", "{own}");
        }
    }
}
