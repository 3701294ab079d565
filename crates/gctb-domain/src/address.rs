//! Financial addresses: where money comes from and goes to, or the id that a mapper resolves to such a place.

use std::fmt;

/// Longest address taken, in characters. The G2P Connect schema gives no limit (invariant I10 wants one).
pub const MAX_ADDRESS_CHARS: usize = 256;

/// A financial address (FA) or beneficiary id in the form `scheme:value`, `scheme:value@provider` or `user@provider`.
///
/// It is personal data (invariant I9): its `Debug` shows the scheme alone, and only [`FinancialAddress::as_str`]
/// gives the text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FinancialAddress(String);

impl FinancialAddress {
    /// Takes an address as it was sent.
    ///
    /// # Errors
    /// See [`AddressError`]. An address that ends in `@` is refused since a SPAR mapper would answer it with the
    /// first beneficiary whose id contains the text (docs/protocols.md, mapper).
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        if text.chars().count() > MAX_ADDRESS_CHARS {
            return Err(AddressError::TooLong);
        }
        if text.chars().any(char::is_control) || text.trim() != text {
            return Err(AddressError::Unprintable);
        }
        let scheme_and_value =
            text.split_once(':').is_some_and(|(scheme, value)| !scheme.is_empty() && !value.is_empty());
        let user_and_provider =
            text.split_once('@').is_some_and(|(user, provider)| !user.is_empty() && !provider.is_empty());
        if text.ends_with('@') || !(scheme_and_value || user_and_provider) {
            return Err(AddressError::Shape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The text, for the rail, the mapper and the database. Never for a log.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FinancialAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once(':').map_or("", |(scheme, _)| scheme);
        write!(f, "FinancialAddress({scheme}:…)")
    }
}

/// Why a text is not a financial address. The text itself is never part of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("the address is empty")]
    Empty,
    /// Over [`MAX_ADDRESS_CHARS`].
    #[error("the address has more than {MAX_ADDRESS_CHARS} characters")]
    TooLong,
    /// Control characters, or white space around it.
    #[error("the address has control characters or white space around it")]
    Unprintable,
    /// Neither `scheme:value` nor `user@provider`.
    #[error("the address is neither scheme:value nor user@provider")]
    Shape,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_forms_that_senders_use_are_taken_and_others_refused_by_name() {
        let long = format!("account:{}", "9".repeat(MAX_ADDRESS_CHARS));
        let table = [
            ("account:5494373447@indigo.dfsp2.bank_acc", None),
            ("account_no:123@BIC", None),
            ("phone:+254700000001", None),
            ("email:john@x.com", None),
            ("token:ABC123@nationalId", None),
            ("joeuser@national-bank", None),
            ("", Some(AddressError::Empty)),
            ("12345", Some(AddressError::Shape)),
            (":12345", Some(AddressError::Shape)),
            ("account:", Some(AddressError::Shape)),
            ("token:ABC@", Some(AddressError::Shape)),
            (" account:1@b", Some(AddressError::Unprintable)),
            ("account:1\u{0}@b", Some(AddressError::Unprintable)),
            (long.as_str(), Some(AddressError::TooLong)),
        ];
        for (text, expected) in table {
            assert_eq!(FinancialAddress::parse(text).err(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_kept_as_it_was_sent_and_never_shown(text in "[a-z]{1,9}:[A-Za-z0-9+_.-]{6,40}(@[a-z.]{1,20}[a-z])?") {
            let address = FinancialAddress::parse(&text).expect("has the shape");
            prop_assert_eq!(address.as_str(), text.as_str());
            let value = text.split_once(':').expect("has a colon").1;
            let debug = format!("{:?}", address);
            prop_assert!(!debug.contains(value));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            let _ = FinancialAddress::parse(&text);
        }
    }
}
