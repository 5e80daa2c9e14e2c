//! An archive made here, with a key made here, read as Debian's is.

mod http;
mod locked;
mod unpacking;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use pgp::composed::{
    ArmorOptions, CleartextSignedMessage, EncryptionCaps, KeyType, SecretKeyParamsBuilder, SignedPublicKey,
    SignedSecretKey, SubkeyParamsBuilder,
};
use pgp::types::Password;

use super::archive::Archive;
use super::host::HostApt;
use super::lock::Locked;
use super::signature::{self, Keys};
use super::source::{Order, Source, SourceSettings, Unpacked};
use crate::architecture::Architecture;
use crate::cache::Cache;
use crate::cache::error::ImageError;
use crate::cache::progress::{Progress, silent};
use crate::cache::record::sha256;

fn key() -> SignedSecretKey {
    let mut subkey = SubkeyParamsBuilder::default();
    subkey.key_type(KeyType::Ed25519Legacy).can_sign(true).can_encrypt(EncryptionCaps::None);
    let mut key = SecretKeyParamsBuilder::default();
    key.key_type(KeyType::Ed25519Legacy).can_certify(true).can_sign(true).can_encrypt(EncryptionCaps::None);
    key.primary_user_id("An archive <a@archive.example>".into()).subkey(subkey.build().unwrap());
    key.build().unwrap().generate(rand::thread_rng()).unwrap()
}

fn signed(text: &str, key: &SignedSecretKey) -> String {
    let message = CleartextSignedMessage::sign(rand::thread_rng(), text, &**key, &Password::empty()).unwrap();
    message.to_armored_string(ArmorOptions::default()).unwrap()
}

/// Name, fields besides, files.
type PackageSpec<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)]);

/// A directory as a mirror has it.
struct Mirror {
    directory: tempfile::TempDir,
    key: SignedSecretKey,
    packages: String,
}

impl Mirror {
    /// With one suite, `s`, of these packages.
    fn new(packages: &[PackageSpec<'_>]) -> Mirror {
        let mut mirror = Mirror { directory: tempfile::tempdir().unwrap(), key: key(), packages: String::new() };
        for (name, fields, files) in packages {
            let deb = deb(|tar| files.iter().for_each(|(path, text)| file(tar, path, text)));
            let path = format!("pool/{name}_1_amd64.deb");
            mirror.packages += &format!(
                "Package: {name}\nVersion: 1\nFilename: {path}\nSize: {}\nSHA256: {}\n{fields}\n\n",
                deb.len(),
                sha256(&deb)
            );
            mirror.write(&path, &deb);
        }
        mirror.publish("");
        mirror
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Signs the suite, with these fields besides.
    fn publish(&self, fields: &str) {
        let list = xz(self.packages.as_bytes());
        self.write("dists/s/main/binary-amd64/Packages.xz", &list);
        let listed = format!("{} {} main/binary-amd64/Packages.xz", sha256(&list), list.len());
        let release = format!("Suite: s\nCodename: c\n{fields}SHA256:\n {listed}\n");
        self.write("dists/s/InRelease", signed(&release, &self.key).as_bytes());
        let public = SignedPublicKey::from(self.key.clone()).to_armored_bytes(ArmorOptions::default()).unwrap();
        self.write("keys.asc", &public);
    }

    fn keyring(&self) -> PathBuf {
        self.directory.path().join("keys.asc")
    }

    fn archive(&self, host: HostApt) -> Archive {
        let mirror = format!("file:{}", self.directory.path().display());
        Archive::of(host, Some(&mirror), Some(&self.keyring())).unwrap()
    }

    fn fetch(&self, packages: &[&str]) -> Result<(tempfile::TempDir, Unpacked), ImageError> {
        fetch(self.archive(HostApt::default()), packages)
    }

    /// What is wrong, without the directory's name.
    fn error(&self, packages: &[&str]) -> String {
        let error = self.fetch(packages).unwrap_err().to_string();
        error.replace(self.directory.path().to_str().unwrap(), "MIRROR")
    }
}

fn fetch(archive: Archive, packages: &[&str]) -> Result<(tempfile::TempDir, Unpacked), ImageError> {
    fetch_as(archive, packages, None, SourceSettings::default(), Arc::new(silent))
}

fn fetch_as(
    archive: Archive,
    packages: &[&str],
    locked: Option<&Locked>,
    settings: SourceSettings,
    progress: Arc<dyn Progress>,
) -> Result<(tempfile::TempDir, Unpacked), ImageError> {
    let directory = tempfile::tempdir().unwrap();
    let cache = Cache::open(&directory.path().join("cache"), progress).unwrap();
    let work = directory.path().join("work");
    let packages = packages.iter().map(|name| (*name).to_owned()).collect();
    let order = Order {
        title: "test",
        architecture: Architecture::Amd64,
        suites: &["s".to_owned()],
        packages,
        skip: &[],
        keep: &[],
        locked,
    };
    let unpacked = Source::of(archive, settings).fetch(&cache, &order, &work, None)?;
    Ok((directory, unpacked.unwrap()))
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    std::io::Write::write_all(&mut writer, bytes).unwrap();
    writer.finish().unwrap()
}

fn deb(fill: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut data = tar::Builder::new(Vec::new());
    fill(&mut data);
    let data = xz(&data.into_inner().unwrap());
    let mut deb = ar::Builder::new(Vec::new());
    for (name, bytes) in [("debian-binary", &b"2.0\n"[..]), ("control.tar.xz", &xz(b"")), ("data.tar.xz", &data)] {
        deb.append(&ar::Header::new(name.into(), bytes.len() as u64), bytes).unwrap();
    }
    deb.into_inner().unwrap()
}

/// An entry with a name that a library would not write.
fn entry(tar: &mut tar::Builder<Vec<u8>>, kind: tar::EntryType, path: &str, target: &str, text: &str) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o4755);
    header.set_size(text.len() as u64);
    header.set_cksum();
    tar.append(&header, text.as_bytes()).unwrap();
}

