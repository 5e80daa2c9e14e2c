//! The checks: each function checks one thing and returns one [`Check`].

use std::fmt::Display;
use std::path::Path;

use nix::sys::statvfs::statvfs;

use super::Check;
use crate::architecture::HOST;
use crate::cache::error::ImageError;
use crate::image::{Image, ImageState, Store, tree};
use crate::process::memory::available_mib;
use crate::session::{MEMORY_MIB, Settings, work_folder};
use crate::subject::Parts;
use crate::vm::Accelerator;
use crate::vm::VmSpec;
use crate::vm::kvm::{self, Decision};
use crate::vm::qemu::{QemuProgram, on_path};

/// Free space in the cache below which a warning is given, in MiB: QEMU, a kernel, a userland and
/// room to unpack.
pub(super) const CACHE_MIB: u64 = 3 << 10;

/// Free space for temporary files below which a warning is given, in MiB.
const TEMPORARY_MIB: u64 = 256;

/// What QEMU needs besides the guest's memory, in MiB.
const QEMU_MIB: u64 = 256;

/// The programs of the host that are needed, and what each is for.
const PROGRAMS: &[(&str, &str)] = &[("cargo", "builds the guest's agent")];

/// Every check.
pub(super) fn all(args: &Settings) -> Vec<Check> {
    let cache = args.store.cache.clone().map_or_else(crate::image::default_cache_dir, Ok);
    let mut all = match &cache {
        Ok(cache) => host(cache, MEMORY_MIB),
        Err(error) => vec![Check::failed_with_advice("cache", error)],
    };
    match args.store.tree() {
        Ok(tree) => {
            if tree::is_embedded(&tree) {
                // Nothing is left to build with it.
                all.retain(|check| check.name != "cargo");
            }
            all.push(Check::ok("tree", tree::describe(&tree)));
        }
        Err(error) => all.push(Check::failed_with_advice("tree", error)),
    }
    let quiet = std::sync::Arc::new(|_: crate::cache::progress::Step<'_>| ());
    match args.store.open(quiet) {
        Ok(store) => {
            all.push(mirror(store.source.mirror()));
            all.extend(of_store(args, &store));
        }
        Err(error) => all.push(Check::failed_with_advice("images", error)),
    }
    all.push(settings(super::super::settings::file().as_deref()));
    all
}

/// The file of settings; what is wrong in it ends every command before it begins.
pub(super) fn settings(file: Option<&Path>) -> Check {
    match file.map(|file| file.canonicalize().unwrap_or_else(|_| file.to_owned())) {
        Some(file) => Check::ok("settings", file.display().to_string()),
        None => Check::ok("settings", "no zdtm-detached.toml here or in the source tree"),
    }
}

/// Where images come from. The mirror is not asked: what is built needs none.
fn mirror(name: Result<String, ImageError>) -> Check {
    match name {
        Ok(name) => Check::ok("mirror", name),
        Err(error) => Check::failed_with_advice("mirror", error),
    }
}

/// The images, and what comes out of them. Nothing is built here: what is not there yet is said to
/// be so.
pub(super) fn of_store(args: &Settings, store: &Store) -> Vec<Check> {
    let mut checks = Vec::new();
    let defaults = &store.manifest().defaults;
    let mut whole = true;
    for image in store.images() {
        let needed = match image {
            Image::Qemu(guests) => guests == HOST && args.qemu.is_none(),
            Image::Kernel(name) => name == defaults.kernel(),
            Image::Userland(name, architecture) => architecture == HOST && name == defaults.userland,
            Image::BuildRoot(_) | Image::KernelBuildRoot | Image::Tools(_) | Image::Zdtm => false,
        };
        let state = store.state(image, false);
        whole &= !needed || matches!(state, Ok(ImageState::Built(_)));
        checks.push(self::image(&image.to_string(), state));
    }
    if !whole {
        checks.push(accelerator::<anyhow::Error>(None));
        return checks;
    }
    let qemu = args.qemu(store, HOST);
    checks.push(self::qemu(qemu.as_ref()));
    if qemu.is_err() {
        return checks;
    }
    let found = work_folder().and_then(|folder| {
        let spec = args.vm(store, defaults.kernel(), &Parts::plain(store), folder.path())?;
        let decision = args.accelerator(&spec)?;
        Ok((VmSpec { accelerator: decision.accelerator, ..spec }, decision))
    });
    checks.push(accelerator(Some(found.as_ref().map(|(_, decision)| decision))));
    if let Ok((spec, _)) = &found {
        let quiet = std::sync::Arc::new(|_: crate::cache::progress::Step<'_>| ());
        checks.push(template(args.template_cache(quiet).and_then(|template_cache| Ok(template_cache.look(spec)?))));
    }
    checks
}

/// Whether VMs are copies of a saved one, or why not.
pub(super) fn template<E: Display>(look: Result<String, E>) -> Check {
    const NAME: &str = "saved vm";
    match look {
        Ok(place) => Check::ok(NAME, place),
        Err(error) => Check::warn(NAME, error.to_string(), "every VM boots, which takes some seconds each"),
    }
}

pub(super) fn image(name: &str, state: Result<ImageState, ImageError>) -> Check {
    match state {
        Ok(ImageState::Built(_)) => Check::ok(name, "built"),
        Ok(ImageState::NotBuilt) => Check::ok(name, "not built yet: it is when it is needed"),
        Ok(ImageState::Damaged(why)) => {
            Check::warn(name, format!("damaged: {why}"), "it is built anew when it is needed")
        }
        Err(error) => Check::failed_with_advice(name, error),
    }
}

/// The checks of the host alone: programs, cache directory, temporary directory, processors and
/// memory.
pub(super) fn host(cache_dir: &Path, vm_memory_mib: u32) -> Vec<Check> {
    let programs = PROGRAMS.iter().map(|(program, purpose)| self::program(program, purpose));
    let rest = [
        directory("cache", cache_dir, CACHE_MIB),
        directory("temporary files", &std::env::temp_dir(), TEMPORARY_MIB),
        capacity(cores(), available_mib(), vm_memory_mib),
    ];
    programs.chain(rest).collect()
}

/// Which QEMU is used, or why none was found.
pub(super) fn qemu<E: Display>(qemu: Result<&QemuProgram, &E>) -> Check {
    match qemu {
        Ok(qemu) => {
            let program = qemu.argv_prefix.last().map(|word| word.to_string_lossy().into_owned());
            Check::ok("qemu", format!("{} ({})", qemu.version, program.unwrap_or_default()))
        }
        Err(error) => Check::failed_with_advice("qemu", error),
    }
}

/// What runs the guests' code and why. Without a decision (there is nothing to boot yet) only the
/// device is checked.
pub(super) fn accelerator<E: Display>(decision: Option<Result<&Decision, &E>>) -> Check {
    const NAME: &str = "accelerator";
    const SLOW: &str = "trials take about ten times as long as with a working KVM";
    match decision {
        Some(Ok(Decision { accelerator: Accelerator::Kvm, reason })) => Check::ok(NAME, reason),
        Some(Ok(Decision { accelerator: Accelerator::Tcg, reason })) => Check::warn(NAME, reason, SLOW),
        Some(Err(error)) => Check::failed_with_advice(NAME, error),
        None => match kvm::open_device() {
            Ok(()) => Check::ok(NAME, "kvm can be opened; whether it works shows at the first boot"),
            Err(why) => Check::warn(NAME, format!("kvm: {why}, using tcg"), SLOW),
        },
    }
}

pub(super) fn program(program: &str, purpose: &str) -> Check {
    match on_path(program) {
        Some(path) => Check::ok(program, path.display().to_string()),
        None => {
            let hint = format!("install it: it {purpose}; images that are already built work without it");
            Check::fail(program, "not on the PATH", hint)
        }
    }
}

/// A directory that files can be made in, with this much free space.
pub(super) fn directory(name: &str, path: &Path, wanted_mib: u64) -> Check {
    let at = path.display();
    let probe = std::fs::create_dir_all(path).and_then(|()| tempfile::tempfile_in(path));
    if let Err(error) = probe {
        return Check::fail(
            name,
            format!("cannot write to {at}: {error}"),
            "choose another directory or repair this one",
        );
    }
    match statvfs(path) {
        Ok(status) => {
            let free_mib = status.blocks_available().saturating_mul(status.fragment_size()) >> 20;
            space(name, &at.to_string(), free_mib, wanted_mib)
        }
        Err(error) => {
            Check::warn(name, format!("{at}: free space is not known: {error}"), "make sure that there is some")
        }
    }
}

pub(super) fn space(name: &str, at: &str, free_mib: u64, wanted_mib: u64) -> Check {
    let detail = format!("{at}, {free_mib} MiB free");
    if free_mib < wanted_mib {
        Check::warn(name, detail, format!("free some space: {wanted_mib} MiB are wanted"))
    } else {
        Check::ok(name, detail)
    }
}

/// How many VMs this machine carries: one for each processor, as far as the memory goes.
pub(super) fn capacity(cores: usize, available_mib: Option<u64>, vm_memory_mib: u32) -> Check {
    const NAME: &str = "capacity";
    let each = u64::from(vm_memory_mib) + QEMU_MIB;
    let Some(available) = available_mib else {
        return Check::warn(NAME, format!("{cores} processors, memory not known"), "choose the number of VMs with -j");
    };
    let by_memory = usize::try_from(available / each).unwrap_or(usize::MAX);
    let fit = cores.min(by_memory);
    let detail = format!("{cores} processors, {available} MiB of memory available: {fit} VMs of {vm_memory_mib} MiB");
    match fit {
        0 => Check::fail(NAME, detail, format!("free memory: a VM needs {each} MiB")),
        _ if fit < cores => Check::warn(NAME, detail, "free memory to use every processor"),
        _ => Check::ok(NAME, detail),
    }
}

pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
