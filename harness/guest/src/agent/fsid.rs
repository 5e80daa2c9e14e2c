//! Numbers of btrfs filesystems. A kernel knows a btrfs by its number and does not mount another
//! one with the same beside it, and every disk is made from the same blank filesystem.
//!
//! The layout of the superblock is that of `struct btrfs_super_block`
//! (include/uapi/linux/btrfs_tree.h).

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use crc::{CRC_32_ISCSI, Crc};

/// Where the superblock is on the disk, in bytes.
const OFFSET: u64 = 0x1_0000;
/// How long it is, in bytes.
const LENGTH: usize = 4096;

const MAGIC: Range<usize> = 0x40..0x48;
const CHECKSUM: Range<usize> = 0..4;
/// What the checksum is made of: all but the room for it.
const CHECKED: Range<usize> = 0x20..LENGTH;
const FSID: Range<usize> = 0x20..0x30;
const INCOMPATIBLE: Range<usize> = 0xbc..0xc4;
const CHECKSUM_TYPE: Range<usize> = 0xc4..0xc6;
const METADATA_UUID: Range<usize> = 0x23b..0x24b;

/// `BTRFS_FEATURE_INCOMPAT_METADATA_UUID`: all blocks but this one have [`METADATA_UUID`] in place
/// of the number.
const HAS_METADATA_UUID: u64 = 1 << 10;

/// Gives the btrfs in this file another number, a random one.
///
/// # Errors
/// None of random(4), no such filesystem in the file, or not one with checksums by CRC-32C.
pub(super) fn renew(file: &File) -> io::Result<()> {
    let mut number = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut number)?;
    let mut block = [0; LENGTH];
    file.read_exact_at(&mut block, OFFSET)?;
    set(&mut block, number)?;
    file.write_all_at(&block, OFFSET)
}

fn set(block: &mut [u8; LENGTH], number: [u8; 16]) -> io::Result<()> {
    let other = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the superblock has {what}"));
    if &block[MAGIC] != b"_BHRfS_M" {
        return Err(other("another magic number"));
    }
    if block[CHECKSUM_TYPE] != [0, 0] || block[CHECKSUM] != checksum(block) {
        return Err(other("another checksum than its CRC-32C"));
    }
    let features = u64::from_le_bytes(block[INCOMPATIBLE].try_into().expect("it has 8 bytes"));
    if features & HAS_METADATA_UUID == 0 {
        block.copy_within(FSID, METADATA_UUID.start);
        block[INCOMPATIBLE].copy_from_slice(&(features | HAS_METADATA_UUID).to_le_bytes());
    }
    block[FSID].copy_from_slice(&number);
    let checksum = checksum(block);
    block[CHECKSUM].copy_from_slice(&checksum);
    Ok(())
}

fn checksum(block: &[u8; LENGTH]) -> [u8; 4] {
    Crc::<u32>::new(&CRC_32_ISCSI).checksum(&block[CHECKED]).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 16] = *b"the old number..";

    fn block() -> [u8; LENGTH] {
        let mut block = [0; LENGTH];
        block[MAGIC].copy_from_slice(b"_BHRfS_M");
        block[FSID].copy_from_slice(&OLD);
        block[INCOMPATIBLE.start] = 0x41;
        let checksum = checksum(&block);
        block[CHECKSUM].copy_from_slice(&checksum);
        block
    }

    #[test]
    fn a_number_can_be_changed_more_than_once() {
        let mut block = block();
        for number in [*b"the first number", *b"the second one.."] {
            set(&mut block, number).expect("it is a superblock");
            assert_eq!(block[FSID], number);
            assert_eq!(block[METADATA_UUID], OLD, "the other blocks have still this one");
            assert_eq!(block[INCOMPATIBLE][..2], [0x41, 0x04]);
            assert_eq!(block[CHECKSUM], checksum(&block));
        }
    }

    #[test]
    fn what_is_no_such_superblock_is_left_alone() {
        for at in [MAGIC.start, CHECKSUM.start, CHECKSUM_TYPE.start, LENGTH - 1] {
            let mut block = block();
            block[at] ^= 1;
            let before = block;
            assert!(set(&mut block, [7; 16]).is_err(), "byte {at}");
            assert!(block == before, "byte {at}");
        }
    }
}
