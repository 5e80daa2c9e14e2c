//! `/proc/PID/mountinfo`, byte-exact: names may be anything but a newline, and come with
//! `\040`-like escapes (proc_pid_mountinfo(5), `fs/proc_namespace.c`).

use protocol::observation::Mount;
use scenarios::Bytes;

/// A line that is not as the manual says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mountinfo line {line}: {what}: {text}")]
pub struct BadMountinfo {
    /// 1-based.
    pub line: usize,
    /// What is missing.
    pub what: &'static str,
    /// The line.
    pub text: Bytes,
}

/// The mounts of a mountinfo file, in its order.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &[u8]) -> Result<Vec<Mount>, BadMountinfo> {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let parsed = lines.enumerate().map(|(index, line)| {
        parse_line(line).map_err(|what| BadMountinfo { line: index + 1, what, text: line.into() })
    });
    parsed.collect()
}

fn parse_line(line: &[u8]) -> Result<Mount, &'static str> {
    let mut fields = line.split(|&byte| byte == b' ');
    let mut next = |what: &'static str| fields.next().ok_or(what);
    let id = number(next("no mount ID")?).ok_or("the mount ID is no number")?;
    let parent = number(next("no parent ID")?).ok_or("the parent ID is no number")?;
    let device = next("no device")?;
    let colon = device.iter().position(|&byte| byte == b':').ok_or("the device has no colon")?;
    let major = number(&device[..colon]).ok_or("the major number is no number")?;
    let minor = number(&device[colon + 1..]).ok_or("the minor number is no number")?;
    let root = unescape(next("no root")?);
    let mount_point = unescape(next("no mount point")?);
    let options = next("no options")?.into();
    let mut propagation = Vec::new();
    loop {
        match next("no separator")? {
            b"-" => break,
            tag => propagation.push(tag.into()),
        }
    }
    let fs_type = unescape(next("no filesystem type")?);
    let source = unescape(next("no source")?);
    let super_options = unescape(next("no superblock options")?);
    Ok(Mount { id, parent, major, minor, root, mount_point, options, propagation, fs_type, source, super_options })
}

fn number<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Undoes the kernel's `mangle`: a backslash and three octal digits are one byte.
fn unescape(field: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, tail)) = rest.split_first() {
        let octal = tail.get(..3).filter(|digits| first == b'\\' && digits.iter().all(|d| (b'0'..=b'7').contains(d)));
        match octal {
            Some(digits) => {
                let value = digits.iter().fold(0u16, |value, digit| value * 8 + u16::from(digit - b'0'));
                out.push(value.to_le_bytes()[0]);
                rest = &tail[3..];
            }
            None => {
                out.push(first);
                rest = tail;
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_and_odd_names_survive() {
        let text = b"36 35 98:0 /m\\040nt /mnt\\0112\xff rw,noatime shared:3 master:1 - ext3 /dev/ro\\134ot rw,errors=continue\n";
        let mounts = parse(text).unwrap();
        assert_eq!(mounts.len(), 1);
        let mount = &mounts[0];
        assert_eq!((mount.id, mount.parent, mount.major, mount.minor), (36, 35, 98, 0));
        assert_eq!(mount.root, Bytes::from("/m nt"));
        assert_eq!(mount.mount_point, Bytes(b"/mnt\t2\xff".to_vec()));
        assert_eq!(mount.propagation, [Bytes::from("shared:3"), Bytes::from("master:1")]);
        assert_eq!(mount.source, Bytes::from("/dev/ro\\ot"));
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = parse(b"1 0 0:1 / / rw - proc proc rw\n2 1 0:2 / /x rw\n").unwrap_err();
        assert_eq!((error.line, error.what), (2, "no separator"));
    }

    #[test]
    fn noise_does_not_panic() {
        arbtest::arbtest(|u| {
            let noise: Vec<u8> = u.arbitrary()?;
            let _ = parse(&noise);
            Ok(())
        });
    }
}
