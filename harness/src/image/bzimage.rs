//! From a bzImage to the `vmlinux` inside it.
//!
//! Debian ships compressed kernels that unpack themselves; under TCG that takes the guest a second
//! at every boot. Unpacked once on the host, the ELF file is started by QEMU directly through its
//! PVH entry. The places of the fields are those of `Documentation/arch/x86/boot.rst`: the setup
//! header at 0x1f1, its `payload_offset` and `payload_length` at 0x248 and 0x24c, counted from the
//! protected-mode code after `setup_sects` sectors.

use std::io::Read;

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

/// Why the vmlinux could not be extracted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BzImageError {
    /// Not a bzImage.
    #[error("not a bzImage: {0}")]
    Header(&'static str),
    /// A compression that is not known here.
    #[error("the payload starts with {0:02x?}: neither zstd, LZ4, xz nor an ELF file")]
    Compression(Vec<u8>),
    /// The payload does not unpack.
    #[error("the payload cannot be unpacked: {0}")]
    Payload(String),
    /// QEMU cannot start the unpacked file as a kernel.
    #[error("the kernel has no PVH entry point (CONFIG_PVH): {0}")]
    Pvh(String),
}

const LZ4_LEGACY: [u8; 4] = 0x184c_2102u32.to_le_bytes();
const ZSTD: [u8; 4] = 0xfd2f_b528u32.to_le_bytes();
const XZ: [u8; 4] = *b"\xfd7zX";

/// The largest kernel in bytes; Debian's have 40 to 70 MB.
pub(super) const SIZE_LIMIT: usize = 512 << 20;

/// The vmlinux of a bzImage, or the vmlinux that it is already, checked to have a PVH entry point.
///
/// # Errors
/// See [`BzImageError`].
pub(crate) fn vmlinux(bzimage: &[u8]) -> Result<Vec<u8>, BzImageError> {
    let is_vmlinux = bzimage.starts_with(&elf::ELFMAG);
    let vmlinux = if is_vmlinux { bzimage.to_vec() } else { unpack(payload(bzimage)?)? };
    match has_pvh_entry(&vmlinux) {
        Ok(true) => Ok(vmlinux),
        Ok(false) => Err(BzImageError::Pvh("there is no Xen note with it".into())),
        Err(error) => Err(BzImageError::Pvh(error.to_string())),
    }
}

