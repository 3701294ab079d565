//! Kafka as an operator has it: making and deleting topics, reading and producing messages, setting groups back.

use std::time::Duration;

use gctb_domain::BackendName;
use gctb_events::{Headers, Outgoing, Topic, declared_topics};
use gctb_runtime::settings::load_from;
use gctb_runtime::{
    Health, KafkaSettings, Positions, Producer, RawMessage, ReadFrom, ServiceIdentity, TopicAdmin, read_topic,
};
use serde::Deserialize;

const IDENTITY: ServiceIdentity = ServiceIdentity { name: "gctb-test", about: "", defaults: "[kafka]\n" };
const PATIENCE: Duration = Duration::from_secs(30);
const EVERYTHING: usize = 100_000;

#[derive(Deserialize)]
struct Settings {
    kafka: KafkaSettings,
}

/// The Kafka of a system.
pub struct Kafka {
    settings: KafkaSettings,
    admin: TopicAdmin,
    positions: Positions,
    producer: Producer,
}

impl Kafka {
    /// # Panics
    /// Where no client can be made.
    pub fn at(brokers: &str) -> Self {
        let env = [("GCTB_TEST__KAFKA__BROKERS".to_owned(), brokers.to_owned())];
        let Settings { kafka: settings } =
            load_from(&IDENTITY, std::iter::empty(), env.into_iter()).expect("complete settings");
        let admin = TopicAdmin::new(&settings).expect("a client");
        let positions = Positions::new(&settings).expect("a client");
        let producer = Producer::new(&settings, "gctb-test", &Health::new()).expect("a producer");
        Self { settings, admin, positions, producer }
    }

    /// Deletes all topics of the bridge and makes them new.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn start_afresh(&self) {
        self.delete(&Topic::all(&backends()));
        self.apply();
    }

    /// Makes the topics that are missing, as `gctb topics apply` does.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn apply(&self) {
        let declared = declared_topics(&backends()).expect("deploy/topics.toml");
        self.admin.apply(&declared).expect("the topics are made");
    }

    /// Lets every record of every topic expire, as happens where nobody reads for longer than the retention; returns when the
    /// broker has dropped them. The broker must look for expired records often.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn expire(&self) {
        let mut declared = declared_topics(&backends()).expect("deploy/topics.toml");
        for topic in &mut declared {
            topic.retention = Duration::from_millis(1);
        }
        self.admin.apply(&declared).expect("the retention is set");
        for topic in &declared {
            let name = topic.topic.name();
            let gone = || (self.count(&name) == 0).then_some(());
            gctb_testkit::eventually_within(PATIENCE, &format!("the records of {name} to expire"), gone);
        }
        self.apply();
    }

    /// Deletes topics, those that do not exist included.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn delete(&self, topics: &[Topic]) {
        self.admin.delete(topics).expect("the topics are deleted");
    }

    /// Every message of a topic.
    ///
    /// # Panics
    /// Where Kafka does not answer.
    pub fn messages(&self, topic: &str) -> Vec<RawMessage> {
        read_topic(&self.settings, topic, &ReadFrom::Beginning, EVERYTHING, PATIENCE).expect("the topic is read")
    }

    /// How many messages a topic has.
    ///
    /// # Panics
    /// Where Kafka does not answer.
    pub fn count(&self, topic: &str) -> u64 {
        let ends = self.positions.watermarks(topic).expect("the topic's ends");
        ends.values().map(|ends| u64::try_from(ends.high - ends.low).unwrap_or(0)).sum()
    }

    /// Sends messages and waits until Kafka has them.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn produce(&self, messages: &[Outgoing]) {
        self.producer.send_all(messages).expect("Kafka takes the messages");
    }

    /// Sends bytes to a topic.
    pub fn produce_bytes(&self, topic: &str, key: &str, payload: Vec<u8>) {
        let message = Outgoing { topic: topic.to_owned(), key: key.to_owned(), payload, headers: Headers::new() };
        self.produce(&[message]);
    }

    /// Sets a group, which must have no members, back to the first message, as `gctb replay` does.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn replay(&self, group: &str, topic: &str) {
        self.move_group(group, topic, &ReadFrom::Beginning);
    }

    /// How many members a group has.
    ///
    /// # Panics
    /// Where Kafka does not answer.
    pub fn members(&self, group: &str) -> usize {
        self.positions.members(group).expect("the group's members")
    }

    /// Sets a group, which must have no members, behind the last message that a topic has now.
    ///
    /// # Panics
    /// Where Kafka refuses.
    pub fn skip_all(&self, group: &str, topic: &str) {
        // A topic that was just made has no leader for a moment.
        let ends = || self.positions.watermarks(topic).ok();
        let ends = gctb_testkit::eventually_within(PATIENCE, "the ends of a topic", ends);
        let ends = ends.into_iter().map(|(partition, ends)| (partition, ends.high)).collect();
        self.move_group(group, topic, &ReadFrom::Offsets(ends));
    }

    fn move_group(&self, group: &str, topic: &str, to: &ReadFrom) {
        let reset = || self.positions.reset_group(group, topic, to, false).ok();
        gctb_testkit::eventually_within(PATIENCE, "a group without members that can be set back", reset);
    }
}

/// Every backend that a test may deploy.
fn backends() -> [BackendName; 4] {
    ["file", "filebis", "mpesa", "mojaloop"].map(|name| BackendName::parse(name).expect("a name"))
}
