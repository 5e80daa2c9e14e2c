//! The whole C file, in both dialects.

use scenarios::program::Line;
use scenarios::{Outcome, Scenario, Step};

use super::claims::{self, Claims};
use super::functions::{AT, FROM_TOP, LOOK_UP, RECEIVE, SEND};
use super::holdings::Holding;
use super::literal::{comment, file_name, string};
use super::observation::{Observation, named_of_process};
use super::steps::{Part, Writer};
use super::{Dialect, Refusal};

/// Longer files are not read. Where remarks make a file too long, it has none.
const LINE_LIMIT: usize = 150;

/// A C file and what is around it.
pub(super) struct Written {
    pub(super) text: String,
    /// How many block devices it needs.
    pub(super) disks: usize,
    /// It leaves a mount namespace that another process keeps.
    pub(super) keeps_old: bool,
}

pub(super) fn write(scenario: &Scenario, remarks: &[String], dialect: Dialect) -> Result<Written, Refusal> {
    let mut writer = Writer::new(&scenario.program, dialect);
    writer.carry_out()?;
    for name in named_of_process(scenario) {
        if name != "exe" || writer.starts_anew() {
            writer.holdings.add_of_process(name);
        }
    }
    let whole = |reason| Refusal { place: None, reason };
    let observes_paths = writer.parts.contains(&Part::Locks) || !writer.xattrs.is_empty();
    if writer.parts.contains(&Part::OwnProc) && observes_paths {
        return Err(whole("locks or extended attributes, and no /proc in the root of the process"));
    }
    let observation = Observation::of(&writer);
    let observed = observation.observed();
    if observed.is_empty() {
        return Err(whole("it holds nothing at its end"));
    }
    let claims = claims::write(&scenario.program, &writer.holdings, &observed)?;
    if writer.is_used("proc") {
        return Err(whole("it uses the /proc in its top directory"));
    }
    let is_absolute = |line: &Line| matches!(&line.step, Step::Symlink { target, .. } if target.0.starts_with(b"/"));
    if claims.has_lookups && scenario.program.steps.iter().any(is_absolute) {
        return Err(whole("lookups and an absolute symbolic link: the top directory is not the root"));
    }
    let needs_proc = claims.has_lookups || observed.iter().any(|name| name.0 == "cwd");
    if writer.parts.contains(&Part::OwnProc) && needs_proc {
        return Err(whole("lookups or the working directory, and no /proc in the root of the process"));
    }
    let file = File { scenario, writer: &writer, observation: &observation, claims: &claims };
    let fits = |text: &String| text.lines().count() <= LINE_LIMIT;
    let texts = [remarks, &[]].into_iter().map(|remarks| file.text(remarks));
    let text = texts.into_iter().find(fits).ok_or(whole("more than 150 lines of C"))?;
    Ok(Written { text, disks: writer.disks.len(), keeps_old: writer.keeps_old })
}

struct File<'a> {
    scenario: &'a Scenario,
    writer: &'a Writer<'a>,
    observation: &'a Observation<'a>,
    claims: &'a Claims,
}

