//! `generate`: completions for shells, man pages and a settings file, from the same description as
//! `--help`; and the archive that people download.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, CommandFactory as _, Subcommand};
use clap_complete::Shell;

use super::{Cli, generate_archive};
use crate::exit;
use crate::notices::print;

/// Write completions for a shell, man pages, a settings file, or the archive of a release.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached generate completions bash > ~/.local/share/bash-completion/completions/zdtm-detached
  zdtm-detached generate man --to ~/.local/share/man/man1
  zdtm-detached generate config > zdtm-detached.toml
  zdtm-detached generate archive --to dist        for a release: one static program, with all of the above")]
pub struct GenerateArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// Completions, on standard output
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Man pages: one on standard output, or one for each command into a folder
    Man {
        /// The folder; it is made when missing
        #[arg(long, value_name = "DIR")]
        to: Option<PathBuf>,
    },
    /// A settings file, zdtm-detached.toml, with every key, commented out; on standard output
    Config,
    /// A release: an archive with the program, completions, man pages and documents, and its
    /// checksum
    ///
    /// The program is built from the checkout, static, so that it runs on any Linux of this
    /// architecture.
    Archive(generate_archive::ArchiveArgs),
}

/// Writes it; the exit status.
///
/// # Errors
/// It cannot be written.
pub fn run(args: &GenerateArgs) -> anyhow::Result<u8> {
    let mut command = Cli::command();
    match &args.what {
        What::Completions { shell } => {
            let text = completions(*shell, &mut command);
            io::Write::write_all(&mut io::stdout(), &text).context("writing the completions to standard output")?;
        }
        What::Man { to: None } => {
            clap_mangen::Man::new(command).render(&mut io::stdout()).context("writing the page to standard output")?;
        }
        What::Man { to: Some(folder) } => pages(command, folder)?,
        What::Config => print(&super::settings::template(&command))?,
        What::Archive(args) => generate_archive::run(args, command)?,
    }
    Ok(exit::AS_EXPECTED)
}

/// The completions of a shell.
pub(super) fn completions(shell: Shell, command: &mut clap::Command) -> Vec<u8> {
    let name = command.get_name().to_owned();
    let mut text = Vec::new();
    clap_complete::generate(shell, command, name, &mut text);
    text
}

/// Writes a man page for each command into a folder.
pub(super) fn pages(command: clap::Command, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    clap_mangen::generate_to(command, folder).with_context(|| format!("writing man pages to {}", folder.display()))
}
