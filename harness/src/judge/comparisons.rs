//! The table of everything that is compared. Its order is the priority of the kinds: the verdict
//! takes the kind of the first comparison that sees a difference, so the rows go from what explains
//! most to what merely follows. What no row compares is listed in [`NOT_COMPARED`]; a test changes
//! every field of an observation and finds no other.

use protocol::message::ActionReport;
use protocol::probe::ProbeGroup;
use protocol::{Observation, caller};

use super::difference::{Difference, Side};
use super::facts::{ComparisonKey, FactKey, FactSheet, Facts, Number, Partition, Value};
use super::prepared::PreparedObservation;
use super::verdict::FailureKind;
use super::{failed_restore, objects, surroundings};

/// How much must be the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// After a restore: numbers that the kernel hands out may change, who shares them with whom may
    /// not.
    Relational,
    /// Nothing was restored: nothing at all may change.
    Strict,
}

/// One thing that is compared.
#[derive(Debug)]
pub struct Comparison {
    /// Its name in differences and reports.
    pub name: &'static str,
    /// What a difference makes of the trial.
    pub kind: FailureKind,
    /// The same for something that was not there before.
    pub kind_if_new: FailureKind,
    /// Only in [`Mode::Strict`].
    pub strict_only: bool,
    /// What a difference shows for a missing fact.
    absent: &'static str,
    facts: for<'a> fn(&PreparedObservation<'a>, &mut Facts<'a>),
}

/// The name of the comparison that takes the agent's list of leftovers for what it is.
pub const LEFTOVERS: &str = "leftovers";

/// The name of the comparison that takes what the caller found, where all paths are relative.
pub const CALLER: &str = "caller";

/// The name of the comparison that needs `statmount(STATMOUNT_BY_FD)`, Linux 7.0.
pub const STATMOUNT: &str = "statmount";

/// The comparison of each group of probes, in the order of [`ALL`].
pub const PROBES: [(ProbeGroup, &str); 10] = [
    (ProbeGroup::Entries, "probe-entries"),
    (ProbeGroup::Locks, "probe-locks"),
    (ProbeGroup::Written, "probe-written"),
    (ProbeGroup::Names, "probe-names"),
    (ProbeGroup::Mappings, "probe-mappings"),
    (ProbeGroup::Pipes, "probe-pipes"),
    (ProbeGroup::Events, "probe-events"),
    (ProbeGroup::MountApi, "probe-mount-api"),
    (ProbeGroup::Busy, "probe-busy"),
    (ProbeGroup::Release, "probe-release"),
];

/// The kind of failure that a difference in the comparison with this name is.
pub(super) fn kind_of(name: &str) -> FailureKind {
    ALL.iter().find(|row| row.name == name).expect("every comparison has a row").kind
}

const fn row(
    name: &'static str,
    kind: FailureKind,
    facts: for<'a> fn(&PreparedObservation<'a>, &mut Facts<'a>),
) -> Comparison {
    Comparison { name, kind, kind_if_new: kind, strict_only: false, absent: "(nothing)", facts }
}

const fn litter_if_new(row: Comparison) -> Comparison {
    Comparison { kind_if_new: Litter, ..row }
}

const fn strict_only(row: Comparison) -> Comparison {
    Comparison { strict_only: true, ..row }
}

use FailureKind::{
    BrokenSharing, HarmedByRestore, Litter, LostObject, WrongContent, WrongFile, WrongFlags, WrongMount, WrongPath,
    WrongResolution,
};

