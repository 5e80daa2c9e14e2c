//! The counters of one object file, as GCC's instrumentation writes them where the program ends: a
//! `.gcda` file (the format stands at the head of `gcov-io.h` of GCC).
//!
//! All of it is 32-bit words. A head: magic, version, stamp, since GCC 12 a checksum. Then records:
//! a tag, a length, content. A function's record has its number; the record of its arcs follows it,
//! a 64-bit counter for each. Since GCC 12 lengths count bytes, not words, and arcs of which none
//! was taken have their length negated and no content. A tag of 0 ends the file.

/// `gcda`, read as a number.
const MAGIC: u32 = 0x6763_6461;
const FUNCTION: u32 = 0x0100_0000;
const ARCS: u32 = 0x01a1_0000;
/// The counters of profiles have tags from this to that: those of arcs come first.
const COUNTERS: std::ops::Range<u32> = ARCS..0x01c0_0000;
/// The first version with a checksum in the head and with lengths in bytes.
const SINCE_BYTES: u32 = 12;

/// An arc that was taken at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arc {
    /// The function's number, of its own within the object file.
    pub function: u32,
    /// Which of its counters.
    pub index: u32,
}

/// A file that is not as the format says: damaged, torn, or of another compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at} of a file of counters")]
pub struct BadGcda {
    /// What is wrong.
    pub what: &'static str,
    /// Where, in bytes.
    pub at: usize,
}

/// The arcs that were taken, in the file's order.
///
/// # Errors
/// The first place that cannot be read.
pub fn parse(bytes: &[u8]) -> Result<Vec<Arc>, BadGcda> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.word()? != MAGIC {
        return Err(BadGcda { what: "another magic number", at: 0 });
    }
    let version = major(reader.word()?).ok_or(BadGcda { what: "no version of GCC", at: 4 })?;
    let unit = if version >= SINCE_BYTES { 1 } else { 4 };
    // The stamp says which compilation it was.
    reader.word()?;
    if version >= SINCE_BYTES {
        reader.word()?;
    }
    let mut arcs = Vec::new();
    let mut function = None;
    while !reader.is_at_end() {
        let start = reader.at;
        let tag = reader.word()?;
        if tag == 0 {
            return Ok(arcs);
        }
        let length = reader.word()?;
        // What no counter of it says anything about.
        let all_zero = unit == 1 && length.cast_signed() < 0 && COUNTERS.contains(&tag);
        let content = if all_zero { &[][..] } else { reader.take(u64::from(length) * unit)? };
        match (tag, content.len()) {
            // A function that is another file's has no content, and no counters follow.
            (FUNCTION, 0) => function = None,
            (FUNCTION, 12) => function = content.first_chunk().map(|number| u32::from_le_bytes(*number)),
            (FUNCTION, _) => return Err(BadGcda { what: "a function of another size", at: start }),
            (ARCS, length) if length % 8 == 0 => {
                let function = function.ok_or(BadGcda { what: "arcs of no function", at: start })?;
                let counters = content.chunks_exact(8).zip(0..);
                let taken = counters.filter(|(counter, _)| counter.iter().any(|&byte| byte != 0));
                arcs.extend(taken.map(|(_, index)| Arc { function, index }));
            }
            (ARCS, _) => return Err(BadGcda { what: "half a counter", at: start }),
            _ => {}
        }
    }
    Ok(arcs)
}

