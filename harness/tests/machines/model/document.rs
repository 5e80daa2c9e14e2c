//! The programs of `docs/KERNEL.md`, on the kernel.

use std::time::Duration;

use harness::rules::{self, Finding};
use libtest_mimic::Failed;
use testing::rig::Rig;

const DOCUMENT: &str = include_str!("../../../../docs/KERNEL.md");

/// Each program does on the kernel what the document says, and all that the model says besides.
pub(crate) fn the_document_is_right() -> Result<(), Failed> {
    let mut rig = Rig::new(true)?;
    let mut wrong = Vec::new();
    for (number, rule) in (1..).zip(rules::read(DOCUMENT)?) {
        let finding = rule.measure(&mut rig.machine, number, Duration::from_secs(10))?;
        if finding != Finding::Holds {
            wrong.push(format!("{}: {finding:?}", rule.title));
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}
