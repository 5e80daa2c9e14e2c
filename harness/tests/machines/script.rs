//! A shell script as a criu: a subject has to be a program for amd64 that the guest can start, and
//! this one is a few instructions that start the shell.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Where the program is in memory, all of it.
const BASE: u32 = 0x40_0000;
/// The headers: of the file, and of its one segment.
const HEADERS: u32 = 64 + 56;
/// The instructions' length.
const CODE: u32 = 48;

/// Writes a program that runs the script with its own arguments, and gives its subject. Whatever
/// the script does not do, the guest's criu does. The file is always the same one, for the cache
/// knows it by its name and contents.
pub(crate) fn subject(name: &str, script: &str) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("scripts");
    fs::create_dir_all(&folder).expect("the target folder is ours");
    let file = folder.join(name);
    // The version is asked on this machine, too, which need not have a criu.
    let script = format!("[ \"$1\" != --version ] || {{ echo Version: 4.1.1; exit; }}\n{script}\nexec {CRIU} \"$@\"\n");
    let program = program(&script);
    if fs::read(&file).ok().as_ref() != Some(&program) {
        fs::write(&file, program).expect("the target folder is ours");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("the file is ours");
    }
    format!("path:{}", file.display())
}

/// The guest's own.
const CRIU: &str = "/usr/sbin/criu";

/// `execve("/bin/sh", ["sh", "-c", SCRIPT, argv...], envp)`.
fn program(script: &str) -> Vec<u8> {
    let strings = ["/bin/sh", "sh", "-c", script];
    let mut at = BASE + HEADERS + CODE;
    let addresses = strings.map(|string| {
        let address = at;
        at += u32::try_from(string.len()).expect("a short script") + 1;
        address.to_le_bytes()
    });
    let [path, sh, option, script_at] = addresses;
    let code = [
        // pop rax: argc; lea rdx, [rsp + rax * 8 + 8]: envp
        &[0x58, 0x48, 0x8d, 0x54, 0xc4, 0x08][..],
        // push: three more words before argv
        &[0x68],
        &script_at,
        &[0x68],
        &option,
        &[0x68],
        &sh,
        // mov rsi, rsp; mov edi, the path; mov eax, execve; syscall
        &[0x48, 0x89, 0xe6, 0xbf],
        &path,
        &[0xb8, 59, 0, 0, 0, 0x0f, 0x05],
        // mov edi, 127; mov eax, exit; syscall
        &[0xbf, 127, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05],
    ]
    .concat();
    assert_eq!(code.len(), CODE as usize);
    let mut bytes = headers(at - BASE);
    bytes.extend(code);
    for string in strings {
        bytes.extend(string.bytes());
        bytes.push(0);
    }
    bytes
}

/// elf(5): a program for amd64 with one segment, the whole file.
fn headers(length: u32) -> Vec<u8> {
    let (base, length) = (u64::from(BASE), u64::from(length));
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    // The entry, where the segments' headers are, where those of sections would be.
    bytes.extend([base + u64::from(HEADERS), 64, 0].map(u64::to_le_bytes).concat());
    // Flags; sizes and numbers of headers.
    bytes.extend([0, 0, 64, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
    // PT_LOAD, to be read and executed.
    bytes.extend([1, 5].map(u32::to_le_bytes).concat());
    bytes.extend([0, base, base, length, length, 0x1000].map(u64::to_le_bytes).concat());
    bytes
}
