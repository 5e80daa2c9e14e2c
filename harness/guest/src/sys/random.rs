//! Ioctls of random(4).

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

use super::{check, request};

/// Mixes these bytes in and has the kernel draw a new seed at once (`RNDRESEEDCRNG`), not in a
/// minute.
///
/// # Errors
/// Those of writing to `/dev/urandom` and of the ioctl.
pub fn seed_random_numbers(bytes: &[u8]) -> io::Result<()> {
    const RNDRESEEDCRNG: libc::Ioctl = request(0x5207);
    let mut device = OpenOptions::new().write(true).open("/dev/urandom")?;
    device.write_all(bytes)?;
    // SAFETY: no argument.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) }.into()).map(drop)
}
