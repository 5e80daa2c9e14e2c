//! `export`: scenarios as programs in C, and as shell scripts.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use scenarios::Scenario;

use super::list::TreeArgs;
use crate::exit;
use crate::export::{self, Refusal, c_program, shell_script, zdtm_test};
use crate::notices::{self, say};
use crate::plan::select::select;
use crate::sanitize::sanitized;
use crate::usage::Usage;

/// Write scenarios as programs: C tests for CRIU's suite zdtm, C programs or shell scripts that
/// stand alone.
///
/// Each program carries out the scenario's steps one by one, records what it holds, waits, and then
/// checks that everything is as recorded and that the scenario's assertions hold: links, lookups,
/// flags, positions, contents, link counts, which objects share a mount, a file or an open file
/// description, and the mounts' attributes. It looks from inside only: litter and probes are the
/// harness's.
///
/// `--zdtm DIR` writes NAME.c, NAME.desc and, where a scenario needs disks, NAME.hook. Put them
/// into test/zdtm/static of a CRIU tree, and add the names to TST_DIR in the Makefile there. The
/// tests need statx(2) in the C library, those with detached mount trees version 2.36 of the GNU
/// one.
///
/// `--c` prints one program. Started as root with `unshare -m`, it prints its PID and waits for
/// SIGTERM; then it exits with 0, or with 1 and says what differs.
///
/// `--sh` prints one shell script, for a machine without a compiler. Started as root with
/// `unshare -m sh`, it prints its PID and stops itself; continued (`kill -CONT`), it checks itself.
/// It looks at less than the C program: not at the attributes of mounts, nor at what
/// is one open file description.
///
/// What cannot be expressed is refused with its place and the reason: several processes,
/// pivot_root(2), programs of more than 150 lines, in zdtm files that the caller of criu gives, and
/// in a shell all open(2) flags that it has no redirection for, mount attributes, dup, locks.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached export 'deleted/*' --zdtm ../criu/test/zdtm/static
  zdtm-detached export ./mine.scn --zdtm ../criu/test/zdtm/static
  zdtm-detached export deleted/unlinked@tmpfs,rdwr,whole --c > unlinked.c
  zdtm-detached export deleted/unlinked@tmpfs,rdwr,whole --sh > unlinked.sh

Exit status: 0 all are written, 1 one is refused, 2 wrong usage, 3 infrastructure, 4 no scenario matches.")]
pub struct ExportArgs {
    /// A scenario's name or a part of it, a pattern with `*`, or a file that ends in .scn
    #[arg(required = true)]
    pub what: Vec<String>,
    /// Write tests of zdtm into this folder; it is made when missing
    #[arg(long, value_name = "DIR", required_unless_present_any = ["c", "sh"])]
    pub zdtm: Option<PathBuf>,
    /// Print a C program that stands alone
    #[arg(long, conflicts_with = "zdtm")]
    pub c: bool,
    /// Print a shell script that stands alone
    #[arg(long, conflicts_with_all = ["zdtm", "c"])]
    pub sh: bool,
    #[command(flatten)]
    tree: TreeArgs,
}

/// Writes them; the exit status.
///
/// # Errors
/// [`NoMatch`](crate::plan::select::NoMatch); more than one scenario for `--c`; a catalogue that
/// cannot be read, a file that cannot be written.
pub fn run(args: &ExportArgs) -> anyhow::Result<u8> {
    let chosen = select(&args.what, &args.tree.locate()?)?;
    match &args.zdtm {
        Some(folder) => {
            fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
            let mut refused = Vec::new();
            for scenario in &chosen {
                match zdtm_test(scenario, &remarks(scenario)) {
                    Ok(test) => write(folder, &test)?,
                    Err(refusal) => refused.push((scenario, refusal)),
                }
            }
            for (scenario, refusal) in &refused {
                say(&sanitized(&format!("{}: {refusal}", scenario.name)));
            }
            notices::print(&format!("{}\n", summary(chosen.len(), refused.iter().map(|(_, refusal)| refusal))))?;
            Ok(if refused.is_empty() { exit::AS_EXPECTED } else { exit::FAILED })
        }
        None => print(&chosen, args),
    }
}

