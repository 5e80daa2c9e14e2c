//! From a kernel's file for arm64 to the `Image` that QEMU starts.
//!
//! The places of the fields are those of the kernel's `Documentation/arch/arm64/booting.rst`: an
//! `Image` has its magic number at 56. It may be packed by gzip, or, where the kernel was built
//! with `CONFIG_EFI_ZBOOT`, be inside a program that unpacks it: that has `zimg` at 4, the place
//! and the size of what it unpacks at 8 and 12, and the name of the compression at 24
//! (`drivers/firmware/efi/libstub/zboot-header.S`).

use std::io::Read as _;

use object::elf;

use super::bzimage::{SIZE_LIMIT, unzstd};

/// At 56.
const MAGIC: &[u8] = b"ARM\x64";
const GZIP: &[u8] = b"\x1f\x8b";

/// The `Image` in a file; `None` for a file of another architecture.
///
/// # Errors
/// It is for arm64, and QEMU cannot start it.
pub(super) fn image(file: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let is_image = |bytes: &[u8]| bytes.get(56..60) == Some(MAGIC);
    if is_image(file) {
        return Ok(Some(file.to_vec()));
    }
    if file.starts_with(&elf::ELFMAG) && file.get(18..20) == Some(&elf::EM_AARCH64.0.to_le_bytes()) {
        return Err("an ELF file for arm64, which QEMU cannot start: name arch/arm64/boot/Image".to_owned());
    }
    let unpacked = if file.starts_with(GZIP) {
        ungzip(file)?
    } else if file.get(4..8) == Some(b"zimg") {
        unzboot(file)?
    } else {
        return Ok(None);
    };
    match is_image(&unpacked) {
        true => Ok(Some(unpacked)),
        false => Err("what is packed in it is no Image of a kernel for arm64".to_owned()),
    }
}

fn ungzip(packed: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let mut reader = flate2::read::GzDecoder::new(packed).take(SIZE_LIMIT as u64 + 1);
    reader.read_to_end(&mut out).map_err(|error| format!("cannot be unpacked: {error}"))?;
    if out.len() > SIZE_LIMIT {
        return Err(format!("unpacks to more than the limit of {SIZE_LIMIT} bytes"));
    }
    Ok(out)
}

fn unzboot(file: &[u8]) -> Result<Vec<u8>, String> {
    let word = |at: usize| {
        let bytes = file.get(at..at + 4)?;
        usize::try_from(u32::from_le_bytes(bytes.try_into().ok()?)).ok()
    };
    let payload = || file.get(word(8)?..word(8)?.checked_add(word(12)?)?);
    let payload = payload().ok_or("is cut short")?;
    let name = file.get(24..56).unwrap_or_default();
    match name.split(|byte| *byte == 0).next().unwrap_or_default() {
        b"gzip" => ungzip(payload),
        b"zstd" | b"zstd22" => unzstd(payload, SIZE_LIMIT).map_err(|why| format!("cannot be unpacked: {why}")),
        other => Err(format!("is packed by `{}`, which is not known here", other.escape_ascii())),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn plain() -> Vec<u8> {
        let mut image = vec![7; 100];
        image[56..60].copy_from_slice(MAGIC);
        image
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zboot(name: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..8].copy_from_slice(b"MZ\0\0zimg");
        file[8..12].copy_from_slice(&64u32.to_le_bytes());
        file[12..16].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        file[24..24 + name.len()].copy_from_slice(name);
        file.extend(payload);
        file
    }

    #[test]
    fn an_image_is_found_in_each_of_its_forms() {
        let packed = gzip(&plain());
        for file in [plain(), packed.clone(), zboot(b"gzip", &packed)] {
            assert_eq!(image(&file), Ok(Some(plain())));
        }
        assert_eq!(image(b"another file"), Ok(None));
    }

    #[test]
    fn what_qemu_cannot_start_is_refused() {
        let refused = |file: &[u8]| image(file).unwrap_err();
        assert!(refused(&gzip(b"text")).contains("no Image of a kernel"));
        assert!(refused(&zboot(b"lzma", b"x")).contains("packed by `lzma`"));
        let cut = zboot(b"gzip", &gzip(&plain()));
        assert_eq!(refused(&cut[..70]), "is cut short");
        let mut vmlinux = b"\x7fELF\x02\x01\x01".to_vec();
        vmlinux.resize(64, 0);
        vmlinux[18] = 183;
        assert!(refused(&vmlinux).contains("name arch/arm64/boot/Image"));
    }
}
