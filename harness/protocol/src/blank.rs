//! Blank filesystems in a sparse form: a few kilobytes in the initramfs for an image of hundreds of
//! megabytes.
//!
//! The host makes an empty filesystem once, with the real mkfs, and [`encode`]s it; the guest
//! [`decode`]s it and writes the extents into a sparse file for a loop device. So the guest needs
//! no mkfs, and every trial gets the same superblock. Not for anything else: there is no
//! compression, because what is left is small.
//!
//! The format, all numbers little-endian:
//!
//! | bytes | content |
//! | --- | --- |
//! | 8 | [`MAGIC`] |
//! | 8 | size of the image in bytes, a multiple of [`BLOCK`], at most [`SIZE_LIMIT`] |
//! | 4 | number of extents |
//! | 16 each | an extent: offset and length in bytes, 8 each, multiples of [`BLOCK`] |
//! | rest | the bytes of all extents, in the same order, nothing else |
//!
//! Extents are in ascending order, and none touches the next. What no extent covers is zero.

use std::io::{self, Read};

/// The first bytes; the last one is the format's version.
pub const MAGIC: [u8; 8] = *b"zdblank\x01";

/// The unit of an extent in bytes: a page, and the largest block of the filesystems used.
pub const BLOCK: usize = 4096;

/// The largest image in bytes: 1 TiB. The guest makes a sparse file of this size, so it costs
/// nothing.
pub const SIZE_LIMIT: u64 = 1 << 40;

/// Magic, size, number of extents.
const HEADER: usize = 20;
/// Offset, length.
const ENTRY: usize = 16;

/// Why bytes are not a blank filesystem.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BlankError {
    /// Another file, or another version of the format.
    #[error("not a blank filesystem of this version: it starts with other bytes than {MAGIC:02x?}")]
    Magic,
    /// The bytes end too soon.
    #[error("cut short: {what} needs {needed} bytes, {got} are there")]
    Short {
        /// Which part.
        what: &'static str,
        /// Bytes that the whole would have.
        needed: u64,
        /// Bytes that it has.
        got: u64,
    },
    /// More bytes than the extents have.
    #[error("{0} bytes too many after the last extent")]
    Trailing(u64),
    /// A size that cannot be.
    #[error("a size of {0} bytes: it must be a multiple of {BLOCK} and at most {SIZE_LIMIT}")]
    Size(u64),
    /// An extent that is empty, not aligned, out of order, touches its predecessor, or reaches over
    /// the end.
    #[error("extent {index} ({length} bytes at {offset}) is empty, not aligned, out of order or over the end")]
    Extent {
        /// Which one, from 0.
        index: u32,
        /// Its offset in bytes.
        offset: u64,
        /// Its length in bytes.
        length: u64,
    },
}

/// A decoded blank filesystem; borrows everything from the bytes that it was decoded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blank<'a> {
    size: u64,
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Blank<'a> {
    /// Size of the image in bytes; the sparse file gets this length first.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The extents in ascending order: offset in the image and the bytes there.
    pub fn extents(&self) -> impl Iterator<Item = (u64, &'a [u8])> + use<'a> {
        let mut data = self.data;
        self.index.chunks_exact(ENTRY).map(move |entry| {
            let (offset, length) = (number(&entry[..8]), number(&entry[8..]));
            let (bytes, rest) = data.split_at(usize::try_from(length).expect("decode checked it against the data"));
            data = rest;
            (offset, bytes)
        })
    }
}

/// The sparse form of an image.
///
/// # Errors
/// Reading fails (its error, as it is); the image is not a multiple of [`BLOCK`] or over
/// [`SIZE_LIMIT`] (`InvalidData`).
pub fn encode(mut image: impl Read) -> io::Result<Vec<u8>> {
    let mut extents: Vec<(u64, u64)> = Vec::new();
    let mut data = Vec::new();
    let mut size = 0;
    let mut block = [0; BLOCK];
    loop {
        match fill(&mut image, &mut block)? {
            0 => break,
            BLOCK => {}
            short => return Err(invalid(BlankError::Size(size + short as u64))),
        }
        if block != [0; BLOCK] {
            match extents.last_mut() {
                Some((offset, length)) if *offset + *length == size => *length += BLOCK as u64,
                _ => extents.push((size, BLOCK as u64)),
            }
            data.extend_from_slice(&block);
        }
        size += BLOCK as u64;
        if size > SIZE_LIMIT {
            return Err(invalid(BlankError::Size(size)));
        }
    }
    let mut out = Vec::with_capacity(HEADER + extents.len() * ENTRY + data.len());
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&size.to_le_bytes());
    out.extend_from_slice(&u32::try_from(extents.len()).expect("2^28 blocks at most").to_le_bytes());
    for (offset, length) in extents {
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&length.to_le_bytes());
    }
    out.extend_from_slice(&data);
    Ok(out)
}

/// Reads the sparse form. Allocates nothing, whatever the bytes say.
///
/// # Errors
/// Anything but the whole of one encoded image.
pub fn decode(bytes: &[u8]) -> Result<Blank<'_>, BlankError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(BlankError::Magic);
    }
    let got = bytes.len() as u64;
    let Some((header, rest)) = bytes.split_at_checked(HEADER) else {
        return Err(BlankError::Short { what: "the header", needed: HEADER as u64, got });
    };
    let size = number(&header[8..16]);
    if size > SIZE_LIMIT || !size.is_multiple_of(BLOCK as u64) {
        return Err(BlankError::Size(size));
    }
    let count = u64::from(u32::from_le_bytes(header[16..20].try_into().expect("four bytes")));
    let needed = HEADER as u64 + count * ENTRY as u64;
    let short = BlankError::Short { what: "the list of extents", needed, got };
    let index_length = usize::try_from(count * ENTRY as u64).map_err(|_| short.clone())?;
    let (index, data) = rest.split_at_checked(index_length).ok_or(short)?;
    let total = check_extents(size, index)?;
    let given = data.len() as u64;
    match given.checked_sub(total) {
        Some(0) => Ok(Blank { size, index, data }),
        Some(more) => Err(BlankError::Trailing(more)),
        None => Err(BlankError::Short { what: "the content of the extents", needed: needed + total, got }),
    }
}

