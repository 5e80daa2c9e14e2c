//! Copies of a saved VM, in real VMs: they answer, they are as new, and what is damaged is made
//! anew. One template for all tests.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use harness::cache::progress::{Progress, Step};
use harness::image::{Settings, Store, default_cache_dir, tree};
use harness::vm::template_cache::TemplateHandle;
use harness::vm::{Accelerator, Clones, QemuProgram, TemplateCache, Vm, VmSpec};
use harness::vm::{AcceleratorChoice, kvm};
use libtest_mimic::{Arguments, Failed, Trial};
use protocol::message::{ActionEnd, Engine, Event, Flavor, Lifecycle, Probing, Request, TrialReport, TrialRequest};
use scenarios::Errno;
use tempfile::TempDir;

type Test = fn(&Rig) -> Result<(), Failed>;

pub(crate) fn tests(_: &Arguments) -> Vec<Trial> {
    let rig = Arc::new(OnceLock::new());
    let with_rig = |test: Test| {
        let rig: Arc<OnceLock<Result<Rig, String>>> = Arc::clone(&rig);
        move || test(rig.get_or_init(|| Rig::new().map_err(|error| format!("{error:#}"))).as_ref()?)
    };
    trials!(None, with_rig =>
        two_runs_at_once_make_one_template,
        a_copy_answers_and_runs_trials,
        what_one_copy_does_no_other_sees,
        a_damaged_template_is_made_anew,
        memory_that_changed_is_found,
        a_damaged_template_in_use_is_not_waited_for,
        one_that_waits_is_as_good,
        what_also_hinders_a_boot_condemns_no_template,
        where_copies_do_not_work_machines_boot,
    )
}

/// What all tests share.
struct Rig {
    spec: VmSpec,
    place: TempDir,
    work: TempDir,
    /// Templates that were made.
    made: Arc<AtomicUsize>,
    next: AtomicUsize,
    /// The images are in use for as long as this is open.
    _store: Store,
}

impl Rig {
    fn new() -> anyhow::Result<Self> {
        let tree = tree::locate(Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))))?;
        let cache = default_cache_dir()?;
        let store = Store::open(&cache, &tree, Settings::default())?;
        let defaults = store.manifest().defaults.clone();
        let image = store.boot_image(defaults.kernel(), &defaults.userland, false)?;
        let qemu = store.qemu(image.architecture)?;
        let libraries = qemu.library_path.to_string_lossy();
        let work = tempfile::tempdir()?;
        let spec = VmSpec {
            architecture: image.architecture,
            qemu: QemuProgram::private(&qemu.loader, &libraries, &qemu.program, &qemu.data_dir, &qemu.version),
            accelerator: Accelerator::Tcg,
            kernel: image.kernel,
            initramfs: image.initramfs,
            memory_mib: 640,
            directory: work.path().join("template"),
            extra_cmdline: String::new(),
            criu: None,
        };
        let accelerator = kvm::choose(AcceleratorChoice::Auto, &spec, &cache)?.accelerator;
        let in_memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir()).unwrap_or_else(std::env::temp_dir);
        let place = tempfile::Builder::new().prefix("zdtm-detached-test-").tempdir_in(in_memory)?;
        let made = Arc::new(AtomicUsize::new(0));
        Ok(Rig { spec: VmSpec { accelerator, ..spec }, place, work, made, next: AtomicUsize::new(0), _store: store })
    }

    fn template_cache(&self) -> TemplateCache {
        let made = Arc::clone(&self.made);
        let progress: Arc<dyn Progress> = Arc::new(move |step: Step<'_>| {
            if let Step::Note { text } = step
                && text.starts_with("template: made in")
            {
                made.fetch_add(1, Ordering::SeqCst);
            }
        });
        TemplateCache::at(self.place.path(), progress)
    }

    fn template(&self) -> Result<TemplateHandle, Failed> {
        Ok(self.template_cache().template(&self.spec, soon())?)
    }

    fn spec(&self) -> VmSpec {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        VmSpec { directory: self.work.path().join(number.to_string()), ..self.spec.clone() }
    }

    fn copy(&self) -> Result<Vm, Failed> {
        Ok(self.template()?.template().copy(&self.spec(), soon())?.wake(soon())?)
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(240)
}

