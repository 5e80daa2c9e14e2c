//! The packages of images: what the manifest orders, what is locked, whether an image is made of
//! it, and new locks.

use std::time::{SystemTime, UNIX_EPOCH};

use super::manifest::Manifest;
use super::named::Image;
use super::store::Store;
use super::tree::LOCK;
use crate::architecture::{Architecture, HOST};
use crate::cache::State;
use crate::cache::error::ImageError;
use crate::cache::record::Look;
use crate::debian::lock::{Lock, Locked};
use crate::debian::source::Order;

impl Store {
    /// The packages that the manifest wants for an image on this host.
    pub(super) fn order(&self, image: Image<'_>, host: Architecture) -> Result<Order<'_>, ImageError> {
        let Manifest { qemu, build, kernel_build, tools, zdtm, .. } = &self.manifest;
        let (suites, packages, skip, keep): (&[String], _, &[String], &[String]) = match image {
            Image::Qemu(guests) => {
                let qemu = &qemu[&guests];
                (&qemu.suites, qemu.packages.clone(), &qemu.skip, &[])
            }
            Image::Kernel(name) => {
                let entry = self.kernel(name)?;
                (&entry.suites, vec![entry.package.clone()], &[], &entry.keep)
            }
            Image::Userland(name, _) => {
                let entry = self.userland(name)?;
                (&entry.suites, [entry.packages.clone(), entry.tools.clone()].concat(), &entry.skip, &[])
            }
            Image::BuildRoot(suite) => {
                (std::slice::from_ref(self.build_suite(suite)?), build.packages.clone(), &build.skip, &[])
            }
            Image::KernelBuildRoot => (&kernel_build.suites, kernel_build.packages.clone(), &kernel_build.skip, &[]),
            Image::Tools(_) => (&tools.suites, tools.packages.clone(), &tools.skip, &[]),
            Image::Zdtm => (&zdtm.suites, zdtm.packages.clone(), &zdtm.skip, &[]),
        };
        let architecture = match image {
            Image::Qemu(_) | Image::BuildRoot(_) | Image::KernelBuildRoot | Image::Zdtm => host,
            Image::Kernel(name) => self.kernel(name)?.arch,
            Image::Userland(_, architecture) | Image::Tools(architecture) => architecture,
        };
        Ok(Order { title: "", architecture, suites, packages, skip, keep, locked: None })
    }

    /// The locked packages of an image; nothing when the manifest has changed since.
    pub(super) fn lock_of(&self, image: Image<'_>) -> Result<Option<&Locked>, ImageError> {
        Ok(self.lock.get(&lock_name(image, HOST), &self.order(image, HOST)?.hash()))
    }

    /// Which other packages the image in the cache is made of: nothing when it is as locked or not
    /// there.
    pub(super) fn difference(&self, image: Image<'_>) -> Result<Option<String>, ImageError> {
        let State::Whole(record) = self.cache.state(&self.slot(image)?, Look::Quick) else { return Ok(None) };
        Ok(match self.lock_of(image)? {
            Some(locked) => locked.difference(&record.packages),
            None => Some("images.lock has no entry for what images.toml says of it".to_owned()),
        })
    }

    /// The images that were given out and are not made of the packages of `vm-images/images.lock`,
    /// a line each.
    ///
    /// # Errors
    /// The manifest does not have what was given out, which cannot be.
    pub fn not_as_locked(&self) -> Result<Vec<String>, ImageError> {
        let mut lines = Vec::new();
        for image in self.images() {
            let directory = self.directory(image)?;
            let used = self.used.lock().expect("no thread panics while it holds the lock").contains_key(&directory);
            if let Some(difference) = used.then(|| self.difference(image)).transpose()?.flatten() {
                lines.push(format!("{image}: {difference}"));
            }
        }
        Ok(lines)
    }

    /// Locks today's packages of these images, or of all; a line on each.
    ///
    /// # Errors
    /// The archive cannot be read, or the lock not written.
    pub fn update(&self, images: &[Image<'_>]) -> Result<Vec<String>, ImageError> {
        let path = self.tree.join(LOCK);
        let mut lock = Lock::read(&path)?;
        let mut lines = Vec::new();
        for (image, host) in on_each_host(images) {
            let name = lock_name(image, host);
            let order = Order { title: &name, ..self.order(image, host)? };
            let debs = self.source.resolve(&self.cache, &order)?;
            let new = Locked { name: name.clone(), of: order.hash(), date: now(), debs };
            let packages: Vec<_> = new.debs.iter().map(|deb| deb.package.clone()).collect();
            match lock.get(&name, &new.of).map(|old| old.difference(&packages)) {
                Some(None) => lines.push(format!("{name}: unchanged")),
                Some(Some(difference)) => lines.push(format!("{name}: {difference}")),
                None => lines.push(format!("{name}: {} packages", packages.len())),
            }
            // An entry with the same packages keeps its date: the snapshot service has that one.
            if lines.last().is_some_and(|line| !line.ends_with(": unchanged")) {
                lock.set(new);
            }
        }
        let names = on_each_host(&self.images()).map(|(image, host)| lock_name(image, host)).collect::<Vec<_>>();
        lock.retain(&names);
        lock.write(&path)?;
        Ok(lines)
    }
}

/// What runs on the host is locked for each host.
fn on_each_host<'a, 'b>(images: &'a [Image<'b>]) -> impl Iterator<Item = (Image<'b>, Architecture)> + 'a {
    let both = images.iter().flat_map(|image| Architecture::ALL.map(|host| (*image, host)));
    both.filter(|(image, host)| host.is_amd64() || matches!(image, Image::Qemu(_) | Image::BuildRoot(_)))
}

/// The name of an image of this host in the lock: the same file serves every host.
fn lock_name(image: Image<'_>, host: Architecture) -> String {
    match image {
        Image::Qemu(_) | Image::BuildRoot(_) if !host.is_amd64() => format!("{image} on {host}"),
        _ => image.to_string(),
    }
}

/// Now, as the snapshot service writes it: `20261130T080000Z`.
fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // A second for people: `Mon, 30 Nov 2026 08:00:00 GMT`.
    let date = httpdate::fmt_http_date(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    let words: Vec<&str> = date.split([' ', ':']).collect();
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let [_, day, month, year, hour, minute, second, _] = words[..] else { unreachable!("the form of a date is fixed") };
    let month = months.iter().position(|name| *name == month).map_or(0, |month| month + 1);
    format!("{year}{month:02}{day}T{hour}{minute}{second}Z")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_written_as_the_snapshot_service_has_it() {
        let now = super::now();
        assert_eq!(now.len(), "20261130T080000Z".len(), "{now}");
        assert!(now.starts_with("20") && now.ends_with('Z') && &now[8..9] == "T", "{now}");
        let month: u32 = now[4..6].parse().unwrap();
        assert!((1..=12).contains(&month), "{now}");
    }
}
