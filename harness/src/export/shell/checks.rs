//! The assertions of a scenario as commands.

use std::collections::BTreeSet;

use scenarios::program::{Claim, Line, ObjectName};
use scenarios::{Errno, Program, Step};

use super::steps::{Steps, bytes, quoted};
use crate::export::Refusal;

/// A line for every assertion.
pub(super) fn claims(program: &Program, steps: &Steps) -> Result<Vec<String>, Refusal> {
    let is_detached = |line: &Line| match &line.step {
        Step::Assert { object, claim: Claim::Detached | Claim::Internal } => Some(object.clone()),
        _ => None,
    };
    let detached: BTreeSet<ObjectName> = program.steps.iter().filter_map(is_detached).collect();
    let mut lines = Vec::new();
    for line in &program.steps {
        let Step::Assert { object, claim } = &line.step else { continue };
        let fd = steps.number(object).ok_or(Refusal::at(line, "an assertion about what a shell cannot hold"))?;
        let test = test(claim, fd, steps, detached.contains(object)).map_err(|reason| Refusal::at(line, reason))?;
        let text = quoted(line.step.to_string().as_bytes()).map_err(|reason| Refusal::at(line, reason))?;
        lines.push(format!("holds {text} {test}"));
    }
    Ok(lines)
}

fn test(claim: &Claim, fd: &str, steps: &Steps, is_detached: bool) -> Result<String, &'static str> {
    let other = |name: &ObjectName| steps.number(name).ok_or("an assertion about what a shell cannot hold");
    // The link of an object that is in the tree starts at the root.
    let from_top = |link: &[u8]| -> Result<String, &'static str> {
        let text = quoted(link)?;
        Ok(if link == b"/" { "\"$top\"".to_owned() } else { format!("\"$top\"{text}") })
    };
    let is_of_process = fd == "cwd" || fd == "root";
    Ok(match claim {
        Claim::Detached | Claim::Visible if is_of_process => {
            return Err("whether the mount of the working directory is in mountinfo, which a shell cannot see");
        }
        Claim::Detached => format!("not visible {fd}"),
        Claim::Visible => format!("visible {fd}"),
        Claim::Link(text) => {
            let link = if is_detached { quoted(text.as_slice())? } else { from_top(text.as_slice())? };
            format!("[ \"$(readlink \"$(path {fd})\")\" = {link} ]")
        }
        Claim::Links(count) => format!("[ \"$(stat -L -c %h \"$(path {fd})\")\" = {count} ]"),
        Claim::Content(content) => format!("contains {fd} {}", bytes(content.as_slice())),
        Claim::Position(offset) => format!("grep -q \"^pos:[[:space:]]*{offset}$\" \"/proc/$$/fdinfo/{fd}\""),
        Claim::LookupFails { path, errno } => {
            format!("[ \"$(reached {fd} {})\" = {} ]", quoted(path.as_slice())?, quoted(message(*errno)?.as_bytes())?)
        }
        Claim::LookupReaches { path, link } => {
            let link = if is_detached { quoted(link.as_slice())? } else { from_top(link.as_slice())? };
            format!("[ \"$(reached {fd} {})\" = {link} ]", quoted(path.as_slice())?)
        }
        Claim::SameFile { other: name, not } => {
            format!("{}[ \"$(path {fd})\" -ef \"$(path {})\" ]", negation(*not), other(name)?)
        }
        Claim::SameMount { other: name, not } => {
            format!("{}[ \"$(mount_of {fd})\" = \"$(mount_of {})\" ]", negation(*not), other(name)?)
        }
        Claim::SameDescription { .. } => {
            return Err("whether descriptors are one description, which a shell cannot see");
        }
        Claim::Elsewhere | Claim::Internal => return Err("a mount that a shell cannot make"),
    })
}

fn negation(not: bool) -> &'static str {
    if not { "not " } else { "" }
}

/// What stat(1) says in the locale C.
fn message(errno: Errno) -> Result<&'static str, &'static str> {
    match errno.to_string().as_str() {
        "ENOENT" => Ok("No such file or directory"),
        "ENOTDIR" => Ok("Not a directory"),
        "ELOOP" => Ok("Too many levels of symbolic links"),
        _ => Err("a lookup that fails with another error than ENOENT, ENOTDIR and ELOOP"),
    }
}