/// Everything that is compared, the most telling first.
pub const ALL: &[Comparison] = &[
    row("objects", LostObject, objects::objects),
    row("process", LostObject, surroundings::process),
    strict_only(row("process-number", LostObject, surroundings::process_number)),
    row("file-kind", WrongFile, objects::file_kind),
    row("file-identity", WrongFile, objects::file_identity),
    row("link-count", WrongFile, objects::link_count),
    row("mount-state", WrongMount, objects::mount_state),
    row("same-mount", WrongMount, objects::same_mount),
    row("link", WrongPath, objects::link),
    row("getcwd", WrongPath, objects::getcwd),
    Comparison { absent: "two open file descriptions", ..row("sharing", BrokenSharing, surroundings::sharing) },
    row("mount-flags", WrongMount, objects::mount_flags),
    row(STATMOUNT, WrongMount, objects::statmount),
    row("descriptor-flags", WrongFlags, objects::descriptor_flags),
    row("close-on-exec", WrongFlags, objects::close_on_exec),
    row("position", WrongFlags, objects::position),
    row("descriptor-details", WrongFlags, objects::descriptor_details),
    row("descriptor-control", WrongFlags, objects::descriptor_control),
    row("mapping-permissions", WrongFlags, objects::mapping_permissions),
    row("process-attributes", WrongFlags, surroundings::process_attributes),
    row("mapping", WrongContent, objects::mapping),
    row("content", WrongContent, objects::content),
    row("file-attributes", WrongContent, objects::file_attributes),
    row("xattrs", WrongContent, objects::xattrs),
    // A mount or a name more or less, or another mount in its place, explains what lookups make of
    // it.
    litter_if_new(row("mounts", WrongMount, surroundings::mounts)),
    row("mount-table", WrongMount, surroundings::mount_table),
    litter_if_new(row("tree-names", WrongContent, surroundings::tree_names)),
    row("reopen", WrongResolution, objects::reopen),
    row("lookups", WrongResolution, objects::lookups),
    row("mount-options", WrongMount, surroundings::mount_options),
    row("mount-propagation", WrongMount, surroundings::mount_propagation),
    row("tree-files", WrongFile, surroundings::tree_files),
    row("tree-content", WrongContent, surroundings::tree_content),
    row("tree-attributes", WrongContent, surroundings::tree_attributes),
    row("file-times", WrongContent, surroundings::file_times),
    row("hidden-names", Litter, surroundings::hidden_names),
    row("host-mounts", Litter, surroundings::host_mounts),
    row("directory-times", Litter, surroundings::directory_times),
    strict_only(row("change-times", Litter, surroundings::change_times)),
    row(CALLER, WrongContent, |_, _| {}),
    // What follows from a difference above is no news.
    row("probe-entries", WrongFlags, |_, _| {}),
    row("probe-locks", WrongFlags, |_, _| {}),
    row("probe-written", WrongContent, |_, _| {}),
    row("probe-names", WrongResolution, |_, _| {}),
    row("probe-mappings", WrongFlags, |_, _| {}),
    row("probe-pipes", WrongContent, |_, _| {}),
    row("probe-events", WrongFlags, |_, _| {}),
    row("probe-mount-api", WrongMount, |_, _| {}),
    row("probe-busy", Litter, |_, _| {}),
    row("probe-release", Litter, |_, _| {}),
    row(failed_restore::LEFT, HarmedByRestore, |_, _| {}),
    row(failed_restore::SECOND_TRY, HarmedByRestore, |_, _| {}),
    row(LEFTOVERS, Litter, |_, _| {}),
];

/// What is in an observation and deliberately not compared after a restore, and why.
pub const NOT_COMPARED: &[(&str, &str)] = &[
    ("st_dev, st_ino, mnt_id, peer groups", "handed out by the kernel; compared as a partition"),
    ("inode number in a link text", "`pipe:[N]`, `socket:[N]`, `#N (deleted)`: the file's own inode number"),
    ("change times", "no program can set them; compared in strict mode"),
    ("process number in the agent's namespace", "handed out by the kernel; compared in strict mode"),
    ("owner of a lock, number of a pidfd's process", "the process number as the reader's namespace has it"),
    ("file handle of a watch", "holds device and inode; the watched file is compared as a file"),
    ("events that wait in an instance of inotify or fanotify", "no interface brings them back"),
    ("times on proc, sysfs, devpts, mqueue, cgroup and internal mounts", "made anew with their mount"),
    ("size and link count of directories on those", "they count the kernel's objects, not files"),
    ("times of `work` in an overlay's workdir", "the kernel's scratch: whiteouts are made there"),
    ("order of mounts, of objects, of names in the tree", "chosen by the reader"),
];

/// Everything that differs between two observations, the most telling first.
///
/// `disabled` is the name of a comparison to leave out, so that a test of the judge can show what
/// each one is for.
pub fn compare(before: &Observation, after: &Observation, mode: Mode, disabled: Option<&str>) -> Vec<Difference> {
    let (before, after) = (sheet(before), sheet(after));
    let partition = Partition::new(&before, &after);
    let comparer = Comparer { before: &before, after: &after, partition, mode };
    let on = |row: &Comparison| Some(row.name) != disabled && (mode == Mode::Strict || !row.strict_only);
    ALL.iter().enumerate().filter(|(_, row)| on(row)).flat_map(|(index, row)| comparer.row(index, row)).collect()
}

fn sheet(observation: &Observation) -> FactSheet<'_> {
    let prepared = PreparedObservation::new(observation);
    let facts_of = |row: &Comparison| {
        let mut facts = Facts::default();
        (row.facts)(&prepared, &mut facts);
        facts
    };
    FactSheet::new(ALL.iter().map(facts_of).collect())
}

struct Comparer<'a> {
    before: &'a FactSheet<'a>,
    after: &'a FactSheet<'a>,
    partition: Partition<'a>,
    mode: Mode,
}

