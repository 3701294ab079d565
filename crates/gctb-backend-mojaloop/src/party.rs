//! Who is paid, in Mojaloop's words: from a financial address to a type and a value of an identifier, by ordered rules.
//!
//! An address that no rule knows is refused before any call: nobody guesses what kind of number somebody's money goes
//! to.

use std::fmt;

use gctb_backend::Refusal;
use gctb_domain::{FinancialAddress, ReasonCode};
use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

/// Characters of an identifier (FSPIOP `PartyIdentifier`, `PartySubIdOrType`).
pub(crate) const IDENTIFIER_CHARS_MAX: usize = 128;

/// Size limit of one compiled pattern in bytes (invariant I10).
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What kind of identifier finds a party. The list is the scheme's, and closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum IdType {
    /// A phone number in international form, without `+`.
    Msisdn,
    /// An e-mail address.
    Email,
    /// A passport, driver's licence or another personal document.
    PersonalId,
    /// An organisation.
    Business,
    /// A point of sale or cash machine.
    Device,
    /// An account at a financial institution.
    AccountId,
    /// An International Bank Account Number.
    Iban,
    /// An alias of the scheme.
    Alias,
}

/// One rule as it stands in the settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyRuleSetting {
    /// The name that errors use.
    pub name: String,
    /// A regular expression over the whole address, without regard to case. Its group `value` is the identifier, its
    /// group `sub`, where it has one, the sub-identifier.
    pub pattern: String,
    /// What kind of identifier that is.
    pub id_type: IdType,
}

/// A rule that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PartyRuleError {
    /// Not a regular expression, or a huge one.
    #[error("the pattern of the party rule {name:?} is not a regular expression that can be used")]
    Pattern {
        /// The rule's name.
        name: String,
        /// What is wrong with it.
        #[source]
        cause: Box<regex::Error>,
    },
    /// Nothing says what the identifier is.
    #[error("the pattern of the party rule {name:?} has no group named value, as in (?P<value>[0-9]+)")]
    NoValue {
        /// The rule's name.
        name: String,
    },
    /// Nobody could be paid.
    #[error("there is no party rule (setting party)")]
    NoRule,
}

/// An identifier of a party. It is personal data (invariant I9): its `Debug` shows the type alone.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct PartyId {
    pub(crate) id_type: IdType,
    pub(crate) value: String,
    pub(crate) sub: Option<String>,
}

impl fmt::Debug for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartyId({:?}:…)", self.id_type)
    }
}

/// The rules in the order in which they are tried; the first match decides.
#[derive(Debug)]
pub(crate) struct PartyRules(Vec<(Regex, IdType)>);

impl PartyRules {
    /// Compiles the rules of the settings.
    ///
    /// # Errors
    /// Names the rule that cannot be used.
    pub(crate) fn compile(settings: &[PartyRuleSetting]) -> Result<Self, PartyRuleError> {
        if settings.is_empty() {
            return Err(PartyRuleError::NoRule);
        }
        settings.iter().map(rule).collect::<Result<_, _>>().map(Self)
    }

    /// The identifier behind an address.
    ///
    /// # Errors
    /// Where no rule knows the address, or its identifier is longer than the scheme's.
    pub(crate) fn party(&self, address: &FinancialAddress) -> Result<PartyId, Refusal> {
        let matched =
            self.0.iter().find_map(|(pattern, id_type)| Some((pattern.captures(address.as_str())?, *id_type)));
        let (captures, id_type) =
            matched.ok_or_else(|| refused("no rule of the Mojaloop backend knows this form of address"))?;
        let part = |name| captures.name(name).map(|part| part.as_str()).filter(|part| !part.is_empty());
        let value = part("value").ok_or_else(|| refused("the address holds no identifier"))?;
        let sub = part("sub");
        if [Some(value), sub].into_iter().flatten().any(|text| text.chars().count() > IDENTIFIER_CHARS_MAX) {
            return Err(refused("the address holds an identifier of more than 128 characters"));
        }
        Ok(PartyId { id_type, value: value.to_owned(), sub: sub.map(str::to_owned) })
    }
}

fn rule(setting: &PartyRuleSetting) -> Result<(Regex, IdType), PartyRuleError> {
    let name = || setting.name.clone();
    let pattern = RegexBuilder::new(&format!("^(?:{})$", setting.pattern))
        .case_insensitive(true)
        .size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|cause| PartyRuleError::Pattern { name: name(), cause: Box::new(cause) })?;
    if !pattern.capture_names().flatten().any(|group| group == "value") {
        return Err(PartyRuleError::NoValue { name: name() });
    }
    Ok((pattern, setting.id_type))
}

fn refused(message: &str) -> Refusal {
    Refusal { reason: ReasonCode::PayeeFaInvalid, message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::tests::defaults;

    fn party(text: &str) -> Result<PartyId, Refusal> {
        let rules = PartyRules::compile(&defaults().party).expect("they compile");
        rules.party(&FinancialAddress::parse(text).expect(text))
    }

    #[test]
    fn addresses_become_identifiers_by_the_first_rule_that_knows_them() {
        let table = [
            ("account:5494373447@indigo.dfsp2.bank_acc", IdType::AccountId, "5494373447"),
            ("account:254700000001@wallets.wallet", IdType::Msisdn, "254700000001"),
            ("account_no:123@BARBINBB", IdType::AccountId, "123"),
            ("iban:FR7630006000011234567890189@BNPAFRPP", IdType::Iban, "FR7630006000011234567890189"),
            ("phone:+254700000001", IdType::Msisdn, "254700000001"),
            ("email:john@x.com", IdType::Email, "john@x.com"),
            ("email:john@x.com.wallet", IdType::Email, "john@x.com"),
        ];
        for (text, id_type, value) in table {
            let found = party(text).expect(text);
            assert_eq!((found.id_type, found.value.as_str(), found.sub), (id_type, value, None), "{text}");
        }
    }

    #[test]
    fn an_address_that_no_rule_knows_is_refused_without_being_named() {
        for text in ["token:ABC123@nationalId", "account:abc@wallets.wallet", "cowrie-shells:12", "phone:12"] {
            let refusal = party(text).expect_err(text);
            assert_eq!(refusal.reason, ReasonCode::PayeeFaInvalid);
            assert!(!refusal.message.contains(text), "{}", refusal.message);
        }
    }

    #[test]
    fn a_rule_may_name_a_sub_identifier_and_keep_identifiers_short() {
        let pattern = "shop:(?P<value>[^/]+)/(?P<sub>.+)".to_owned();
        let rules =
            PartyRules::compile(&[PartyRuleSetting { name: "shop".into(), pattern, id_type: IdType::Business }]);
        let rules = rules.expect("it compiles");
        let of = |text: &str| rules.party(&FinancialAddress::parse(text).expect(text));
        assert_eq!(of("shop:12/till-3").expect("known").sub.as_deref(), Some("till-3"));
        assert!(of(&format!("shop:12/{}", "9".repeat(129))).is_err());
    }

    #[test]
    fn i9_an_identifier_is_not_shown() {
        assert_eq!(format!("{:?}", party("phone:+254700000001").expect("known")), "PartyId(Msisdn:…)");
    }

    #[test]
    fn a_rule_that_cannot_be_used_is_named() {
        let compile = |pattern: &str| {
            let setting = PartyRuleSetting { name: "mine".into(), pattern: pattern.into(), id_type: IdType::Alias };
            PartyRules::compile(&[setting]).expect_err("cannot be used").to_string()
        };
        assert!(compile("(").contains("\"mine\""));
        assert!(compile("phone:[0-9]+").contains("no group named value"));
    }
}
