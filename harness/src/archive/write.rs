//! Writes archives. The build script includes this file, so it uses nothing of the crate.

use std::io::{self, Read, Write};

use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// How much is compressed at once. The compressor looks back 128 KiB, so a larger frame would not
/// be smaller.
const FRAME: usize = 4 << 20;

/// Writes one archive.
pub(crate) struct Writer<W: Write>(tar::Builder<Frames<W>>);

impl<W: Write> Writer<W> {
    /// Begins an archive.
    pub(crate) fn new(to: W) -> Self {
        Self(tar::Builder::new(Frames { pending: Vec::new(), to }))
    }

    /// Adds a file of so many bytes.
    ///
    /// # Errors
    /// The name is longer than the format takes; the content is shorter or longer than was said, or
    /// cannot be read; the archive cannot be written.
    pub(crate) fn file(&mut self, name: &str, executable: bool, size: u64, content: impl Read) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_path(name)?;
        header.set_mode(if executable { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        header.set_cksum();
        let mut content = Counted { from: content.take(size.saturating_add(1)), count: 0 };
        self.0.append(&header, &mut content)?;
        if content.count == size {
            return Ok(());
        }
        Err(io::Error::other(format!("{name} has {} bytes instead of {size}", content.count)))
    }

    /// Ends the archive; what it was written to.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(self) -> io::Result<W> {
        let mut frames = self.0.into_inner()?;
        frames.end_frame()?;
        Ok(frames.to)
    }
}

struct Counted<R> {
    from: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.count += read as u64;
        Ok(read)
    }
}

/// Compresses what is written, frame by frame.
struct Frames<W> {
    pending: Vec<u8>,
    to: W,
}

impl<W: Write> Frames<W> {
    fn end_frame(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.to.write_all(&compress_to_vec(&self.pending[..], CompressionLevel::Fastest))?;
            self.pending.clear();
        }
        Ok(())
    }
}

impl<W: Write> Write for Frames<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(FRAME - self.pending.len());
        self.pending.extend_from_slice(&bytes[..taken]);
        if self.pending.len() == FRAME {
            self.end_frame()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