/// The compressed kernel inside a bzImage.
///
/// # Errors
/// The file is not a bzImage or is cut short.
pub(crate) fn payload(bzimage: &[u8]) -> Result<&[u8], BzImageError> {
    let word = |at: usize| -> Option<usize> {
        let bytes = bzimage.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    if bzimage.get(0x202..0x206) != Some(b"HdrS") {
        return Err(BzImageError::Header("no `HdrS` at 0x202"));
    }
    if bzimage.get(0x206..0x208).is_none_or(|version| u16::from_le_bytes([version[0], version[1]]) < 0x208) {
        return Err(BzImageError::Header("a boot protocol before 2.08 does not tell where the payload is"));
    }
    // 0 means 4, for compatibility with kernels of 1994.
    let sectors = match bzimage[0x1f1] {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let range = || {
        let start = (sectors + 1) * 512 + word(0x248)?;
        bzimage.get(start..start.checked_add(word(0x24c)?)?)
    };
    range().filter(|payload| !payload.is_empty()).ok_or(BzImageError::Header("cut short before the payload's end"))
}

/// Unpacks a payload: behind the compressed kernel stand four bytes with its unpacked size.
fn unpack(payload: &[u8]) -> Result<Vec<u8>, BzImageError> {
    if payload.starts_with(&elf::ELFMAG) {
        return Ok(payload.to_vec());
    }
    let (packed, size) =
        payload.split_last_chunk::<4>().ok_or(BzImageError::Payload("it is shorter than its size field".into()))?;
    let magic = packed.get(..4).unwrap_or(packed);
    if ![&ZSTD[..], &LZ4_LEGACY, &XZ].contains(&magic) {
        return Err(BzImageError::Compression(magic.to_vec()));
    }
    let size = u32::from_le_bytes(*size) as usize;
    if size > SIZE_LIMIT {
        return Err(BzImageError::Payload(format!("its size field says {size} bytes, over the limit of {SIZE_LIMIT}")));
    }
    let unpacked = if magic == ZSTD {
        unzstd(packed, size)
    } else if magic == LZ4_LEGACY {
        unlz4(packed, size)
    } else {
        unxz(packed)
    };
    let unpacked = unpacked.map_err(BzImageError::Payload)?;
    if unpacked.len() != size {
        return Err(BzImageError::Payload(format!("{} bytes came out instead of {size}", unpacked.len())));
    }
    Ok(unpacked)
}

/// What is unpacked, and one byte more than `size` where it is more.
pub(crate) fn unzstd(packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed).map_err(|error| error.to_string())?;
    decoder.take(size as u64 + 1).read_to_end(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// The legacy LZ4 format: blocks of at most 8 MiB unpacked, each with its packed size before it.
fn unlz4(packed: &[u8], size: usize) -> Result<Vec<u8>, String> {
    const BLOCK: usize = 8 << 20;
    let mut out = vec![0; size];
    let mut filled = 0;
    let mut rest = &packed[4..];
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        let (block, behind) = behind.split_at_checked(length).ok_or("a block is cut short")?;
        let end = size.min(filled + BLOCK);
        filled += lz4_flex::block::decompress_into(block, &mut out[filled..end]).map_err(|error| error.to_string())?;
        rest = behind;
    }
    out.truncate(filled);
    Ok(out)
}

/// Unpacks an xz file; also for kernel modules.
pub(crate) fn unxz(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    lzma_rust2::XzReader::new(packed, true).read_to_end(&mut out).map_err(|error| error.to_string())?;
    Ok(out)
}

/// A note `Xen` of type 18 tells the 32-bit entry point (`XEN_ELFNOTE_PHYS32_ENTRY`,
/// `xen/interface/elfnote.h`).
fn has_pvh_entry(vmlinux: &[u8]) -> object::read::Result<bool> {
    const PHYS32_ENTRY: u32 = 18;
    let header = elf::FileHeader64::<object::Endianness>::parse(vmlinux)?;
    let endian = header.endian()?;
    for segment in header.program_headers(endian, vmlinux)? {
        let Some(mut notes) = segment.notes(endian, vmlinux)? else { continue };
        while let Some(note) = notes.next()? {
            if note.name() == b"Xen" && note.n_type(endian).0 == PHYS32_ENTRY {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bzImage around a payload.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 2 * 512 + 8];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20fu16.to_le_bytes());
        image[0x248..0x24c].copy_from_slice(&8u32.to_le_bytes());
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend(payload);
        image.extend(b"checksum");
        image
    }

    fn lz4(content: &[u8]) -> Vec<u8> {
        let mut out = LZ4_LEGACY.to_vec();
        for block in content.chunks(8 << 20) {
            let packed = lz4_flex::block::compress(block);
            out.extend(u32::try_from(packed.len()).unwrap().to_le_bytes());
            out.extend(packed);
        }
        out.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        out
    }

    #[test]
    fn the_payload_is_what_the_header_says() {
        assert_eq!(payload(&bzimage(b"kernel")), Ok(&b"kernel"[..]));
        let mut cut = bzimage(b"kernel");
        cut.truncate(2 * 512 + 10);
        expect_test::expect!["not a bzImage: cut short before the payload's end"]
            .assert_eq(&payload(&cut).unwrap_err().to_string());
        assert_eq!(payload(b"MZ"), Err(BzImageError::Header("no `HdrS` at 0x202")));
    }

    #[test]
    fn any_cut_or_flip_of_a_header_gives_an_error_or_a_slice() {
        arbtest::arbtest(|u| {
            let mut image = bzimage(b"kernel");
            let at = u.int_in_range(0..=image.len() - 1)?;
            image[at] = u.arbitrary()?;
            image.truncate(u.int_in_range(0..=image.len())?);
            let _ = payload(&image);
            Ok(())
        });
    }

    #[test]
    fn lz4_of_several_blocks_unpacks() {
        let content: Vec<u8> = (0..9 << 20).map(|n: u32| (n / 1000) as u8).collect();
        assert!(unpack(&lz4(&content)).unwrap() == content);
    }

    #[test]
    fn bad_payloads_say_why() {
        let mut wrong_size = lz4(b"hello");
        let at = wrong_size.len() - 4;
        wrong_size[at] = 9;
        expect_test::expect!["the payload cannot be unpacked: 5 bytes came out instead of 9"]
            .assert_eq(&unpack(&wrong_size).unwrap_err().to_string());
        expect_test::expect!["the payload starts with [1f, 8b, 08, 00]: neither zstd, LZ4, xz nor an ELF file"]
            .assert_eq(&unpack(b"\x1f\x8b\x08\x00rest....").unwrap_err().to_string());
        let no_kernel = vmlinux(&bzimage(&lz4(b"not an ELF file"))).unwrap_err().to_string();
        assert!(no_kernel.starts_with("the kernel has no PVH entry point (CONFIG_PVH): "), "{no_kernel}");
    }
}
