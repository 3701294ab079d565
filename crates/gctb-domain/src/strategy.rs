//! FA strategies: ordered patterns that say whether an address is an id (resolve it) or a place (pay it), and take it
//! apart into the parts that a rail wants.
//!
//! The first four defaults are the constructs that SPAR seeds its strategy table with (OpenG2P
//! social-payments-account-registry, db_scripts 0.1.0), with a closed list of types; the others are the forms that
//! OpenG2P's program client sends. See docs/protocols.md, "Financial addresses".

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};

use crate::address::FinancialAddress;

/// Size limit of one compiled pattern in bytes (invariant I10).
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// What an address that matches a strategy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaKind {
    /// A beneficiary id: an ID account mapper resolves it.
    Id,
    /// A financial address: it can be paid as it stands.
    Address,
}

/// One strategy as it stands in the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaStrategySetting {
    /// The name that logs and metrics use.
    pub name: String,
    /// A regular expression over the whole address, without regard to case, whose named groups are the parts.
    pub pattern: String,
    /// Whether a match is an id or an address.
    pub kind: FaKind,
}

/// A compiled strategy.
#[derive(Clone, Debug)]
pub struct FaStrategy {
    name: String,
    kind: FaKind,
    pattern: Regex,
}

impl FaStrategy {
    /// The strategy's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether a match is an id or an address.
    pub const fn kind(&self) -> FaKind {
        self.kind
    }
}

/// The named parts of an address, for example `account_no`, `branch`, `bank`, `type`.
pub type AddressParts<'a> = BTreeMap<&'a str, &'a str>;

/// Strategies in the order in which they are tried; the first match decides.
#[derive(Clone, Debug)]
pub struct FaStrategies(Vec<FaStrategy>);

impl FaStrategies {
    /// Compiles the strategies of the settings.
    ///
    /// # Errors
    /// Names the strategy whose pattern is no regular expression, or is too large.
    pub fn compile(settings: &[FaStrategySetting]) -> Result<Self, StrategyError> {
        let compile = |setting: &FaStrategySetting| {
            RegexBuilder::new(&format!("^(?:{})$", setting.pattern))
                .case_insensitive(true)
                .size_limit(PATTERN_BYTES_MAX)
                .build()
                .map(|pattern| FaStrategy { name: setting.name.clone(), kind: setting.kind, pattern })
                .map_err(|source| StrategyError { name: setting.name.clone(), source: Box::new(source) })
        };
        settings.iter().map(compile).collect::<Result<_, _>>().map(Self)
    }

    /// The first strategy that `address` matches. None: nobody may guess what it is.
    pub fn of(&self, address: &FinancialAddress) -> Option<&FaStrategy> {
        self.0.iter().find(|strategy| strategy.pattern.is_match(address.as_str()))
    }

    /// Takes an address apart by the first strategy that it matches. Groups that did not take part are left out.
    pub fn parts<'a>(&'a self, address: &'a FinancialAddress) -> Option<(&'a FaStrategy, AddressParts<'a>)> {
        self.0.iter().find_map(|strategy| {
            let captures = strategy.pattern.captures(address.as_str())?;
            let named = strategy.pattern.capture_names().flatten();
            let parts = named.filter_map(|name| captures.name(name).map(|part| (name, part.as_str()))).collect();
            Some((strategy, parts))
        })
    }
}

/// A strategy that does not compile.
#[derive(Debug, thiserror::Error)]
#[error("the pattern of the FA strategy {name:?} is not a regular expression that can be used")]
pub struct StrategyError {
    /// The strategy's name.
    pub name: String,
    #[source]
    source: Box<regex::Error>,
}

