//! `image list|build|verify|clean|...`: what the VMs are made of, and what of it is in the cache.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::image_bundle::{self, ExportArgs, ImportArgs};
use crate::architecture::HOST;
use crate::args::StoreArgs;
use crate::cache::error::ImageError;
use crate::cache::progress::Progress;
use crate::cache::progress::megabytes;
use crate::cache::record::BuildRecord;
use crate::image::{Image, ImageState, Removed, Store};
use crate::session::removal;
use crate::subject::Subject;
use crate::vm::TemplateCache;

/// List, build, verify and remove the images that VMs are made of.
///
/// QEMU, kernels and userlands come from Debian packages, verified by the signatures of Debian's
/// archive, and are unpacked into the cache; nothing is installed. Other commands build what they
/// need: this one is for doing it beforehand, for listing, and for clearing up.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  zdtm-detached image list --bill      every package in them, with version and sha256
  zdtm-detached image build 7.3        before the network goes away
  zdtm-detached image update           today's packages for every later run
  zdtm-detached image build --subject src:../criu     a CRIU source tree
  zdtm-detached image source criu --to criu-debian    the sources of Debian's criu
  zdtm-detached image export bundle.tar.zst           all that `run` needs, for a machine without a network
  zdtm-detached image import bundle.tar.zst           there
  zdtm-detached image clean            what is no longer of use")]
pub struct ImageArgs {
    #[command(flatten)]
    store: StoreArgs,
    #[command(subcommand)]
    action: ImageAction,
}

