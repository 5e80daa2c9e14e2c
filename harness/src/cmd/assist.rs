//! `assist dump|restore`: a user's own call of criu, with the files on detached mounts given from
//! outside. The guest's program does it (crate `guest`, module `assist`): this command finds that
//! program and becomes it.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::session::{StoreSettings, progress};

/// Dump and restore processes of this machine whose files on lazily unmounted mounts criu refuses.
///
/// criu refuses a process with a file on a detached mount (`Can't lookup mount=38 for fd=3
/// path=/d/f`). It leaves such a file out when the caller names it, and opens one that the caller
/// gives. This command calls criu so. Each file comes back on a detached mount with the same root,
/// the same options and the same name, also a deleted one. What cannot be brought back is refused
/// before anything is dumped. All else, what criu needs to be told included, is as without
/// this command: arguments behind `--` are criu's. It needs root. docs/ASSIST.md has the limits.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached assist dump --tree 4711 --images-dir img -- --shell-job --log-file dump.log
  zdtm-detached assist dump --tree 4711 --images-dir img -- --leave-running
  zdtm-detached assist restore --images-dir img -- --shell-job --restore-detached

Exit status: 0 done, 1 refused or failed (a dump that fails leaves the processes running), 2 wrong usage; of restore
that of criu.")]
pub struct AssistArgs {
    /// Directory for what is built [default: ~/.cache/zdtm-detached]
    #[arg(long, value_name = "DIR", env = "ZDTM_DETACHED_CACHE", global = true)]
    cache: Option<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Dump a process and those below it
    Dump {
        /// The process
        #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
        tree: i32,
        #[command(flatten)]
        call: Call,
    },
    /// Restore what was dumped so
    Restore {
        #[command(flatten)]
        call: Call,
    },
}

/// How criu is called.
#[derive(Args, Clone, Debug)]
struct Call {
    /// The folder of the images; it exists
    #[arg(long, value_name = "DIR")]
    images_dir: PathBuf,
    /// The criu
    #[arg(long, value_name = "FILE", default_value = "criu")]
    criu: PathBuf,
    /// Further arguments of criu
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Becomes the program that does it.
///
/// # Errors
/// It cannot be built or started.
pub fn run(args: &AssistArgs) -> anyhow::Result<u8> {
    // Not a flag: as with criu, `--tree` is the process.
    let tree = std::env::var_os("ZDTM_DETACHED_TREE").map(PathBuf::from);
    let store = StoreSettings { cache: args.cache.clone(), tree, ..StoreSettings::default() }.open(progress())?;
    let program = store.host_image(None)?.agent;
    let mut command = Command::new(&program);
    command.arg("assist");
    let call = match &args.action {
        Action::Dump { tree, call } => {
            command.args(["dump", "--tree", &tree.to_string()]);
            call
        }
        Action::Restore { call } => {
            command.arg("restore");
            call
        }
    };
    command.arg("--images-dir").arg(&call.images_dir).arg("--criu").arg(&call.criu).arg("--").args(&call.arguments);
    let error = command.exec();
    Err(error).with_context(|| format!("starting {}", program.display()))
}
