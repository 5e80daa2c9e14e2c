//! Files that may be somebody else's, read up to a limit (`protocol::limits`): also where they say
//! that they are empty and never end, as devices do.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The text of a file of at most so many bytes.
///
/// # Errors
/// It cannot be read, has more, or is no text.
pub fn read(file: &Path, limit: u64) -> io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(limit.saturating_add(1)).read_to_string(&mut text)?;
    match text.len() as u64 > limit {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {limit} bytes"))),
        false => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_an_end_is_read_up_to_the_limit() {
        let error = read(Path::new("/dev/zero"), 1000).unwrap_err().to_string();
        assert_eq!(error, "it has more than 1000 bytes");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "12345").unwrap();
        assert_eq!(read(file.path(), 5).unwrap(), "12345");
        assert!(read(file.path(), 4).is_err());
    }
}
