//! The assertions of a scenario as C.

use std::collections::BTreeSet;

use scenarios::program::{Claim, Line, ObjectName};
use scenarios::{Program, Step};

use super::Refusal;
use super::holdings::{Holding, Holdings};
use super::literal::string;

/// The lines that test what a program asserts, and what they use.
pub(super) struct Claims {
    pub(super) lines: Vec<String>,
    /// `from_top()` is used.
    pub(super) has_links_from_top: bool,
    /// `look_up()` is used.
    pub(super) has_lookups: bool,
}

/// Every `assert` line. The objects are in the array `o`, in the order of `observed`.
pub(super) fn write(program: &Program, holdings: &Holdings, observed: &[ObjectName]) -> Result<Claims, Refusal> {
    let asserted = |wanted: fn(&Claim) -> bool| -> BTreeSet<&ObjectName> {
        let object = |line: &'_ Line| matches!(&line.step, Step::Assert { claim, .. } if wanted(claim));
        let objects = program.steps.iter().filter(|line| object(line));
        objects
            .filter_map(|line| if let Step::Assert { object, .. } = &line.step { Some(object) } else { None })
            .collect()
    };
    // The link of an object that is not in the tree starts at the root of its mount.
    let detached = asserted(|claim| matches!(claim, Claim::Detached | Claim::Internal));
    let mut claims = Claims { lines: Vec::new(), has_links_from_top: false, has_lookups: false };
    for line in &program.steps {
        let Step::Assert { object, claim } = &line.step else { continue };
        let index = |name: &ObjectName| observed.iter().position(|one| one == name);
        let other = match claim {
            Claim::SameFile { other, .. } | Claim::SameMount { other, .. } | Claim::SameDescription { other, .. } => {
                other
            }
            _ => object,
        };
        let (Some(index), Some(other)) = (index(object), index(other)) else {
            // Sockets are not observed: what is asserted of a pair holds as soon as it is made.
            let is_socket = |name: &ObjectName| holdings.find(name).is_some_and(|held| held.holding == Holding::Socket);
            // Where the program does not start anew, its executable is that of the test.
            let is_unobserved = |name: &ObjectName| name.0 == "exe" || is_socket(name);
            if is_unobserved(object) || is_unobserved(other) {
                continue;
            }
            return Err(Refusal::at(line, "an assertion about an object that is closed"));
        };
        let is_detached = detached.contains(object);
        let test = test(claim, index, other, is_detached);
        claims.has_links_from_top |= matches!(claim, Claim::Link(_)) && !is_detached;
        claims.has_lookups |= matches!(claim, Claim::LookupFails { .. } | Claim::LookupReaches { .. });
        let text = string(line.step.to_string().as_bytes());
        claims.lines.push(format!("HOLDS({text}, {test});"));
    }
    Ok(claims)
}

fn test(claim: &Claim, index: usize, other: usize, is_detached: bool) -> String {
    let relation = |fact: &str, not: bool| {
        let sign = if not { "!=" } else { "==" };
        format!("o[{index}].{fact} {sign} o[{other}].{fact}")
    };
    match claim {
        Claim::Detached | Claim::Elsewhere | Claim::Internal => format!("!o[{index}].visible"),
        Claim::Visible => format!("o[{index}].visible"),
        Claim::Link(text) if is_detached => format!("!strcmp(o[{index}].link, {})", string(text.as_slice())),
        Claim::Link(text) => format!("!strcmp(from_top(o[{index}].link), {})", string(text.as_slice())),
        Claim::Links(count) => format!("o[{index}].st.stx_nlink == {count}"),
        Claim::Content(bytes) => {
            let length = bytes.0.len();
            // A record has the first bytes only.
            let compared = length.min(super::observation::CONTENT_LIMIT);
            let text = string(&bytes.as_slice()[..compared]);
            format!("o[{index}].st.stx_size == {length} && !memcmp(o[{index}].content, {text}, {compared})")
        }
        Claim::Position(offset) => format!("o[{index}].position == {offset}"),
        Claim::LookupFails { path, errno } => {
            format!("!strcmp(look_up(&o[{index}], {}), strerror({errno}))", string(path.as_slice()))
        }
        Claim::LookupReaches { path, link } => {
            format!("!strcmp(look_up(&o[{index}], {}), {})", string(path.as_slice()), string(link.as_slice()))
        }
        Claim::SameFile { not, .. } => relation("same_file", *not),
        Claim::SameMount { not, .. } => relation("same_mount", *not),
        Claim::SameDescription { not, .. } => relation("same_description", *not),
    }
}
