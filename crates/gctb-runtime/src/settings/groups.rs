//! The groups of settings that services share. Their defaults and comments stand in this crate's `config/` folder.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

/// How to reach Kafka.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaSettings {
    /// `host:port` of one or more brokers, separated by commas.
    pub brokers: String,
    /// The consumer group. None: the service's name.
    pub group: Option<String>,
    /// The broker gives a silent consumer's partitions away after this time.
    #[serde(with = "super::duration")]
    pub session_timeout: Duration,
    /// How long one polled group may be worked on.
    #[serde(with = "super::duration")]
    pub max_poll_interval: Duration,
    /// How long a message may wait for its acknowledgement.
    #[serde(with = "super::duration")]
    pub message_timeout: Duration,
    /// How long questions to the brokers may take.
    #[serde(with = "super::duration")]
    pub request_timeout: Duration,
    /// Bytes of messages that wait for Kafka.
    pub producer_queue_bytes_max: u32,
    /// Bytes of messages fetched ahead.
    pub consumer_queue_bytes_max: u32,
    /// Further properties of librdkafka. A key without a dot has its `_` read as `.`, for environment variables.
    #[serde(default)]
    pub extra: BTreeMap<String, SecretString>,
}

impl KafkaSettings {
    /// The consumer group of the service named `service`.
    pub fn group_of(&self, service: &str) -> String {
        self.group.clone().unwrap_or_else(|| service.to_owned())
    }
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("extra", &self.extra.keys())
            .finish_non_exhaustive()
    }
}

/// How the consumer loop works.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsumerSettings {
    /// Most messages that are handled together.
    pub poll_max_messages: usize,
    /// Most bytes of messages that are handled together; one message may exceed it alone.
    pub poll_max_bytes: usize,
    /// How long to wait for more messages once one is there.
    #[serde(with = "super::duration")]
    pub poll_wait: Duration,
    /// The loop stops when more entries than this die with no good one between them.
    pub dead_letters_in_a_row_max: u32,
    /// The first waiting time before the same messages are handled again.
    #[serde(with = "super::duration")]
    pub retry_backoff_min: Duration,
    /// The longest one.
    #[serde(with = "super::duration")]
    pub retry_backoff_max: Duration,
    /// How long a stopping service may take to finish what is in hand.
    #[serde(with = "super::duration")]
    pub shutdown_deadline: Duration,
}

/// Where the health and metrics pages are served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// `host:port`.
    pub bind: String,
    /// Allows an address that is not loopback.
    pub open: bool,
}

/// What is logged and traced.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Which log lines are written, in the syntax of tracing-subscriber's `EnvFilter`.
    pub log_filter: String,
    /// Base URL of an OTLP/HTTP receiver; None: traces are passed on but not sent anywhere.
    pub otlp_endpoint: Option<String>,
    /// Of 1000 new traces, how many are sent.
    pub trace_sample_permille: u16,
}

/// How to reach Postgres. Plain data: `gctb-db` is handed its fields.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// Connections kept at most.
    pub pool_size: u32,
    /// How long to wait for a connection.
    #[serde(with = "super::duration")]
    pub connect_timeout: Duration,
    /// How long Postgres may work on one statement.
    #[serde(with = "super::duration")]
    pub statement_timeout: Duration,
    /// How long Postgres' machine may be silent before a connection counts as broken.
    #[serde(with = "super::duration")]
    pub silence_timeout: Duration,
    /// How long a transaction may wait for this process before Postgres ends it.
    #[serde(with = "super::duration")]
    pub transaction_idle_timeout: Duration,
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}
