//! The programs of `docs/KERNEL.md`, on the kernel.

use harness::oracle;
use harness::subject::ReferenceOptions;
use libtest_mimic::Failed;
use protocol::message::Lifecycle;
use scenarios::model::Model;
use scenarios::{Errno, text};
use testing::rig::Rig;

const DOCUMENT: &str = include_str!("../../../../docs/KERNEL.md");

/// Each program does on the kernel what the document says, and all that the model says besides.
pub(crate) fn the_document_is_right() -> Result<(), Failed> {
    let mut rig = Rig::new(true)?;
    let mut wrong = Vec::new();
    for source in DOCUMENT.split("```scn\n").skip(1).filter_map(|rest| rest.split("```").next()) {
        let program = text::program(source).map_err(|faults| format!("{}\n{source}", faults[0]))?;
        let refused = source.lines().find_map(|line| line.strip_prefix("# refused: "));
        let refused: Option<Errno> = refused.map(str::parse).transpose()?;
        let report = rig.run(&program, Lifecycle::LeaveRunning, ReferenceOptions::default())?;
        let last = program.steps.last().map_or(0, |line| line.number);
        match (&report.setup_failure, refused, &report.before) {
            (Some(failure), Some(errno), _) if failure.line == last && failure.errno == Some(errno) => {}
            (None, None, Some(before)) => {
                let model =
                    Model::run(&program).map_err(|(index, refusal)| format!("step {index}: {refusal}\n{source}"))?;
                let differences = oracle::compare(&model.predict(), before).differences;
                if !differences.is_empty() || !report.failed_assertions.is_empty() {
                    wrong.push(format!("{:?} {differences:?}\n{source}", report.failed_assertions));
                }
            }
            (failure, ..) => wrong.push(format!("{failure:?}\n{source}")),
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n\n").into()) }
}
