//! What the reference engine cannot bring back it refuses, with the cause; it never makes something
//! that looks like it.

use harness::host;
use harness::judge::{FailureKind, Verdict};
use libtest_mimic::Failed;
use protocol::message::DetachMethod;
use testing::rig::Rig;

use super::same::{run, scenario};

const OVER_IT: &str = "something else is mounted over it there";

/// Programs, and words of the refusal.
const REFUSED: &[(&str, &str)] = &[
    ("mkdir d\nwrite d/f \"\"\nfd0 = open d/f rdwr\nmount tmpfs d", OVER_IT),
    ("mkdir d\nwrite d/f \"\"\nfd0 = open d/f rdwr\nunlink d/f\nmount tmpfs d", OVER_IT),
    ("mkdir d\nmkdir d/e\nfd0 = open d/e directory\nrmdir d/e\nmount tmpfs d", OVER_IT),
    ("fd0 = open tmp rdwr tmpfile\nmount tmpfs tmp", OVER_IT),
    ("fd0 = open tmp rdwr tmpfile\nmount tmpfs tmp ro", OVER_IT),
    ("write \"tmp/f (deleted)\" \"\"\nfd0 = open \"tmp/f (deleted)\" rdwr\nbind tmp tmp", OVER_IT),
    ("write \"f (deleted)\" \"\"\nwrite g \"\"\nfd0 = open \"f (deleted)\" rdwr\nbind g \"f (deleted)\"", OVER_IT),
    (
        "mount tmpfs a\nmknod a/n char 1 3\nfd0 = open a/n\nremount a nodev",
        "an open device on a mount that is nodev now",
    ),
    ("fd0 = open tmp rdwr tmpfile\nlink fd0: b", "it was opened with O_TMPFILE and has got a name since"),
    ("bind tmp g\nfd0 = open tmp\nrmdir tmp", "a visible mount still has it or its directory for its root"),
    ("bind tmp g\nmkdir tmp/d\nfd0 = open tmp/d\nrmdir tmp/d\nrmdir tmp", "a visible mount still has it"),
    ("mount tmpfs a\nwrite a/f \"\"\nbind a b\nfd0 = open b/f\npivot-root b b", OVER_IT),
    ("mount tmpfs a\ntree = open-tree a\nagain = open tree: path", "is not certain"),
    ("mount tmpfs a\nmount tmpfs a/n\ntree = open-tree a recursive", "still connected to another one"),
    (
        "mount tmpfs a\nmount tmpfs a/n\ntree = open-tree a recursive\nfd0 = open tree: directory\nclose tree",
        "still connected to another one",
    ),
    (
        "mount tmpfs a\nwrite a/f \"\"\nmount tmpfs a/n\ntree = open-tree a recursive\nfd0 = open tree:n directory\n\
         fd1 = open tree:f\nclose tree",
        "still connected to another one",
    ),
];

/// Each of them is refused with its cause, and the process goes on unharmed.
pub(crate) fn what_cannot_come_back_is_refused() -> Result<(), Failed> {
    let mut rig = Rig::new(false)?;
    for (text, cause) in REFUSED {
        let (judgement, report) = run(&mut rig, &scenario(text)?, DetachMethod::Tree)?;
        let mut errors = report.actions.iter().flat_map(|action| &action.error_lines);
        if judgement.verdict != Verdict::Fail(FailureKind::DumpFailed) || !errors.any(|line| line.contains(cause)) {
            return Err(format!("{judgement:#?}\n{text}").into());
        }
    }
    Ok(())
}

/// Programs of which it was said that they cannot come back, and which can.
const RESTORED: &[&str] = &[
    "mkdir d\nfd0 = open d rdwr tmpfile\nwrite-to fd0 \"x\"\nrmdir d",
    "mount tmpfs a\nmkdir a/d\nbind a b\nfd0 = open b/d rdwr tmpfile\nwrite-to fd0 \"x\"\nrmdir b/d\numount-lazy b",
    "write a \"\"\nbind a a\nfd0 = open a nofollow\nfd1 = open a nofollow path\nfd2 = memfd \"m\"\numount-lazy a",
    "write a \"\"\nbind a a\nfd0 = open a nofollow",
    "mount tmpfs a nosuid\ntree = open-tree a\nagain = dup tree\nclose tree",
    "write f \"\"\nfd0 = open f\nmount tmpfs tmp\nunlink f\nmove tmp f",
    "mount tmpfs a\nbind a a\nbind a a\nbind a b\nfd0 = open b\numount-lazy b\nmkdir d\nfd1 = open d\nrmdir d",
    "write a \"\"\nfd0 = open a rdwr\nfd1 = map fd0 private\nlock fd0 posix write",
    "mount ext4 b\nmkdir b/b\nfd0 = open b/b\nread-entries fd0\nrmdir b/b",
    "mount tmpfs n\nmount tmpfs n/b\nrbind n a\nmove n/b a\nfd1 = open n\numount-lazy n",
    "mount tmpfs a\nmkdir a/d\nbind a/d b\nfd0 = open b directory\numount-lazy b\nrmdir a/d",
    "mount tmpfs a\nmkdir a/d\nbind a/d b\nfd0 = open b rdwr tmpfile\nwrite-to fd0 \"x\"\numount-lazy b\nrmdir a/d",
    "mount tmpfs a\nwrite a/f \"\"\nbind a/f b\nfd0 = open b nofollow\numount-lazy b\nunlink a/f",
    "mount tmpfs a\nwrite a/f \"\"\nbind a/f b\nbind a/f c\nfd0 = open b\nfd1 = open c\numount-lazy b\numount-lazy c\nunlink a/f",
    "mount ext4 a\nmkdir a/x\nmkdir a/x/d\nmkdir a/x/d/e\nwrite a/x/d/e/f \"\"\nbind a/x/d b\nfd0 = open b/e/f\nfd1 = open b/e\n\
     umount-lazy b\nunlink a/x/d/e/f\nrmdir a/x/d/e\nrmdir a/x/d\nrmdir a/x",
];

/// Each of them comes back.
pub(crate) fn what_can_come_back_does() -> Result<(), Failed> {
    let mut rig = Rig::new(true)?;
    // Only root may use disks.
    for text in RESTORED.iter().filter(|text| host::is_root() || !text.contains("mount ext4")) {
        for way in [DetachMethod::Tree, DetachMethod::Bind] {
            let (judgement, _) = run(&mut rig, &scenario(text)?, way)?;
            if judgement.verdict != Verdict::Pass {
                return Err(format!("by {way:?}: {judgement:#?}\n{text}").into());
            }
        }
    }
    Ok(())
}
