//! The settings of the Mojaloop rail. Their comments and defaults stand in `config/default.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use gctb_domain::Currency;
use gctb_runtime::settings::duration;
use reqwest::Url;
use serde::{Deserialize, Serialize};

use crate::amount;
use crate::party::{IDENTIFIER_CHARS_MAX, IdType, PartyRuleSetting};
use crate::text;

/// All settings of the rail.
#[derive(Clone, Debug)]
pub struct MojaloopSettings {
    /// How the SDK scheme adapter is called.
    pub adapter: AdapterSettings,
    /// Who pays.
    pub payer: PayerSettings,
    /// What a payment may cost its payee.
    pub fees: FeeSettings,
    /// What identifier an address holds, in order.
    pub party: Vec<PartyRuleSetting>,
}

/// How the SDK scheme adapter is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdapterSettings {
    /// Its outbound API.
    pub url: String,
    /// How long connecting may take.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long one step of a payment may take, connecting included.
    #[serde(with = "duration")]
    pub call_deadline: Duration,
    /// Bytes of one answer.
    pub answer_bytes_max: usize,
    /// How long a connection may lie idle before it is given up.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
    /// Connections that are kept idle.
    pub idle_connections_max: usize,
    /// The longest `Retry-After` that is believed.
    #[serde(with = "duration")]
    pub slow_down_max: Duration,
}

/// Who pays.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayerSettings {
    /// What the payer is.
    #[serde(rename = "type")]
    pub payer_type: PayerType,
    /// What kind of identifier finds the payer.
    pub id_type: IdType,
    /// The identifier.
    pub id_value: String,
    /// The name that payees read.
    pub display_name: String,
}

/// What a payer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum PayerType {
    /// A person.
    Consumer,
    /// An agent.
    Agent,
    /// An organisation.
    Business,
    /// A device.
    Device,
}

/// What a payment may cost its payee.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeeSettings {
    /// By currency, as plain decimals. A currency that is not named allows none.
    pub max: BTreeMap<String, String>,
}

/// A setting that can be read and makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSetting {
    /// Not a place that can be called.
    #[error("the setting adapter.url must be an http or https URL without user, password, query and fragment")]
    Url,
    /// Nothing would ever be answered in time.
    #[error("the setting {setting} must be more than zero")]
    Zero {
        /// Which.
        setting: &'static str,
    },
    /// No call could be answered after a slow connect.
    #[error("the setting adapter.connect_timeout must be less than adapter.call_deadline")]
    ConnectTimeout,
    /// The adapter would refuse every request.
    #[error("the setting payer.id_value must have 1 to 128 characters")]
    PayerId,
    /// The adapter would refuse every request.
    #[error(
        "the setting payer.display_name must have 1 to 128 letters A-Z, digits, blanks and _ . , ' -, and not be blank"
    )]
    PayerName,
    /// Not an amount of a currency.
    #[error("the setting fees.max.{currency} must be a plain decimal of an ISO 4217 currency, such as \"2.50\"")]
    Fee {
        /// The key.
        currency: String,
    },
}

impl MojaloopSettings {
    /// Checks what no type can say; the party rules are checked where they are compiled.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn check(&self) -> Result<(), UnusableSetting> {
        let adapter = &self.adapter;
        adapter.endpoint()?;
        let more_than_zero = [
            ("adapter.connect_timeout", adapter.connect_timeout.is_zero()),
            ("adapter.call_deadline", adapter.call_deadline.is_zero()),
            ("adapter.answer_bytes_max", adapter.answer_bytes_max == 0),
        ];
        if let Some((setting, _)) = more_than_zero.into_iter().find(|(_, zero)| *zero) {
            return Err(UnusableSetting::Zero { setting });
        }
        if adapter.connect_timeout >= adapter.call_deadline {
            return Err(UnusableSetting::ConnectTimeout);
        }
        if !(1..=IDENTIFIER_CHARS_MAX).contains(&self.payer.id_value.chars().count()) {
            return Err(UnusableSetting::PayerId);
        }
        if !text::is_name(&self.payer.display_name) {
            return Err(UnusableSetting::PayerName);
        }
        self.fees.limits().map(|_| ())
    }
}