fn trial(vm: &mut Vm, engine: Engine, flavor: Flavor, program: &str) -> Result<TrialReport, Failed> {
    static NUMBER: AtomicUsize = AtomicUsize::new(1);
    let trial = NUMBER.fetch_add(1, Ordering::SeqCst) as u64;
    let lifecycle = Lifecycle::DumpRestore;
    let programs = vec![program.to_owned()];
    let request = TrialRequest {
        trial,
        programs,
        flavor,
        lifecycle,
        engine,
        action_timeout_ms: 120_000,
        thorough: true,
        probing: Probing::Never,
    };
    vm.send(&Request::Run(request))?;
    loop {
        if let Event::Finished { trial: number, report } = vm.receive(soon())?
            && number == trial
        {
            return report.alone().ok_or_else(|| "no report of one program".into());
        }
    }
}

fn two_runs_at_once_make_one_template(rig: &Rig) -> Result<(), Failed> {
    let before = rig.made.load(Ordering::SeqCst);
    let folder = rig.template_cache().all()?;
    std::thread::scope(|scope| -> Result<(), Failed> {
        let other = scope.spawn(|| rig.template().map(drop).map_err(|error| format!("{error:?}")));
        rig.template()?;
        Ok(other.join().map_err(|_| "it panicked")??)
    })?;
    let expected = usize::from(folder.is_empty());
    assert_eq!(rig.made.load(Ordering::SeqCst) - before, expected, "templates were made");
    assert_eq!(rig.template_cache().all()?.len(), 1);
    Ok(())
}

fn a_copy_answers_and_runs_trials(rig: &Rig) -> Result<(), Failed> {
    let template = rig.template()?;
    let mut vm = template.template().copy(&rig.spec(), soon())?.wake(soon())?;
    let (then, now) = (template.template().ready(), vm.ready());
    assert_eq!((&now.kernel, &now.criu, &now.filesystems), (&then.kernel, &then.criu, &then.filesystems));
    assert!(now.uptime_ms > then.uptime_ms, "it went on from where the template stopped: {now:?}");
    let program = "mount ext4 a\nwrite a/f \"hello\"\nfd0 = open a/f rdwr\n";
    for _ in 0..2 {
        let report = trial(&mut vm, Engine::Criu { assisted: false }, Flavor::Ns, program)?;
        let ends: Vec<_> = report.actions.iter().map(|action| &action.end).collect();
        assert_eq!(ends, [&ActionEnd::Done, &ActionEnd::Done], "{report:.3000?}");
        assert_eq!(report.leftovers, Vec::<String>::new());
    }
    vm.shut_down(soon())?;
    Ok(())
}

/// The program writes beside its top directory, where nothing is cleared away.
fn what_one_copy_does_no_other_sees(rig: &Rig) -> Result<(), Failed> {
    let template = rig.template()?;
    let ram = template.folder().join("ram");
    let before = fs::read(&ram)?;
    let there = |vm: &mut Vm| -> Result<bool, Failed> {
        let report = trial(
            vm,
            Engine::Criu { assisted: false },
            Flavor::Host,
            "symlink \"/usr\" up\nfd0 = open up/left rdonly\n",
        )?;
        match report.setup_failure {
            None => Ok(true),
            Some(failure) if failure.errno == Some(Errno::ENOENT) => Ok(false),
            Some(failure) => Err(failure.what.into()),
        }
    };
    let mut first = rig.copy()?;
    assert!(!there(&mut first)?);
    let left = trial(
        &mut first,
        Engine::Criu { assisted: false },
        Flavor::Host,
        "symlink \"/usr\" up\nwrite up/left \"mine\"\n",
    )?;
    assert_eq!(left.setup_failure, None);
    assert!(there(&mut first)?, "this test cannot fail: the file is gone from the machine that made it");
    let mut second = rig.copy()?;
    assert!(!there(&mut second)?, "a file of another copy is there");
    drop((first, second));
    assert!(fs::read(&ram)? == before, "copies wrote to the template's memory");
    Ok(())
}

fn one_that_waits_is_as_good(rig: &Rig) -> Result<(), Failed> {
    let clones = Clones::new(rig.template()?, rig.spec.clone(), rig.work.path());
    clones.keep_one_waiting();
    let waited = clones.vm(&rig.spec().directory, soon())?;
    assert!(waited.directory().ends_with("waiting-0"), "{:?}", waited.directory());
    let other = clones.vm(&rig.spec().directory, soon())?;
    assert!(!other.directory().ends_with("waiting-0"), "{:?}", other.directory());
    assert_ne!(waited.pid(), other.pid());
    Ok(())
}

