//! vfat: neither links nor special files, and names that mean the same in capitals (fs/fat).

use super::files::{Den, Kind, Type};
use super::{Model, Result, errno, unknown};
use vocabulary::Errno;

/// That a file of this kind can be made in a directory: a vfat has files and directories.
pub(super) fn may_make(model: &Model, directory: Den, kind: &Kind) -> Result<()> {
    match (model.files.type_of(directory), kind) {
        (Type::Vfat, Kind::Symlink(_) | Kind::Fifo | Kind::Device(..)) => errno(Errno::EPERM),
        _ => Ok(()),
    }
}

/// That the model knows which file a name means there: capitals, dots and blanks at the end, and
/// bytes that are no characters have rules of their own (Documentation/filesystems/vfat.rst).
pub(super) fn is_plain_name(model: &Model, directory: Den, name: &[u8]) -> Result<()> {
    const LIMIT: usize = 100;
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(byte);
    let is_plain = name.len() <= LIMIT && name.iter().all(plain) && !name.ends_with(b".");
    if model.files.type_of(directory) == Type::Vfat && !is_plain {
        return unknown("which file of a vfat this name means");
    }
    Ok(())
}
