//! `/proc/PID/maps`: where a process has what mapped, proc_pid_maps(5).

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The first address.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
    /// `rwxp` letters.
    pub permissions: String,
    /// Offset in the file in bytes.
    pub offset: u64,
    /// The file's inode; 0 for memory without a file.
    pub inode: u64,
}

/// The lines that have the form of the man page.
pub fn parse(text: &[u8]) -> Vec<Area> {
    String::from_utf8_lossy(text).lines().filter_map(area).collect()
}

/// `7f1c00000000-7f1c00001000 rw-s 00002000 00:1c 17    /t/1/f`
fn area(line: &str) -> Option<Area> {
    let mut words = line.split_ascii_whitespace();
    let mut word = || words.next();
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let (permissions, offset, _device, inode) = (word()?.to_owned(), hex(word()?)?, word()?, word()?.parse().ok()?);
    let start = hex(start)?;
    Some(Area { start, length: hex(end)?.checked_sub(start)?, permissions, offset, inode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_the_man_page_says() {
        let text = b"00400000-00452000 r-xp 00001000 08:02 173521      /a file\n\
            ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n\
            no such line\n";
        let areas = parse(text);
        let permissions = "r-xp".to_owned();
        let first = Area { start: 0x40_0000, length: 0x5_2000, permissions, offset: 0x1000, inode: 173_521 };
        assert_eq!(areas[0], first);
        assert_eq!((areas.len(), areas[1].inode), (2, 0));
    }

    #[test]
    fn noise_does_not_panic() {
        arbtest::arbtest(|u| {
            let noise: Vec<u8> = u.arbitrary()?;
            parse(&noise);
            let (start, end): (u64, u64) = u.arbitrary()?;
            parse(format!("{start:x}-{end:x} r--p 0 0:0 1").as_bytes());
            Ok(())
        });
    }
}