impl<'a> Comparer<'a> {
    fn row(&self, index: usize, row: &Comparison) -> Vec<Difference> {
        let (before, after) = (&self.before.by_comparison[index], &self.after.by_comparison[index]);
        let (mut out, mut new) = (Vec::new(), Vec::new());
        for (key, expected, got) in before.beside(after) {
            let to = if expected.is_some() { &mut out } else { &mut new };
            to.extend(self.one(index, row, key, expected, got));
        }
        out.append(&mut new);
        out
    }

    fn one(
        &self,
        index: usize,
        row: &Comparison,
        key: &FactKey<'_>,
        expected: Option<&Value<'a>>,
        got: Option<&Value<'a>>,
    ) -> Option<Difference> {
        let number = matches!((expected, got), (Some(Value::Number(_)), Some(Value::Number(_))));
        if let (Some(old), Some(new)) = (expected, got)
            && !number
            && self.same(old, new)
        {
            return None;
        }
        let owner = key.0;
        let presence = matches!(expected.or(got), Some(Value::Present(_)));
        let lasting = || self.before.has(owner) && self.after.has(owner);
        if !number && !presence && !lasting() {
            return None;
        }
        let (expected_text, got_text) = match (expected, got) {
            (Some(Value::Number(old)), Some(Value::Number(new))) => {
                self.numbers(index, key, *old, *new).filter(|_| lasting())?
            }
            // A number comes with a text that says whether there is one, and that text differs.
            (Some(Value::Number(_)), None) | (None, Some(Value::Number(_))) => return None,
            _ => {
                let text = |value: Option<&Value<'_>>| value.map_or_else(|| row.absent.to_owned(), Value::text);
                (text(expected), text(got))
            }
        };
        let named_by = if self.before.has(owner) { self.before } else { self.after };
        Some(Difference {
            comparison: row.name.to_owned(),
            kind: if expected.is_none() { row.kind_if_new } else { row.kind },
            view: owner.side(),
            object: named_by.name(owner),
            what: key.1.to_string(),
            expected: expected_text,
            got: got_text,
            known: None,
        })
    }

    fn same(&self, old: &Value<'a>, new: &Value<'a>) -> bool {
        match (self.mode, old) {
            (_, Value::Present(_)) => true,
            (Mode::Strict, _) => old == new,
            (Mode::Relational, _) => old.outlives(new),
        }
    }

    /// Both sides of a difference between numbers; `None` for any other difference.
    fn numbers(&self, index: usize, key: &FactKey<'_>, old: Number, new: Number) -> Option<(String, String)> {
        if self.mode == Mode::Strict {
            return (old != new).then(|| (old.text(), new.text()));
        }
        let (expected, got) = self.partition.classes(index, key)?;
        let name = |(comparison, first): ComparisonKey<'_>| {
            if (comparison, first) == (index, key) {
                return format!("a {} of its own", old.noun());
            }
            let (owner, what) = first;
            let whose = self.before.name(*owner).unwrap_or_default();
            let whose = match owner.side() {
                Side::Tree => format!("the name {whose}"),
                Side::Mounts => format!("the mount on {whose}"),
                Side::HostMounts => format!("the agent's mount on {whose}"),
                Side::Inside | Side::Outside | Side::Probe => whose,
            };
            match what.as_ref() {
                "number" => whose,
                "file" | "mount" | "device" => format!("the same {} as {whose}", old.noun()),
                _ => format!("the same {} as {whose}, {what}", old.noun()),
            }
        };
        (expected != got).then(|| (name(expected), name(got)))
    }
}

/// What the caller did not find as it must be, as differences; an error where the agent does not
/// say what he found.
pub(crate) fn caller(action: &ActionReport) -> Result<Vec<Difference>, String> {
    let mut differences = Vec::new();
    for matter in caller::matters(action.action) {
        let finding = action.caller.iter().find(|finding| finding.what == matter.what);
        let silence = || format!("the agent did not say what the caller found of: {}", matter.what);
        let got = &finding.ok_or_else(silence)?.got;
        if got != matter.expected {
            differences.push(Difference {
                comparison: CALLER.to_owned(),
                kind: WrongContent,
                view: Side::Outside,
                object: None,
                what: format!("{} after the {}", matter.what, action.action.word()),
                expected: matter.expected.to_owned(),
                got: got.clone(),
                known: None,
            });
        }
    }
    Ok(differences)
}

/// What the agent says was left behind, as differences.
pub(crate) fn leftovers<'a>(leftovers: impl Iterator<Item = &'a String>) -> impl Iterator<Item = Difference> {
    leftovers.map(|what| Difference {
        comparison: LEFTOVERS.to_owned(),
        kind: Litter,
        view: Side::Outside,
        object: None,
        what: "left behind when the processes had ended".to_owned(),
        expected: "(nothing)".to_owned(),
        got: what.clone(),
        known: None,
    })
}