/// The strategies that are used where the settings give none. `config/default.toml` of the services lists the same.
pub fn default_strategies() -> Vec<FaStrategySetting> {
    let table = [
        (
            "bank",
            r"account:(?P<account_no>[^@.]+)@(?P<branch>[^@.]+)\.(?P<bank>[^@.]+)\.(?P<type>bank_acc)",
            FaKind::Address,
        ),
        ("wallet", r"account:(?P<phone>[^@.]+)@(?P<wallet>[^@.]+)\.(?P<type>wallet|mpesa)", FaKind::Address),
        ("email_wallet", r"email:(?P<email>[^@]+@[^@]+)\.(?P<type>wallet|mpesa)", FaKind::Address),
        ("national_id", r"token:(?P<sub>[^@.]+)@nationalId", FaKind::Id),
        ("openg2p_account", r"account_no:(?P<account_no>[^@.]+)@(?P<bank>[A-Z0-9]+)", FaKind::Address),
        (
            "openg2p_iban",
            r"iban:(?P<account_no>[A-Z]{2}[0-9]{2}[A-Z0-9]{1,30})(?:@(?P<bank>[A-Z0-9]+))?",
            FaKind::Address,
        ),
        ("openg2p_phone", r"phone:(?P<phone>\+?[0-9]{6,15})", FaKind::Address),
        ("openg2p_email", r"email:(?P<email>[^@]+@[^@]+)", FaKind::Address),
    ];
    let setting = |(name, pattern, kind): (&str, &str, FaKind)| FaStrategySetting {
        name: name.into(),
        pattern: pattern.into(),
        kind,
    };
    table.into_iter().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn strategies() -> FaStrategies {
        FaStrategies::compile(&default_strategies()).expect("the defaults compile")
    }

    #[test]
    fn the_defaults_know_the_forms_of_the_field_and_no_others() {
        let strategies = strategies();
        let name = |text: &str| {
            let address = FinancialAddress::parse(text).expect(text);
            strategies.of(&address).map(|strategy| strategy.name().to_owned())
        };
        let table = [
            ("account:5494373447@indigo.dfsp2.bank_acc", Some("bank")),
            ("account:254700@testingtoolkitdfsp.wallet", Some("wallet")),
            ("account:254700@testingtoolkitdfsp.MPESA", Some("wallet")),
            ("email:john@x.com.mpesa", Some("email_wallet")),
            ("token:QUJD_123-x@nationalId", Some("national_id")),
            ("account_no:123@BARBINBB", Some("openg2p_account")),
            ("iban:FR7630006000011234567890189", Some("openg2p_iban")),
            ("iban:FR7630006000011234567890189@BNPAFRPP", Some("openg2p_iban")),
            ("phone:+254700000001", Some("openg2p_phone")),
            ("email:john@x.com", Some("openg2p_email")),
            ("account:5494373447@indigo.dfsp2.gold", None),
            ("account:254700@dfsp", None),
            ("token:ABC@voterId", None),
            ("voucher:12345@food.coupon-network", None),
            ("phone:12", None),
        ];
        for (text, expected) in table {
            assert_eq!(name(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn an_address_is_taken_apart_by_the_names_of_its_strategy() {
        let strategies = strategies();
        let address = FinancialAddress::parse("account:5494373447@indigo.dfsp2.bank_acc").expect("an address");
        let (strategy, parts) = strategies.parts(&address).expect("matches");
        assert_eq!((strategy.name(), strategy.kind()), ("bank", FaKind::Address));
        let expected = [("account_no", "5494373447"), ("bank", "dfsp2"), ("branch", "indigo"), ("type", "bank_acc")];
        assert_eq!(parts.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_pattern_that_does_not_compile_is_named() {
        let broken = FaStrategySetting { name: "broken".into(), pattern: "(".into(), kind: FaKind::Id };
        let error = FaStrategies::compile(&[broken]).expect_err("must not compile");
        assert!(error.to_string().contains("\"broken\""));
    }

    proptest! {
        #[test]
        fn no_address_makes_it_panic(text in "[a-z:@.]{0,60}") {
            if let Ok(address) = FinancialAddress::parse(&text) {
                let strategies = strategies();
                prop_assert_eq!(strategies.of(&address).is_some(), strategies.parts(&address).is_some());
            }
        }
    }
}
