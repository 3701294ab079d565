//! The settings of gctb-api. Their comments and defaults stand in `config/default.toml`.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::TimeDelta;
use gctb_connect::Mode;
use gctb_connect::disburse::Rules;
use gctb_connect::status::Limits;
use gctb_domain::{AddressError, Currency, FinancialAddress, MoneyError};
use gctb_outbox::{DurabilitySettings, OutboxSettings};
use gctb_runtime::settings::duration;
use gctb_runtime::{DatabaseSettings, KafkaSettings, ServiceIdentity, TelemetrySettings};
use serde::Deserialize;

/// Who this service is.
pub const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-api",
    about: "takes disbursement batches over the G2P Connect API and tells what became of them",
    defaults: include_str!("../config/default.toml"),
};

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Where and how requests are taken.
    pub http: HttpSettings,
    /// Who we are to senders.
    pub bridge: BridgeSettings,
    /// How senders are answered.
    pub senders: SenderSettings,
    /// What is taken.
    pub intake: IntakeSettings,
    /// What is answered.
    pub status: StatusSettings,
    /// When the service is ready.
    pub readiness: ReadinessSettings,
    /// What Postgres must promise.
    pub durability: DurabilitySettings,
    /// How committed messages get to Kafka.
    pub outbox: OutboxSettings,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// Logs and traces.
    pub telemetry: TelemetrySettings,
}

/// Where and how requests are taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpSettings {
    /// `host:port`.
    pub bind: String,
    /// Allows an address that is not loopback.
    pub open: bool,
    /// Threads that read requests.
    pub workers: usize,
    /// Bytes of one body.
    pub body_bytes_max: u32,
    /// Bytes of all bodies in hand.
    pub bodies_in_flight_bytes_max: u32,
    /// How long a request waits for room for its body.
    #[serde(with = "duration")]
    pub room_wait: Duration,
    /// How long a body may take to arrive.
    #[serde(with = "duration")]
    pub body_timeout: Duration,
    /// How long a sender may take to read a large answer.
    #[serde(with = "duration")]
    pub answer_timeout: Duration,
    /// What Retry-After says.
    #[serde(with = "duration")]
    pub retry_after: Duration,
    /// How long a stop waits for requests in hand.
    #[serde(with = "duration")]
    pub shutdown_deadline: Duration,
}

/// Who we are to senders.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeSettings {
    /// `header.sender_id` of answers.
    pub id: String,
}

/// How senders are answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SenderSettings {
    /// The dialect of senders that are not listed.
    pub default_mode: Mode,
    /// The dialects of those that are, by sender id.
    #[serde(default)]
    pub modes: BTreeMap<String, Mode>,
}

impl SenderSettings {
    /// The dialect of a sender.
    pub fn mode_of(&self, sender_id: &str) -> Mode {
        self.modes.get(sender_id).copied().unwrap_or(self.default_mode)
    }
}

/// What is taken.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntakeSettings {
    /// Disbursements of one message.
    pub disbursements_max: usize,
    /// Pays where a disbursement names no payer.
    pub default_payer_fa: Option<String>,
    /// The currency of disbursements that name none.
    pub default_currency: Option<String>,
    /// How far ahead a payment may be scheduled.
    #[serde(with = "duration")]
    pub schedule_ahead_max: Duration,
    /// Scheduled payments are released at multiples of this time.
    #[serde(with = "duration")]
    pub schedule_bucket: Duration,
}

/// What is answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusSettings {
    /// Bytes of one body.
    pub body_bytes_max: u32,
    /// Bytes of all bodies in hand.
    pub bodies_in_flight_bytes_max: u32,
    /// References of one request.
    pub references_max: usize,
    /// Disbursements on a page.
    pub page_size_max: u32,
    /// The same where the request names none.
    pub page_size_default: u32,
}

/// When the service is ready.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReadinessSettings {
    /// How often the database is looked at.
    #[serde(with = "duration")]
    pub check_interval: Duration,
}

