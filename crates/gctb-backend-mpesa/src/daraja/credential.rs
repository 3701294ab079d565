//! The security credential: the initiator's password, encrypted with the key of M-Pesa's certificate (RSA, PKCS#1 v1.5), in
//! base 64. It is made once, at the start, and sent with every call.

use std::path::Path;

use openssl::asn1::Asn1Time;
use openssl::base64;
use openssl::pkey::Public;
use openssl::rsa::{Padding, Rsa};
use openssl::x509::X509;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::DarajaSettings;
use crate::setup::{SetupError, required_secret};

/// Bytes that the padding of PKCS#1 v1.5 takes.
const PADDING_BYTES: usize = 11;

/// Makes the credential. `now` is in seconds since 1970, UTC.
pub(super) fn security_credential(settings: &DarajaSettings, now: i64) -> Result<SecretString, SetupError> {
    let password = required_secret(settings.initiator_password.as_ref(), "mpesa.daraja.initiator_password")?;
    let setting = "mpesa.daraja.certificate_file";
    let path = settings.certificate_file.as_deref().filter(|path| !path.as_os_str().is_empty());
    let key = key_of(path.ok_or(SetupError::Missing { setting })?, settings, now)?;
    encrypt(&key, password)
}

fn key_of(path: &Path, settings: &DarajaSettings, now: i64) -> Result<Rsa<Public>, SetupError> {
    let named = || path.to_owned();
    let pem = std::fs::read(path).map_err(|cause| SetupError::CertificateUnreadable { path: named(), cause })?;
    let certificate = X509::from_pem(&pem).map_err(|_| SetupError::NotACertificate { path: named() })?;
    let now = Asn1Time::from_unix(now).map_err(SetupError::Encrypt)?;
    if !settings.allow_expired_certificate && certificate.not_after() < now {
        return Err(SetupError::CertificateExpired { path: named() });
    }
    let key = certificate.public_key().and_then(|key| key.rsa());
    let key = key.map_err(|_| SetupError::NotAnRsaKey { path: named() })?;
    let bits = key.size().saturating_mul(8);
    if bits < settings.key_bits_min {
        return Err(SetupError::KeyTooSmall { path: named(), bits });
    }
    Ok(key)
}

fn encrypt(key: &Rsa<Public>, password: &SecretString) -> Result<SecretString, SetupError> {
    let password = password.expose_secret().as_bytes();
    let mut encrypted = vec![0_u8; key.size() as usize];
    let max = encrypted.len().saturating_sub(PADDING_BYTES);
    if password.len() > max {
        return Err(SetupError::PasswordTooLong { max });
    }
    let length = key.public_encrypt(password, &mut encrypted, Padding::PKCS1).map_err(SetupError::Encrypt)?;
    encrypted.truncate(length);
    Ok(base64::encode_block(&encrypted).into())
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;

    use super::*;
    use crate::testing::{Certificate, NOW, PASSWORD, settings};

    fn make(certificate: &Certificate) -> Result<SecretString, SetupError> {
        let mut settings = settings().daraja;
        settings.certificate_file = Some(certificate.path());
        security_credential(&settings, NOW)
    }

    #[test]
    fn the_credential_is_the_password_and_nothing_else_to_whoever_has_the_private_key() {
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let credential = make(&certificate).expect("a good certificate");
        assert_eq!(credential.expose_secret().len(), 344, "256 bytes in base 64, on one line");
        assert_eq!(certificate.decrypt(credential.expose_secret()), PASSWORD.as_bytes());
        assert!(!format!("{credential:?}").contains(credential.expose_secret()));
    }

    #[test]
    fn a_certificate_that_has_expired_is_named_and_taken_only_where_the_settings_say_so() {
        let certificate = Certificate::rsa(2048, NOW - 3600);
        assert!(matches!(make(&certificate), Err(SetupError::CertificateExpired { .. })));
        let mut settings = settings().daraja;
        settings.certificate_file = Some(certificate.path());
        settings.allow_expired_certificate = true;
        security_credential(&settings, NOW).expect("its key is good");
    }

    #[test]
    fn what_is_no_certificate_or_has_a_key_that_cannot_serve_is_named() {
        assert!(matches!(make(&Certificate::rsa(1024, NOW + 3600)), Err(SetupError::KeyTooSmall { bits: 1024, .. })));
        assert!(matches!(make(&Certificate::text("not PEM")), Err(SetupError::NotACertificate { .. })));
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let key = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
        assert!(matches!(make(&Certificate::of(&key, NOW + 3600)), Err(SetupError::NotAnRsaKey { .. })));
        let mut settings = settings().daraja;
        settings.certificate_file = Some("/nowhere/mpesa.pem".into());
        let error = security_credential(&settings, NOW).expect_err("no file");
        assert!(error.to_string().contains("/nowhere/mpesa.pem"), "{error}");
        settings.certificate_file = None;
        let error = security_credential(&settings, NOW).expect_err("no setting");
        assert!(error.to_string().contains("mpesa.daraja.certificate_file"), "{error}");
    }

    #[test]
    fn i9_a_password_that_cannot_be_used_is_named_and_not_shown() {
        let certificate = Certificate::rsa(2048, NOW + 3600);
        let with = |password: &str| {
            let mut settings = settings().daraja;
            settings.certificate_file = Some(certificate.path());
            settings.initiator_password = Some(password.to_owned().into());
            let error = security_credential(&settings, NOW).expect_err("no password");
            format!("{error:?} {error}")
        };
        assert!(with("").contains("mpesa.daraja.initiator_password"));
        let error = with("hush-hush\n");
        assert!(error.contains("mpesa.daraja.initiator_password") && !error.contains("hush"), "{error}");
        let error = with(&"hush".repeat(62));
        assert!(error.contains("245 bytes") && !error.contains("hush"), "{error}");
    }
}
