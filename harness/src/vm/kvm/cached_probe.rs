//! What was found about KVM, kept in the cache until the host is rebooted or another QEMU is used.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Finding;

/// What one finding is true for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    /// `/proc/sys/kernel/random/boot_id`
    boot_id: String,
    qemu: String,
    finding: Finding,
}

/// Where a finding is kept.
pub(super) struct CachedProbe {
    file: PathBuf,
    boot_id: String,
    qemu: String,
}

impl CachedProbe {
    /// `None` where the host's boot has no identity.
    pub(super) fn new(cache_dir: &Path, qemu: &str) -> Option<Self> {
        let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let file = cache_dir.join("accelerator.json");
        Some(Self { file, boot_id: boot_id.trim().to_owned(), qemu: qemu.to_owned() })
    }

    pub(super) fn recall(&self) -> Option<Finding> {
        let text = std::fs::read_to_string(&self.file).ok()?;
        let kept: Remembered = serde_json::from_str(&text).ok()?;
        (kept.boot_id == self.boot_id && kept.qemu == self.qemu).then_some(kept.finding)
    }

    /// A result that cannot be saved is not an error: the next run probes again.
    pub(super) fn keep(&self, finding: &Finding) {
        let kept = Remembered { boot_id: self.boot_id.clone(), qemu: self.qemu.clone(), finding: finding.clone() };
        let Ok(text) = serde_json::to_string(&kept) else { return };
        let Some(directory) = self.file.parent() else { return };
        let _ = std::fs::create_dir_all(directory);
        if let Ok(mut file) = tempfile::NamedTempFile::new_in(directory)
            && std::io::Write::write_all(&mut file, text.as_bytes()).is_ok()
        {
            let _ = file.persist(&self.file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_kept_for_this_boot_and_this_qemu() {
        let directory = tempfile::tempdir().unwrap();
        let cache = directory.path().join("not/there/yet");
        let kept = |qemu| CachedProbe::new(&cache, qemu).unwrap();
        let finding = Finding { works: true, why: "a guest's kernel ran".to_owned() };
        assert_eq!(kept("10.0").recall(), None);
        kept("10.0").keep(&finding);
        assert_eq!(kept("10.0").recall(), Some(finding));
        assert_eq!(kept("11.1").recall(), None);
        let after_reboot = CachedProbe { boot_id: "another".to_owned(), ..kept("10.0") };
        assert_eq!(after_reboot.recall(), None);
        std::fs::write(&kept("10.0").file, "{").unwrap();
        assert_eq!(kept("10.0").recall(), None);
    }
}
