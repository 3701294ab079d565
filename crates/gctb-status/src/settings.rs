//! The settings of gctb-status. Their comments and defaults stand in `config/default.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use gctb_domain::BackendName;
use gctb_outbox::{DurabilitySettings, OutboxSettings};
use gctb_runtime::settings::duration;
use gctb_runtime::{
    AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, ServiceIdentity, TelemetrySettings,
};
use serde::Deserialize;

/// Who this service is.
pub const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-status",
    about: "folds what became of payments into the tables that senders read, and sweeps up what got lost",
    defaults: include_str!("../config/default.toml"),
};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The payment backends of this deployment.
    pub backends: Vec<BackendName>,
    /// Whether Postgres must keep what it confirms.
    pub durability: DurabilitySettings,
    /// How what got lost is emitted again.
    pub sweep: SweepSettings,
    /// How far ahead the big tables have partitions.
    pub partitions: PartitionSettings,
    /// How often what people must look at is counted.
    pub attention: AttentionSettings,
    /// How committed messages get to Kafka.
    pub outbox: OutboxSettings,
    /// How the consumer loop works.
    pub consumer: ConsumerSettings,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// Where the health and metrics pages are served.
    pub admin: AdminSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

/// How what got lost is emitted again.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSettings {
    /// How often to look for due batches.
    #[serde(with = "duration")]
    pub look_interval: Duration,
    /// How many of them one look takes.
    pub batches_max: u32,
    /// How long after an emission the next one may follow; doubles with each.
    #[serde(with = "duration")]
    pub resend_after: Duration,
    /// How often an instruction is emitted again.
    pub emissions_max: u8,
    /// How much later than an emission its messages may bear their timestamps.
    #[serde(with = "duration")]
    pub settle: Duration,
    /// The age at which an emission counts as passed by a group without a position.
    #[serde(with = "duration")]
    pub lost_position_grace: Duration,
    /// The consumer group of gctb-mapper that reads `gctb.batches`.
    pub mapper_group: String,
    /// The one that reads `gctb.resolve`.
    pub resolver_group: String,
    /// The consumer groups of backends, where they are not `gctb-backend-<name>`.
    #[serde(default)]
    pub backend_groups: BTreeMap<BackendName, String>,
}

/// How far ahead the big tables have partitions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionSettings {
    /// Months that must be there, this one included.
    pub months: u8,
    /// How often they are looked at.
    #[serde(with = "duration")]
    pub check_interval: Duration,
    /// How soon to try again after a failure.
    #[serde(with = "duration")]
    pub retry_after: Duration,
}

/// How often what people must look at is counted.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttentionSettings {
    /// The interval.
    #[serde(with = "duration")]
    pub check_interval: Duration,
}

/// A setting that can be read and makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableSetting {
    /// Intake stops without the current month.
    #[error("the setting partitions.months must be at least 2: this month and the next one")]
    Months,
    /// Emissions without a pause.
    #[error("the setting sweep.resend_after must be at least one second")]
    ResendAfter,
    /// A group of a backend that is not deployed is a slip of the pen.
    #[error("the setting sweep.backend_groups names {backend}, which the setting backends does not list")]
    UnknownBackend {
        /// The name.
        backend: BackendName,
    },
}

impl Settings {
    /// Refuses what can be read and makes no sense.
    ///
    /// # Errors
    /// The first setting of that kind.
    pub fn check(&self) -> Result<(), UnusableSetting> {
        if self.partitions.months < 2 {
            return Err(UnusableSetting::Months);
        }
        if self.sweep.resend_after < Duration::from_secs(1) {
            return Err(UnusableSetting::ResendAfter);
        }
        let stray = self.sweep.backend_groups.keys().find(|name| !self.backends.contains(name));
        stray.map_or(Ok(()), |backend| Err(UnusableSetting::UnknownBackend { backend: backend.clone() }))
    }
}

impl SweepSettings {
    /// The consumer group of a backend.
    pub fn group_of(&self, backend: &BackendName) -> String {
        self.backend_groups.get(backend).cloned().unwrap_or_else(|| format!("gctb-backend-{backend}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The settings, or the error as people read it.
    fn load(env: &[(&str, &str)]) -> Result<Settings, String> {
        let env = env.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env).map_err(|error| error.to_string())
    }

    const URL: (&str, &str) = ("GCTB_STATUS__DATABASE__URL", "postgres://u:hush@h/d");
    const BROKERS: (&str, &str) = ("GCTB_STATUS__KAFKA__BROKERS", "k:9092");

    #[test]
    fn the_defaults_make_sense_and_print_no_secret() {
        let settings = load(&[URL, BROKERS]).expect("the defaults can be read");
        assert_eq!(settings.check(), Ok(()));
        let file = BackendName::parse("file").expect("a name");
        assert_eq!(settings.sweep.group_of(&file), "gctb-backend-file");
        assert_eq!(settings.backends, [file]);
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn what_has_no_default_is_required_by_name() {
        for (missing, given) in [("database.url", BROKERS), ("kafka.brokers", URL)] {
            let error = load(&[given]).expect_err("required");
            assert!(error.contains(missing), "{error}");
        }
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let check = |key, value| {
            load(&[URL, BROKERS, (key, value)]).expect("can be read").check().expect_err("makes no sense").to_string()
        };
        assert!(check("GCTB_STATUS__PARTITIONS__MONTHS", "1").contains("partitions.months"));
        assert!(check("GCTB_STATUS__SWEEP__RESEND_AFTER", "0s").contains("sweep.resend_after"));
        let strange = ("GCTB_STATUS__SWEEP__BACKEND_GROUPS__MPESA", "m");
        assert!(check(strange.0, strange.1).contains("sweep.backend_groups"));
        let unknown = load(&[URL, BROKERS, ("GCTB_STATUS__SWEEP__INTERVALL", "1s")]).expect_err("unknown");
        assert!(unknown.contains("sweep.intervall"), "{unknown}");
    }
}
