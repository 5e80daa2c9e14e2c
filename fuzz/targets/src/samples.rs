//! Text as Linux and criu wrote it, with names that are easily misread.

/// Every line that a header can have.
pub(crate) const SCENARIO: &str = r#"# Every part of a header: "größe".
with fs=tmpfs x=v1.0
requires kernel=6.1..6.12 flavor=ns lifecycle=dump-restore|pre-dump
outcome refused "a \"quoted\" reason"

mount tmpfs "a b\xff"
fd0 = open "a b\xff" directory
assert fd0 visible
"#;
/// A lower bound alone.
pub(crate) const SCENARIO_FROM: &str = "# From one release on.\nrequires fs=tmpfs|ext4 kernel=6.12..\noutcome restored\n\nmount $fs a\nassert cwd visible\n";

/// Mounts of several kinds.
pub(crate) const MOUNTINFO: &str = r"63 43 0:39 / /top rw,relatime - tmpfs none rw
64 63 0:40 / /top/a\040b rw,relatime - tmpfs so\040urce rw,size=1024k
65 63 0:40 / /top/c rw,relatime shared:1 - tmpfs so\040urce rw,size=1024k
66 63 0:40 /x /top/n\012l rw,relatime master:1 - tmpfs so\040urce rw,size=1024k
69 63 0:41 / /top/o/m rw,relatime - overlay overlay rw,lowerdir=/top/o/l,upperdir=/top/o/u,workdir=/top/o/w,uuid=on
70 63 0:43 / /top/o/l rw,relatime - proc proc rw
";
/// One mount with every kind of field.
pub(crate) const MOUNT: &str = "36 35 98:0 /m\\040nt//deleted /mnt\\0112\\134 rw,noatime shared:3 master:1 propagate_from:2 unbindable - ext3 /dev/ro\\134ot rw\n";

/// A file with two kinds of locks.
pub(crate) const FDINFO_FILE: &str = "pos:\t5\nflags:\t02102002\nmnt_id:\t27\nino:\t10043907\nlock:\t1: FLOCK  ADVISORY  WRITE 6021 fe:00:10043907 0 EOF\nlock:\t2: POSIX  ADVISORY  WRITE 6021 fe:00:10043907 0 2\n";
/// A watch of a directory.
pub(crate) const FDINFO_INOTIFY: &str = "pos:\t0\nflags:\t00\nmnt_id:\t17\nino:\t26\ninotify wd:1 ino:994139 sdev:fe00000 mask:100 ignored_mask:0 fhandle-bytes:8 fhandle-type:1 f_handle:394199009ae6bcf7\n";
/// An epoll with one pipe.
pub(crate) const FDINFO_EPOLL: &str = "pos:\t0\nflags:\t02000002\nmnt_id:\t17\nino:\t26\ntfd:        6 events:       1f data:                6  pos:0 ino:ab5738 sdev:f\n";

/// A dump that fails on a detached mount.
pub(crate) const DUMP_LOG: &str = "(00.001081) Version: 4.1.1 (gitid 0)
(00.016063) Error (criu/files-reg.c:1871): Can't lookup mount=38 for fd=3 path=/d/f
(00.016100) ----------------------------------------
(00.016139) Error (criu/cr-dump.c:1564): Dump files (pid: 122) failed with -1
(00.020551) Error (criu/cr-dump.c:2111): Dumping FAILED.
";
/// Lines of restored tasks, numbers in both forms, names in quotes.
pub(crate) const RESTORE_LOG: &str =
    "(00.20)      1: Error (criu/cr-restore.c:1): Can't open 'd/f' on 0x7ffe01: No such file or directory
pie: 1: Error (criu/pie/restorer.c:1): \"größe\"
(00.3) Warn  (criu/mount.c:12): it's /top/a b
";

/// Every key of both kinds of entry.
pub(crate) const EXPECTATIONS: &str = r#"# A comment.
[[expect]]
scenario = ["deleted/*", "*@ext4"]
except = "deleted/control*"
flavor = ["ns", "host"]
lifecycle = "dump-restore"
kernel = ["..6.1", "6.12", "7.0.."]
subject = "debian:*"
criu = "3.17..4.1.1"
kind = "dump-failed"
reason = "no mount" # why
link = "https://example.org/1"

[[defect]]
scenario = "*"
comparison = ["link", "descriptor-flags"]
object = "fd0 *"
expected = '(?<path>/.*) \(deleted\)'
got = "${path}"
reason = "the mark is lost"
"#;