impl File<'_> {
    fn has(&self, part: Part) -> bool {
        self.writer.parts.contains(&part)
    }

    fn text(&self, remarks: &[String]) -> String {
        let mut out = self.head(remarks);
        out.push_str(&self.includes());
        out.push_str(&self.declarations());
        out.push_str(&self.helpers());
        out.push_str(&self.observation.functions());
        out.push_str(&self.observation.look(&self.claims.lines));
        if self.writer.before_exec.is_some() {
            out.push_str(&self.before_exec());
        }
        out.push_str(&match self.writer.dialect {
            Dialect::Zdtm => self.main_of_zdtm(),
            Dialect::Alone => self.main_alone(),
        });
        out
    }

    /// The comment at the start.
    fn head(&self, remarks: &[String]) -> String {
        let mut lines = vec![self.scenario.summary.clone()];
        lines.extend(remarks.iter().cloned());
        if let Outcome::Refused { reason } = &self.scenario.outcome {
            lines.push(format!("The dump must fail and change nothing: {reason}."));
        }
        let name = file_name(&self.scenario.name);
        if self.writer.dialect == Dialect::Alone {
            let disks = self.disks();
            let directory = if disks.is_empty() { " [DIR]" } else { " DIR" };
            let program = format!("./{name}{directory}{disks}");
            let started = match self.writer.keeps_old {
                true => format!("unshare -m sh -c '{program}; exit $?' (the shell keeps the old namespace)"),
                false => format!("unshare -m {program}"),
            };
            lines.push(format!("As root: {started}. It prints its PID, and checks itself at SIGTERM."));
        }
        lines.push(format!("{} the scenario {}.", super::MARK, self.scenario.name));
        let text: String =
            lines.iter().map(|line| format!(" * {}", comment(line)).trim_end().to_owned() + "\n").collect();
        format!("/*\n{text} */\n")
    }

    /// The arguments for block devices.
    fn disks(&self) -> String {
        let disk = |(_, fs_type): &(_, &str)| format!(" {}-DEVICE", fs_type.to_uppercase());
        self.writer.disks.iter().map(disk).collect()
    }

    fn includes(&self) -> String {
        let held = |holding: fn(&Holding) -> bool| self.writer.holdings.iter().any(|one| holding(&one.holding));
        let any = |words: &[&str]| {
            let lines = self.writer.lines.iter().chain(self.writer.before_exec.iter().flatten());
            lines.into_iter().any(|line| words.iter().any(|word| line.contains(word)))
        };
        let mut all = vec![("fcntl.h", true)];
        all.push(("linux/btrfs.h", self.has(Part::Btrfs)));
        all.push(("sched.h", any(&["unshare("])));
        all.push(("signal.h", self.writer.dialect == Dialect::Alone));
        if self.writer.dialect == Dialect::Alone {
            all.extend([("stdio.h", true), ("stdlib.h", true), ("string.h", true), ("errno.h", true)]);
            all.push(("unistd.h", true));
        }
        all.push(("sys/file.h", any(&["flock("])));
        all.push(("sys/ioctl.h", self.has(Part::Btrfs)));
        all.push(("sys/mman.h", any(&["mmap(", "memfd_create("])));
        all.push(("sys/mount.h", true));
        all.push(("sys/socket.h", held(|one| *one == Holding::Socket)));
        all.push(("sys/stat.h", true));
        all.push(("sys/statvfs.h", true));
        all.push(("sys/syscall.h", self.observation.makes_system_calls() || any(&["syscall("])));
        let makes_nodes = any(&["makedev("]) || self.writer.dialect == Dialect::Zdtm && !self.writer.disks.is_empty();
        all.push(("sys/sysmacros.h", makes_nodes));
        all.push(("sys/xattr.h", !self.writer.xattrs.is_empty()));
        let mut names: Vec<&str> = all.into_iter().filter(|(_, needed)| *needed).map(|(name, _)| name).collect();
        names.sort_unstable();
        let lines: String = names.iter().map(|name| format!("#include <{name}>\n")).collect();
        match self.writer.dialect {
            Dialect::Zdtm => format!("{lines}\n#include \"zdtmtst.h\"\n\n"),
            Dialect::Alone => format!("#define _GNU_SOURCE\n{lines}\n"),
        }
    }

    fn declarations(&self) -> String {
        let mut out = match self.writer.dialect {
            Dialect::Zdtm => format!(
                "\
const char *test_doc = {};
const char *test_author = \"zdtm-detached\";
char *dirname;
TEST_OPTION(dirname, string, \"directory name\", 1);

",
                string(self.scenario.summary.as_bytes())
            ),
            Dialect::Alone => "\
#define fail(format, ...) fprintf(stderr, format \"\\n\", ##__VA_ARGS__)
#define pr_perror(format, ...) fail(format \": %s\", ##__VA_ARGS__, strerror(errno))
"
            .to_owned(),
        };
        out.push_str(
            "\
#define TRY(call) do { if ((call) < 0) { pr_perror(\"%s\", #call); exit(1); } } while (0)
#define HOLDS(claim, test) do { if (!(test)) { fail(\"not so: %s\", claim); differ = 1; } } while (0)

",
        );
        out.push_str(&self.observation.declarations());
        let alone = self.writer.dialect == Dialect::Alone;
        let texts = [
            ("*dirname", alone),
            ("**disks", alone && !self.writer.disks.is_empty()),
            ("top[4096]", self.needs_top()),
            ("start[4096], self[4096]", self.writer.before_exec.is_some()),
        ];
        let texts: Vec<&str> = texts.into_iter().filter(|(_, used)| *used).map(|(text, _)| text).collect();
        if !texts.is_empty() {
            out.push_str(&format!("static char {};\n", texts.join(", ")));
        }
        if self.has(Part::Cwd) {
            out.push_str("static int cwd;\n");
        }
        out + &self.writer.holdings.declarations()
    }

    /// The path of the top directory is a part of what the program does or checks.
    fn needs_top(&self) -> bool {
        let mut lines = self.writer.lines.iter().chain(self.writer.before_exec.iter().flatten());
        let used = lines.any(|line| line.contains(", top") || line.contains("(top)"));
        used || self.claims.has_links_from_top || self.claims.has_lookups
    }

    fn helpers(&self) -> String {
        let mut out = String::new();
        if self.claims.has_links_from_top || self.claims.has_lookups {
            out.push_str(FROM_TOP);
        }
        if self.claims.has_lookups {
            out.push_str(LOOK_UP);
        }
        if self.has(Part::At) {
            out.push_str(AT);
        }
        let lines = || self.writer.lines.iter().chain(self.writer.before_exec.iter().flatten());
        let calls = |function: &str| lines().any(|line| line.contains(function));
        if calls("send_descriptor(") {
            out.push_str(SEND);
        }
        if calls("receive_descriptor(") || self.observation.peeks_at_the_first() {
            out.push_str(RECEIVE);
        }
        out
    }

    /// The variables that the steps of a function use.
    fn locals(&self, lines: &[String], number: Option<&str>) -> String {
        let uses = |word: &str| lines.iter().any(|line| line.contains(word));
        let mut out = String::new();
        let numbers: Vec<&str> = uses("TRY(file = ").then_some("file").into_iter().chain(number).collect();
        if !numbers.is_empty() {
            out.push_str(&format!("\tint {};\n", numbers.join(", ")));
        }
        if uses("(options, ") {
            out.push_str("\tchar options[8192];\n");
        }
        if uses("attributes.attr_set") {
            out.push_str("\tstruct mount_attr attributes = { .attr_clr = 0x2000ff };\n");
        }
        if uses("&status)") {
            out.push_str("\tstruct statx status;\n");
        }
        out
    }

    fn before_exec(&self) -> String {
        let lines = self.writer.before_exec.as_deref().unwrap_or_default();
        let mut out = "\n/* The steps up to `exec`, in a process that then starts anew. */\n".to_owned();
        out.push_str("static void before_exec(char **argv)\n{\n\tchar numbers[256];\n");
        out.push_str(&self.locals(lines, None));
        out.push_str("\n\tTRY(getcwd(start, sizeof(start)) ? 0 : -1);\n");
        out.push_str("\tTRY(readlink(\"/proc/self/exe\", self, sizeof(self) - 1));\n");
        out.push_str(&self.enter_top());
        out.extend(lines.iter().map(|line| format!("\t{line}\n")));
        out + "}\n"
    }

    /// Makes the top directory with what is in it, and goes there.
    fn enter_top(&self) -> String {
        let mut out = "\tTRY(mkdir(dirname, 0755));\n".to_owned();
        if self.writer.leaves_namespace() {
            out.push_str("\t/* A namespace of this process alone: it ends when the steps leave it. */\n");
            out.push_str("\tTRY(unshare(CLONE_NEWNS));\n");
        }
        if self.writer.top_is_a_mount() {
            out.push_str("\tTRY(mount(dirname, dirname, NULL, MS_BIND, NULL));\n");
        }
        out.push_str("\tTRY(chdir(dirname));\n");
        if self.writer.is_used("tmp") {
            out.push_str("\tTRY(mkdir(\"tmp\", 0755));\n");
        }
        if self.needs_top() {
            out.push_str("\tTRY(getcwd(top, sizeof(top)) ? 0 : -1);\n");
        }
        if self.writer.dialect == Dialect::Zdtm {
            for disk in 0..self.writer.disks.len() {
                let minor = super::FIRST_LOOP_DEVICE + disk;
                out.push_str(&format!("\tTRY(mknod(\".disk{disk}\", S_IFBLK | 0600, makedev(7, {minor})));\n"));
            }
        }
        out
    }

    /// The steps that `main` carries out.
    fn steps(&self) -> String {
        let lines = &self.writer.lines;
        let mut out = String::new();
        if self.writer.before_exec.is_some() {
            out.push_str("\tTRY(chdir(dirname));\n");
            if self.needs_top() {
                out.push_str("\tTRY(getcwd(top, sizeof(top)) ? 0 : -1);\n");
            }
        } else {
            out.push_str(&self.enter_top());
        }
        out.extend(lines.iter().map(|line| format!("\t{line}\n")));
        out + "\n\tlook(0);\n"
    }

    fn main_of_zdtm(&self) -> String {
        let mut out = self.make_disks();
        out.push_str("\nint main(int argc, char **argv)\n{\n");
        let again = self.writer.before_exec.is_some();
        let disks = !self.writer.disks.is_empty();
        let locals = self.locals(&self.writer.lines, None);
        out.push_str(&locals);
        if disks && !again {
            out.push_str("\tconst char *stage = getenv(\"ZDTM_NEWNS\");\n");
        }
        if again {
            out.push_str("\tconst char *numbers = getenv(\"ZDTM_REEXEC\");\n");
        }
        if disks || again || !locals.is_empty() {
            out.push('\n');
        }
        if disks {
            let first = if again { "!numbers" } else { "!stage || !strcmp(stage, \"1\")" };
            out.push_str(&format!("\tif ({first})\n\t\tmake_disks();\n"));
        }
        if again {
            // The library's parser cuts the arguments into pieces, and they pass over execve(2).
            out.push_str("\tdirname = strchr(argv[argc - 1], '=') + 1; /* TST_DIR gives it last */\n");
            out.push_str("\tif (!numbers)\n\t\tbefore_exec(argv);\n");
        }
        out.push_str("\ttest_init(argc, argv);\n");
        out.push_str(&self.steps());
        out.push_str(
            "\
\ttest_daemon();
\ttest_waitsig();

\tlook(1);
\tpass();
\treturn 0;
}
",
        );
        out
    }

    /// Block devices for a test of zdtm, outside of its namespaces.
    fn make_disks(&self) -> String {
        if self.writer.disks.is_empty() {
            return String::new();
        }
        let mut out = "\n/* Outside of the namespaces of the test. */\nstatic void make_disks(void)\n{\n".to_owned();
        for (disk, (_, fs_type)) in self.writer.disks.iter().enumerate() {
            let minor = super::FIRST_LOOP_DEVICE + disk;
            let file = format!("{}.disk{minor}", file_name(&self.scenario.name));
            out.push_str(&format!(
                "\tTRY(-system(\"{} && \"\n\
                 \t\t    \"{{ [ -b /dev/loop{minor} ] || mknod /dev/loop{minor} b 7 {minor}; }} && \"\n\
                 \t\t    \"losetup /dev/loop{minor} {file}\"));\n",
                super::mounts::make_filesystem(fs_type, &file)
            ));
        }
        out + "}\n"
    }

    fn main_alone(&self) -> String {
        let again = self.writer.before_exec.is_some();
        let disks = self.writer.disks.len();
        let mut out = "\nint main(int argc, char **argv)\n{\n".to_owned();
        if again {
            out.push_str("\tconst char *numbers = getenv(\"ZDTM_REEXEC\");\n");
        }
        out.push_str("\tsigset_t signals;\n");
        out.push_str(&self.locals(&self.writer.lines, Some("signal")));
        out.push('\n');
        if disks > 0 {
            out.push_str(&format!("\tif (argc != {})\n", disks + 2));
            out.push_str(&format!("\t\treturn fail(\"arguments: DIR{}\"), 1;\n", self.disks()));
            out.push_str("\tdirname = argv[1];\n\tdisks = argv + 2;\n");
        } else {
            let name = file_name(&self.scenario.name);
            out.push_str(&format!("\tdirname = argc > 1 ? argv[1] : \"{name}.test\";\n"));
        }
        if again {
            out.push_str("\tif (!numbers)\n\t\tbefore_exec(argv);\n");
        }
        out.push_str(&self.steps());
        out.push_str(
            "\
\tsigemptyset(&signals);
\tsigaddset(&signals, SIGTERM);
\tsigprocmask(SIG_BLOCK, &signals, NULL);
\tdprintf(STDOUT_FILENO, \"%d\\n\", getpid());
\tsigwait(&signals, &signal);

\tlook(1);
\treturn 0;
}
",
        );
        out
    }
}
