//! Who signed: OpenPGP signatures of Debian's archive (RFC 9580), checked against its keys.
//!
//! The cryptography is rPGP's. It leaves the policy to its user, and this is it: a key counts by
//! what it says of itself (flags, expiry, revocation), a subkey when it and its key have signed
//! each other, a signature by SHA-256 or better. One good signature of a known key is enough,
//! because a suite is also signed by keys that come later.

use std::path::Path;
use std::time::{Duration, SystemTime};

use pgp::composed::{CleartextSignedMessage, Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Signature, SignatureType};
use pgp::types::{KeyDetails, Tag};

use crate::cache::error::{ImageError, at, content};

/// The keys of Debian's archive.
const DEBIAN: &str = include_str!("../../../vm-images/debian-archive-keys.asc");

/// Longest file of keys that is read.
const KEYS_LIMIT: u64 = 16 << 20;

/// Keys that are trusted.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    keys: Vec<SignedPublicKey>,
    /// For messages: where they are from.
    from: String,
}

impl Keys {
    /// Those in the file, or Debian's.
    pub(super) fn find(file: Option<&Path>) -> Result<Keys, ImageError> {
        let Some(path) = file else {
            let keys = parse(DEBIAN.as_bytes()).expect("a test reads them");
            return Ok(Keys { keys, from: "the keys of Debian 12 and 13 that this program has".into() });
        };
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(at("open", path))?;
        std::io::Read::read_to_end(&mut std::io::Read::take(file, KEYS_LIMIT), &mut bytes).map_err(at("read", path))?;
        let from = format!("the keyring {}", path.display());
        match parse(&bytes) {
            Ok(keys) if !keys.is_empty() => Ok(Keys { keys, from }),
            Ok(_) => Err(content(from, "has no OpenPGP key; name another file with --keyring")),
            Err(why) => Err(content(from, format!("has no OpenPGP keys: {why}; name another file with --keyring"))),
        }
    }

    /// The text of a message that one of the keys has signed, and nothing of what stands around it.
    pub(super) fn open(&self, message: &str, now: SystemTime) -> Result<String, String> {
        let (message, _) =
            CleartextSignedMessage::from_string(message).map_err(|error| format!("is no signed text: {error}"))?;
        let text = message.signed_text();
        let mut refused = Vec::new();
        for signature in message.signatures() {
            match self.judge(signature, &text, now) {
                Ok(()) => return Ok(text),
                Err(why) => refused.push(format!("{}: {why}", issuer(signature))),
            }
        }
        Err(format!(
            "is not signed by a key that is trusted ({}): {}; name a newer keyring with --keyring FILE, \
             such as that of Debian's package debian-archive-keyring",
            self.from,
            if refused.is_empty() { "it has no signature".into() } else { refused.join(", ") }
        ))
    }

    fn judge(&self, signature: &Signature, text: &str, now: SystemTime) -> Result<(), &'static str> {
        let mut why = "unknown key";
        for key in &self.keys {
            let bytes = text.as_bytes();
            let primary = is_by(signature, key).then(|| signature.verify(key, bytes).map(|()| primary(key, true, now)));
            let subkeys = key.public_subkeys.iter().filter(|subkey| is_by(signature, &subkey.key));
            let subkeys = subkeys.map(|sub| signature.verify(&sub.key, bytes).map(|()| subkey(key, sub, now)));
            for result in primary.into_iter().chain(subkeys) {
                match result {
                    Ok(Ok(())) => return accepted(signature, now),
                    Ok(Err(reason)) => why = reason,
                    Err(_) => why = "the signature does not fit the text",
                }
            }
        }
        Err(why)
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<SignedPublicKey>, String> {
    let (keys, _) = SignedPublicKey::from_reader_many(bytes).map_err(|error| error.to_string())?;
    keys.collect::<Result<_, _>>().map_err(|error| error.to_string())
}

fn is_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    signature.issuer_fingerprint().contains(&&key.fingerprint())
        || signature.issuer_key_id().contains(&&key.legacy_key_id())
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|fingerprint| format!("{fingerprint:X}"));
    let id = || signature.issuer_key_id().first().map(|id| id.to_string().to_uppercase());
    fingerprint.or_else(id).unwrap_or_else(|| "a key without a name".into())
}

