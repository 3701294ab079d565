//! The consumer loops of the bridge: which process reads which topic. gctb-mapper has two, each with a group of its own.

use crate::rails::Rail;
use crate::service::Service;
use crate::system::{Options, System};

/// A loop that reads a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// gctb-mapper's, which sorts by what a payee is.
    Router,
    /// gctb-mapper's, which waits for the ID account mapper.
    Resolver,
    /// gctb-backend-file's under the name `file`.
    BackendFile,
    /// gctb-status'.
    Status,
}

impl Consumer {
    /// All, in the order in which an instruction meets them.
    pub const ALL: [Self; 4] = [Self::Router, Self::Resolver, Self::BackendFile, Self::Status];

    /// The process that it is part of.
    pub const fn service(self) -> Service {
        match self {
            Self::Router | Self::Resolver => Service::Mapper,
            Self::BackendFile => Service::BackendFile,
            Self::Status => Service::Status,
        }
    }

    /// The topic that it reads.
    pub const fn topic(self) -> &'static str {
        match self {
            Self::Router => "gctb.batches",
            Self::Resolver => "gctb.resolve",
            Self::BackendFile => "gctb.payments.file",
            Self::Status => "gctb.status",
        }
    }

    /// Its consumer group.
    pub fn group(self, system: &System) -> String {
        match self {
            Self::Resolver => system.resolver_group(),
            Self::Router | Self::BackendFile | Self::Status => system.group(self.service()),
        }
    }

    /// How many messages it has handled since its start, repeats included.
    pub fn messages_handled(self, system: &System) -> u64 {
        let topic = format!("topic=\"{}\"", self.topic());
        system.metric(self.service(), "gctb_consumer_messages_total", &[&topic])
    }

    /// How many entries had this outcome since its start.
    pub fn entries(self, system: &System, outcome: &str) -> u64 {
        let topic = format!("topic=\"{}\"", self.topic());
        system.metric(self.service(), "gctb_entries_total", &[&topic, &format!("outcome=\"{outcome}\"")])
    }

    /// How often it handled the same messages again, because something that they need was away.
    pub fn retries(self, system: &System) -> u64 {
        let topic = format!("topic=\"{}\"", self.topic());
        system.metric(self.service(), "gctb_consumer_retries_total", &[&topic])
    }
}

impl Options {
    /// Consumers whose place in their group is kept by name: who is started again takes its partitions at once, and nobody waits for
    /// Kafka to take the dead for dead. Not where a replica shall take over.
    #[must_use]
    pub fn kept_by_name(mut self) -> Self {
        let consumers = Service::CONSUMERS.into_iter().chain(self.rail.map(Rail::service));
        let named = |service: Service| (service, "kafka.extra.group_instance_id".to_owned(), service.name().to_owned());
        self.settings.extend(consumers.map(named));
        self
    }
}
