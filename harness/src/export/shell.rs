//! Scenarios as shell scripts, for where no compiler is.
//!
//! A script carries the steps out with the programs of coreutils and util-linux, and holds
//! descriptors by `exec N<>FILE`. It stops itself, and checks itself when it is continued. It needs
//! no other process meanwhile, so that the shell alone is checkpointed.
//!
//! What a shell cannot do is refused, each for a reason of its own: it has few flags for open(2),
//! one digit for a descriptor, and cannot see whether two descriptors are one description.
//! - `steps`: the commands
//! - `checks`: what is recorded, and the assertions

mod checks;
mod steps;

use scenarios::program::Line;
use scenarios::{Outcome, Scenario, Step};

use super::Refusal;
use super::literal::{comment, file_name};
use steps::Steps;

/// The functions of every script. A descriptor of the shell itself is in `/proc/$$`, where its
/// children find it, too.
const FUNCTIONS: &str = include_str!("shell/functions.sh");

/// The comment at the start.
fn head(scenario: &Scenario, remarks: &[String], disks: &str) -> String {
    let mut lines = vec![scenario.summary.clone()];
    lines.extend(remarks.iter().cloned());
    if let Outcome::Refused { reason } = &scenario.outcome {
        lines.push(format!("The dump must fail and change nothing: {reason}."));
    }
    lines.push(String::new());
    lines.push(format!("As root: unshare -m sh {}.sh DIR{disks}", file_name(&scenario.name)));
    lines
        .push("It prints its PID and stops itself. Continued (kill -CONT PID), also after a checkpoint and".to_owned());
    lines.push("a restore, it checks itself, and exits with 0, or with 1 and says what differs.".to_owned());
    lines.push(format!("{} the scenario {}.", super::MARK, scenario.name));
    lines.iter().map(|line| format!("# {}", comment(line)).trim_end().to_owned() + "\n").collect()
}

/// The script.
pub(super) fn write(scenario: &Scenario, remarks: &[String]) -> Result<String, Refusal> {
    let program = &scenario.program;
    if let Some(line) = program.changes.first() {
        return Err(Refusal::at(line, "others change the tree between dump and restore"));
    }
    let mut steps = Steps::default();
    for line in program.steps.iter().filter(|line| !matches!(line.step, Step::Assert { .. })) {
        steps.carry_out(&line.step).map_err(|reason| Refusal::at(line, reason))?;
    }
    let is_touched = |line: &Line| matches!(line.step, Step::Touch { .. });
    let claims = checks::claims(program, &steps)?;
    let held: Vec<&str> = steps.held().collect();
    if held.is_empty() {
        return Err(Refusal { place: None, reason: "it holds nothing at its end" });
    }
    let disks: String = steps.disks.iter().map(|fs| format!(" {}-DEVICE", fs.to_uppercase())).collect();
    let mut out = format!("#!/bin/sh\n{}", head(scenario, remarks, &disks));
    out.push_str(&format!("held='{}'\n", held.join(" ")));
    // Times are compared where a step sets them.
    let times = if program.steps.iter().any(is_touched) { ", modified %.9Y" } else { "" };
    out.push_str(&format!("facts='mode %f, links %h, owner %u:%g, device %t:%T{times}'\n\n"));
    out.push_str(FUNCTIONS);
    let arguments = steps.disks.len() + 1;
    out.push_str(&format!("\n[ $# = {arguments} ] || {{ echo \"usage: $0 DIR{disks}\" >&2; exit 2; }}\n"));
    out.push_str("mkdir \"$1\" && cd \"$1\" && top=$(pwd -P) || exit 2\nshift\nset -e\n");
    out.extend(steps.lines.iter().map(|line| format!("{line}\n")));
    out.push_str("set +e\n\nclaims() {\n");
    out.extend(claims.iter().map(|line| format!("\t{line}\n")));
    out.push_str("\t:\n}\n\nclaims\nbefore=$(look)\n[ -z \"$failed\" ] || exit 1\n");
    out.push_str("echo $$\nkill -STOP $$\n\nafter=$(look)\n");
    out.push_str("[ \"$before\" = \"$after\" ] || fail \"was:\n$before\nis:\n$after\"\nclaims\nexit ${failed:-0}\n");
    Ok(out)
}
