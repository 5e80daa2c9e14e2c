//! Programs and their words, profiles and what they explain.

mod catalogue;
mod explanations;
mod programs;

use std::path::Path;

use super::{Profile, profile};
use crate::text;

/// The words of a program: the bases, `:`, the capabilities.
fn words(steps: &str) -> String {
    let source = format!("# A program.\noutcome restored\n\n{steps}\nassert exe visible\n");
    let found = text::scenarios(source.as_bytes(), "small", Path::new("small.scn")).unwrap_or_else(|wrong| {
        panic!("{}", wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
    });
    written(&profile(&found[0].program))
}

fn written(profile: &Profile) -> String {
    let bases: Vec<_> = profile.bases.iter().map(|base| base.word()).collect();
    let capabilities: Vec<_> = profile.capabilities.iter().map(|capability| capability.word()).collect();
    format!("{}: {}", bases.join(" "), capabilities.join(" ")).trim_end().to_owned()
}
