//! `zdtm-detached.toml`: what a user would otherwise type every time.
//!
//! A key is the name of an environment variable without `ZDTM_DETACHED_`, in small letters with
//! `-`: the file can set every flag that has such a variable, and no other. A value becomes
//! the flag's default, so flags come before the environment, and both before the file. A key or
//! wrong value is refused with its line.
//!
//! The file lies in a folder that may be somebody else's, a checkout for instance, so it only
//! chooses among what runs in VMs: what decides which program is executed on this machine is
//! refused (`HARMLESS`, `overreach`).
//!
//! clap does the rest. A flag with a new variable is refused in the file until `HARMLESS` lists it.
//!
//! The same rule covers everything that may come from somebody else: a folder of results, a report,
//! a corpus. It never decides that something runs on this machine outside a VM. `replay` and
//! `shrink` of a trial that ran with `--backend host`, or whose subject is built here, need these
//! words again on the command line (`cmd/saved_trial.rs`). The commands that a failure prints have
//! them (`report/epilogue.rs`).

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Arg, ArgAction, Command};
use toml::{Spanned, Value};

use crate::image::OwnKernel;
use crate::judge::expectations::place;
use crate::judge::verdict::words;
use crate::machine::Backend;
use crate::subject::Subject;
use crate::usage::Usage;

/// The file's name.
pub const FILE: &str = "zdtm-detached.toml";
/// What the variables begin with.
const PREFIX: &str = "ZDTM_DETACHED_";

/// Keys that choose nothing that is executed on this machine. Every other one says where programs
/// of this machine come from (QEMU, the images' packages, the keys they are signed with, the
/// sources of the agent), or may do so until it is listed here.
///
/// Each with an example.
const HARMLESS: [(&str, &str); 8] = [
    ("accel", "\"auto\""),
    ("backend", "\"vm\""),
    ("cold", "false"),
    ("jobs", "2"),
    ("kernel", "[\"6.12\", \"7.3\"]"),
    ("shard", "\"1/4\""),
    ("subject", "\"debian:sid\""),
    ("timeout-scale", "1.5"),
];

fn is_harmless(key: &str) -> bool {
    HARMLESS.iter().any(|(known, _)| *known == key)
}

/// A file to start from: every key with what it is for and an example, all of it commented out.
pub fn template(line: &Command) -> String {
    let known = keys(line);
    let mut out = format!(
        "# {FILE}: what you would otherwise type every time. Flags and the environment come before it.\n# It chooses \
         nothing that is executed on this machine outside VMs. Take the `#` away from a key to set it.\n"
    );
    for (key, example) in HARMLESS {
        let help = known[key].iter().find_map(Arg::get_help).map(ToString::to_string).unwrap_or_default();
        out += &format!("\n# {help}\n# {key} = {example}\n");
    }
    out
}

/// The file that is read: that of the working directory, else that of the checkout.
pub fn file() -> Option<PathBuf> {
    let named = std::env::var_os("ZDTM_DETACHED_TREE").map(PathBuf::from);
    let tree = crate::image::tree::checkout(named.as_deref()).ok();
    let tree = tree.map(|tree| tree.join(FILE));
    std::iter::once(PathBuf::from(FILE)).chain(tree).find(|file| file.is_file())
}

/// The command line with what the file says, if there is one, as defaults.
///
/// # Errors
/// [`Usage`]: the file cannot be read, or has an unknown key or a wrong value.
pub fn apply(line: Command) -> Result<Command, Usage> {
    let Some(file) = file() else { return Ok(line) };
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(line),
        Err(error) => return Err(Usage(format!("cannot read the settings in {}: {error}", file.display()))),
    };
    with(line, &text, &file)
}

type Complaint = (Range<usize>, String);

/// The same with the file's text.
fn with(line: Command, text: &str, file: &Path) -> Result<Command, Usage> {
    let refuse = |(span, what): Complaint| {
        let (line, column) = place(text, span.start);
        Usage(format!("{}:{line}:{column}: {what}", file.display()))
    };
    let table: BTreeMap<Spanned<String>, Spanned<Value>> = toml::from_str(text)
        .map_err(|error| refuse((error.span().unwrap_or_default(), error.message().replace('\n', " "))))?;
    let known = keys(&line);
    let mut settings = BTreeMap::new();
    for (key, value) in &table {
        let Some(flags) = known.get(key.get_ref()) else {
            let known = words(known.keys().map(String::as_str));
            return Err(refuse((key.span(), format!("unknown key {:?}; known are {known}", key.get_ref()))));
        };
        if !is_harmless(key.get_ref()) {
            return Err(refuse((key.span(), not_from_a_file(key.get_ref(), key.get_ref(), "decides what"))));
        }
        let values = values(flags, value.get_ref()).map_err(|what| refuse((value.span(), what)))?;
        if let Some(what) = values.iter().find_map(|word| overreach(key.get_ref(), word)) {
            return Err(refuse((value.span(), what)));
        }
        settings.insert(key.get_ref().clone(), values);
    }
    Ok(defaulted(line, &settings))
}

