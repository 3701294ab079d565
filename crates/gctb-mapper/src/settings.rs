//! The settings of gctb-mapper. Their comments and defaults stand in `config/default.toml`.

use std::time::Duration;

use gctb_domain::{BackendName, FaStrategySetting};
use gctb_outbox::{DurabilitySettings, OutboxSettings};
use gctb_runtime::settings::duration;
use gctb_runtime::{
    AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, ServiceIdentity, TelemetrySettings,
};
use reqwest::Url;
use serde::Deserialize;

use crate::routes::RouteSetting;

/// Who this service is.
pub const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-mapper",
    about: "finds the financial addresses of accepted payment instructions and hands them to the payment backends",
    defaults: include_str!("../config/default.toml"),
};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The payment backends that this deployment runs.
    pub backends: Vec<BackendName>,
    /// How the ids that wait for the mapper are consumed.
    pub resolve: ResolveSettings,
    /// How the ID account mapper is asked.
    pub mapper: MapperSettings,
    /// What an address or id is, in order.
    pub strategy: Vec<FaStrategySetting>,
    /// Which backend pays an address, in order.
    pub route: Vec<RouteSetting>,
    /// What Postgres must promise.
    pub durability: DurabilitySettings,
    /// How committed status messages get to Kafka.
    pub outbox: OutboxSettings,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// How messages are consumed.
    pub consumer: ConsumerSettings,
    /// Where health and metrics are served.
    pub admin: AdminSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

/// How the ids that wait for the mapper are consumed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResolveSettings {
    /// The consumer group of the topic `gctb.resolve`.
    pub group: String,
}

/// How the ID account mapper is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MapperSettings {
    /// The synchronous resolve endpoint, with its path.
    pub url: String,
    /// `header.sender_id` of calls.
    pub sender_id: String,
    /// `header.receiver_id` of calls.
    pub receiver_id: String,
    /// Ids of one call.
    pub ids_per_call_max: usize,
    /// Calls under way at once.
    pub calls_at_once_max: usize,
    /// How long connecting may take.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// How long one call may take, connecting included.
    #[serde(with = "duration")]
    pub call_timeout: Duration,
    /// After this time no new call of a round begins.
    #[serde(with = "duration")]
    pub round_time_max: Duration,
    /// Bytes of one answer.
    pub answer_bytes_max: usize,
    /// How often an id is asked about that the mapper does not decide.
    pub undecided_asks_max: u32,
    /// Resolved ids kept in memory.
    pub cache_entries_max: usize,
    /// How long they are kept.
    #[serde(with = "duration")]
    pub cache_expiry: Duration,
    /// When the mapper is left alone.
    pub breaker: BreakerSettings,
}

impl MapperSettings {
    /// The endpoint as a URL.
    ///
    /// # Errors
    /// Where it is none that can be called, or carries a password, which would stand in the open here.
    pub fn endpoint(&self) -> Result<Url, UnusableSetting> {
        let url = Url::parse(&self.url).map_err(|_| UnusableSetting::Url)?;
        let with_credentials = !url.username().is_empty() || url.password().is_some();
        let usable = matches!(url.scheme(), "http" | "https") && !with_credentials;
        if usable { Ok(url) } else { Err(UnusableSetting::Url) }
    }
}

/// When the mapper is left alone.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakerSettings {
    /// Failed calls in a row.
    pub failures_max: u32,
    /// For how long then.
    #[serde(with = "duration")]
    pub open_time: Duration,
}

/// A setting that can be read and makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum UnusableSetting {
    /// Not a place that can be called.
    #[error("the setting mapper.url must be an http or https URL without user and password")]
    Url,
    /// Nothing would ever be asked.
    #[error("the setting {setting} must be at least 1")]
    Zero {
        /// Which.
        setting: &'static str,
    },
    /// The two loops would wait for each other's rebalances, and a replay would have to stop both.
    #[error("the setting resolve.group must name a consumer group of its own, other than kafka.group")]
    SharedGroup,
    /// Kafka would give the messages away while the mapper is asked.
    #[error(
        "the settings mapper.round_time_max and mapper.call_timeout together must be less than kafka.max_poll_interval"
    )]
    RoundTooLong,
}

impl Settings {
    /// Checks what no type can say.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn check(&self) -> Result<(), UnusableSetting> {
        let mapper = &self.mapper;
        mapper.endpoint()?;
        let at_least_one = [
            ("mapper.ids_per_call_max", mapper.ids_per_call_max),
            ("mapper.calls_at_once_max", mapper.calls_at_once_max),
            ("mapper.answer_bytes_max", mapper.answer_bytes_max),
            ("mapper.undecided_asks_max", mapper.undecided_asks_max as usize),
            ("mapper.breaker.failures_max", mapper.breaker.failures_max as usize),
            ("backends", self.backends.len()),
        ];
        if let Some((setting, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(UnusableSetting::Zero { setting });
        }
        if self.resolve.group.is_empty() || self.resolve.group == self.kafka.group_of(IDENTITY.name) {
            return Err(UnusableSetting::SharedGroup);
        }
        if mapper.round_time_max + mapper.call_timeout >= self.kafka.max_poll_interval {
            return Err(UnusableSetting::RoundTooLong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use gctb_domain::default_strategies;

    use super::*;
    use crate::rules::Rules;

    fn load(env: &[(&str, &str)]) -> Settings {
        let required = [
            ("GCTB_MAPPER__DATABASE__URL", "postgres://u:hush@h/d"),
            ("GCTB_MAPPER__KAFKA__BROKERS", "k:9092"),
            ("GCTB_MAPPER__MAPPER__URL", "http://127.0.0.1:8090/mapper/sync/resolve"),
        ];
        let env = required.iter().chain(env);
        let env = env.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env).expect("they can be read")
    }

    #[test]
    fn the_defaults_make_sense_and_print_no_secret() {
        let settings = load(&[]);
        settings.check().expect("they make sense");
        Rules::compile(&settings).expect("strategies and routes compile");
        assert_eq!(settings.strategy, default_strategies(), "the file lists what the domain has");
        assert_eq!(settings.admin.bind, "127.0.0.1:8081");
        assert_eq!(settings.resolve.group, "gctb-mapper-resolve");
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn what_has_no_default_is_named() {
        let env = [("GCTB_MAPPER__DATABASE__URL", "postgres://u@h/d"), ("GCTB_MAPPER__KAFKA__BROKERS", "k:9092")];
        let env = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let loaded: Result<Settings, _> =
            gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env.into_iter());
        let error = loaded.expect_err("the mapper's address is required").to_string();
        assert!(error.contains("mapper.url"), "{error}");
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let check = |key, value| load(&[(key, value)]).check().expect_err("no sense").to_string();
        assert!(check("GCTB_MAPPER__MAPPER__URL", "http://u:p@spar/resolve").contains("mapper.url"));
        assert!(check("GCTB_MAPPER__MAPPER__URL", "ftp://spar/resolve").contains("mapper.url"));
        assert!(check("GCTB_MAPPER__MAPPER__IDS_PER_CALL_MAX", "0").contains("mapper.ids_per_call_max"));
        assert!(check("GCTB_MAPPER__RESOLVE__GROUP", "gctb-mapper").contains("resolve.group"));
        assert!(check("GCTB_MAPPER__MAPPER__ROUND_TIME_MAX", "5m").contains("kafka.max_poll_interval"));
    }
}