/// 64 bytes in the middle of a file change; its size and its time stay.
fn flip(file: &Path) -> Result<(), Failed> {
    let open = fs::File::options().read(true).write(true).open(file)?;
    let (time, middle) = (open.metadata()?.modified()?, open.metadata()?.len() / 2);
    let mut bytes = [0; 64];
    open.read_exact_at(&mut bytes, middle)?;
    open.write_all_at(&bytes.map(|byte| byte ^ 1), middle)?;
    Ok(open.set_modified(time)?)
}

fn a_damaged_template_is_made_anew(rig: &Rig) -> Result<(), Failed> {
    let state = rig.template()?.folder().join("state");
    flip(&state)?;
    let (before, bytes) = (rig.made.load(Ordering::SeqCst), fs::read(&state)?);
    rig.copy()?;
    assert_eq!(rig.made.load(Ordering::SeqCst) - before, 1);
    assert_ne!(fs::read(&state)?, bytes);
    Ok(())
}

fn memory_that_changed_is_found(rig: &Rig) -> Result<(), Failed> {
    let template = rig.template()?;
    assert_eq!(template.check_memory(), Ok(()));
    flip(&template.folder().join("ram"))?;
    let why = template.check_memory().expect_err("it changed");
    assert!(why.starts_with("ram has changed: "), "{why}");
    drop(template);
    let before = rig.made.load(Ordering::SeqCst);
    rig.copy()?;
    assert_eq!(rig.made.load(Ordering::SeqCst) - before, 1);
    Ok(())
}

/// The older run never ends, as far as the new one can know. A new one that waits for it would
/// wait for ever: it has a thread of its own.
fn a_damaged_template_in_use_is_not_waited_for(rig: &Rig) -> Result<(), Failed> {
    let older = rig.template()?;
    flip(&older.folder().join("ram"))?;
    older.check_memory().expect_err("it changed");
    let template = |cache: TemplateCache| {
        let (sender, receiver) = channel();
        let spec = rig.spec.clone();
        std::thread::spawn(move || {
            let _ = sender.send(cache.template(&spec, soon()).map_err(|error| error.to_string()));
        });
        receiver.recv_timeout(soon() - Instant::now()).map_err(|_| Failed::from("it waits for the older run"))
    };
    let before = rig.made.load(Ordering::SeqCst);
    let [first, second] = [template(rig.template_cache())??, template(rig.template_cache())??];
    assert_eq!(rig.made.load(Ordering::SeqCst) - before, 1, "two runs use the one beside it");
    assert!(first.folder() == second.folder() && first.folder() != older.folder(), "{:?}", first.folder());
    first.template().copy(&rig.spec(), soon())?.wake(soon())?;
    // Both are damaged and in use: no template, and runs boot.
    fs::remove_file(first.folder().join("bill.json"))?;
    let none = template(rig.template_cache())?.map(|handle| handle.folder().to_owned());
    assert_eq!(none, Err("the saved VMs of this kind are damaged, and older runs still use them".to_owned()));
    let folder = older.folder().to_owned();
    drop((older, first, second));
    assert_eq!(template(rig.template_cache())??.folder(), folder, "the usual place is made anew");
    Ok(())
}

/// As a full `TMPDIR` does.
fn what_also_hinders_a_boot_condemns_no_template(rig: &Rig) -> Result<(), Failed> {
    let template = rig.template()?;
    let bill = template.folder().join("bill.json");
    let clones = Clones::new(template, rig.spec.clone(), rig.work.path());
    let no_folder = rig.work.path().join("file");
    fs::write(&no_folder, "")?;
    let error = clones.vm(&no_folder.join("vm"), soon()).expect_err("a folder below a file");
    assert!(error.to_string().contains("Not a directory") && bill.exists(), "{error}");
    let vm = clones.vm(&rig.spec().directory, soon())?;
    assert!(!fs::read_to_string(vm.directory().join("qemu-command"))?.contains("-kernel"), "it is a copy");
    Ok(())
}

/// A copy with another size of memory is refused by QEMU.
fn where_copies_do_not_work_machines_boot(rig: &Rig) -> Result<(), Failed> {
    let template = rig.template()?;
    let folder = template.folder().to_owned();
    let wrong = VmSpec { memory_mib: rig.spec.memory_mib + 64, ..rig.spec.clone() };
    let clones = Clones::new(template, wrong, rig.work.path());
    let vm = clones.vm(&rig.spec().directory, soon())?;
    assert!(fs::read_to_string(vm.directory().join("qemu-command"))?.contains("-kernel"));
    assert!(!folder.join("bill.json").exists(), "the next run would trust it");
    Ok(())
}
