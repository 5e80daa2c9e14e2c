//! The part of the C program that records what it holds and compares two records.

use scenarios::program::ObjectName;
use scenarios::{Scenario, Step};

use super::functions::{PEEK_BEHIND, READ_LOCKS};
use super::holdings::{Holding, Object};
use super::literal::string;
use super::steps::{Part, Writer};

/// How many facts are in a line of C.
const ROW: usize = 5;

/// How many bytes of a file a record has.
pub(super) const CONTENT_LIMIT: usize = 4096;

/// Working directory, root and executable, where the scenario is about them.
pub(super) fn named_of_process(scenario: &Scenario) -> Vec<&'static str> {
    let steps = || scenario.program.steps.iter().map(|line| &line.step);
    let about = |name: &str| {
        steps().any(|step| match (step, name) {
            (Step::Chdir { .. }, "cwd") | (Step::Chroot { .. }, "root") | (Step::Exec, "exe") => true,
            (Step::Assert { .. }, _) => {
                let words = step.to_string();
                words.split(' ').skip(1).any(|word| word == name)
            }
            _ => false,
        })
    };
    ["cwd", "root", "exe"].into_iter().filter(|name| about(name)).collect()
}

/// What a program's observation is about.
pub(super) struct Observation<'a> {
    writer: &'a Writer<'a>,
    objects: Vec<&'a Object>,
    has_descriptors: bool,
    has_relations: bool,
    has_descriptions: bool,
}

impl<'a> Observation<'a> {
    pub(super) fn of(writer: &'a Writer<'a>) -> Self {
        let objects: Vec<&Object> = writer.holdings.iter().filter(|one| one.holding != Holding::Socket).collect();
        let is_descriptor = |one: &&&Object| matches!(one.holding, Holding::Descriptor | Holding::InFlight { .. });
        let descriptors = objects.iter().filter(is_descriptor).count();
        Observation {
            writer,
            has_descriptors: descriptors > 0,
            has_relations: objects.len() > 1,
            has_descriptions: descriptors > 1 && writer.shares_descriptions(),
            objects,
        }
    }

    /// The objects, in the order of their records.
    pub(super) fn observed(&self) -> Vec<ObjectName> {
        self.objects.iter().map(|object| object.name.clone()).collect()
    }

    fn has(&self, part: Part) -> bool {
        self.writer.parts.contains(&part)
    }

    /// Whether the first message of a queue, and no other, has an object in it.
    pub(super) fn peeks_at_the_first(&self) -> bool {
        let is_message = |one: &&Object| matches!(one.holding, Holding::InFlight { .. });
        self.objects.iter().any(is_message) && !self.peeks_behind()
    }

    /// Whether a message that is not the first one in its queue has an object in it.
    fn peeks_behind(&self) -> bool {
        self.objects.iter().any(|one| matches!(one.holding, Holding::InFlight { nth, .. } if nth > 0))
    }

    /// kcmp(2) has no function in the C library.
    pub(super) fn makes_system_calls(&self) -> bool {
        self.has_descriptions
    }

    /// The record.
    pub(super) fn declarations(&self) -> String {
        let when = |condition, text| if condition { text } else { "" };
        format!(
            "\
/* What is recorded of each object before the checkpoint, and again after it. */
static struct object {{
\tchar path[64], link[4096], content[{CONTENT_LIMIT}]{}{}, *facts;
\tint visible{}{};
\tlong long position;
\tstruct statx st;
}} objects[2][{}];
static int differ;
",
            when(!self.writer.xattrs.is_empty(), ", xattr[256]"),
            when(self.has(Part::Locks), ", locks[256]"),
            when(self.has_relations, ", same_mount, same_file"),
            when(self.has_descriptions, ", fd, same_description"),
            self.objects.len(),
        )
    }

