//! The POSIX locks of a process that observes itself. They go when it closes any descriptor of the
//! file, fcntl(2), and an observation opens and closes files. So an observation notes them first
//! and takes them again at its end.

use protocol::observation::Descriptor;
use scenarios::Bytes;

use crate::sys;

/// Locks by descriptor; dropping it takes them again.
#[derive(Default)]
pub(super) struct PosixLocks(Vec<(i32, libc::flock)>);

impl PosixLocks {
    /// Those that fdinfo tells of these descriptors of this process.
    pub(super) fn of<'a>(descriptors: impl Iterator<Item = (i32, &'a Descriptor)>) -> Self {
        let of_one = |(number, descriptor): (i32, &'a Descriptor)| {
            descriptor.details.iter().filter_map(lock).map(move |lock| (number, lock))
        };
        Self(descriptors.flat_map(of_one).collect())
    }
}

/// `lock:\t1: POSIX  ADVISORY  WRITE 7 00:1c:2 0 EOF` (proc_locks(5)).
fn lock(line: &Bytes) -> Option<libc::flock> {
    let line = std::str::from_utf8(line.as_slice()).ok()?;
    let words: Vec<&str> = line.strip_prefix("lock:")?.split_ascii_whitespace().collect();
    if *words.get(1)? != "POSIX" {
        return None;
    }
    let kind = if *words.get(3)? == "WRITE" { libc::F_WRLCK } else { libc::F_RDLCK };
    let start = words.get(6)?.parse().ok()?;
    let length = match *words.get(7)? {
        "EOF" => 0,
        end => end.parse::<i64>().ok()? - start + 1,
    };
    let l_type = libc::c_short::try_from(kind).ok()?;
    Some(libc::flock { l_type, l_whence: 0, l_start: start, l_len: length, l_pid: 0 })
}

impl Drop for PosixLocks {
    fn drop(&mut self) {
        for (number, lock) in &self.0 {
            // A lock that is gone shows in the next observation.
            let _ = sys::set_posix_lock(*number, lock);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use nix::fcntl::{FcntlArg, fcntl};

    use super::*;
    use crate::observe::fdinfo;

    #[test]
    fn locks_outlive_what_closes_their_file() {
        let path = std::env::temp_dir().join(format!("zdtm-detached-lock-{}", std::process::id()));
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&path).unwrap();
        let lock = libc::flock { l_type: libc::F_WRLCK as libc::c_short, l_whence: 0, l_start: 3, l_len: 5, l_pid: 0 };
        fcntl(&file, FcntlArg::F_SETLK(&lock)).unwrap();
        let seen = || {
            let text = std::fs::read(format!("/proc/self/fdinfo/{}", file.as_raw_fd())).unwrap();
            fdinfo::parse(&text).unwrap().0
        };
        let before = seen();
        assert_eq!(before.details.len(), 1);
        let kept = PosixLocks::of([(file.as_raw_fd(), &before)].into_iter());
        drop(File::open(&path).unwrap());
        assert_eq!(seen().details, [], "the kernel takes it away");
        drop(kept);
        assert_eq!(seen(), before);
        std::fs::remove_file(&path).unwrap();
    }
}
