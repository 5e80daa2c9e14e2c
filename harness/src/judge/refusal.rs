//! Does a dump that refuses say which object it cannot do? A user with a hundred open files must be
//! able to find the one. No specification prescribes the words, so any of the object's names will
//! do, as long as it stands alone. A path may lack its first slash, as criu's own paths do.

use protocol::Observation;
use protocol::observation::{MountState, Object, ObjectView, Outcome};

/// The objects that a refusal may be about: those on mounts that mountinfo does not show.
pub(crate) fn out_of_sight(observation: &Observation) -> Vec<&ObjectView> {
    let objects = observation.inside.objects.iter().chain(&observation.outside.objects);
    objects.filter(|object| matches!(object.mount.state, MountState::Detached | MountState::Elsewhere)).collect()
}

/// Whether it is the harness's own, which no program has a say in: the executable.
pub(super) fn is_of_the_harness(object: &ObjectView) -> bool {
    object.object == Object::Exe
}

/// Whether some line names one of the objects: by descriptor number, link text, or mount number.
pub(crate) fn names_one(lines: &[String], objects: &[&ObjectView]) -> bool {
    lines.iter().any(|line| objects.iter().any(|object| names(line, object)))
}

fn names(line: &str, object: &ObjectView) -> bool {
    let by_kind = match object.object {
        Object::Fd(number) => labelled(line, &["fd", "descriptor"], number.unsigned_abs().into()),
        // A criu that peeks has it under a number of its own: the socket's names it, too.
        Object::InFlight { socket, .. } => labelled(line, &["fd", "descriptor"], socket.unsigned_abs().into()),
        Object::Cwd => ["cwd", "working directory"].iter().any(|word| stands_alone(line, word)),
        Object::Root => ["fs root", "root directory", "chroot"].iter().any(|word| stands_alone(line, word)),
        Object::Exe => ["exe", "executable"].iter().any(|word| stands_alone(line, word)),
        Object::Map(start) => stands_alone(line, &format!("{start:x}")) || line.contains(&format!("0x{start:x}")),
    };
    let texts = [Some(object.link.to_string()), getcwd(object)];
    let by_text = texts.iter().flatten().any(|text| {
        let bare = text.strip_suffix(" (deleted)").unwrap_or(text);
        let relative = bare.strip_prefix('/').filter(|relative| relative.contains('/'));
        bare.len() > 1 && stands_alone(line, bare) || relative.is_some_and(|relative| stands_alone(line, relative))
    });
    let mount_words = ["mount", "mnt", "mnt_id", "mount_id", "mount id", "mnt id"];
    by_kind || by_text || labelled(line, &mount_words, object.mount.id)
}

fn getcwd(object: &ObjectView) -> Option<String> {
    match &object.getcwd {
        Some(Outcome::Ok(path)) => Some(path.to_string()),
        _ => None,
    }
}

/// `fd=3`, `fd 3`, `fd: 3`, `fd[3]`, `fd/3`, `fd #3`: a label, at most two signs, the number and no
/// further digit.
pub(crate) fn labelled(line: &str, labels: &[&str], number: u64) -> bool {
    let lower = line.to_ascii_lowercase();
    labels.iter().any(|label| {
        lower.match_indices(label).any(|(at, _)| {
            let before = lower[..at].chars().next_back();
            let rest = lower[at + label.len()..].trim_start_matches([' ', '=', ':', '[', '/', '#', '(']);
            let skipped = lower.len() - at - label.len() - rest.len();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            before.is_none_or(|c| !c.is_alphanumeric()) && skipped <= 2 && digits.parse() == Ok(number)
        })
    })
}

/// Whether the line contains the text and it is not a part of a longer word or path.
fn stands_alone(line: &str, text: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-');
    line.match_indices(text).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + text.len()..].chars().next();
        !before.is_some_and(part) && !after.is_some_and(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_needs_its_whole_number() {
        for line in ["Can't lookup mount=38 for fd=3 path=/d/f", "bad fd 3", "FD: 3", "fd[3]", "/proc/7/fd/3"] {
            assert!(labelled(line, &["fd"], 3), "{line}");
        }
        for line in ["fd=33", "lfd=3", "fd=4", "3", "fd", "fd = something 3"] {
            assert!(!labelled(line, &["fd"], 3), "{line}");
        }
        assert!(labelled("Can't lookup mount=38 for", &["mount"], 38));
        assert!(!labelled("Can't lookup mount=381 for", &["mount"], 38));
    }

    #[test]
    fn a_path_must_stand_alone() {
        assert!(stands_alone("path=/d/f)", "/d/f"));
        assert!(stands_alone("can't dump \"/d/f (deleted)\"", "/d/f"));
        assert!(!stands_alone("path=/x/d/f", "/d/f"));
        assert!(!stands_alone("path=/d/fg", "/d/f"));
    }
}