/// The sum of the extents' lengths, at most `size`.
fn check_extents(size: u64, index: &[u8]) -> Result<u64, BlankError> {
    let mut total = 0;
    let mut free_from = 0;
    for (index, entry) in (0..).zip(index.chunks_exact(ENTRY)) {
        let (offset, length) = (number(&entry[..8]), number(&entry[8..]));
        let block = BLOCK as u64;
        let aligned = offset.is_multiple_of(block) && length.is_multiple_of(block) && length > 0;
        let end = offset.checked_add(length).filter(|end| *end <= size);
        let (true, true, Some(end)) = (aligned, offset >= free_from, end) else {
            return Err(BlankError::Extent { index, offset, length });
        };
        free_from = end + block;
        total += length;
    }
    Ok(total)
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().expect("the callers pass eight bytes"))
}

fn invalid(error: BlankError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Reads until the buffer is full or the input ends; the number of bytes read.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(blank: &Blank<'_>) -> Vec<u8> {
        let mut image = vec![0; usize::try_from(blank.size()).unwrap()];
        for (offset, bytes) in blank.extents() {
            let offset = usize::try_from(offset).unwrap();
            image[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
        image
    }

    #[test]
    fn nothing_is_lost_and_zeros_cost_nothing() {
        arbtest::arbtest(|u| {
            let mut image = Vec::new();
            let mut full = 0;
            for _ in 0..u.int_in_range(0..=12)? {
                let mut block = vec![0; BLOCK];
                if u.ratio(1, 2)? {
                    block[u.int_in_range(0..=BLOCK - 1)?] = u.int_in_range(1..=255)?;
                    full += 1;
                }
                image.extend(block);
            }
            let encoded = encode(&image[..]).unwrap();
            assert!(encoded.len() <= HEADER + full * (ENTRY + BLOCK));
            assert_eq!(expand(&decode(&encoded).unwrap()), image);
            Ok(())
        });
    }

    #[test]
    fn every_cut_is_noticed() {
        let mut image = vec![0; 5 * BLOCK];
        image[BLOCK] = 1;
        image[4 * BLOCK] = 2;
        let encoded = encode(&image[..]).unwrap();
        for length in 0..encoded.len() {
            assert!(decode(&encoded[..length]).is_err(), "cut to {length} bytes");
        }
        let longer = [&encoded[..], b"x"].concat();
        assert_eq!(decode(&longer), Err(BlankError::Trailing(1)));
    }

    #[test]
    fn hostile_bytes_give_an_error_or_a_sound_image() {
        arbtest::arbtest(|u| {
            let mut bytes = MAGIC.to_vec();
            bytes.extend((u.int_in_range(0..=8u64)? * 4096).to_le_bytes());
            let count: u32 = if u.ratio(1, 4)? { u.arbitrary()? } else { u.int_in_range(0..=3)? };
            bytes.extend(count.to_le_bytes());
            for _ in 0..count.min(3) {
                for _ in 0..2 {
                    let number: u64 = if u.ratio(1, 8)? { u.arbitrary()? } else { u.int_in_range(0..=9u64)? * 4096 };
                    bytes.extend(number.to_le_bytes());
                }
            }
            bytes.resize(bytes.len() + u.int_in_range(0..=4)? * BLOCK, 7);
            if let Ok(blank) = decode(&bytes) {
                let mut end = 0;
                for (offset, bytes) in blank.extents() {
                    assert!(offset >= end && !bytes.is_empty());
                    end = offset + bytes.len() as u64;
                }
                assert!(end <= blank.size());
            }
            Ok(())
        });
    }

    #[test]
    fn extents_that_overlap_touch_or_go_back_are_refused() {
        let block = BLOCK as u64;
        for offsets in [[2, 2], [2, 3], [2, 0]] {
            let mut bytes = MAGIC.to_vec();
            bytes.extend((8 * block).to_le_bytes());
            bytes.extend(2u32.to_le_bytes());
            for offset in offsets {
                bytes.extend((offset * block).to_le_bytes());
                bytes.extend(block.to_le_bytes());
            }
            bytes.extend([7; 2 * BLOCK]);
            assert!(matches!(decode(&bytes), Err(BlankError::Extent { index: 1, .. })), "{offsets:?}");
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let mut lying = MAGIC.to_vec();
        lying.extend(4096u64.to_le_bytes());
        lying.extend(u32::MAX.to_le_bytes());
        expect_test::expect!["cut short: the list of extents needs 68719476740 bytes, 20 are there"]
            .assert_eq(&decode(&lying).unwrap_err().to_string());
        let mut over = MAGIC.to_vec();
        over.extend(4096u64.to_le_bytes());
        over.extend(1u32.to_le_bytes());
        over.extend(4096u64.to_le_bytes());
        over.extend(4096u64.to_le_bytes());
        over.extend([1; BLOCK]);
        expect_test::expect!["extent 0 (4096 bytes at 4096) is empty, not aligned, out of order or over the end"]
            .assert_eq(&decode(&over).unwrap_err().to_string());
        assert_eq!(decode(b"ext4"), Err(BlankError::Magic));
        assert_eq!(encode(&[1u8; 100][..]).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