/// A setting that can be read and makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum UnusableSetting {
    /// Not an address.
    #[error("the setting intake.default_payer_fa cannot be used")]
    DefaultPayer(#[source] AddressError),
    /// Not a currency.
    #[error("the setting intake.default_currency cannot be used")]
    DefaultCurrency(#[source] MoneyError),
    /// A bucket of no length.
    #[error("the setting intake.schedule_bucket must be at least one second")]
    ScheduleBucket,
    /// Too long for a calendar.
    #[error("the setting intake.schedule_ahead_max is too long")]
    ScheduleAhead,
    /// Pages of no size, or a default above the limit.
    #[error("the setting status.page_size_default must lie between 1 and status.page_size_max")]
    PageSize,
}

impl Settings {
    /// The rules for disbursements.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn rules(&self) -> Result<Rules, UnusableSetting> {
        let intake = &self.intake;
        let payer = intake.default_payer_fa.as_deref().map(FinancialAddress::parse).transpose();
        let currency = intake.default_currency.as_deref().map(Currency::parse).transpose();
        if intake.schedule_bucket < Duration::from_secs(1) {
            return Err(UnusableSetting::ScheduleBucket);
        }
        Ok(Rules {
            max_disbursements: intake.disbursements_max,
            default_payer: payer.map_err(UnusableSetting::DefaultPayer)?,
            default_currency: currency.map_err(UnusableSetting::DefaultCurrency)?,
            max_schedule_ahead: TimeDelta::from_std(intake.schedule_ahead_max)
                .map_err(|_| UnusableSetting::ScheduleAhead)?,
        })
    }

    /// The limits of status requests.
    ///
    /// # Errors
    /// The first setting that makes no sense.
    pub fn limits(&self) -> Result<Limits, UnusableSetting> {
        let status = &self.status;
        if !(1..=status.page_size_max).contains(&status.page_size_default) {
            return Err(UnusableSetting::PageSize);
        }
        Ok(Limits {
            max_references: status.references_max,
            max_page_size: status.page_size_max,
            default_page_size: status.page_size_default,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(env: &[(&str, &str)]) -> Result<Settings, String> {
        let required = [("GCTB_API__DATABASE__URL", "postgres://u:hush@h/d"), ("GCTB_API__KAFKA__BROKERS", "k:9092")];
        let env = required.iter().chain(env).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env).map_err(|error| error.to_string())
    }

    #[test]
    fn the_defaults_make_sense_and_print_no_secret() {
        let settings = load(&[]).expect("the defaults can be read");
        assert_eq!(settings.rules().expect("make sense").max_disbursements, 100_000);
        assert_eq!(settings.limits().expect("make sense").max_page_size, 2_000);
        assert_eq!(settings.http.body_bytes_max, 64 << 20);
        assert_eq!(settings.senders.mode_of("anybody"), Mode::OpenG2p);
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn a_sender_with_dots_in_its_name_has_its_own_mode() {
        let file = tempfile_with("[senders.modes]\n\"spp.example.org\" = \"spec\"\n");
        let args = ["--config".to_owned(), file.display().to_string()];
        let env = [("GCTB_API__DATABASE__URL", "postgres://u@h/d"), ("GCTB_API__KAFKA__BROKERS", "k:9092")];
        let env = env.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let settings: Settings =
            gctb_runtime::settings::load_from(&IDENTITY, args.into_iter(), env.into_iter()).expect("can be read");
        std::fs::remove_file(&file).expect("was written");
        assert_eq!(settings.senders.mode_of("spp.example.org"), Mode::Spec);
        assert_eq!(settings.senders.mode_of("example.org"), Mode::OpenG2p);
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_named() {
        let rules =
            |key, value| load(&[(key, value)]).expect("can be read").rules().expect_err("makes no sense").to_string();
        assert!(rules("GCTB_API__INTAKE__DEFAULT_PAYER_FA", "nobody").contains("intake.default_payer_fa"));
        assert!(rules("GCTB_API__INTAKE__DEFAULT_CURRENCY", "ZZZ").contains("intake.default_currency"));
        assert!(rules("GCTB_API__INTAKE__SCHEDULE_BUCKET", "0s").contains("intake.schedule_bucket"));
        let unknown = load(&[("GCTB_API__HTTP__BINDD", "x")]).expect_err("unknown");
        assert!(unknown.contains("http.bindd"), "{unknown}");
    }

    fn tempfile_with(text: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("gctb-api-settings-{}.toml", std::process::id()));
        std::fs::write(&path, text).expect("can be written");
        path
    }
}