/// Prints the one program.
fn print(chosen: &[Scenario], args: &ExportArgs) -> anyhow::Result<u8> {
    let [scenario] = chosen else {
        let (what, count) = (args.what.join(" "), chosen.len());
        let option = if args.sh { "--sh" } else { "--c" };
        return Err(Usage(format!("{what} chooses {count} scenarios; {option} prints one program")).into());
    };
    let remarks = remarks(scenario);
    match if args.sh { shell_script(scenario, &remarks) } else { c_program(scenario, &remarks) } {
        Ok(text) => {
            notices::print(&text)?;
            Ok(exit::AS_EXPECTED)
        }
        Err(refusal) => {
            say(&sanitized(&format!("{}: {refusal}", scenario.name)));
            Ok(exit::FAILED)
        }
    }
}

fn write(folder: &Path, test: &export::ZdtmTest) -> anyhow::Result<()> {
    let source = folder.join(format!("{}.c", test.name));
    if fs::read_to_string(&source).is_ok_and(|text| !text.contains(export::MARK)) {
        let text = format!("{} is there and is no exported scenario: it is left alone", source.display());
        return Err(Usage(text).into());
    }
    let file = |end: &str, text: &str| {
        let path = folder.join(format!("{}.{end}", test.name));
        fs::write(&path, text).with_context(|| format!("writing {}", path.display())).map(|()| path)
    };
    file("c", &test.source)?;
    file("desc", &test.description)?;
    if let Some(hook) = &test.hook {
        let path = file("hook", hook)?;
        let may_execute = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, may_execute).with_context(|| format!("making {} executable", path.display()))?;
    }
    Ok(())
}

/// `exported 10, refused 2: more than one process (2)`
fn summary<'a>(chosen: usize, refused: impl Iterator<Item = &'a Refusal>) -> String {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    refused.for_each(|refusal| *reasons.entry(refusal.reason).or_default() += 1);
    let count: usize = reasons.values().sum();
    let list: Vec<String> = reasons.iter().map(|(reason, count)| format!("{reason} ({count})")).collect();
    let between = if list.is_empty() { "" } else { ": " };
    format!("exported {}, refused {count}{between}{}", chosen - count, list.join(", "))
}

/// The comment lines below the summary in the scenario's file: what the behaviour is and what goes
/// wrong. A [`Scenario`] does not keep them.
fn remarks(scenario: &Scenario) -> Vec<String> {
    let Some(text) = scenario.file.as_ref().and_then(|file| fs::read_to_string(file).ok()) else { return Vec::new() };
    let comments = text.lines().skip_while(|line| !line.starts_with('#')).map_while(|line| line.strip_prefix('#'));
    comments.skip(1).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_of_somebody_else_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let source = |text: &str| export::ZdtmTest {
            name: "chroot".to_owned(),
            source: text.to_owned(),
            description: "{}\n".to_owned(),
            hook: None,
        };
        let exported = format!("/* {} the scenario chroot. */\n", export::MARK);
        write(folder.path(), &source(&exported)).unwrap();
        write(folder.path(), &source(&exported)).unwrap();
        fs::write(folder.path().join("chroot.c"), "int main(void);\n").unwrap();
        let refused = write(folder.path(), &source(&exported)).unwrap_err();
        assert!(refused.is::<Usage>(), "{refused}");
        assert_eq!(fs::read_to_string(folder.path().join("chroot.c")).unwrap(), "int main(void);\n");
    }

    #[test]
    fn the_summary_counts_by_reason() {
        let refusal = |reason| Refusal { place: None, reason };
        let refused = [refusal("more than one process"), refusal("a second `exec`"), refusal("more than one process")];
        expect_test::expect!["exported 7, refused 3: a second `exec` (1), more than one process (2)"]
            .assert_eq(&summary(10, refused.iter()));
        expect_test::expect!["exported 2, refused 0"].assert_eq(&summary(2, [].iter()));
    }
}