/// What to do with images.
#[derive(Subcommand, Clone, Debug)]
pub enum ImageAction {
    /// Show every image of the manifest and whether it is built
    List {
        /// Show the packages too
        #[arg(long)]
        bill: bool,
    },
    /// Build images; all of them when none is named
    Build {
        /// `qemu`, `build-root:trixie`, `tools`, or a name of the manifest: `6.12`, `trixie`,
        /// `kernel:6.12`; what is for arm64 has that at its end: `qemu:arm64`, `trixie-arm64`
        names: Vec<String>,
        /// What runs with this subject need; may be given more than once
        #[arg(long, value_name = "SUBJECT")]
        subject: Vec<Subject>,
        /// Build anew what is not made of the packages of vm-images/images.lock or, where that has
        /// no entry, of today's
        #[arg(long)]
        refresh: bool,
    },
    /// Lock today's packages: write them into vm-images/images.lock
    Update {
        /// As for `build`; all of them when none is named
        names: Vec<String>,
    },
    /// Unpack a Debian source package, with Debian's patches applied
    Source {
        /// The package
        package: String,
        /// Where to: a directory that is new or empty
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
        /// Debian suite [default: `defaults.build` in the manifest]
        #[arg(long, value_name = "SUITE")]
        suite: Option<String>,
    },
    /// Read every byte of the built images and compare it with the record
    Verify,
    /// Write QEMU, kernels, userlands and the agent into one file, for a machine without a network
    Export(ExportArgs),
    /// Put the images of such a file into the cache; it is checked from its first byte to its last
    Import(ImportArgs),
    /// Remove what is no longer of use: images of an older manifest, agents, saved VMs unused for a
    /// day, unfinished downloads
    Clean {
        /// Remove every image and saved VM
        #[arg(long, conflicts_with_all = ["older_than", "max_size"])]
        all: bool,
        /// Remove images and saved VMs that were not used for so many days
        #[arg(long, value_name = "DAYS", conflicts_with = "max_size")]
        older_than: Option<u64>,
        /// Remove what was used longest ago, until the rest takes no more than so many MiB
        #[arg(long, value_name = "MIB")]
        max_size: Option<u64>,
    },
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
pub enum ImageCommandError {
    /// An image could not be built, examined or removed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A subject that cannot be.
    #[error("{0}")]
    Subject(String),
    /// The output could not be written.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}

/// Runs the command; true when all is well, false when `verify` found damage.
///
/// # Errors
/// See [`ImageCommandError`].
pub fn run(args: &ImageArgs, progress: Arc<dyn Progress>, out: &mut dyn Write) -> Result<bool, ImageCommandError> {
    let settings = args.store.settings();
    let store = settings.open(Arc::clone(&progress))?;
    match &args.action {
        ImageAction::List { bill } => list(&store, *bill, out)?,
        ImageAction::Build { names, subject, refresh } => {
            if subject.is_empty() || !names.is_empty() {
                build(&store, names, *refresh, out)?;
            }
            build_subjects(&store, subject, *refresh, out)?;
        }
        ImageAction::Update { names } => {
            for line in store.update(&named(&store, names)?)? {
                writeln!(out, "{line}")?;
            }
        }
        ImageAction::Source { package, to, suite } => {
            let suite = suite.as_deref().unwrap_or(&store.manifest().defaults.build);
            let version = store.debian_source(package, suite, to)?;
            writeln!(out, "{package} {version} ({suite}) is in {0}; --subject src:{0} builds it", to.display())?;
        }
        ImageAction::Verify => return verify(&store, out),
        ImageAction::Export(args) => image_bundle::export(&store, args, out)?,
        ImageAction::Import(args) => image_bundle::import(&store, args, out)?,
        ImageAction::Clean { all, older_than, max_size } => {
            let template_cache = TemplateCache::of_cache(&settings.cache_dir()?, Arc::clone(&progress));
            let removed = match max_size {
                Some(mib) => removal::shrink(&store, &template_cache, mib << 20)?,
                None => {
                    let limit = older_than.map(|days| Duration::from_secs(days.saturating_mul(24 * 60 * 60)));
                    removal::clean(&store, &template_cache, *all, limit)?
                }
            };
            tell_removed(&removed, out)?;
        }
    }
    Ok(true)
}

fn list(store: &Store, with_packages: bool, out: &mut dyn Write) -> Result<(), ImageCommandError> {
    for image in store.images() {
        let (state, record) = match store.state(image, false)? {
            ImageState::Built(record) => (describe(&record), Some(record)),
            ImageState::NotBuilt => ("not built".to_owned(), None),
            ImageState::Damaged(why) => (format!("damaged: {why}"), None),
        };
        writeln!(out, "{:<27} {state}", image.to_string())?;
        for package in record.iter().filter(|_| with_packages).flat_map(|record| &record.packages) {
            writeln!(out, "    {} {} ({}) {}", package.name, package.version, package.suite, package.sha256)?;
        }
    }
    for criu in store.kept_criu()? {
        let hours = criu.age.as_secs() / 3600;
        writeln!(out, "{:<27} {} ({}, used {hours} h ago)", "subject", criu.title, megabytes(criu.size))?;
    }
    Ok(())
}

fn build(store: &Store, names: &[String], refresh: bool, out: &mut dyn Write) -> Result<(), ImageCommandError> {
    for image in named(store, names)? {
        let record = store.build(image, refresh)?;
        writeln!(out, "{:<27} {}", image.to_string(), describe(&record))?;
    }
    Ok(())
}

/// What the subjects need besides QEMU and kernels.
fn build_subjects(
    store: &Store,
    subjects: &[Subject],
    refresh: bool,
    out: &mut dyn Write,
) -> Result<(), ImageCommandError> {
    for subject in subjects {
        if let Some(mistake) = subject.mistake(store) {
            return Err(ImageCommandError::Subject(mistake));
        }
        let parts = subject.prepare(store)?;
        let userland = Image::Userland(&parts.userland, HOST);
        let record = store.build(userland, refresh)?;
        let version = parts.criu.map_or(record.version, |criu| format!("criu {}", criu.version));
        writeln!(out, "{subject}: {version}")?;
    }
    Ok(())
}

fn verify(store: &Store, out: &mut dyn Write) -> Result<bool, ImageCommandError> {
    let mut whole = true;
    for image in store.images() {
        let said = match store.state(image, true)? {
            ImageState::Built(_) => "whole".to_owned(),
            ImageState::NotBuilt => "not built".to_owned(),
            ImageState::Damaged(why) => {
                whole = false;
                format!("damaged: {why}; it is built anew when it is needed, or by `image build`")
            }
        };
        writeln!(out, "{:<27} {said}", image.to_string())?;
    }
    Ok(whole)
}

fn tell_removed(removed: &[Removed], out: &mut dyn Write) -> Result<(), ImageCommandError> {
    for one in removed {
        let end = if one.gone { "removed" } else { "kept, another run uses it" };
        writeln!(out, "{}: {end} ({})", one.name, megabytes(one.size))?;
    }
    if removed.is_empty() {
        writeln!(out, "nothing to remove")?;
    }
    Ok(())
}

fn describe(record: &BuildRecord) -> String {
    format!("{} ({}, {} packages)", record.version, megabytes(record.size()), record.packages.len())
}

/// The named images, or all.
fn named<'a>(store: &'a Store, names: &[String]) -> Result<Vec<Image<'a>>, ImageError> {
    if names.is_empty() { Ok(store.images()) } else { names.iter().map(|name| find(store, name)).collect() }
}

