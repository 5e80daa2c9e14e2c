//! Every program of the catalogue is carried out by the model and by the kernel, and every
//! prediction is compared.

use std::path::Path;

use harness::oracle::{self, Agreement};
use harness::subject::ReferenceOptions;
use libtest_mimic::Failed;
use protocol::message::Lifecycle;
use scenarios::catalogue;
use scenarios::model::Model;
use testing::rig::Rig;

/// What the model may not know about the whole catalogue, in per mille of all that is seen.
const UNKNOWN_LIMIT: usize = 20;

pub(crate) fn the_catalogue_is_as_predicted() -> Result<(), Failed> {
    let mut rig = Rig::new(true)?;
    let all = catalogue::load(Path::new(catalogue::DIRECTORY)).map_err(|faults| format!("{faults:?}"))?;
    let mut sum = Agreement::default();
    let mut refused = Vec::new();
    let mut ran = 0;
    for scenario in &all {
        let flavors = &scenario.requires.flavors;
        let elsewhere = !flavors.is_empty() && !flavors.contains(&vocabulary::Flavor::Ns);
        if elsewhere || catalogue::is_beyond_the_model(&scenario.name) {
            continue;
        }
        let model = match Model::run(&scenario.program) {
            Ok(model) => model,
            Err((index, refusal)) => {
                refused.push(format!("{}: {}: {refusal}", scenario.name, scenario.program.steps[index].step));
                continue;
            }
        };
        let report = rig.run(&scenario.program, Lifecycle::LeaveRunning, ReferenceOptions::default())?;
        let Some(before) = report.before else {
            let missing = report.setup_failure.as_ref().is_some_and(|failure| failure.missing.is_some());
            if !missing {
                refused.push(format!("{}: the kernel refuses: {:?}", scenario.name, report.setup_failure));
            }
            continue;
        };
        ran += 1;
        let agreement = oracle::compare(&model.predict(), &before);
        if std::env::var_os("ZDTM_DETACHED_TEST_TELL").is_some() && agreement.unknown > 30 {
            eprintln!("{}: {} unknown of {}", scenario.name, agreement.unknown, agreement.known);
        }
        sum.known += agreement.known;
        sum.unknown += agreement.unknown;
        sum.differences.extend(agreement.differences.iter().map(|line| format!("{}: {line}", scenario.name)));
    }
    if !refused.is_empty() {
        return Err(format!("{} programs were not carried out:\n{}", refused.len(), refused.join("\n")).into());
    }
    if !sum.differences.is_empty() {
        let shown: Vec<_> = sum.differences.iter().take(60).map(String::as_str).collect();
        return Err(format!("{} differences:\n{}", sum.differences.len(), shown.join("\n")).into());
    }
    eprintln!("{ran} programs, {} predictions, {} unknown", sum.known, sum.unknown);
    if ran < 150 || sum.unknown * 1000 > sum.known * UNKNOWN_LIMIT {
        return Err(format!("{ran} programs, {} predictions, {} unknown", sum.known, sum.unknown).into());
    }
    Ok(())
}