/// What a good signature must be besides.
fn accepted(signature: &Signature, now: SystemTime) -> Result<(), &'static str> {
    use HashAlgorithm::{Sha256, Sha384, Sha512};
    if !matches!(signature.hash_alg(), Some(Sha256 | Sha384 | Sha512)) {
        return Err("its hash is weaker than SHA-256");
    }
    if !matches!(signature.typ(), Some(SignatureType::Text | SignatureType::Binary)) {
        return Err("it is no signature of a text");
    }
    let Some(created) = signature.created().map(SystemTime::from) else { return Err("it has no date") };
    let lifetime = signature.signature_expiration_time().map(Duration::from);
    match ended(created, lifetime, now) {
        true => Err("the signature has expired"),
        false => Ok(()),
    }
}

/// OpenPGP says "never" as 0 or as nothing.
fn ended(from: SystemTime, lifetime: Option<Duration>, now: SystemTime) -> bool {
    lifetime.is_some_and(|lifetime| !lifetime.is_zero() && from + lifetime <= now)
}

/// Whether a key may be used now, by its own newest signature; to sign something itself, too?
fn primary(key: &SignedPublicKey, signs: bool, now: SystemTime) -> Result<(), &'static str> {
    let details = &key.details;
    if details.revocation_signatures.iter().any(|revocation| revocation.verify_key(&key.primary_key).is_ok()) {
        return Err("the key is revoked");
    }
    let of_users = details.users.iter().flat_map(|user| {
        user.signatures.iter().filter(|signature| {
            signature.typ() != Some(SignatureType::CertRevocation)
                && signature.verify_certification(&key.primary_key, Tag::UserId, &user.id).is_ok()
        })
    });
    let direct = details.direct_signatures.iter().filter(|signature| signature.verify_key(&key.primary_key).is_ok());
    // What a key says of itself as a whole may be no more than who can revoke it.
    let newest = of_users.max_by_key(|signature| signature.created());
    let newest = newest.or_else(|| direct.max_by_key(|signature| signature.created()));
    let newest = newest.ok_or("the key has not signed itself")?;
    if ended(key.created_at().into(), newest.key_expiration_time().map(Duration::from), now) {
        return Err("the key has expired");
    }
    if signs && !newest.key_flags().sign() { Err("the key is not for signing") } else { Ok(()) }
}

/// The same for a subkey, by what it and its key say of each other.
fn subkey(key: &SignedPublicKey, subkey: &SignedPublicSubKey, now: SystemTime) -> Result<(), &'static str> {
    primary(key, false, now)?;
    let by_key = |typ| {
        let of_type = subkey.signatures.iter().filter(move |signature| signature.typ() == Some(typ));
        of_type.filter(|signature| signature.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok())
    };
    if by_key(SignatureType::SubkeyRevocation).next().is_some() {
        return Err("the subkey is revoked");
    }
    let newest = by_key(SignatureType::SubkeyBinding).max_by_key(|signature| signature.created());
    let newest = newest.ok_or("the subkey is not one of its key")?;
    if ended(subkey.key.created_at().into(), newest.key_expiration_time().map(Duration::from), now) {
        return Err("the subkey has expired");
    }
    let back = newest.embedded_signature();
    let agreed = back.is_some_and(|back| back.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok());
    if newest.key_flags().sign() && agreed { Ok(()) } else { Err("the subkey is not for signing") }
}

/// How many of the built-in keys can sign at this time, by themselves or by a subkey.
#[cfg(test)]
pub(super) fn debian_keys_that_sign(now: SystemTime) -> usize {
    let keys = parse(DEBIAN.as_bytes()).expect("they are there");
    let signs = |key: &&SignedPublicKey| {
        primary(key, true, now).is_ok() && key.public_subkeys.iter().all(|sub| subkey(key, sub, now).is_ok())
    };
    keys.iter().filter(signs).count()
}