/// Why a setting is refused that has something executed outside VMs.
fn not_from_a_file(key: &str, setting: &str, does: &str) -> String {
    let variable = key.to_uppercase().replace('-', "_");
    format!(
        "{setting} {does} is executed on this machine, outside VMs; a file may be somebody else's and cannot choose \
         that: use --{key} or {PREFIX}{variable}"
    )
}

/// What is wrong with a value of a harmless key that has something executed outside VMs.
fn overreach(key: &str, word: &str) -> Option<String> {
    let acts = match key {
        "backend" => word.parse() == Ok(Backend::Host),
        "kernel" => OwnKernel::acts_on_this_machine(word),
        "subject" => word.parse().is_ok_and(|subject: Subject| subject.acts_on_this_machine()),
        _ => false,
    };
    acts.then(|| not_from_a_file(key, &format!("{key} {word:?}"), "says what"))
}

/// Every flag with a variable, of every command, by key.
fn keys(line: &Command) -> BTreeMap<String, Vec<Arg>> {
    let mut keys: BTreeMap<String, Vec<Arg>> = BTreeMap::new();
    for arg in line.get_arguments() {
        if let Some(key) = key(arg) {
            keys.entry(key).or_default().push(arg.clone());
        }
    }
    for (key, args) in line.get_subcommands().flat_map(self::keys) {
        keys.entry(key).or_default().extend(args);
    }
    keys
}

fn key(arg: &Arg) -> Option<String> {
    let name = arg.get_env()?.to_str()?.strip_prefix(PREFIX)?;
    Some(name.to_lowercase().replace('_', "-"))
}

fn several(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append)
}

/// The words of a value, tried on each flag that gets them.
fn values(flags: &[Arg], value: &Value) -> Result<Vec<String>, String> {
    let word = |value: &Value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        other => Err(format!("a text or a number is expected, and this is {}", describe(other))),
    };
    if flags.iter().any(|flag| matches!(flag.get_action(), ArgAction::SetTrue)) {
        return match value {
            Value::Boolean(wanted) => Ok(wanted.then(|| "true".to_owned()).into_iter().collect()),
            other => Err(format!("true or false is expected, and this is {}", describe(other))),
        };
    }
    let words = match value {
        Value::Array(all) if flags.iter().any(several) => all.iter().map(word).collect::<Result<Vec<_>, _>>()?,
        one => vec![word(one)?],
    };
    flags.iter().try_for_each(|flag| attempt(flag, &words))?;
    Ok(words)
}

/// Whether a flag takes these words, in a command that has this flag alone, whatever else it goes
/// with.
fn attempt(flag: &Arg, words: &[String]) -> Result<(), String> {
    let parser = flag.get_value_parser().clone();
    let alone = Arg::new("value").long("value").value_parser(parser).action(ArgAction::Append);
    let alone = Command::new("zdtm-detached").no_binary_name(true).arg(alone);
    alone.try_get_matches_from(words.iter().map(|word| format!("--value={word}"))).map(drop).map_err(|error| {
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        lines.join(" ").replace("error: ", "").replace(" for '--value <value>'", "")
    })
}

fn describe(value: &Value) -> String {
    format!("of type {}", value.type_str())
}

/// The command and those below it with these defaults. A flag that takes one value gets it only
/// where there is one.
fn defaulted(command: Command, settings: &BTreeMap<String, Vec<String>>) -> Command {
    command
        .mut_args(|arg| match key(&arg).and_then(|key| settings.get(&key)) {
            // The command line lasts as long as the program, and so may its words.
            Some(words) if words.len() == 1 || several(&arg) => {
                arg.default_values(words.iter().map(|word| &*word.clone().leak()))
            }
            _ => arg,
        })
        .mut_subcommands(|command| defaulted(command, settings))
}

#[cfg(test)]
mod tests {
    use clap::builder::Resettable;
    use clap::{CommandFactory as _, FromArgMatches as _};
    use expect_test::expect;

    use super::super::{Cli, Command as Chosen};
    use super::*;

    fn line(text: &str) -> Result<Command, String> {
        with(Cli::command(), text, Path::new(FILE)).map(without_environment).map_err(|error| error.to_string())
    }

    /// What is set where the tests run says nothing here.
    fn without_environment(command: Command) -> Command {
        command.mut_args(|arg| arg.env(Resettable::Reset)).mut_subcommands(without_environment)
    }

    fn run(text: &str, words: &[&str]) -> super::super::run::RunArgs {
        let words = ["zdtm-detached", "run"].iter().chain(words);
        let matches = line(text).unwrap().try_get_matches_from(words).unwrap();
        match Cli::from_arg_matches(&matches).unwrap().command {
            Chosen::Run(args) => args,
            _ => panic!("run was typed"),
        }
    }

    #[test]
    fn every_key_of_the_template_can_be_set_to_its_example() {
        let template = template(&Cli::command());
        let examples = template.lines().filter(|line| line.starts_with("# ") && line.contains(" = "));
        let text: String = examples.map(|line| format!("{}\n", line.trim_start_matches("# "))).collect();
        assert_eq!(text.lines().count(), HARMLESS.len(), "{template}");
        line(&text).unwrap();
        assert!(template.lines().all(|line| line.is_empty() || line.starts_with('#')), "{template}");
    }

