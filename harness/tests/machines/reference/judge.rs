//! The whole catalogue, until the first trial that does not come out as it should: what a mutant of
//! the engine or of the judge has to fail (`.ci/mutants`). The other tests leave it out, because
//! the catalogue takes a minute or more.

use libtest_mimic::Failed;

use crate::program::{program, rendered};

pub(crate) fn the_catalogue_passes() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let keep = folder.path().to_str().ok_or("a folder with an odd name")?;
    let fixed = ["run", "--backend", "host", "--subject", "reference", "--fail-fast", "--retries", "0"];
    let output = program(&[&fixed[..], &["--keep", keep]].concat()).output()?;
    if output.status.success() { Ok(()) } else { Err(rendered(&output).into()) }
}
