//! The key and certificate with which an initiator's password is encrypted, and what comes of wrong passwords.
//!
//! Both are made at the first start and lie beside the books: `mpesa-key.pem`, `mpesa-certificate.pem`. A credential is really
//! decrypted, once for each text; the answers are remembered up to a limit.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use openssl::asn1::Asn1Time;
use openssl::base64;
use openssl::bn::BigNum;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::x509::{X509, X509NameBuilder};
use sha2::{Digest, Sha256};

use crate::rail_book::RailError;
use crate::rail_settings::Secret;

/// How many distinct credentials are remembered; beyond them all are forgotten and decrypted anew.
const CACHE_LIMIT: usize = 1_000;
const KEY_BITS: u32 = 2048;
const CERTIFICATE_DAYS: u32 = 3650;

pub(super) struct Credentials {
    key: PKey<Private>,
    certificate: String,
    password: Secret,
    seen: Mutex<HashMap<[u8; 32], bool>>,
    wrong_in_a_row: AtomicU32,
    locked: AtomicBool,
}

impl Credentials {
    /// Reads key and certificate in `folder`, or makes them.
    pub(super) fn open(folder: &Path, password: &Secret) -> Result<Self, RailError> {
        let (key_path, certificate_path) = (folder.join("mpesa-key.pem"), folder.join("mpesa-certificate.pem"));
        if !certificate_path.exists() {
            let (key, certificate) = make().map_err(RailError::Certificate)?;
            write(&key_path, &key, 0o600)?;
            // The certificate comes last: where it is, the key is.
            write(&certificate_path, &certificate, 0o644)?;
        }
        let read = |path: &Path| fs::read(path).map_err(RailError::io("could not read", path));
        let key = PKey::private_key_from_pem(&read(&key_path)?).map_err(RailError::Certificate)?;
        let certificate = String::from_utf8_lossy(&read(&certificate_path)?).into_owned();
        Ok(Self {
            key,
            certificate,
            password: password.clone(),
            seen: Mutex::default(),
            wrong_in_a_row: AtomicU32::new(0),
            locked: AtomicBool::new(false),
        })
    }

    /// The certificate as PEM.
    pub(super) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Whether a credential holds the initiator's password, encrypted with this certificate and PKCS#1 v1.5.
    pub(super) fn holds_password(&self, credential: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(credential.as_bytes()).into();
        let seen = |cache: &HashMap<_, _>| cache.get(&digest).copied();
        if let Some(known) = seen(&self.seen.lock().unwrap_or_else(PoisonError::into_inner)) {
            return known;
        }
        // Outside the lock: this takes a millisecond.
        let holds = self.decrypt(credential).is_some_and(|password| password == self.password.reveal().as_bytes());
        let mut cache = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_LIMIT {
            cache.clear();
        }
        cache.insert(digest, holds);
        holds
    }

    /// The result code that an initiator's request gets for who he is, or none. Counts wrong ones in a row and locks.
    pub(super) fn judge(&self, valid: bool, lock_after: u32) -> Option<&'static str> {
        if self.locked() {
            return Some("8006");
        }
        if valid {
            self.wrong_in_a_row.store(0, Ordering::Relaxed);
            return None;
        }
        let wrong = self.wrong_in_a_row.fetch_add(1, Ordering::Relaxed) + 1;
        if wrong >= lock_after.max(1) {
            self.set_locked(true);
        }
        Some("2001")
    }

    pub(super) fn locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }

    pub(super) fn set_locked(&self, locked: bool) {
        self.wrong_in_a_row.store(0, Ordering::Relaxed);
        self.locked.store(locked, Ordering::Relaxed);
    }

    fn decrypt(&self, credential: &str) -> Option<Vec<u8>> {
        let cipher = base64::decode_block(credential).ok()?;
        let key = self.key.rsa().ok()?;
        let mut plain = vec![0; usize::try_from(key.size()).ok()?];
        let length = key.private_decrypt(&cipher, &mut plain, Padding::PKCS1).ok()?;
        plain.truncate(length);
        Some(plain)
    }
}

/// A new key and a certificate for it that it signed itself, as PEM.
fn make() -> Result<(Vec<u8>, Vec<u8>), ErrorStack> {
    let key = PKey::from_rsa(Rsa::generate(KEY_BITS)?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "gctb-simulator M-Pesa")?;
    let name = name.build();
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    let serial = BigNum::from_u32(1)?.to_asn1_integer()?;
    certificate.set_serial_number(&serial)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    let (from, to) = (Asn1Time::days_from_now(0)?, Asn1Time::days_from_now(CERTIFICATE_DAYS)?);
    certificate.set_not_before(&from)?;
    certificate.set_not_after(&to)?;
    certificate.set_pubkey(&key)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    Ok((key.private_key_to_pem_pkcs8()?, certificate.build().to_pem()?))
}

fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<(), RailError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    options.open(path).and_then(|mut file| file.write_all(bytes)).map_err(RailError::io("could not write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encrypted(credentials: &Credentials, password: &str, padding: Padding) -> String {
        let certificate = X509::from_pem(credentials.certificate().as_bytes()).expect("a certificate");
        let key = certificate.public_key().expect("a key").rsa().expect("an RSA key");
        let mut cipher = vec![0; 256];
        key.public_encrypt(password.as_bytes(), &mut cipher, padding).expect("encrypted");
        base64::encode_block(&cipher)
    }

    #[test]
    fn only_the_password_encrypted_as_the_document_says_is_right() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let secret = Secret::from("right".to_owned());
        let credentials = Credentials::open(folder.path(), &secret).expect("made");
        let good = encrypted(&credentials, "right", Padding::PKCS1);
        assert_eq!(good.len(), 344);
        // The key outlives a restart, so what was encrypted stays good.
        let credentials = Credentials::open(folder.path(), &secret).expect("read");
        assert!(credentials.holds_password(&good) && credentials.holds_password(&good));
        for bad in [
            encrypted(&credentials, "wrong", Padding::PKCS1),
            encrypted(&credentials, "right", Padding::PKCS1_OAEP),
            base64::encode_block(b"right"),
            "no base64 at all".to_owned(),
            String::new(),
        ] {
            assert!(!credentials.holds_password(&bad));
        }
    }

    #[test]
    fn too_many_wrong_credentials_lock_until_somebody_unlocks() {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let credentials = Credentials::open(folder.path(), &Secret::from("p".to_owned())).expect("made");
        let judge = |valid| credentials.judge(valid, 2);
        assert_eq!(
            [judge(false), judge(true), judge(false), judge(false)],
            [Some("2001"), None, Some("2001"), Some("2001")]
        );
        assert_eq!([judge(true), judge(false)], [Some("8006"), Some("8006")]);
        credentials.set_locked(false);
        assert_eq!(judge(true), None);
    }
}
