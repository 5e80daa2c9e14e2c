//! Settings of an overlay.

/// Settings of an overlay beside its layers, each on or off; where none is given the kernel's
/// default holds (Documentation/filesystems/overlayfs.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OverlaySettings {
    /// `metacopy`: a change of metadata copies no contents to the upper layer.
    pub metacopy: Option<bool>,
    /// `redirect_dir`: directories of a lower layer can be renamed.
    pub redirect_dir: Option<bool>,
    /// `index`: names of one file in a lower layer stay names of one file when it is copied up.
    pub index: Option<bool>,
    /// `xino`: files of all layers have the device number of the overlay.
    pub xino: Option<bool>,
}

impl OverlaySettings {
    /// The settings that are given, with the kernel's names.
    pub fn given(self) -> impl Iterator<Item = (&'static str, bool)> {
        let all = [
            ("metacopy", self.metacopy),
            ("redirect_dir", self.redirect_dir),
            ("index", self.index),
            ("xino", self.xino),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    /// As the text of a mount's options: `,metacopy=on,xino=off`.
    pub fn options(self) -> String {
        self.given().map(|(name, on)| format!(",{name}={}", if on { "on" } else { "off" })).collect()
    }
}
