//! simple-mpesa's tokens: JSON Web Tokens signed with HS256. It must not know who asks for one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use openssl::base64;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde_json::{Value, json};

use crate::rail_ids::base64_url;

/// Why a token is not good, in simple-mpesa's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadToken {
    NoHeader,
    NoToken,
    Signature,
    Expired,
}

impl BadToken {
    pub(super) fn message(self) -> &'static str {
        match self {
            Self::NoHeader => "authorization header not set",
            Self::NoToken => "authentication token not set",
            Self::Signature => "invalid signature on token",
            Self::Expired => "token has expired or is invalid",
        }
    }
}

/// A token for a user of type agent.
pub(super) fn issue(secret: &str, user: &str, life: Duration, now: DateTime<Utc>) -> String {
    let issued = now.timestamp();
    let expires = issued.saturating_add(i64::try_from(life.as_secs()).unwrap_or(i64::MAX));
    let claims = json!({"user": {"userId": user, "userType": "agent"}, "iat": issued, "exp": expires});
    let signed =
        format!("{}.{}", base64_url(br#"{"alg":"HS256","typ":"JWT"}"#), base64_url(claims.to_string().as_bytes()));
    let signature = sign(secret, &signed).expect("HMAC takes any key and any text");
    format!("{signed}.{}", base64_url(&signature))
}

/// Whether the header of a request carries a token that is good.
pub(super) fn check(secret: &str, header: Option<&str>, now: DateTime<Utc>) -> Result<(), BadToken> {
    let header = header.ok_or(BadToken::NoHeader)?;
    let token = header.strip_prefix("Bearer ").filter(|token| !token.is_empty()).ok_or(BadToken::NoToken)?;
    let (signed, signature) = token.rsplit_once('.').ok_or(BadToken::Expired)?;
    let expected = base64_url(&sign(secret, signed).map_err(|_| BadToken::Signature)?);
    if expected.len() != signature.len() || !memcmp::eq(expected.as_bytes(), signature.as_bytes()) {
        return Err(BadToken::Signature);
    }
    let claims = signed.split_once('.').and_then(|(_, claims)| decoded(claims)).ok_or(BadToken::Expired)?;
    let claims: Value = serde_json::from_slice(&claims).map_err(|_| BadToken::Expired)?;
    if claims["exp"].as_i64().is_some_and(|expires| expires > now.timestamp()) {
        Ok(())
    } else {
        Err(BadToken::Expired)
    }
}

fn sign(secret: &str, text: &str) -> Result<Vec<u8>, ErrorStack> {
    let key = PKey::hmac(secret.as_bytes())?;
    Signer::new(MessageDigest::sha256(), &key)?.sign_oneshot_to_vec(text.as_bytes())
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    let padding = "=".repeat((4 - text.len() % 4) % 4);
    base64::decode_block(&(text.replace('-', "+").replace('_', "/") + &padding)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_life_and_only_with_its_signature() {
        let now = Utc::now();
        let token = format!("Bearer {}", issue("secret", "u", Duration::from_secs(60), now));
        assert_eq!(check("secret", Some(&token), now), Ok(()));
        assert_eq!(check("other", Some(&token), now), Err(BadToken::Signature));
        assert_eq!(check("secret", Some(&token), now + chrono::TimeDelta::seconds(60)), Err(BadToken::Expired));
        assert_eq!(check("secret", Some("Bearer "), now), Err(BadToken::NoToken));
        assert_eq!(check("secret", Some("Basic x"), now), Err(BadToken::NoToken));
        assert_eq!(check("secret", Some("Bearer x"), now), Err(BadToken::Expired));
        assert_eq!(check("secret", None, now), Err(BadToken::NoHeader));
    }
}
