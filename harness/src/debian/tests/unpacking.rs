//! Packages that want to be elsewhere, or are none.

use std::fs;

use super::{deb, entry, file};
use crate::debian::deb::unpack;

/// Unpacks one package with such an entry behind a good one; the error.
fn refused(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.deb");
    fs::write(directory.path().join("secret"), "kept").unwrap();
    fs::write(&path, deb(fill)).unwrap();
    let result = unpack(&[path], &directory.path().join("root"));
    assert_eq!(fs::read_to_string(directory.path().join("secret")).unwrap(), "kept");
    assert!(!directory.path().join("out").exists());
    result
        .map_or_else(|error| error.to_string(), |()| "unpacked".into())
        .replace(directory.path().to_str().unwrap(), "DIR")
}

#[test]
fn a_package_stays_below_its_directory() {
    use tar::EntryType::{Link, Regular, Symlink};
    for path in ["../out", "/out", "usr/../../out"] {
        let error = refused(|tar| entry(tar, Regular, path, "", "x"));
        assert_eq!(error, format!("DIR/a.deb: `{path}` in it leads out of the package"));
    }
    for target in ["..", "/tmp", "../../"] {
        let error = refused(|tar| {
            entry(tar, Symlink, "d", target, "");
            entry(tar, Regular, "d/out", "", "x");
        });
        assert_eq!(error, "DIR/a.deb: `d/out` in it lies behind the link DIR/root/d");
    }
    let error = refused(|tar| entry(tar, Link, "x", "../secret", ""));
    assert_eq!(error, "DIR/a.deb: `x` in it leads out of the package");
    // A file takes the place of a link and is not written through it.
    let replaced = refused(|tar| {
        entry(tar, Symlink, "x", "../secret", "");
        entry(tar, Regular, "x", "", "evil");
    });
    assert_eq!(replaced, "unpacked");
    let error = refused(|tar| {
        entry(tar, Symlink, "x", "../secret", "");
        entry(tar, Link, "y", "x", "");
    });
    assert_eq!(error, "DIR/a.deb: `y` in it is a hard link to what is no file");
    // Links that stay inside lead on.
    let inside = refused(|tar| {
        entry(tar, tar::EntryType::Directory, "usr/real", "", "");
        entry(tar, Symlink, "usr/link", "real", "");
        entry(tar, Regular, "usr/link/f", "", "x");
        entry(tar, Link, "usr/g", "usr/real/f", "");
    });
    assert_eq!(inside, "unpacked");
}

#[test]
fn what_is_no_package_is_refused() {
    let error = |bytes: &[u8]| {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.deb");
        fs::write(&path, bytes).unwrap();
        unpack(&[path], &directory.path().join("root")).unwrap_err().to_string()
    };
    assert!(error(b"no archive").contains("a.deb: is no Debian package: "));
    assert!(error(b"!<arch>\n").ends_with("a.deb: is no Debian package: it has no data.tar"));
    let whole = deb(|tar| file(tar, "f", "x"));
    arbtest::arbtest(|u| {
        let mut cut = whole.clone();
        let at = u.int_in_range(0..=cut.len() - 1)?;
        cut[at] = u.arbitrary()?;
        cut.truncate(u.int_in_range(0..=cut.len())?);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.deb");
        fs::write(&path, cut).unwrap();
        let _ = unpack(&[path], &directory.path().join("root"));
        Ok(())
    })
    .budget_ms(300);
}
