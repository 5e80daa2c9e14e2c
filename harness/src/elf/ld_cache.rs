//! `/etc/ld.so.cache`: where the dynamic loader of this system finds libraries by name.
//!
//! The format is glibc's (`elf/cache.c`, `sysdeps/generic/dl-cache.h`): a header of 48 bytes, an
//! entry of 24 bytes for each library, then the strings, whose offsets count from the header. Older
//! systems put a table of a former format in front. Entries for certain processors only
//! (`glibc-hwcaps`) are passed over: the guest's is another one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::architecture::{Architecture, HOST};

/// Starts the part that is read here.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";

/// Bytes of the header and of an entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// `FLAG_X8664_LIB64 | FLAG_ELF_LIBC6`, or `FLAG_AARCH64_LIB64`: a library for this host and
/// today's C library.
const OWN: u32 = match HOST {
    Architecture::Amd64 => 0x0303,
    Architecture::Arm64 => 0x0a03,
};

/// The path of each library by its name; empty for any other file. The first entry of a name
/// counts.
pub(crate) fn parse(bytes: &[u8]) -> BTreeMap<String, PathBuf> {
    let start = bytes.windows(MAGIC.len()).position(|window| window == MAGIC);
    start.and_then(|start| entries(&bytes[start..])).unwrap_or_default()
}

fn entries(table: &[u8]) -> Option<BTreeMap<String, PathBuf>> {
    let number = |at: usize| {
        let bytes = table.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().expect("four bytes were asked for")))
    };
    let text = |at: u32| {
        let rest = table.get(at as usize..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    };
    let mut found = BTreeMap::new();
    for index in 0..number(MAGIC.len())? as usize {
        let at = HEADER + index * ENTRY;
        let (flags, name, path) = (number(at)?, number(at + 4)?, number(at + 8)?);
        let (low, high) = (number(at + 16)?, number(at + 20)?);
        if flags == OWN && low == 0 && high == 0 {
            found.entry(text(name)?.to_owned()).or_insert_with(|| PathBuf::from(text(path).unwrap_or_default()));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags, name, path, hardware capabilities.
    type Row = (u32, &'static str, &'static str, u64);

    fn cache(rows: &[Row]) -> Vec<u8> {
        let mut strings: Vec<u8> = Vec::new();
        let mut table = MAGIC.to_vec();
        table.extend(u32::try_from(rows.len()).unwrap().to_le_bytes());
        table.resize(HEADER, 0);
        let base = HEADER + rows.len() * ENTRY;
        for (flags, name, path, capabilities) in rows {
            let mut place = |text: &str| {
                let at = u32::try_from(base + strings.len()).unwrap();
                strings.extend(text.bytes().chain([0]));
                at
            };
            let words = [*flags, place(name), place(path), 0];
            table.extend(words.iter().flat_map(|word| word.to_le_bytes()));
            table.extend(capabilities.to_le_bytes());
        }
        table.extend(strings);
        table
    }

    #[test]
    fn libraries_for_every_processor_are_found() {
        let rows = [
            (OWN, "libc.so.6", "/lib/haswell/libc.so.6", 1 << 62),
            (OWN, "libc.so.6", "/lib/libc.so.6", 0),
            (OWN, "libc.so.6", "/later/libc.so.6", 0),
            (0x0803, "libx.so.1", "/libx32/libx.so.1", 0),
        ];
        let found = parse(&[b"an older table".as_slice(), &cache(&rows)].concat());
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [("libc.so.6".to_owned(), PathBuf::from("/lib/libc.so.6"))]);
    }

    #[test]
    fn what_is_no_cache_has_nothing() {
        let whole = cache(&[(OWN, "a", "/a", 0)]);
        for end in 0..whole.len() {
            assert!(parse(&whole[..end]).values().all(|path| path.as_os_str().is_empty()), "{end}");
        }
        assert_eq!(parse(&whole).len(), 1);
    }

    #[test]
    fn this_systems_cache_leads_to_files() {
        let Ok(bytes) = std::fs::read("/etc/ld.so.cache") else { return };
        let found = parse(&bytes);
        assert!(found.get("libc.so.6").is_some_and(|path| path.is_file()), "{found:?}");
    }
}
