//! What a regular file holds: short pieces in a file that may be long and sparse.

/// Bytes at offsets, zeros in between.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Content {
    length: u64,
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Content {
    /// The length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The first bytes, `limit` of them or fewer when the file ends before.
    pub fn head(&self, limit: usize) -> Vec<u8> {
        let mut out = vec![0; usize::try_from(self.length).map_or(limit, |length| length.min(limit))];
        for (offset, bytes) in &self.pieces {
            let Ok(offset) = usize::try_from(*offset) else { continue };
            for (to, from) in out.iter_mut().skip(offset).zip(bytes) {
                *to = *from;
            }
        }
        out
    }

    /// Whether some of it was never written.
    pub(super) fn has_holes(&self) -> bool {
        let mut pieces: Vec<(u64, u64)> =
            self.pieces.iter().map(|(offset, bytes)| (*offset, offset + bytes.len() as u64)).collect();
        pieces.sort_unstable();
        let end = pieces.into_iter().try_fold(0, |end, (from, to)| (from <= end).then_some(to.max(end)));
        end.is_none_or(|end| end < self.length)
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pieces.push((offset, bytes.to_vec()));
            self.length = self.length.max(offset + bytes.len() as u64);
        }
    }

    pub(super) fn truncate(&mut self, length: u64) {
        self.length = length;
        self.pieces.retain(|(offset, _)| *offset < length);
        for (offset, bytes) in &mut self.pieces {
            bytes.truncate(usize::try_from(length - *offset).unwrap_or(usize::MAX));
        }
    }
}
