//! The part of a callback's path that nobody can guess, since M-Pesa does not sign what it posts.

use secrecy::{ExposeSecret, SecretString};

use crate::settings::DarajaSettings;
use crate::setup::{self, SetupError};

/// Opens for those who know the token.
#[derive(Debug)]
pub(super) struct Door {
    /// The path of `callback_url`, which a proxy in front may have taken away.
    prefix: String,
    token: SecretString,
}

impl Door {
    /// The settings were checked by the rail that was made of them.
    pub(super) fn new(settings: &DarajaSettings) -> Result<Self, SetupError> {
        let url = setup::required_url(settings.callback_url.as_ref(), "mpesa.daraja.callback_url", false)?;
        let token = setup::required_secret(settings.callback_token.as_ref(), "mpesa.daraja.callback_token")?;
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map(|(_, path)| path);
        Ok(Self { prefix: path.map_or_else(String::new, |path| format!("/{path}")), token: token.clone() })
    }

    /// What stands behind the token, with a slash before it; None for a path that is none of ours.
    pub(super) fn behind<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = |path: &'a str| {
            let (token, _) = path.strip_prefix('/')?.split_once('/')?;
            self.is_the_token(token).then(|| &path[1 + token.len()..])
        };
        let without_prefix = path.strip_prefix(self.prefix.as_str()).and_then(below);
        without_prefix.or_else(|| below(path))
    }

    /// In a time that tells nothing about how much of it was right.
    fn is_the_token(&self, text: &str) -> bool {
        let token = self.token.expose_secret();
        text.len() == token.len() && openssl::memcmp::eq(text.as_bytes(), token.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CALLBACK_TOKEN, settings};

    #[test]
    fn only_the_whole_token_opens_with_or_without_the_path_before_it() {
        let door = Door::new(&settings().daraja).expect("good settings");
        assert_eq!(door.behind(&format!("/mpesa/{CALLBACK_TOKEN}/payment/result")), Some("/payment/result"));
        assert_eq!(door.behind(&format!("/{CALLBACK_TOKEN}/payment/result")), Some("/payment/result"));
        assert_eq!(door.behind(&format!("/{CALLBACK_TOKEN}/")), Some("/"));
        let (shorter, other) = (&CALLBACK_TOKEN[1..], CALLBACK_TOKEN.replace('f', "e"));
        for path in [
            String::new(),
            "/".to_owned(),
            "/payment/result".to_owned(),
            format!("/{CALLBACK_TOKEN}"),
            format!("/mpesa{CALLBACK_TOKEN}/payment/result"),
            format!("/{shorter}/payment/result"),
            format!("/{other}/payment/result"),
            format!("/x/{CALLBACK_TOKEN}/payment/result"),
        ] {
            assert_eq!(door.behind(&path), None, "{path}");
        }
    }
}
