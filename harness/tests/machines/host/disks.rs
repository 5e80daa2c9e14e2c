//! The processes of a program count its disks together.

use std::fs;

use libtest_mimic::Failed;

use crate::program::program_in;

/// Each is restored only where a disk is taken once.
const PROGRAMS: [(&str, &str); 3] = [
    (
        "each mounts one",
        r#"mount ext4 a
fork child
as child
mount ext4 b
write b/f "hello"
as main
mount ext4 c
fd0 = open b/f
fd1 = open c directory
assert fd0 visible
assert fd1 lookup "f" ENOENT
"#,
    ),
    (
        "one mounts what the other has mounted",
        r#"fork child
as child
mount ext4 a
write a/f "hello"
as main
mount-again a b
fd0 = open b/f
assert fd0 link "/b/f"
"#,
    ),
    (
        "what was mounted after the fork can be unmounted",
        r#"write f "hello"
fork child
fork other
as child
mount ext4 a
mount-again a b
umount b
umount a
as main
fd0 = open f
assert fd0 visible
"#,
    ),
];

pub(crate) fn processes_count_disks_together() -> Result<(), Failed> {
    for (flavor, (name, steps)) in
        ["ns", "userns", "host"].into_iter().flat_map(|flavor| PROGRAMS.map(|program| (flavor, program)))
    {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("disks.scn"), format!("# {name}.\noutcome restored\n\n{steps}"))?;
        let words = ["run", "./disks.scn", "--backend", "host", "--subject", "reference", "--flavor", flavor];
        let output = program_in(&words, folder.path()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("{name}, {flavor}: {}\n{said}", output.status).into());
        }
    }
    Ok(())
}