    /// The functions that record one object, and all of them.
    pub(super) fn functions(&self) -> String {
        let mut out = String::new();
        if self.peeks_behind() {
            out.push_str(PEEK_BEHIND);
        }
        if self.has(Part::Locks) {
            out.push_str(READ_LOCKS);
        }
        let root = self.root();
        let when = |condition, text| if condition { text } else { "" };
        out.push_str(&format!(
            "
/* Records the object with the number i; the second time it must be as it was. */
static void observe(int after, int i, const char *name{})
{{
\tstruct object *all = objects[after], *o = &all[i];
\tunsigned long long mount;
\tstruct statvfs vfs;
\tFILE *mounts;
{}
{}
\tTRY(readlink(o->path, o->link, sizeof(o->link) - 1));
\tTRY(statx(AT_FDCWD, o->path, 0, STATX_BASIC_STATS | STATX_MNT_ID, &o->st));
\tTRY(statvfs(o->path, &vfs));
\tTRY((mounts = fopen(\"{root}/mountinfo\", \"r\")) ? 0 : -1);
\twhile (fscanf(mounts, \"%llu%*[^\\n]\", &mount) == 1)
\t\to->visible |= mount == o->st.stx_mnt_id;
\tfclose(mounts);
",
            when(self.has_descriptors, ", int fd"),
            when(!self.has(Part::Locks), "\tint file;\n"),
            self.path(),
        ));
        if self.has_descriptors {
            out.push_str("\to->position = lseek(fd, 0, SEEK_CUR);\n");
        }
        out.push_str(&self.content());
        if self.has_relations {
            out.push_str(RELATIONS);
        }
        if self.has_descriptions {
            out.push_str(DESCRIPTIONS);
        }
        out.push_str(&self.facts());
        let same = if self.writer.xattrs.is_empty() {
            ""
        } else {
            "memcmp(objects[0][i].xattr, o->xattr, sizeof(o->xattr)) ||\n\t    "
        };
        out.push_str(&format!(
            "\
\tif (strcmp(objects[0][i].facts, o->facts) || {same}memcmp(objects[0][i].content, o->content, sizeof(o->content))) {{
\t\tfail(\"%s was: %s, content %.64s\", name, objects[0][i].facts, objects[0][i].content);
\t\tfail(\"%s is: %s, content %.64s\", name, o->facts, o->content);
\t\tdiffer = 1;
\t}}
}}
"
        ));
        out
    }

    /// Where an object is in /proc.
    fn path(&self) -> String {
        let root = self.root();
        let of = |holding: fn(&Holding) -> bool| self.objects.iter().any(|one| holding(&one.holding));
        let fd = format!("snprintf(o->path, sizeof(o->path), \"{root}/fd/%d\", fd);");
        let named = format!("snprintf(o->path, sizeof(o->path), \"{root}/%s\", name);");
        let is_named = of(|one| matches!(one, Holding::OfProcess));
        // `look` sets that of a mapping.
        let otherwise = match (is_named, of(|one| *one == Holding::Mapping)) {
            (true, true) => Some(format!("\telse if (!o->path[0])\n\t\t{named}")),
            (true, false) => Some(format!("\telse\n\t\t{named}")),
            _ => None,
        };
        match (self.has_descriptors, otherwise) {
            (true, None) if !of(|one| *one == Holding::Mapping) => format!("\t{fd}"),
            (true, otherwise) => {
                let otherwise = otherwise.map(|text| format!("\n{text}")).unwrap_or_default();
                format!("\tif (fd >= 0)\n\t\t{fd}{otherwise}")
            }
            (false, Some(_)) if !of(|one| *one == Holding::Mapping) => format!("\t{named}"),
            (false, Some(_)) => format!("\tif (!o->path[0])\n\t\t{named}"),
            (false, None) => String::new(),
        }
    }

    fn root(&self) -> &'static str {
        if self.has(Part::OwnProc) { "self" } else { "/proc/self" }
    }

    /// How the content is read.
    fn content(&self) -> String {
        let mut out = String::new();
        if let Some(name) = self.writer.xattrs.first() {
            let name = string(name.as_slice());
            out.push_str(&format!("\tgetxattr(o->path, {name}, o->xattr, sizeof(o->xattr));\n"));
        }
        if self.has(Part::Locks) {
            // A second descriptor of the file would end locks of the process when it is closed.
            out.push_str(
                "\tif (fd >= 0 && S_ISREG(o->st.stx_mode) && pread(fd, o->content, sizeof(o->content), 0) < 0)\n",
            );
            out.push_str("\t\to->content[0] = 0;\n\tread_locks(fd, o->locks, sizeof(o->locks));\n");
            return out;
        }
        out.push_str(
            "\
\tif (S_ISREG(o->st.stx_mode) && (file = open(o->path, O_RDONLY | O_NONBLOCK)) >= 0) {
\t\tTRY(pread(file, o->content, sizeof(o->content), 0));
\t\tclose(file);
\t}
",
        );
        out
    }

    /// Everything that must be the same, as text.
    fn facts(&self) -> String {
        let mut rows = vec![
            ("link %s", "o->link"),
            ("%s", "o->visible ? \"visible\" : \"not in mountinfo\""),
            ("mount attributes %#lx", "vfs.f_flag"),
            ("mode %o", "o->st.stx_mode"),
            ("links %u", "o->st.stx_nlink"),
            ("size %lld", "S_ISREG(o->st.stx_mode) ? (long long)o->st.stx_size : 0"),
        ];
        if self.has_descriptors {
            rows.push(("flags %#o", "fcntl(fd, F_GETFL)"));
            rows.push(("descriptor flags %d", "fcntl(fd, F_GETFD)"));
            rows.push(("position %lld", "o->position"));
        }
        if self.has_relations {
            rows.push(("mount of object %d", "o->same_mount"));
            rows.push(("file of object %d", "o->same_file"));
        }
        if self.has_descriptions {
            rows.push(("description of object %d", "o->same_description"));
        }
        if self.has(Part::Owners) {
            rows.push(("user %u", "o->st.stx_uid"));
            rows.push(("group %u", "o->st.stx_gid"));
        }
        if self.has(Part::Devices) {
            rows.push(("device %u", "o->st.stx_rdev_major"));
            rows.push((":%u", "o->st.stx_rdev_minor"));
        }
        if self.has(Part::Times) {
            rows.push(("modified %lld", "(long long)o->st.stx_mtime.tv_sec"));
            rows.push((".%09u", "o->st.stx_mtime.tv_nsec"));
        }
        if self.has(Part::Seals) {
            rows.push(("seals %d", "fcntl(fd, F_GET_SEALS)"));
        }
        if self.has(Part::Signals) {
            rows.push(("owner %d", "fcntl(fd, F_GETOWN) == getpid()"));
            rows.push(("signal %d", "fcntl(fd, F_GETSIG)"));
        }
        if self.has(Part::Locks) {
            rows.push(("locks %s", "o->locks"));
        }
        // Several rows share a line.
        let mut parts: Vec<String> = Vec::new();
        for (index, some) in rows.chunks(ROW).enumerate() {
            let format: Vec<&str> = some.iter().map(|(format, _)| *format).collect();
            let between = if index == 0 { "" } else { ", " };
            parts.push(format!("\t\t \"{between}{}\"", format.join(", ")));
        }
        let last = parts.len() - 1;
        parts[last].push(',');
        for (index, some) in rows.chunks(ROW).enumerate() {
            let values: Vec<&str> = some.iter().map(|(_, value)| *value).collect();
            let end = if (index + 1) * ROW >= rows.len() { "));" } else { "," };
            parts.push(format!("\t\t {}{end}", values.join(", ")));
        }
        format!("\tTRY(asprintf(&o->facts,\n{}\n", parts.join("\n"))
    }

    /// The function that records everything and tests what the scenario asserts.
    pub(super) fn look(&self, claims: &[String]) -> String {
        let mut out = "\nstatic void look(int after)\n{\n".to_owned();
        if !claims.is_empty() {
            out.push_str("\tstruct object *o = objects[after];\n");
        }
        if self.has(Part::OwnProc) {
            out.push_str("\tint context, proc, here;\n");
        }
        out.push('\n');
        if self.has(Part::OwnProc) {
            out.push_str(MOUNT_PROC);
        }
        let root = self.root();
        for (index, object) in self.objects.iter().enumerate() {
            let (name, expression) = (string(object.name.0.as_bytes()), &object.expression);
            if let Holding::InFlight { socket, nth } = &object.holding {
                let peek = match self.peeks_behind() {
                    true => format!("peek({socket}, {nth})"),
                    false => format!("receive_descriptor({socket}, MSG_PEEK)"),
                };
                out.push_str(&format!("\tTRY({expression} = {peek});\n"));
            }
            if let Holding::Mapping = object.holding {
                out.push_str(&format!("\tsprintf(objects[after][{index}].path, \"{root}/map_files/%lx-%lx\",\n"));
                out.push_str(&format!("\t\t(unsigned long){expression}, (unsigned long){expression} + 4096);\n"));
            }
            let fd = match object.holding {
                _ if !self.has_descriptors => String::new(),
                Holding::OfProcess | Holding::Mapping => ", -1".to_owned(),
                _ => format!(", {expression}"),
            };
            out.push_str(&format!("\tobserve(after, {index}, {name}{fd});\n"));
        }
        if self.has(Part::OwnProc) {
            out.push_str("\tTRY(fchdir(here));\n\tclose(here);\n\tclose(proc);\n");
        }
        out.extend(claims.iter().map(|line| format!("\t{line}\n")));
        // Claims look up names below them.
        let in_flight = self.objects.iter().filter(|object| matches!(object.holding, Holding::InFlight { .. }));
        out.extend(in_flight.map(|object| format!("\tclose({});\n", object.expression)));
        out + "\tif (differ)\n\t\texit(1);\n}\n"
    }
}

const RELATIONS: &str = "\
\twhile (all[o->same_mount].st.stx_mnt_id != o->st.stx_mnt_id)
\t\to->same_mount++;
\twhile (all[o->same_file].st.stx_ino != o->st.stx_ino || all[o->same_file].st.stx_dev_minor != o->st.stx_dev_minor)
\t\to->same_file++;
";

const DESCRIPTIONS: &str = "\
\to->fd = fd;
\twhile (o->same_description < i &&
\t       syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, all[o->same_description].fd, fd))
\t\to->same_description++;
";

const MOUNT_PROC: &str = "\
\t/* There is no /proc below the root of the process: one that is attached nowhere. */
\tTRY(context = fsopen(\"proc\", FSOPEN_CLOEXEC));
\tTRY(fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
\tTRY(proc = fsmount(context, FSMOUNT_CLOEXEC, 0));
\tclose(context);
\tTRY(here = open(\".\", O_PATH));
\tTRY(fchdir(proc));
";
