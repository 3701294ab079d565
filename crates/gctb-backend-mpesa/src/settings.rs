//! The settings of the two rails. Their comments and defaults stand in `config/default.toml`.
//!
//! What a profile requires is optional here: a deployment of the other profile does not have it. The rails ask for it by name
//! when they are made.

use std::path::PathBuf;
use std::time::Duration;

use gctb_domain::FaStrategySetting;
use gctb_runtime::ServiceIdentity;
use gctb_runtime::settings::duration;
use secrecy::SecretString;
use serde::Deserialize;

/// Who this service is.
pub const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-backend-mpesa",
    about: "pays through M-Pesa",
    defaults: include_str!("../config/default.toml"),
};

/// Which interface is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Safaricom's Daraja B2C, version 3.
    Daraja,
    /// The simple-mpesa simulator.
    Simple,
}

/// The group `mpesa`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MpesaSettings {
    /// Which interface is called.
    pub profile: Profile,
    /// The only currency that is paid.
    pub currency: String,
    /// The least amount of one payment, a plain decimal in the currency.
    pub amount_min: String,
    /// The largest amount of one payment, a plain decimal in the currency.
    pub amount_max: String,
    /// Whether amounts with minor units are refused.
    pub whole_units_only: bool,
    /// How long connecting may take.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long paying or asking may take in all.
    #[serde(with = "duration")]
    pub call_timeout: Duration,
    /// How long may be waited for a token; fetching one may take half of that.
    #[serde(with = "duration")]
    pub token_timeout: Duration,
    /// What is left of a token's life when it is renewed.
    #[serde(with = "duration")]
    pub token_refresh_before: Duration,
    /// How long nobody tries again after a failed renewal.
    #[serde(with = "duration")]
    pub token_retry_pause: Duration,
    /// Bytes of one answer or callback.
    pub answer_bytes_max: usize,
    /// How long a busy rail is left alone.
    #[serde(with = "duration")]
    pub slow_down: Duration,
    /// The longest time that a rail may ask for.
    #[serde(with = "duration")]
    pub slow_down_max: Duration,
    /// Connections kept open between calls.
    pub idle_connections_max: usize,
    /// How long they are kept without a call.
    #[serde(with = "duration")]
    pub idle_connection_timeout: Duration,
    /// Whether TLS is insisted on.
    pub require_https: bool,
    /// Phone numbers of the country.
    pub msisdn: MsisdnSettings,
    /// The profile `daraja`.
    pub daraja: DarajaSettings,
    /// The profile `simple`.
    pub simple: SimpleSettings,
}

/// Phone numbers of the configured country.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MsisdnSettings {
    /// The country's code, without a plus sign.
    pub country_code: String,
    /// What people write in its place.
    pub trunk_prefix: String,
    /// Digits after the country code.
    pub national_digits: usize,
    /// A regular expression over the whole number, country code included.
    pub pattern: String,
}

/// The profile `daraja`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DarajaSettings {
    /// Where the API is.
    pub base_url: Option<String>,
    /// The app's key.
    pub consumer_key: Option<SecretString>,
    /// The app's secret.
    pub consumer_secret: Option<SecretString>,
    /// The API operator's user name.
    pub initiator_name: Option<String>,
    /// The API operator's password.
    pub initiator_password: Option<SecretString>,
    /// The M-Pesa certificate.
    pub certificate_file: Option<PathBuf>,
    /// Whether it may have expired.
    pub allow_expired_certificate: bool,
    /// Bits of its key, at least.
    pub key_bits_min: u32,
    /// The short code that pays.
    pub short_code: Option<String>,
    /// The kind of payment.
    pub command_id: String,
    /// What stands before our key.
    pub key_prefix: String,
    /// For the statement, where an instruction says nothing.
    pub remarks: String,
    /// Where callbacks reach us, without the token.
    pub callback_url: Option<String>,
    /// The part of their path that nobody can guess.
    pub callback_token: Option<SecretString>,
    /// Result codes by which a status query does not know a payment.
    pub query_not_found_codes: Vec<String>,
    /// The account that payments are taken from.
    pub balance_account: String,
    /// Whether nothing is claimed that this account does not hold.
    pub funds_check: bool,
    /// How often the balance is asked for while it is.
    #[serde(with = "duration")]
    pub balance_every: Duration,
    /// How long a balance counts after it was told.
    #[serde(with = "duration")]
    pub balance_age_max: Duration,
    /// Where callbacks are taken.
    pub listener: ListenerSettings,
    /// Forms of addresses, with a part called `phone`.
    pub strategy: Vec<FaStrategySetting>,
}

/// Where Daraja's callbacks are taken, from whom, and how many at once.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerSettings {
    /// `host:port`.
    pub bind: String,
    /// Networks from which callbacks come, separated by commas. None: loopback, which only simulators are on.
    pub allowed_networks: Option<String>,
    /// Networks of the proxies in front, whose X-Forwarded-For is believed.
    pub trusted_proxies: String,
    /// Threads that read callbacks.
    pub workers: usize,
    /// Connections at once.
    pub connections_max: usize,
    /// How long the head of a request may take.
    #[serde(with = "duration")]
    pub head_timeout: Duration,
    /// How long its body may take.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a connection is kept without a request.
    #[serde(with = "duration")]
    pub keep_alive: Duration,
    /// Callbacks that wait to be committed.
    pub queue_max: usize,
    /// Callbacks of one commit.
    pub group_max: usize,
    /// How long a commit waits for more of them.
    #[serde(with = "duration")]
    pub group_wait: Duration,
    /// How often a commit is tried, from 1, where Postgres is away or busy.
    pub commit_tries: u32,
    /// How long a callback waits for its commit.
    #[serde(with = "duration")]
    pub answer_timeout: Duration,
    /// Batches whose numbers are remembered.
    pub batches_known_max: usize,
    /// Refused callbacks that are kept in a minute.
    pub exceptions_per_minute_max: u32,
    /// How often Postgres is tried while it takes nothing.
    #[serde(with = "duration")]
    pub retry_pause: Duration,
    /// How long a stop waits for callbacks in hand.
    #[serde(with = "duration")]
    pub shutdown_deadline: Duration,
}

/// The profile `simple`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimpleSettings {
    /// Where the API is, without `/api`.
    pub base_url: Option<String>,
    /// Who pays.
    pub agent_email: Option<String>,
    /// The agent's password.
    pub agent_password: Option<SecretString>,
    /// What kind of customer is paid.
    pub customer_type: String,
    /// How long a login is used.
    #[serde(with = "duration")]
    pub token_life: Duration,
    /// Forms of addresses, with a part called `email`.
    pub strategy: Vec<FaStrategySetting>,
}

#[cfg(test)]
mod tests {
    use gctb_domain::default_strategies;

    use super::*;
    use crate::testing::{load, settings};

    #[test]
    fn a_form_of_address_that_the_domain_knows_is_written_the_same_here() {
        let settings = settings();
        let known = default_strategies();
        let ours: Vec<_> = settings.daraja.strategy.iter().chain(&settings.simple.strategy).collect();
        let shared: Vec<_> = ours.iter().filter(|ours| known.iter().any(|known| known.name == ours.name)).collect();
        assert_eq!(shared.len(), 4);
        assert!(shared.iter().all(|shared| known.contains(shared)));
    }

    #[test]
    fn a_profile_that_does_not_exist_is_named() {
        assert_eq!(settings().profile, Profile::Daraja);
        let error = load(&[("PROFILE", "airtel")]).expect_err("there is no such profile");
        assert!(error.contains("mpesa.profile"), "{error}");
    }
}
