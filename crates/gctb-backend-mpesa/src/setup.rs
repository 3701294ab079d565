//! What is missing or makes no sense, told by name before anything is paid, and the small readers of settings that say so.
//!
//! No error here carries a value that could be a secret.

use std::path::PathBuf;

use gctb_domain::{MoneyError, StrategyError};
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use crate::settings::MpesaSettings;

/// Why a rail cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The profile needs it.
    #[error("the setting {setting} is required by this profile")]
    Missing {
        /// Which.
        setting: &'static str,
    },
    /// It cannot be used as it stands.
    #[error("the setting {setting} {expected}")]
    Unusable {
        /// Which.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// A limit that is no amount.
    #[error("the setting {setting} is not an amount of the configured currency")]
    Amount {
        /// Which.
        setting: &'static str,
        /// What is wrong with it.
        #[source]
        cause: MoneyError,
    },
    /// A pattern that does not compile.
    #[error("the setting mpesa.msisdn.pattern is not a regular expression that can be used")]
    Pattern(#[source] Box<regex::Error>),
    /// A strategy that does not compile.
    #[error("the addresses of this profile cannot be read")]
    Strategy(#[from] StrategyError),
    /// The file is not there, or not for us.
    #[error("could not read the M-Pesa certificate {path} (setting mpesa.daraja.certificate_file)")]
    CertificateUnreadable {
        /// Where it should be.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// Something else is in it, a private key for example.
    #[error("the file {path} (setting mpesa.daraja.certificate_file) is not an X.509 certificate in PEM form")]
    NotACertificate {
        /// Which file.
        path: PathBuf,
    },
    /// M-Pesa may have another one by now.
    #[error(
        "the M-Pesa certificate {path} has expired: fetch the current one from the portal, or set \
         mpesa.daraja.allow_expired_certificate"
    )]
    CertificateExpired {
        /// Which file.
        path: PathBuf,
    },
    /// Its key is for another kind of cryptography.
    #[error("the key of the M-Pesa certificate {path} is not an RSA key")]
    NotAnRsaKey {
        /// Which file.
        path: PathBuf,
    },
    /// Its key can be broken.
    #[error("the key of the M-Pesa certificate {path} has {bits} bits, less than mpesa.daraja.key_bits_min")]
    KeyTooSmall {
        /// Which file.
        path: PathBuf,
        /// Bits of its key.
        bits: u32,
    },
    /// PKCS#1 v1.5 takes eleven bytes less than the key has.
    #[error(
        "the setting mpesa.daraja.initiator_password is longer than the {max} bytes that the certificate can encrypt"
    )]
    PasswordTooLong {
        /// The most bytes.
        max: usize,
    },
    /// The TLS library failed.
    #[error("could not encrypt the initiator's password")]
    Encrypt(#[source] openssl::error::ErrorStack),
    /// The TLS library, for one, is missing.
    #[error("could not prepare HTTP calls to M-Pesa")]
    Http(#[source] reqwest::Error),
}

/// A required text, not blank.
pub(crate) fn required<'a>(value: Option<&'a String>, setting: &'static str) -> Result<&'a str, SetupError> {
    let text =
        value.map(String::as_str).filter(|text| !text.trim().is_empty()).ok_or(SetupError::Missing { setting })?;
    usable(!text.chars().any(char::is_control), setting, "must not have control characters")?;
    Ok(text)
}

/// A required secret, not blank. One that was read from a file often ends in a line feed, which no rail would forgive.
pub(crate) fn required_secret<'a>(
    value: Option<&'a SecretString>,
    setting: &'static str,
) -> Result<&'a SecretString, SetupError> {
    let secret = value.filter(|secret| !secret.expose_secret().trim().is_empty());
    let secret = secret.ok_or(SetupError::Missing { setting })?;
    let printable = !secret.expose_secret().chars().any(char::is_control);
    usable(printable, setting, "must not have control characters, a line feed at its end for example")?;
    Ok(secret)
}

/// A required URL without a slash at its end, to which paths are added.
pub(crate) fn required_url(value: Option<&String>, setting: &'static str, tls: bool) -> Result<String, SetupError> {
    let text = required(value, setting)?;
    let none = || SetupError::Unusable { setting, expected: "must be a URL such as https://rail.example.org" };
    let url = Url::parse(text).map_err(|_| none())?;
    let plain =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    usable(plain, setting, "must be a URL without user, password, query and fragment")?;
    usable(matches!(url.scheme(), "http" | "https"), setting, "must be an https URL")?;
    usable(!tls || url.scheme() == "https", setting, "must be an https URL, unless mpesa.require_https is false")?;
    Ok(text.trim_end_matches('/').to_owned())
}

/// Whether a setting can be used.
pub(crate) fn usable(ok: bool, setting: &'static str, expected: &'static str) -> Result<(), SetupError> {
    if ok { Ok(()) } else { Err(SetupError::Unusable { setting, expected }) }
}

/// Checks the times and limits that both profiles share.
pub(crate) fn check_limits(settings: &MpesaSettings) -> Result<(), SetupError> {
    let before_the_call = settings.token_timeout.saturating_add(settings.connect_timeout);
    let leaves_time = before_the_call < settings.call_timeout / 2;
    usable(leaves_time, "mpesa.call_timeout", "must be more than twice mpesa.token_timeout and mpesa.connect_timeout")?;
    usable(!settings.connect_timeout.is_zero(), "mpesa.connect_timeout", "must be more than nothing")?;
    usable(!settings.token_timeout.is_zero(), "mpesa.token_timeout", "must be more than nothing")?;
    usable(settings.answer_bytes_max > 0, "mpesa.answer_bytes_max", "must be at least 1")?;
    usable(!settings.slow_down.is_zero(), "mpesa.slow_down", "must be more than nothing")?;
    usable(settings.slow_down <= settings.slow_down_max, "mpesa.slow_down", "must not exceed mpesa.slow_down_max")
}
