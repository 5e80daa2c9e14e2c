//! A criu in place of the userland's, which the host hands over to a machine that runs already:
//! itself, its loader, its libraries, in a folder of their own.

use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use protocol::message::HandedFile;

use crate::criu::{FOLDER, KERNEL_DATA};

/// Takes the files, whose contents follow in this order, in place of what was handed over before.
pub(super) fn take(files: &[HandedFile], from: &mut impl Read) -> io::Result<()> {
    for gone in [fs::remove_dir_all(FOLDER), fs::remove_file(KERNEL_DATA)] {
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    take_into(Path::new(FOLDER), files, from)
}

fn take_into(folder: &Path, files: &[HandedFile], from: &mut impl Read) -> io::Result<()> {
    for HandedFile { name, bytes } in files {
        if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::other(format!("{name:?} leads out of the folder")));
        }
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap_or(folder))?;
        let mut file = File::create(&path)?;
        let copied = io::copy(&mut from.by_ref().take(*bytes), &mut file)?;
        if copied < *bytes {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.set_permissions(Permissions::from_mode(0o755))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, bytes: u64) -> HandedFile {
        HandedFile { name: name.to_owned(), bytes }
    }

    #[test]
    fn files_come_one_after_the_other_and_what_follows_stays() {
        let folder = std::env::temp_dir().join(format!("zdtm-handed-{}", std::process::id()));
        let mut from = &b"onetwo3and what follows"[..];
        let taken = take_into(&folder, &[file("criu", 3), file("empty", 0), file("lib/two", 4)], &mut from);
        let read = |name: &str| fs::read_to_string(folder.join(name)).expect("a file");
        let got = [read("criu"), read("empty"), read("lib/two")];
        let mode = fs::metadata(folder.join("criu")).expect("a file").permissions().mode();
        let cut = take_into(&folder, &[file("more", 5)], &mut &b"four"[..]);
        let outside = take_into(&folder, &[file("../x", 1)], &mut &b"x"[..]);
        fs::remove_dir_all(&folder).expect("its end");
        taken.expect("all is there");
        assert_eq!(
            (got, mode & 0o777, from),
            (["one", "", "two3"].map(str::to_owned), 0o755, &b"and what follows"[..])
        );
        assert_eq!(cut.expect_err("a byte is missing").kind(), io::ErrorKind::UnexpectedEof);
        assert!(outside.expect_err("it leads out").to_string().contains("leads out"));
    }
}
