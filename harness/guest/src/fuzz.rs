//! What the fuzz targets call of this crate: readers of text that somebody else wrote. Each
//! function panics when a property does not hold.

use protocol::observation::{Descriptor, Mount};
use scenarios::Bytes;

use crate::criu::{ERROR_LINE_LIMIT, error_lines};
use crate::observe::{fdinfo, mountinfo};

/// A mountinfo file is read whole or refused with a line of it; what was read, written as the
/// kernel writes it, is read again as the same.
///
/// # Panics
/// When that does not hold.
pub fn mountinfo(text: &[u8]) {
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    match mountinfo::parse(text) {
        Ok(mounts) => {
            assert_eq!(mounts.len(), lines.count(), "a mount for each line");
            let written: Vec<u8> = mounts.iter().flat_map(mount_line).collect();
            assert_eq!(mountinfo::parse(&written).as_ref(), Ok(&mounts), "{}", String::from_utf8_lossy(&written));
        }
        Err(bad) => {
            let line = lines.clone().nth(bad.line - 1);
            assert_eq!(line, Some(bad.text.as_slice()), "the line that is told is the bad one");
        }
    }
}

/// The line of a mount (`show_mountinfo` in `fs/proc_namespace.c`).
fn mount_line(mount: &Mount) -> Vec<u8> {
    let Mount { id, parent, major, minor, .. } = mount;
    let mut line = format!("{id} {parent} {major}:{minor}").into_bytes();
    let mut field = |bytes: &[u8]| {
        line.push(b' ');
        line.extend_from_slice(bytes);
    };
    field(&mangled(&mount.root));
    field(&mangled(&mount.mount_point));
    field(mount.options.as_slice());
    mount.propagation.iter().for_each(|tag| field(tag.as_slice()));
    field(b"-");
    field(&mangled(&mount.fs_type));
    field(&mangled(&mount.source));
    field(&mangled(&mount.super_options));
    line.push(b'\n');
    line
}

/// What would end a field or look like an escape is written as one.
fn mangled(bytes: &Bytes) -> Vec<u8> {
    let escape = |&byte: &u8| match byte {
        b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
        byte => vec![byte],
    };
    bytes.as_slice().iter().flat_map(escape).collect()
}

/// An fdinfo file is read or refused; what was read, written as the kernel writes it, is read again
/// as the same, and no line is lost that has no meaning of its own.
///
/// # Panics
/// When that does not hold.
pub fn fdinfo(text: &[u8]) {
    let Ok((descriptor, mount)) = fdinfo::parse(text) else { return };
    let Descriptor { position, flags, details, control: _ } = &descriptor;
    let mut written = format!("pos:\t{position}\nflags:\t0{flags:o}\nmnt_id:\t{mount}\nino:\t1\n").into_bytes();
    for line in details {
        written.extend_from_slice(line.as_slice());
        written.push(b'\n');
    }
    let own = [&b"pos:"[..], b"flags:", b"mnt_id:", b"ino:"];
    let others = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let others = others.filter(|line| !own.iter().any(|key| line.starts_with(key)));
    assert!(others.eq(details.iter().map(Bytes::as_slice)), "lines without a meaning of their own are kept");
    assert_eq!(fdinfo::parse(&written), Ok((descriptor, mount)), "{}", String::from_utf8_lossy(&written));
}

/// Of a criu log come its errors, in order, each the end of its line and without the time.
///
/// # Panics
/// When that does not hold.
pub fn criu_log(text: &[u8]) {
    let log = String::from_utf8_lossy(text);
    let errors = error_lines(&log);
    let marked: Vec<&str> = log.lines().filter(|line| line.contains("Error (")).take(ERROR_LINE_LIMIT).collect();
    assert_eq!(errors.len(), marked.len());
    for (error, line) in errors.iter().zip(marked) {
        assert!(error.contains("Error (") && line.trim_end().ends_with(error.as_str()), "{error:?} of {line:?}");
        let time = line.strip_prefix('(').and_then(|rest| rest.split_once(") ")).map(|(time, _)| time);
        let timed = time.is_some_and(|time| time.bytes().all(|byte| b"0123456789.".contains(&byte)));
        let lost = line.trim_end().len() - error.len();
        assert_eq!(lost > line.len() - line.trim_start().len(), timed, "{error:?} of {line:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_has_the_properties() {
        mountinfo(&std::fs::read("/proc/self/mountinfo").unwrap());
        for entry in std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten() {
            // The folder's own descriptor is gone by then.
            if let Ok(text) = std::fs::read(entry.path()) {
                assert!(fdinfo::parse(&text).is_ok());
                fdinfo(&text);
            }
        }
    }

    #[test]
    fn odd_names_are_written_as_they_are_read() {
        let odd = b"1 2 0:3 /a\\040b \\011\\012\\134\xff\\134040 rw shared:1 - tmpfs a\\0b rw\n";
        mountinfo(odd);
        mountinfo(b"1 2 0:3 / / rw\n");
    }

    #[test]
    fn logs_have_the_properties() {
        criu_log(b"(00.01) Error (a.c:1): x\n() Error (\n   2: Error (b)  \n(00.1) (00.2) Error (c\nWarn\n");
        criu_log("Error (a\n".repeat(50).as_bytes());
    }

    #[test]
    fn the_seeds_have_the_properties() {
        type Check = fn(&[u8]);
        let targets: [(&str, Check); 3] = [("mountinfo", mountinfo), ("fdinfo", fdinfo), ("criu_log", criu_log)];
        for (target, check) in targets {
            let folder = format!("{}/../../fuzz/seeds/{target}", env!("CARGO_MANIFEST_DIR"));
            for entry in std::fs::read_dir(folder).unwrap() {
                let text = std::fs::read(entry.unwrap().path()).unwrap();
                check(&text);
                assert!(target != "mountinfo" || mountinfo::parse(&text).is_ok());
                assert!(target != "fdinfo" || fdinfo::parse(&text).is_ok());
            }
        }
    }
}