/// The image that a word of the command line names.
fn find<'a>(store: &'a Store, word: &str) -> Result<Image<'a>, ImageError> {
    let default = &store.manifest().defaults.build;
    let fits = |image: &Image<'_>| {
        let named = image.to_string();
        let (kind, name) = named.split_once(' ').unwrap_or((&named, ""));
        let short = match image {
            Image::Kernel(_) | Image::Userland(..) => word == name,
            Image::BuildRoot(suite) => word == kind && suite == default,
            Image::Qemu(_) | Image::KernelBuildRoot | Image::Tools(_) | Image::Zdtm => false,
        };
        short || word == named.replace(' ', ":")
    };
    store.images().into_iter().find(fits).ok_or_else(|| {
        let known: Vec<_> = store.images().into_iter().map(|image| image.to_string().replace(' ', ":")).collect();
        ImageError::Unknown { kind: "image", name: word.to_owned(), known: known.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cache::progress::silent;
    use crate::session::StoreSettings;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        image: ImageArgs,
    }

    fn said(cache: &std::path::Path, words: &[&str]) -> String {
        let cache = cache.to_str().unwrap();
        let line = Line::parse_from(["image", "--cache", cache].iter().chain(words));
        let mut out = Vec::new();
        let end = match run(&line.image, Arc::new(silent), &mut out) {
            Ok(whole) => format!("all well: {whole}\n"),
            Err(error) => format!("error: {error}\n"),
        };
        (String::from_utf8(out).unwrap() + &end).replace(cache, "CACHE")
    }

    #[test]
    fn an_empty_cache_is_listed_verified_and_cleaned_without_a_network() {
        let cache = tempfile::tempdir().unwrap();
        expect_test::expect![[r#"
            qemu                        not built
            qemu arm64                  not built
            kernel 6.1                  not built
            kernel 6.12                 not built
            kernel 6.12-arm64           not built
            kernel 7.3                  not built
            userland bookworm           not built
            userland experimental       not built
            userland sid                not built
            userland trixie             not built
            userland bookworm-arm64     not built
            userland experimental-arm64 not built
            userland sid-arm64          not built
            userland trixie-arm64       not built
            build-root bookworm         not built
            build-root trixie           not built
            build-root sid              not built
            kernel-build-root           not built
            zdtm                        not built
            tools                       not built
            tools arm64                 not built
            all well: true
        "#]]
        .assert_eq(&said(cache.path(), &["list", "--bill"]));
        assert!(said(cache.path(), &["verify"]).ends_with("all well: true\n"));
        assert_eq!(said(cache.path(), &["clean"]), "nothing to remove\nall well: true\n");
    }

    #[test]
    fn names_are_checked_before_anything_is_built() {
        let cache = tempfile::tempdir().unwrap();
        expect_test::expect![[r#"
            error: there is no image `5.10`; the manifest has: qemu, qemu:arm64, kernel:6.1, kernel:6.12, kernel:6.12-arm64, kernel:7.3, userland:bookworm, userland:experimental, userland:sid, userland:trixie, userland:bookworm-arm64, userland:experimental-arm64, userland:sid-arm64, userland:trixie-arm64, build-root:bookworm, build-root:trixie, build-root:sid, kernel-build-root, zdtm, tools, tools:arm64
        "#]]
        .assert_eq(&said(cache.path(), &["build", "6.12", "5.10"]));
    }

    #[test]
    fn a_half_made_image_is_damage_and_goes_with_clean_all() {
        let cache = tempfile::tempdir().unwrap();
        said(cache.path(), &["list"]);
        let store = StoreSettings { cache: Some(cache.path().into()), ..StoreSettings::default() }
            .open(Arc::new(silent))
            .unwrap();
        let directory = store.directory(Image::Qemu(HOST)).unwrap();
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("qemu"), "half").unwrap();
        let printed = said(cache.path(), &["verify"]);
        assert!(printed.contains("qemu                        damaged: bill.json is missing; "), "{printed}");
        assert!(printed.ends_with("all well: false\n"), "{printed}");
        assert_eq!(said(cache.path(), &["clean"]), "nothing to remove\nall well: true\n");
        assert!(said(cache.path(), &["clean", "--all"]).contains(": removed (0.0 MB)"));
        assert!(!directory.exists());
    }
}
