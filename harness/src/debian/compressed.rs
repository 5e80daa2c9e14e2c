//! Compressed files of the archive, by the end of their names.

use std::io::{self, Read};

/// More memory than any level of xz uses, in KiB.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// What comes out of a compressed file. A limit is the caller's business.
pub(super) fn reader<'a>(name: &str, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let end = name.rsplit('.').next().unwrap_or_default();
    Ok(match end {
        "xz" => Box::new(lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB)),
        "gz" => Box::new(flate2::read::MultiGzDecoder::new(packed)),
        "zst" => Box::new(ruzstd::decoding::StreamingDecoder::new(packed).map_err(io::Error::other)?),
        "tar" => Box::new(packed),
        _ => return Err(io::Error::other(format!("`{name}` is compressed neither by xz nor by gzip nor by zstd"))),
    })
}
