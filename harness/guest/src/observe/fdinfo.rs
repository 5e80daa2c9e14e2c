//! `/proc/PID/fdinfo/N` (proc_pid_fdinfo(5)).

use protocol::observation::Descriptor;

/// What a descriptor's fdinfo says, and its mount ID.
///
/// # Errors
/// The name of the line that is missing or no number.
pub fn parse(text: &[u8]) -> Result<(Descriptor, u64), &'static str> {
    let mut descriptor = Descriptor { position: 0, flags: 0, details: Vec::new(), control: None };
    let (mut position, mut flags, mut mount) = (None, None, None);
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        match line.iter().position(|&byte| byte == b':').map(|colon| line.split_at(colon)) {
            Some((b"pos", value)) => position = Some(number(value, 10).ok_or("pos")?),
            Some((b"flags", value)) => flags = Some(number(value, 8).ok_or("flags")?),
            Some((b"mnt_id", value)) => mount = Some(number(value, 10).ok_or("mnt_id")?),
            Some((b"ino", _)) => {}
            _ => descriptor.details.push(line.into()),
        }
    }
    // The kernel has the descriptors of an epoll set in the order of addresses (`ep_cmp_ffd` in
    // fs/eventpoll.c).
    if descriptor.details.iter().all(|line| line.0.starts_with(b"tfd:")) {
        descriptor.details.sort();
    }
    // The kernel prints the position as signed; the harness never sets a negative one.
    descriptor.position = position.ok_or("pos")?;
    descriptor.flags = u32::try_from(flags.ok_or("flags")?).map_err(|_| "flags")?;
    Ok((descriptor, mount.ok_or("mnt_id")?))
}

/// Status flags of this machine by the numbers of amd64, which observations have. arm64 has four of
/// its own: `O_DIRECTORY` and `O_DIRECT` are there what the other is here,
/// and so are `O_NOFOLLOW` and `O_LARGEFILE` (arch/arm64/include/uapi/asm/fcntl.h).
pub(super) fn as_on_amd64(flags: u32) -> u32 {
    if cfg!(target_arch = "aarch64") { swapped(flags) } else { flags }
}

fn swapped(flags: u32) -> u32 {
    const LOWER: u32 = 0o140_000;
    const HIGHER: u32 = LOWER << 2;
    flags & !(LOWER | HIGHER) | (flags & LOWER) << 2 | (flags & HIGHER) >> 2
}

fn number(value: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(value.get(1..)?).ok()?;
    u64::from_str_radix(text.trim(), radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_stay_as_details() {
        let text =
            b"pos:\t5\nflags:\t0102002\nmnt_id:\t25\nino:\t7\nlock:\t1: POSIX  ADVISORY  WRITE 7 00:1c:2 0 EOF\n";
        let (descriptor, mount) = parse(text).unwrap();
        assert_eq!((descriptor.position, descriptor.flags, mount), (5, 0o102_002, 25));
        assert_eq!(descriptor.details.len(), 1);
    }

    #[test]
    fn numbers_of_arm64_are_those_of_amd64_swapped() {
        // O_DIRECTORY, O_NOFOLLOW, O_DIRECT, O_LARGEFILE; O_APPEND is the same.
        for (amd64, arm64) in [
            (0o200_000, 0o40_000),
            (0o400_000, 0o100_000),
            (0o40_000, 0o200_000),
            (0o100_000, 0o400_000),
            (0o2_000, 0o2_000),
        ] {
            assert_eq!((swapped(arm64), swapped(amd64)), (amd64, arm64));
        }
        assert_eq!(swapped(0o500_002), 0o500_002);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(parse(b"pos:\t0\nflags:\t02\n"), Err("mnt_id"));
        assert_eq!(parse(b"pos:\tx\n"), Err("pos"));
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
