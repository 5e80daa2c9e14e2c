//! A criu with GCC's address sanitizer (`-fsanitize=address`; criu's Makefile calls it `ASAN=1`).
//! What runs inside other processes, the parasite and the restorer, has no room for the sanitizer's
//! shadow memory and is left out by that Makefile.

use std::path::Path;

use crate::architecture::{Architecture, HOST};
use crate::cache::error::ImageError;
use crate::elf::needed::Needed;

/// Additional arguments of `make`. criu's Makefile uses `GMONLDOPT` where criu itself is linked and
/// nowhere else (see [`super::coverage`]): such a criu finds its libraries itself, see
/// [`own_loader`].
pub(super) const WORDS: [&str; 2] = [WORD, "GMONLDOPT=-Wl,--disable-new-dtags,-rpath,/subject/lib"];
const WORD: &str = "ASAN=1";

/// The loader that gcc names in a program, and the one that the guest has beside it.
const LOADERS: (&[u8], &[u8]) = match HOST {
    Architecture::Amd64 => (b"/lib64/ld-linux-x86-64.so.2\0", b"/subject/ld.so\0"),
    Architecture::Arm64 => (b"/lib/ld-linux-aarch64.so.1\0", b"/subject/ld.so\0"),
};

/// The sanitizer's runtime, up to its version.
const RUNTIME: &str = "libasan.so.";

/// Its options for a start that is not about memory: a short-lived program leaves some to the
/// kernel.
pub(super) const OPTIONS: (&str, &str) = ("ASAN_OPTIONS", "detect_leaks=0");

/// Names the loader beside it in the program. The sanitizer reads the names of functions from
/// `/proc/self/exe`, so the guest starts such a criu itself, and not its loader with criu as an
/// argument.
pub(super) fn own_loader(program: &mut [u8], path: &Path) -> Result<(), ImageError> {
    let (known, own) = LOADERS;
    let Some(at) = program.windows(known.len()).position(|bytes| bytes == known) else {
        let why = format!("+asan: names another loader than {}", String::from_utf8_lossy(known).trim_end_matches('\0'));
        return Err(ImageError::Subject { what: path.display().to_string(), why });
    };
    program[at..at + known.len()].fill(0);
    program[at..at + own.len()].copy_from_slice(own);
    Ok(())
}

/// The program was built with it: an old Makefile takes a word that it does not know in silence.
pub(super) fn check(what: &str, files: &[Needed]) -> Result<(), ImageError> {
    let is_runtime =
        |file: &Needed| file.path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(RUNTIME));
    if files.iter().any(is_runtime) {
        return Ok(());
    }
    Err(ImageError::Subject {
        what: what.to_owned(),
        why: format!(
            "+asan: the program that make built has no address sanitizer ({RUNTIME}*): the Makefile of this tree does \
             not know {WORD}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_names_the_loader_beside_it_and_keeps_its_size() {
        let mut program = b"\x7fELF..../lib64/ld-linux-x86-64.so.2\0after".to_vec();
        own_loader(&mut program, Path::new("criu")).unwrap();
        assert_eq!(program, b"\x7fELF..../subject/ld.so\0\0\0\0\0\0\0\0\0\0\0\0\0\0after");
        let error = own_loader(&mut program, Path::new("criu")).unwrap_err().to_string();
        assert!(error.contains("names another loader than /lib64/ld-linux-x86-64.so.2"), "{error}");
    }
}
