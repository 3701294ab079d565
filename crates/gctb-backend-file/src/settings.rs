//! The settings of this service. `config/default.toml` documents each.

use std::time::Duration;

use gctb_domain::{BackendName, FaStrategySetting};
use gctb_outbox::{DurabilitySettings, OutboxSettings};
use gctb_runtime::settings::duration;
use gctb_runtime::{AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, TelemetrySettings};
use serde::Deserialize;

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// How to reach Kafka.
    pub kafka: KafkaSettings,
    /// How the consumer loop works.
    pub consumer: ConsumerSettings,
    /// How to reach Postgres.
    pub database: DatabaseSettings,
    /// Where health and metrics are served.
    pub admin: AdminSettings,
    /// What is logged and traced.
    pub telemetry: TelemetrySettings,
    /// How the outbox is emptied.
    pub outbox: OutboxSettings,
    /// Who this instance is.
    pub backend: BackendSettings,
    /// What Postgres must promise.
    pub durability: DurabilitySettings,
    /// When files are closed and retried.
    pub files: FilesSettings,
    /// Where files lie.
    pub store: StoreSettings,
    /// Which part of an address goes into which column.
    pub columns: ColumnSettings,
    /// What the bank's words mean.
    pub words: WordSettings,
    /// How addresses are taken apart; empty: the defaults.
    #[serde(default)]
    pub strategy: Vec<FaStrategySetting>,
}

/// Who this instance is.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendSettings {
    /// Its name.
    pub name: BackendName,
}

/// When files are closed and retried.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilesSettings {
    /// Lines of a file at most.
    pub rows_max: usize,
    /// How long a file stays open.
    #[serde(with = "duration")]
    pub close_after: Duration,
    /// How often files are closed, delivered and looked for.
    #[serde(with = "duration")]
    pub tick: Duration,
    /// After how many hours a file that is not wholly answered is overdue.
    pub overdue_after_hours: i64,
    /// How long a put may have been silent before another process looks for its file.
    #[serde(with = "duration")]
    pub recover_after: Duration,
    /// How long a put may take before its process loses the file's lock.
    #[serde(with = "duration")]
    pub put_timeout: Duration,
    /// The first waiting time before a put is tried again.
    #[serde(with = "duration")]
    pub retry_min: Duration,
    /// The longest one.
    #[serde(with = "duration")]
    pub retry_max: Duration,
}

/// Where files lie.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    /// The folder that is shared with the bank.
    pub root: String,
    /// Where payment files are put, below the root.
    pub outgoing: String,
    /// Where the bank's answers are found, below the root.
    pub incoming: String,
    /// Where the bank moves what it took.
    pub traces: Vec<String>,
    /// How often incoming is listed.
    #[serde(with = "duration")]
    pub poll: Duration,
    /// How long a response file must have been unchanged before it is read.
    #[serde(with = "duration")]
    pub settle: Duration,
    /// Bytes of a response file at most.
    pub response_bytes_max: u64,
}

/// Which named part of an address goes into which column, the first that it has.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSettings {
    /// The payee's account.
    pub beneficiary_account: Vec<String>,
    /// The payee's bank.
    pub bank_code: Vec<String>,
    /// The payee's branch.
    pub branch_code: Vec<String>,
    /// The payer's account.
    pub debit_account: Vec<String>,
}

/// What the bank's status words mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WordSettings {
    /// It paid.
    pub paid: Vec<String>,
    /// It has the instruction and will say more.
    pub pending: Vec<String>,
    /// It did not pay and will not.
    pub refused: Vec<String>,
    /// It paid, and the money came back.
    pub returned: Vec<String>,
}