/// Of a version word, as in `B42*` for 14.2: a letter for the tens, a digit.
fn major(version: u32) -> Option<u32> {
    let [tens, ones, ..] = version.to_be_bytes();
    let fits = tens.is_ascii_uppercase() && ones.is_ascii_digit();
    fits.then(|| u32::from(tens - b'A') * 10 + u32::from(ones - b'0'))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn word(&mut self) -> Result<u32, BadGcda> {
        let at = self.at;
        let word = self.take(4)?.first_chunk().ok_or(BadGcda { what: "the end", at })?;
        Ok(u32::from_le_bytes(*word))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], BadGcda> {
        let rest = &self.bytes[self.at..];
        let fits = usize::try_from(length).ok().filter(|&length| length <= rest.len());
        let length = fits.ok_or(BadGcda { what: "the end in the middle", at: self.at })?;
        self.at += length;
        Ok(&rest[..length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VERSION: u32 = u32::from_be_bytes(*b"B42*");

    fn file(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn arc(function: u32, index: u32) -> Arc {
        Arc { function, index }
    }

    /// A summary, a function with arcs of which one is taken, one without any taken, one that is
    /// not there, and counters of another kind.
    const WORDS: [u32; 36] = [
        MAGIC,
        VERSION,
        0x1234_5678,
        0x9abc_def0, //
        0xa100_0000,
        8,
        1,
        3, //
        FUNCTION,
        12,
        77,
        1,
        2, //
        ARCS,
        24,
        0,
        0,
        0,
        1,
        3,
        0, //
        FUNCTION,
        12,
        78,
        1,
        2, //
        ARCS,
        0xffff_fff0, //
        FUNCTION,
        0, //
        0x01a3_0000,
        8,
        9,
        9, //
        0,
        0,
    ];

    #[test]
    fn the_arcs_that_were_taken_are_reported() {
        assert_eq!(parse(&file(&WORDS)), Ok(vec![arc(77, 1), arc(77, 2)]));
        assert_eq!(parse(&file(&WORDS[..34])), Ok(vec![arc(77, 1), arc(77, 2)]), "some files have no end");
        assert_eq!(parse(&file(&WORDS[..4])), Ok(Vec::new()));
    }

    #[test]
    fn before_gcc_12_lengths_are_words_and_there_is_no_checksum() {
        let version = u32::from_be_bytes(*b"B14*");
        let words = [MAGIC, version, 5, FUNCTION, 3, 7, 1, 2, ARCS, 4, 1, 0, 0, 0, 0];
        assert_eq!(parse(&file(&words)), Ok(vec![arc(7, 0)]));
    }

    #[test]
    fn what_is_torn_or_wrong_is_refused_with_its_place() {
        let refused = |words: &[u32]| parse(&file(words)).unwrap_err().to_string();
        assert_eq!(refused(&[MAGIC.swap_bytes(), VERSION]), "another magic number at byte 0 of a file of counters");
        assert_eq!(refused(&[MAGIC, 3]), "no version of GCC at byte 4 of a file of counters");
        assert_eq!(refused(&WORDS[..19]), "the end in the middle at byte 60 of a file of counters");
        let head = &WORDS[..4];
        let with = |words: &[u32]| refused(&[head, words].concat());
        assert_eq!(with(&[ARCS, 8, 1, 0]), "arcs of no function at byte 16 of a file of counters");
        assert_eq!(with(&[FUNCTION, 8, 1, 0]), "a function of another size at byte 16 of a file of counters");
        assert_eq!(with(&[FUNCTION, 12, 1, 2, 3, ARCS, 4, 1]), "half a counter at byte 36 of a file of counters");
        // A negative length is for counters only.
        assert_eq!(with(&[FUNCTION, u32::MAX]), "the end in the middle at byte 24 of a file of counters");
        assert_eq!(parse(b"").unwrap_err().at, 0);
    }

    #[test]
    fn no_bytes_are_too_much_for_it() {
        arbtest::arbtest(|u| {
            let mut bytes = file(&WORDS);
            for _ in 0..u.int_in_range(1..=8)? {
                let at = u.choose_index(bytes.len())?;
                bytes[at] = u.arbitrary()?;
            }
            bytes.truncate(u.int_in_range(0..=bytes.len())?);
            let limit = bytes.len() / 8;
            assert!(parse(&bytes).map_or(0, |arcs| arcs.len()) <= limit);
            Ok(())
        });
    }
}
