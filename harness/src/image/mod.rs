//! From a manifest to QEMU, kernel and initramfs, in the cache.
