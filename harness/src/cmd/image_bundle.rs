//! `image export|import`: images in one file, for a machine without a network.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use crate::cache::error::ImageError;
use crate::cache::progress::megabytes;
use crate::image::{Imported, Store};
use crate::notices::say;
use crate::sanitize::sanitized;

use super::image::ImageCommandError;

/// What goes into a bundle.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// The bundle
    file: PathBuf,
    /// Kernel of the manifest; may be given more than once [default: the manifest's default]
    #[arg(long, value_name = "KERNEL")]
    kernel: Vec<String>,
    /// Userland of the manifest; may be given more than once [default: the manifest's default]
    #[arg(long, value_name = "USERLAND")]
    userland: Vec<String>,
}

/// Which bundle is read.
#[derive(Args, Clone, Debug)]
pub struct ImportArgs {
    /// The bundle
    file: PathBuf,
    /// What `image export` printed: refuse any other file
    #[arg(long, value_name = "DIGEST")]
    sha256: Option<String>,
}

pub(super) fn export(store: &Store, args: &ExportArgs, out: &mut dyn Write) -> Result<(), ImageCommandError> {
    let or_default = |given: &[String], default: &str| match given {
        [] => vec![default.to_owned()],
        given => crate::plan::each_once(given),
    };
    let defaults = &store.manifest().defaults;
    let (kernels, userlands) =
        (or_default(&args.kernel, defaults.kernel()), or_default(&args.userland, &defaults.userland));
    let exported = store.export(&kernels, &userlands, &args.file)?;
    for (title, version) in exported.images {
        writeln!(out, "{title:<27} {version}")?;
    }
    writeln!(out, "{}: {}, sha256 {}", args.file.display(), megabytes(exported.size), exported.sha256)?;
    Ok(())
}

pub(super) fn import(store: &Store, args: &ImportArgs, out: &mut dyn Write) -> Result<(), ImageCommandError> {
    if args.sha256.is_none() {
        say("without --sha256 the bundle is as trusted as a program that you start: its QEMU runs on this machine");
    }
    let imported = store.import(&args.file, args.sha256.as_deref());
    // What is quoted may be the bundle's.
    let imported = imported.map_err(|error| match error {
        ImageError::Content { what, why } => ImageError::Content { what: sanitized(&what), why: sanitized(&why) },
        other => other,
    })?;
    for (title, version, became) in imported {
        let became = match became {
            Imported::New => "",
            Imported::Present => " (was there)",
            Imported::OtherAgent => " (left out: this program has its own)",
        };
        print(out, &format!("{title:<27} {version}{became}"))?;
    }
    Ok(())
}

fn print(out: &mut dyn Write, line: &str) -> io::Result<()> {
    writeln!(out, "{}", sanitized(line))
}