    #[test]
    fn the_file_stands_behind_flags() {
        let text = "kernel = [\"6.12\", \"7.3\"]\nsubject = 'reference'\njobs = 3\ncold = true\ntimeout-scale = 2.5\n";
        let args = run(text, &["--kernel", "6.1"]);
        assert_eq!(args.axes.kernel, ["6.1"]);
        assert!(args.subject[0].is_reference());
        assert_eq!((args.machines.jobs, args.machines.cold, args.machines.timeout_scale), (Some(3), true, 2.5));
        assert_eq!(run(text, &[]).axes.kernel, ["6.12", "7.3"]);
        assert!(!run("cold = false", &[]).machines.cold);
        let all = run("backend = 'vm'\naccel = 'tcg'\nshard = '1/2'", &[]);
        assert_eq!((all.machines.backend, all.share.shard.is_some()), (Backend::Vm, true));
    }

    #[test]
    fn what_is_executed_outside_vms_is_not_chosen_by_a_file() {
        let hostile = [
            "cold = true\nqemu = './evil'",
            "backend = 'host'",
            "subject = ['reference', 'src:.']",
            "subject = 'path:./evil'",
            "subject = 'git:.@HEAD'",
            "kernel = ['6.12', 'src:.']",
            "kernel = 'git:.@HEAD'",
        ];
        let describe: Vec<String> = hostile.iter().map(|text| line(text).expect_err(text)).collect();
        expect![[r#"
            zdtm-detached.toml:2:1: qemu decides what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --qemu or ZDTM_DETACHED_QEMU
            zdtm-detached.toml:1:11: backend "host" says what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --backend or ZDTM_DETACHED_BACKEND
            zdtm-detached.toml:1:11: subject "src:." says what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --subject or ZDTM_DETACHED_SUBJECT
            zdtm-detached.toml:1:11: subject "path:./evil" says what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --subject or ZDTM_DETACHED_SUBJECT
            zdtm-detached.toml:1:11: subject "git:.@HEAD" says what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --subject or ZDTM_DETACHED_SUBJECT
            zdtm-detached.toml:1:10: kernel "src:." says what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --kernel or ZDTM_DETACHED_KERNEL
            zdtm-detached.toml:1:10: kernel "git:.@HEAD" says what is executed on this machine, outside VMs; a file may be somebody else's and cannot choose that: use --kernel or ZDTM_DETACHED_KERNEL
        "#]].assert_eq(&(describe.join("\n") + "\n"));
        for key in keys(&Cli::command()).keys().filter(|key| !is_harmless(key)) {
            let describe = line(&format!("{key} = 'x'")).expect_err(key);
            assert!(
                describe.starts_with(&format!("zdtm-detached.toml:1:1: {key} decides what is executed")),
                "{describe}"
            );
        }
    }

    #[test]
    fn the_file_does_not_change_what_goes_together() {
        // `--durations` needs `--shard` on the command line; a setting in a file is not enough, and
        // forbids nothing.
        assert!(run("shard = '1/2'", &["--resume", "r.json"]).share.shard.is_some());
        line("subject = 'reference'").unwrap().debug_assert();
    }

    #[test]
    fn what_is_none_is_refused_with_its_place() {
        let wrong = [
            "kernl = '6.12'",
            "cold = 'yes'",
            "\njobs =  0",
            "accel = 'fast'",
            "subject = ['reference', 'woody']",
            "kernel = { a = 1 }",
            "jobs = [1, 2]",
            "kernel = '6.12",
        ];
        let describe: Vec<String> =
            wrong.iter().map(|text| line(text).err().unwrap_or_else(|| panic!("{text} is not refused"))).collect();
        expect![[r#"
            zdtm-detached.toml:1:1: unknown key "kernl"; known are accel, backend, cache, cold, jobs, kernel, keyring, locked, mirror, qemu, shard, snapshot, subject, timeout-scale, tree
            zdtm-detached.toml:1:8: true or false is expected, and this is of type string
            zdtm-detached.toml:2:9: invalid value '0': a number from 1
            zdtm-detached.toml:1:9: invalid value 'fast' [possible values: auto, kvm, tcg]
            zdtm-detached.toml:1:11: invalid value 'woody': unknown subject "woody"; known are debian:SUITE, path:FILE, src:DIR, git:DIR@REV (both with +build=SUITE, +coverage, +asan or +patch:FILE behind), all of these with +assist at the end, or two with +restore: between them, reference, reference+fault:NAME, reference+lacks:WORD
            zdtm-detached.toml:1:10: a text or a number is expected, and this is of type table
            zdtm-detached.toml:1:8: a text or a number is expected, and this is of type array
            zdtm-detached.toml:1:15: invalid literal string, expected `'`
        "#]].assert_eq(&(describe.join("\n") + "\n"));
    }
}
