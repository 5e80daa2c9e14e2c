//! `vm-images/kernel.config`: the options of a kernel that is built here, and which of them a tree
//! does not give.
//!
//! Kconfig takes the file as it is (`KCONFIG_ALLCONFIG`). It drops, without a word, an option that
//! a tree does not have or whose dependencies are not met. So the file also says which options a
//! run needs, which it wants, and what for.

use std::collections::BTreeMap;

/// An option that is to be on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wish {
    /// `CONFIG_UNIX_DIAG`
    option: String,
    /// `CRIU does not start without them`
    why: String,
    /// A kernel without it is of no use.
    is_needed: bool,
}

/// What the file asks for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes(Vec<Wish>);

/// What a kernel lacks, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Lacks {
    /// Without these a run is impossible.
    pub(super) needed: Option<String>,
    /// Without these some scenarios are `unsupported`.
    pub(super) wanted: Option<String>,
}

impl Wishes {
    /// The options below a line `# needed: WHY` or `# wanted: WHY`, up to an empty line.
    pub(super) fn parse(text: &str) -> Wishes {
        let mut wishes = Vec::new();
        let mut reason = None;
        for line in text.lines() {
            if let Some(why) = line.strip_prefix("# needed: ") {
                reason = Some((why, true));
            } else if let Some(why) = line.strip_prefix("# wanted: ") {
                reason = Some((why, false));
            } else if line.trim().is_empty() {
                reason = None;
            } else if let (Some((why, is_needed)), Some(option)) = (reason, line.strip_suffix("=y")) {
                wishes.push(Wish { option: option.to_owned(), why: why.to_owned(), is_needed });
            }
        }
        Wishes(wishes)
    }

    /// The wishes that a kernel's `.config` does not fulfil.
    pub(super) fn lacks(&self, config: &str) -> Lacks {
        let on: Vec<&str> = config.lines().filter_map(|line| line.strip_suffix("=y")).collect();
        let missing = |is_needed| {
            let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for wish in self.0.iter().filter(|wish| wish.is_needed == is_needed && !on.contains(&&*wish.option)) {
                by_reason.entry(&wish.why).or_default().push(&wish.option);
            }
            let texts: Vec<_> =
                by_reason.iter().map(|(why, options)| format!("{} ({why})", options.join(", "))).collect();
            (!texts.is_empty()).then(|| texts.join("; "))
        };
        Lacks { needed: missing(true), wanted: missing(false) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = include_str!("../../../../vm-images/kernel.config");

    #[test]
    fn what_a_tree_does_not_give_is_reported_by_name_and_reason() {
        let wishes = Wishes::parse(
            "# A file.\n# needed: criu starts\nCONFIG_A=y\nCONFIG_B=y\n\n# wanted: scenarios on xfs\nCONFIG_XFS_FS=y\n\n\
             # Short\nCONFIG_C=y\n# CONFIG_D is not set\n",
        );
        let answer = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_XFS_FS=m\n# CONFIG_C is not set\n";
        let lacks = wishes.lacks(answer);
        assert_eq!(lacks.needed.as_deref(), Some("CONFIG_B (criu starts)"));
        assert_eq!(lacks.wanted.as_deref(), Some("CONFIG_XFS_FS (scenarios on xfs)"), "a module is not built in");
        assert_eq!(wishes.lacks("CONFIG_A=y\nCONFIG_B=y\nCONFIG_XFS_FS=y\n"), Lacks::default());
        let none = wishes.lacks("").needed;
        assert_eq!(none.as_deref(), Some("CONFIG_A, CONFIG_B (criu starts)"));
    }

    /// Every filesystem and module that the manifest lists has its option: a kernel that is built
    /// here has all of them built in.
    #[test]
    fn the_projects_own_file_asks_for_what_the_manifest_loads() {
        let wishes = Wishes::parse(OWN);
        let has = |option: &str| wishes.0.iter().find(|wish| wish.option == option);
        for needed in ["VIRTIO_PCI", "VIRTIO_CONSOLE", "UNIX_DIAG", "TUN", "VETH", "NF_TABLES", "BLK_DEV_LOOP", "PVH"] {
            assert!(has(&format!("CONFIG_{needed}")).is_some_and(|wish| wish.is_needed), "{needed}");
        }
        for group in ["ext4", "xfs", "btrfs", "overlay", "fuse", "squashfs", "erofs", "vfat"] {
            let why = format!("scenarios on {group}");
            assert!(wishes.0.iter().any(|wish| !wish.is_needed && wish.why == why), "{group}");
        }
        // Each line is an option, a reason, or a comment before the first of them.
        for line in OWN.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(line.starts_with("CONFIG_") && line.ends_with("=y"), "{line}");
        }
    }
}
