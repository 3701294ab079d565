//! What every service of the bridge needs: settings, telemetry, health, shutdown, the Kafka loop and the producer.
//!
//! Only this crate names rdkafka, and only [`consumer::consume`] commits offsets. It knows nothing of Postgres, of
//! payments or of rails: a service hands it a [`consumer::Handler`] and gets every message at least once.

pub mod admin;
mod block_on;
mod client;
pub mod consumer;
#[cfg(feature = "crash-points")]
mod crash_points;
pub mod health;
pub mod positions;
pub mod producer;
pub mod replay;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod topics_admin;
pub mod trace;
pub mod workers;

pub use admin::{AdminError, AdminServer};
pub use consumer::{DeadEntry, HandleError, Handled, Handler, Incoming, LoopError, LoopWorld, Origin, consume};
pub use health::{Component, Health, Heartbeat};
pub use positions::{Positions, PositionsError};
pub use producer::{ProduceError, Producer};
pub use replay::{RawMessage, ReadFrom, TopicReader, read_topic};
pub use settings::{
    AdminSettings, ConsumerSettings, DatabaseSettings, KafkaSettings, ServiceIdentity, SettingsError, TelemetrySettings,
};
pub use shutdown::Shutdown;
pub use telemetry::{Telemetry, TelemetryError};
pub use topics_admin::{TopicAdmin, TopicAdminError, TopicChange, TopicProblem};
pub use workers::{WorkerError, Workers};

/// Whether this build holds crash points, at which a test may let a service die.
pub const HAS_CRASH_POINTS: bool = cfg!(feature = "crash-points");

/// Whether an error's cause may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The same call may succeed later.
    Retry,
    /// It will not succeed until a person acts; the service ends, loudly.
    Stop,
}

/// An error and its causes on one line, for a log line or a health page.
///
/// The errors of this workspace keep people's data out of their texts (invariant I9).
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
