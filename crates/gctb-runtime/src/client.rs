//! What every Kafka client of a process has in common: how it is configured, and what becomes of librdkafka's words.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use secrecy::ExposeSecret;

use crate::settings::KafkaSettings;

/// The settings of every client. `name` is shown to the broker's operators.
pub(crate) fn config(settings: &KafkaSettings, name: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", name)
        .set("socket.keepalive.enable", "true")
        // Back within a second of the broker, and no storm of attempts before.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "2000")
        // Topics are declared and applied; one that is missing must be seen, not made with the broker's defaults.
        .set("allow.auto.create.topics", "false")
        .set("topic.metadata.refresh.interval.ms", "30000");
    for (key, value) in &settings.extra {
        let key = if key.contains('.') { key.clone() } else { key.replace('_', ".") };
        config.set(key, value.expose_secret());
    }
    config
}

/// Milliseconds as librdkafka takes them.
pub(crate) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// A context for short-lived clients: their callers get every error as a result.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", error = %error, reason, "client error");
    }
}

/// Passes a line of librdkafka on. A connection that fails is told once by whoever keeps the health, and a property of
/// `kafka.extra` that is for consumers only is no fault in a producer: these are for those who ask for debug lines.
pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    let told_elsewhere = matches!(facility, "FAIL" | "ERROR" | "CONNECT" | "DISCONN" | "CONFWARN");
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(target: "librdkafka", facility, message);
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning if !told_elsewhere => {
            tracing::warn!(target: "librdkafka", facility, message);
        }
        RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning
        | RDKafkaLogLevel::Notice
        | RDKafkaLogLevel::Info
        | RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, message),
    }
}

/// Why a client could not be made, without the value of any property: it may be a secret.
pub(crate) fn creation_error(error: &KafkaError) -> String {
    if let KafkaError::ClientConfig(_, _, property, _) = error {
        return format!("the property {property} or its value is not known to librdkafka");
    }
    error.to_string()
}