impl AdapterSettings {
    /// The outbound API as a URL to which paths are added.
    ///
    /// # Errors
    /// Where it is none that can be called, or carries a password, which would stand in the open here.
    pub(crate) fn endpoint(&self) -> Result<Url, UnusableSetting> {
        let url = Url::parse(&self.url).map_err(|_| UnusableSetting::Url)?;
        let bare = url.username().is_empty() && url.password().is_none() && url.query().is_none();
        let usable = bare && url.fragment().is_none() && matches!(url.scheme(), "http" | "https");
        if usable { Ok(url) } else { Err(UnusableSetting::Url) }
    }
}

impl FeeSettings {
    /// The limits in minor units, by code of the currency.
    ///
    /// # Errors
    /// Names the entry that is no amount.
    pub(crate) fn limits(&self) -> Result<BTreeMap<&'static str, i64>, UnusableSetting> {
        let limit = |(code, text): (&String, &String)| {
            let unusable = || UnusableSetting::Fee { currency: code.clone() };
            // The environment's variables arrive in lower case.
            let currency = Currency::parse(&code.to_ascii_uppercase()).map_err(|_| unusable())?;
            let minor = amount::read(text, currency).map_err(|_| unusable())?;
            Ok((currency.code(), minor))
        };
        self.max.iter().map(limit).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use config::{Config, File, FileFormat};

    use super::*;
    use crate::party::PartyRules;

    /// The rail's part of the service's settings.
    fn load(changes: &[(&str, &str)]) -> Result<MojaloopSettings, config::ConfigError> {
        let file = File::from_str(include_str!("../config/default.toml"), FileFormat::Toml);
        let mut settings = Config::builder().add_source(file);
        for (path, value) in changes {
            settings = settings.set_override(path, *value).expect("a path");
        }
        let all = settings.build().expect("TOML");
        Ok(MojaloopSettings {
            adapter: all.get("adapter")?,
            payer: all.get("payer")?,
            fees: all.get("fees")?,
            party: all.get("party")?,
        })
    }

    const REQUIRED: [(&str, &str); 3] = [
        ("adapter.url", "http://127.0.0.1:4001"),
        ("payer.id_value", "1212121212"),
        ("payer.display_name", "Government Treasury Bank"),
    ];

    /// The defaults, with what is required.
    pub(crate) fn defaults() -> MojaloopSettings {
        load(&REQUIRED).expect("they can be read")
    }

    #[test]
    fn the_defaults_make_sense_and_are_patient() {
        let settings = defaults();
        settings.check().expect("they make sense");
        PartyRules::compile(&settings.party).expect("they compile");
        assert!(settings.adapter.call_deadline >= Duration::from_secs(100), "party, quote and transfer take 30 s each");
        assert!(settings.fees.limits().expect("amounts").is_empty(), "nobody pays a fee that nobody allowed");
    }

    #[test]
    fn what_is_required_is_asked_for_and_what_is_unknown_refused() {
        let missing = load(&REQUIRED[1..]).expect_err("the adapter's address is required").to_string();
        assert!(missing.contains("url"), "{missing}");
        let unknown =
            load(&[REQUIRED.as_slice(), &[("adapter.retries", "3")]].concat()).expect_err("unknown").to_string();
        assert!(unknown.contains("retries"), "{unknown}");
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let check = |path, value| {
            let settings = load(&[REQUIRED.as_slice(), &[(path, value)]].concat()).expect("can be read");
            settings.check().expect_err("no sense").to_string()
        };
        assert!(check("adapter.url", "http://u:p@adapter:4001").contains("adapter.url"));
        assert!(check("adapter.url", "ftp://adapter").contains("adapter.url"));
        assert!(check("adapter.connect_timeout", "200s").contains("adapter.connect_timeout"));
        assert!(check("adapter.call_deadline", "0s").contains("adapter.call_deadline"));
        assert!(check("payer.id_value", "").contains("payer.id_value"));
        assert!(check("payer.display_name", "Trésor").contains("payer.display_name"));
        assert!(check("fees.max.KES", "2.505").contains("fees.max.KES"));
        assert!(check("fees.max.ZZZ", "2").contains("fees.max.ZZZ"));
    }

    #[test]
    fn a_fee_is_allowed_by_currency_in_whatever_case_it_is_named() {
        let settings = load(&[REQUIRED.as_slice(), &[("fees.max.kes", "2.50")]].concat()).expect("can be read");
        assert_eq!(settings.fees.limits().expect("an amount").get("KES"), Some(&250));
    }
}