fn file(tar: &mut tar::Builder<Vec<u8>>, path: &str, text: &str) {
    entry(tar, tar::EntryType::Regular, path, "", text);
}

#[test]
fn what_a_trusted_key_has_signed_is_unpacked() {
    let mirror = Mirror::new(&[
        ("a", "Depends: b", &[("./lib/x/a", "of a"), ("./usr/bin/a", "program")]),
        ("b", "", &[("./usr/lib/x/b", "of b")]),
        ("c", "", &[]),
    ]);
    let (_directory, Unpacked { root, packages }) = mirror.fetch(&["a"]).unwrap();
    assert_eq!(packages.iter().map(|package| package.name.as_str()).collect::<String>(), "ab");
    let text = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    assert_eq!([text("usr/lib/x/a"), text("lib/x/b"), text("usr/bin/a")], ["of a", "of b", "program"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&root.join("usr/bin/a").metadata().unwrap().permissions());
    assert_eq!(mode & 0o7777, 0o755, "the bit for the owner's rights is left out");
}

#[test]
fn a_list_that_is_not_as_it_was_signed_is_refused() {
    let mirror = Mirror::new(&[("a", "", &[])]);
    let other = Mirror::new(&[("a", "", &[])]);
    mirror.write("keys.asc", &fs::read(other.keyring()).unwrap());
    let error = mirror.error(&["a"]);
    assert!(error.starts_with("file:MIRROR/dists/s/InRelease: is not signed by a key that is trusted"), "{error}");
    assert!(error.contains(": unknown key; name a newer keyring with --keyring FILE"), "{error}");

    mirror.publish("");
    let release = mirror.directory.path().join("dists/s/InRelease");
    let good = fs::read_to_string(&release).unwrap();
    fs::write(&release, good.replace("Codename: c", "Codename: d")).unwrap();
    assert!(mirror.error(&["a"]).contains(": the signature does not fit the text; "));
    fs::write(&release, "Suite: s\n").unwrap();
    assert!(mirror.error(&["a"]).contains("InRelease: is no signed text: "));
    // Nothing stands around the signed text.
    let evil = "Suite: s\nSHA256:\n 00 1 main/binary-amd64/Packages.xz\n\n";
    for around in [format!("{evil}{good}"), format!("{good}\n{evil}")] {
        fs::write(&release, around).unwrap();
        assert!(mirror.error(&["a"]).contains("InRelease: is no signed text: "));
    }
    fs::write(&release, good).unwrap();
    assert!(mirror.fetch(&["a"]).is_ok());

    mirror.write("dists/s/main/binary-amd64/Packages.xz", &xz(b"Package: evil\n"));
    let error = mirror.error(&["a"]);
    assert!(error.contains("Packages.xz: has ") && error.contains(", the signed list says "), "{error}");
}

#[test]
fn a_package_that_is_not_as_the_list_says_is_refused() {
    let mirror = Mirror::new(&[("a", "", &[("f", "x")])]);
    let path = mirror.directory.path().join("pool/a_1_amd64.deb");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(mirror.error(&["a"]).contains("a_1_amd64.deb: has "));
    bytes.push(0);
    fs::write(&path, bytes).unwrap();
    assert!(mirror.error(&["a"]).contains("a_1_amd64.deb: has more bytes with sha256 "));
    fs::remove_file(path).unwrap();
    assert!(mirror.error(&["a"]).contains("a_1_amd64.deb: the mirror does not have it; name another with --mirror"));
}

#[test]
fn an_old_list_is_refused_unless_the_hosts_apt_takes_it() {
    let mirror = Mirror::new(&[("a", "", &[])]);
    let until = |time| httpdate::fmt_http_date(time).replace("GMT", "UTC");
    let (before, after) = (SystemTime::now() - Duration::from_secs(60), SystemTime::now() + Duration::from_secs(3600));
    mirror.publish(&format!("Valid-Until: {}\n", until(after)));
    assert!(mirror.fetch(&["a"]).is_ok());
    mirror.publish(&format!("Valid-Until: {}\n", until(before)));
    let error = mirror.error(&["a"]);
    assert!(error.contains(&format!("was valid until {}: the mirror is behind", until(before))), "{error}");
    let lenient = HostApt { takes_expired: true, ..HostApt::default() };
    assert!(fetch(mirror.archive(lenient), &["a"]).is_ok());
    mirror.publish("Valid-Until: some day\n");
    assert!(mirror.error(&["a"]).contains("which is no date"));
}

#[test]
fn a_list_of_another_suite_is_refused() {
    let mirror = Mirror::new(&[("a", "", &[])]);
    let release = signed("Suite: t\nCodename: u\n", &mirror.key);
    mirror.write("dists/s/InRelease", release.as_bytes());
    assert!(mirror.error(&["a"]).ends_with("InRelease: is that of another suite: t, u"));
}

#[test]
fn subkeys_sign_and_debians_keys_end() {
    let key = key();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), SignedPublicKey::from(key.clone()).to_armored_bytes(ArmorOptions::default()).unwrap())
        .unwrap();
    let keys = Keys::find(Some(file.path())).unwrap();
    let subkey = &key.secret_subkeys[0].key;
    let message = CleartextSignedMessage::sign(rand::thread_rng(), "Suite: s\n", subkey, &Password::empty()).unwrap();
    let message = message.to_armored_string(ArmorOptions::default()).unwrap();
    assert_eq!(keys.open(&message, SystemTime::now()).unwrap().trim_end(), "Suite: s");
    // The same without what its key says of it.
    let mut alone = SignedPublicKey::from(key);
    alone.public_subkeys[0].signatures.clear();
    fs::write(file.path(), alone.to_armored_bytes(ArmorOptions::default()).unwrap()).unwrap();
    assert!(Keys::find(Some(file.path())).unwrap().open(&message, SystemTime::now()).is_err());

    let year = |year: u64| SystemTime::UNIX_EPOCH + Duration::from_secs((year - 1970) * 31_557_600);
    assert_eq!(signature::debian_keys_that_sign(year(2027)), 4);
    assert_eq!(signature::debian_keys_that_sign(year(2034)), 1);
    assert_eq!(signature::debian_keys_that_sign(year(2040)), 0);
}

#[test]
fn mirrors_are_named_in_ways_that_work() {
    let of = |mirror: Option<&str>, host: HostApt| Archive::of(host, mirror, None).map(|archive| archive.name());
    assert_eq!(of(None, HostApt::default()).unwrap(), "http://deb.debian.org/debian");
    let host = HostApt { mirror: Some("https://m.example/debian".into()), ..HostApt::default() };
    assert_eq!(of(None, host.clone()).unwrap(), "https://m.example/debian");
    assert_eq!(of(Some("http://u:secret@n.example/d/"), host).unwrap(), "http://n.example/d");
    let error = of(Some("ftp://m.example"), HostApt::default()).unwrap_err().to_string();
    assert!(error.starts_with("the mirror ftp://m.example: is not at http://, https:// or file:; "), "{error}");
    let nowhere = Archive::of(HostApt::default(), None, Some(Path::new("/nowhere/keys.gpg"))).unwrap_err();
    assert!(nowhere.to_string().starts_with("cannot open /nowhere/keys.gpg: "));
}
