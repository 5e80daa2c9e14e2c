//! How long a developer of criu waits: from a changed line to the verdict of one scenario, the
//! compiler included.
//!
//! The tree stays as it is; a copy of it is built once, and then changed and run, as often as the
//! median needs.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use super::Bench;
use super::exchange::{median, ms};

/// So often.
const CHANGES: usize = 3;
/// What is changed: a file that restores and dumps need.
const FILE: &str = "criu/files-reg.c";

impl Bench<'_> {
    pub(super) fn change(&mut self, criu: &Path) -> anyhow::Result<()> {
        let copy = self.work.join("criu");
        let copied = Command::new("cp").arg("-a").arg(criu).arg(&copy).status().context("running cp")?;
        ensure!(copied.success(), "cp of {} to {} ended with {copied}", criu.display(), copy.display());
        let file = copy.join(FILE);
        let scenario = self.write_scenario()?;
        let subject = format!("src:{}", copy.display());
        let kernel = self.kernel.clone();
        let arguments = ["--subject", &subject, "--kernel", &kernel];
        let mut times = Vec::new();
        for number in 0..=CHANGES {
            let mut source = fs::OpenOptions::new()
                .append(true)
                .open(&file)
                .with_context(|| format!("opening {}, which every criu tree has", file.display()))?;
            writeln!(
                source,
                "int zdtm_detached_bench_{number}(void); int zdtm_detached_bench_{number}(void) {{ return {number}; }}"
            )?;
            drop(source);
            let start = Instant::now();
            self.run_one(&scenario, &arguments)?;
            times.push(ms(start.elapsed()));
        }
        let first = times.remove(0);
        self.figure("a criu tree, first build to the verdict of one scenario", first, "ms");
        self.figure("a changed line of criu to the verdict of one scenario", median(&mut times), "ms");
        Ok(())
    }
}
