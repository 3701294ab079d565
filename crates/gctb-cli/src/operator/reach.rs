//! How to reach Postgres and Kafka from one short-lived command.

use std::time::Duration;

use gctb_db::{Db, DbOptions};
use gctb_events::Topic;
use gctb_runtime::{KafkaSettings, Positions, ReadFrom, ServiceIdentity, settings};
use serde::Deserialize;

use crate::Variables;
use crate::args::operator::{DatabaseArgs, KafkaArgs};
use crate::args::start::Start;
use crate::error::CliError;

/// How long to wait for a connection to Postgres.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);
/// How long one statement may take. Lists are limited and indexed; migrations lift it themselves.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(60);
/// How long the other end of the connection may be silent.
const SILENCE_TIME_MAX: Duration = Duration::from_secs(30);

const IDENTITY: ServiceIdentity =
    ServiceIdentity { name: "gctb-cli", about: "The operator's command.", defaults: "[kafka]\n" };

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OnlyKafka {
    kafka: KafkaSettings,
}

/// The requests DB. The connection is made by the first question.
pub(crate) fn database(args: &DatabaseArgs) -> Db {
    Db::new(&DbOptions {
        url: args.url.clone(),
        pool_size: 1,
        connect_timeout: CONNECT_TIME_MAX,
        statement_timeout: STATEMENT_TIME_MAX,
        silence_timeout: SILENCE_TIME_MAX,
        transaction_idle_timeout: SILENCE_TIME_MAX,
        application_name: IDENTITY.name.into(),
    })
}

/// Kafka, with the defaults of the services and what `GCTB_CLI__KAFKA__…` adds to them.
pub(super) fn kafka(args: &KafkaArgs, environment: Variables) -> Result<KafkaSettings, CliError> {
    let brokers = IDENTITY.env_variable("kafka.brokers");
    let group = IDENTITY.env_variable("kafka.");
    let further = environment.into_iter().filter(|(key, _)| key.starts_with(&group) && *key != brokers);
    let variables = further.chain([(brokers.clone(), args.brokers.clone())]);
    settings::load_from::<OnlyKafka>(&IDENTITY, std::iter::empty(), variables)
        .map(|settings| settings.kafka)
        .map_err(|error| CliError::KafkaSettings(error.into()))
}

/// A topic of the bridge by its name.
pub(super) fn topic(name: &str) -> Result<Topic, CliError> {
    Topic::from_name(name).ok_or_else(|| CliError::UnknownTopic { name: name.chars().take(80).collect() })
}

/// Where to begin in `topic`. One offset for all partitions needs to know how many there are.
pub(super) fn read_from(start: &Start, positions: &Positions, topic: &str) -> Result<ReadFrom, CliError> {
    Ok(match start {
        Start::Earliest => ReadFrom::Beginning,
        Start::Time(millis) => ReadFrom::Time(*millis),
        Start::Offsets(offsets) => ReadFrom::Offsets(offsets.clone()),
        Start::Offset(offset) => {
            ReadFrom::Offsets(positions.watermarks(topic)?.into_keys().map(|partition| (partition, *offset)).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kafka_is_reached_with_the_defaults_of_the_services_and_the_properties_of_the_environment() {
        let set = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let environment = vec![
            set("GCTB_CLI__KAFKA__BROKERS", "elsewhere:1"),
            set("GCTB_CLI__KAFKA__EXTRA__SECURITY_PROTOCOL", "SASL_SSL"),
            set("GCTB_CLI__API__URL", "http://api.example"),
            set("PATH", "/bin"),
        ];
        let settings = kafka(&KafkaArgs { brokers: "127.0.0.1:9092".into() }, environment).expect("settings");
        assert_eq!(settings.brokers, "127.0.0.1:9092");
        assert_eq!(settings.extra.len(), 1);
        assert!(settings.request_timeout > Duration::ZERO);
    }

    #[test]
    fn only_the_topics_of_the_bridge_are_known() {
        assert_eq!(topic("gctb.payments.file.dead").expect("known").name(), "gctb.payments.file.dead");
        assert!(topic("orders").is_err());
    }
}
