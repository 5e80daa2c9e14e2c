//! A kernel of the user's own, by its path: the one of an image, as if it had been built here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use harness::image::{Image, Settings, Store, cpio, default_cache_dir, tree};
use serde_json::Value;

use crate::program::{program_in, rendered};

const SCENARIO: &str = "whole-bind/control@tmpfs";

/// A folder with a kernel and its modules, as `make modules_install` would leave them.
fn kernel_in(folder: &Path, store: &Store) -> String {
    let manifest = store.manifest();
    let image = store.boot_image("6.12", &manifest.defaults.userland, false).unwrap();
    fs::copy(&image.kernel, folder.join("vmlinux")).unwrap();
    let modules = fs::read(store.directory(Image::Kernel("6.12")).unwrap().join("modules.cpio")).unwrap();
    let installed = folder.join("lib/modules").join(&image.kernel_version);
    fs::create_dir_all(installed.join("kernel")).unwrap();
    let mut there = BTreeSet::new();
    for (name, bytes) in cpio::files_below(&modules, "modules/").unwrap() {
        fs::write(installed.join("kernel").join(name), bytes).unwrap();
        there.extend(name.strip_suffix(".ko").map(str::to_owned));
    }
    // What Debian has as no module it has built in.
    let all = manifest.module_groups.iter().flat_map(|group| &group.modules);
    let builtin = all.map(|name| name.trim_end_matches('?').replace('-', "_")).filter(|name| !there.contains(name));
    let lines: String = builtin.map(|name| format!("kernel/{name}.ko\n")).collect();
    fs::write(installed.join("modules.builtin"), lines).unwrap();
    image.kernel_version
}

/// The kernel with an endless loop where QEMU enters it: at the address of its Xen note of type 18.
fn hanging(mut vmlinux: Vec<u8>) -> Vec<u8> {
    use object::read::elf::{FileHeader as _, ProgramHeader as _};
    let note = [4_u32, 8, 18].map(u32::to_le_bytes).concat();
    let note = [note.as_slice(), b"Xen\0"].concat();
    let at = vmlinux.windows(note.len()).position(|window| window == note).expect("it has a PVH entry") + note.len();
    let entry = u64::from_le_bytes(vmlinux[at..at + 8].try_into().unwrap());
    let header = object::elf::FileHeader64::<object::LittleEndian>::parse(&*vmlinux).unwrap();
    let endian = header.endian().unwrap();
    let place = header.program_headers(endian, &*vmlinux).unwrap().iter().find_map(|segment| {
        let within = entry.checked_sub(segment.p_paddr(endian))?;
        (within < segment.p_filesz(endian)).then(|| segment.p_offset(endian) + within)
    });
    let place = usize::try_from(place.expect("a segment has the entry")).unwrap();
    vmlinux[place..place + 2].copy_from_slice(&[0xeb, 0xfe]);
    vmlinux
}

pub(super) fn a_kernel_of_ones_own_is_named_by_its_path_and_then_by_its_release() {
    let store = Store::open(&default_cache_dir().unwrap(), &tree::locate(None).unwrap(), Settings::default()).unwrap();
    let kept = |store: &Store| store.kept().unwrap().into_iter().map(|(name, ..)| name).collect::<BTreeSet<_>>();
    let before = kept(&store);
    let folder = tempfile::tempdir().unwrap();
    let release = kernel_in(folder.path(), &store);
    let run = |command: &str, kernel: &str, more: &[&str]| {
        let words = [&[command, SCENARIO, "--subject", "reference", "--kernel", kernel], more].concat();
        program_in(&words, folder.path()).output().unwrap()
    };
    for kernel in ["path:vmlinux,modules=.", &release] {
        let output = run("run", kernel, &["--report", "json=report.json"]);
        assert_eq!(output.status.code(), Some(0), "{}", rendered(&output));
        let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
        let trial = &report["trials"][0];
        assert_eq!((trial["verdict"].as_str(), trial["kernel"].as_str()), (Some("pass"), Some(&*release)), "{trial:#}");
    }
    // A step of a bisection: this one is good, and what is no kernel cannot be tested.
    let good = run("bisect-step", "path:vmlinux,modules=.", &[]);
    assert_eq!(good.status.code(), Some(0), "{}", rendered(&good));
    fs::write(folder.path().join("nothing"), "").unwrap();
    let broken = run("bisect-step", "path:nothing", &[]);
    assert_eq!(broken.status.code(), Some(125), "{}", rendered(&broken));
    assert!(rendered(&broken).contains("nothing: not a bzImage"), "{}", rendered(&broken));
    // One that hangs before its first line: one failure, reported once, soon.
    fs::write(folder.path().join("hangs"), hanging(fs::read(folder.path().join("vmlinux")).unwrap())).unwrap();
    for (command, status) in [("bisect-step", 125), ("run", 3)] {
        let hang = run(command, "path:hangs,modules=.", &["--timeout-scale", "0.1", "--accel", "tcg"]);
        assert_eq!(hang.status.code(), Some(status), "{}", rendered(&hang));
        let said = rendered(&hang);
        assert_eq!(said.matches("the kernel does not come up").count(), 1, "{said}");
        assert!(said.contains("the console is empty"), "{said}");
    }
    let lost = run("run", "path:vmlinux,modules=nowhere", &[]);
    assert_eq!(lost.status.code(), Some(2), "{}", rendered(&lost));
    assert!(rendered(&lost).contains("no modules.builtin is in any of nowhere, "), "{}", rendered(&lost));
    for name in kept(&store).difference(&before).filter(|name| name.starts_with("own-kernel-")) {
        store.remove(name).unwrap();
    }
}
