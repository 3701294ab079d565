//! The processes of a system, and the settings that each is started with.
//!
//! Settings are those of a deployment in a hurry: files close at once, looks are frequent, and groups notice a dead member as
//! soon as Kafka allows.

use crate::rails::Rail;
use crate::system::{Options, World};

/// A process of the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// Mapper and bank.
    Simulator,
    /// gctb-status.
    Status,
    /// gctb-mapper.
    Mapper,
    /// gctb-backend-file under the name `file`.
    BackendFile,
    /// A second replica of the same.
    BackendFileTwin,
    /// gctb-backend-file under the name `filebis`, with a folder of its own in which no bank looks.
    BackendFilebis,
    /// gctb-backend-mpesa under the name `mpesa`, with the profile of [`Options::rail`].
    BackendMpesa,
    /// A second replica of the same.
    BackendMpesaTwin,
    /// gctb-backend-mojaloop under the name `mojaloop`.
    BackendMojaloop,
    /// A second replica of the same.
    BackendMojaloopTwin,
    /// gctb-api.
    Api,
}

impl Service {
    /// All, consumers before the API that feeds them.
    pub const ALL: [Self; 11] = [
        Self::Simulator,
        Self::Status,
        Self::Mapper,
        Self::BackendFile,
        Self::BackendFileTwin,
        Self::BackendFilebis,
        Self::BackendMpesa,
        Self::BackendMpesaTwin,
        Self::BackendMojaloop,
        Self::BackendMojaloopTwin,
        Self::Api,
    ];

    /// The services of the bridge, one of each.
    pub const BRIDGE: [Self; 4] = [Self::Status, Self::Mapper, Self::BackendFile, Self::Api];

    /// The services that read topics. Which loops they read them with is [`crate::Consumer`].
    pub const CONSUMERS: [Self; 3] = [Self::Mapper, Self::BackendFile, Self::Status];

    /// The name of its program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Simulator => "gctb-simulator",
            Self::Status => "gctb-status",
            Self::Mapper => "gctb-mapper",
            Self::BackendFile | Self::BackendFileTwin | Self::BackendFilebis => "gctb-backend-file",
            Self::BackendMpesa | Self::BackendMpesaTwin => "gctb-backend-mpesa",
            Self::BackendMojaloop | Self::BackendMojaloopTwin => "gctb-backend-mojaloop",
            Self::Api => "gctb-api",
        }
    }

    /// A name of its own within the system.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BackendFileTwin => "gctb-backend-file-twin",
            Self::BackendFilebis => "gctb-backend-filebis",
            Self::BackendMpesaTwin => "gctb-backend-mpesa-twin",
            Self::BackendMojaloopTwin => "gctb-backend-mojaloop-twin",
            Self::Simulator
            | Self::Status
            | Self::Mapper
            | Self::BackendFile
            | Self::BackendMpesa
            | Self::BackendMojaloop
            | Self::Api => self.program(),
        }
    }

    /// The replica whose consumer group it shares, which may be itself.
    pub(crate) const fn first_replica(self) -> Self {
        match self {
            Self::BackendFileTwin => Self::BackendFile,
            Self::BackendMpesaTwin => Self::BackendMpesa,
            Self::BackendMojaloopTwin => Self::BackendMojaloop,
            Self::Simulator
            | Self::Status
            | Self::Mapper
            | Self::BackendFile
            | Self::BackendFilebis
            | Self::BackendMpesa
            | Self::BackendMojaloop
            | Self::Api => self,
        }
    }

    /// The topic that it consumes, for gctb-mapper the first of two.
    ///
    /// # Panics
    /// For a process that consumes none.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Status => "gctb.status",
            Self::Mapper => "gctb.batches",
            Self::BackendFile | Self::BackendFileTwin => "gctb.payments.file",
            Self::BackendFilebis => "gctb.payments.filebis",
            Self::BackendMpesa | Self::BackendMpesaTwin => "gctb.payments.mpesa",
            Self::BackendMojaloop | Self::BackendMojaloopTwin => "gctb.payments.mojaloop",
            Self::Simulator | Self::Api => panic!("{} consumes no topic", self.name()),
        }
    }

    /// The page that says whether it can work.
    pub(crate) const fn ready_path(self) -> &'static str {
        match self {
            Self::Simulator => "/healthz",
            Self::Status
            | Self::Mapper
            | Self::BackendFile
            | Self::BackendFileTwin
            | Self::BackendFilebis
            | Self::BackendMpesa
            | Self::BackendMpesaTwin
            | Self::BackendMojaloop
            | Self::BackendMojaloopTwin
            | Self::Api => "/readyz",
        }
    }

    /// The environment that it is started with.
    pub(crate) fn environment(self, world: &World, options: &Options) -> Vec<(String, String)> {
        let prefix = self.program().to_uppercase().replace('-', "_");
        let mut settings = match self {
            Self::Simulator => simulator(world),
            Self::Api => [bridge(self, world, options), api(world, options)].concat(),
            Self::Mapper => [bridge(self, world, options), consumer(self, world), mapper(world)].concat(),
            Self::Status => [bridge(self, world, options), consumer(self, world), status(world, options)].concat(),
            Self::BackendFile | Self::BackendFileTwin => {
                [bridge(self, world, options), consumer(self, world), file("file", "bank", world)].concat()
            }
            Self::BackendFilebis => {
                [bridge(self, world, options), consumer(self, world), file("filebis", "bank-filebis", world)].concat()
            }
            Self::BackendMpesa | Self::BackendMpesaTwin | Self::BackendMojaloop | Self::BackendMojaloopTwin => {
                let rail = options.rail.map(|rail| rail.settings(self, world)).unwrap_or_default();
                [bridge(self, world, options), consumer(self, world), rail].concat()
            }
        };
        let more = options.settings.iter().filter(|(service, ..)| *service == self);
        settings.extend(more.map(|(_, key, value)| (key.clone(), value.clone())));
        settings
            .into_iter()
            .map(|(key, value)| (format!("{prefix}__{}", key.to_uppercase().replace('.', "__")), value))
            .collect()
    }

    /// Lists can be set in a file alone: what stands in it beside the environment.
    pub(crate) fn file(self, options: &Options) -> Option<String> {
        let second = options.second_backend.then_some("filebis");
        let rail = options.rail.map(Rail::backend);
        let backends: Vec<&str> = ["file"].into_iter().chain(second).chain(rail).collect();
        match self {
            Self::Mapper => {
                let route = options.route_to;
                let more = &options.more_routes;
                Some(format!("backends = {backends:?}\n{more}[[route]]\npattern = \".*\"\nbackend = \"{route}\"\n"))
            }
            Self::Status => Some(format!("backends = {backends:?}\n")),
            Self::BackendMpesa | Self::BackendMpesaTwin => options.rail.and_then(Rail::file),
            Self::Simulator
            | Self::BackendFile
            | Self::BackendFileTwin
            | Self::BackendFilebis
            | Self::BackendMojaloop
            | Self::BackendMojaloopTwin
            | Self::Api => None,
        }
    }
}

pub(crate) type Settings = Vec<(String, String)>;

pub(crate) fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Settings {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn bridge(service: Service, world: &World, options: &Options) -> Settings {
    let mut bridge = settings([
        ("kafka.brokers", world.brokers),
        ("kafka.message_timeout", "5s"),
        ("database.url", world.database_url),
        ("database.connect_timeout", "2s"),
        ("outbox.relay_interval", "200ms"),
        ("outbox.resend_after", "2s"),
        ("durability.required", "false"),
        ("telemetry.log_filter", options.log_filter),
    ]);
    if service != Service::Api {
        bridge.extend(settings([("admin.bind", &world.address(service))]));
    }
    if let Some(endpoint) = &options.otlp_endpoint {
        bridge.extend(settings([("telemetry.otlp_endpoint", endpoint)]));
    }
    bridge
}

fn consumer(service: Service, world: &World) -> Settings {
    settings([
        ("kafka.group", &world.group(service)),
        // The least that Kafka allows: after a kill -9 its partitions are given away this late.
        ("kafka.session_timeout", "6s"),
        ("kafka.extra.heartbeat_interval_ms", "300"),
        ("consumer.retry_backoff_max", "500ms"),
    ])
}

fn api(world: &World, options: &Options) -> Settings {
    let mut api = settings([
        ("http.bind", &world.address(Service::Api)),
        ("intake.default_payer_fa", "account:4100200300@head.treasury.bank_acc"),
        ("intake.schedule_bucket", "1s"),
        ("readiness.check_interval", "200ms"),
    ]);
    if let Some(brokers) = &options.api_brokers {
        api.extend(settings([("kafka.brokers", brokers)]));
    }
    if let Some(url) = &options.api_database_url {
        api.extend(settings([("database.url", url)]));
    }
    api
}

fn mapper(world: &World) -> Settings {
    let url = format!("http://{}/mapper/sync/resolve", world.address(Service::Simulator));
    settings([
        ("resolve.group", &world.resolver_group()),
        ("mapper.url", &url),
        ("mapper.breaker.open_time", "1s"),
        ("mapper.cache_entries_max", "0"),
    ])
}

fn status(world: &World, options: &Options) -> Settings {
    let mut status = settings([
        ("sweep.look_interval", "500ms"),
        ("sweep.resend_after", "2s"),
        ("sweep.settle", "1s"),
        ("sweep.lost_position_grace", "3s"),
        ("sweep.mapper_group", &world.group(Service::Mapper)),
        ("sweep.resolver_group", &world.resolver_group()),
        ("sweep.backend_groups.file", &world.group(Service::BackendFile)),
        ("attention.check_interval", "1s"),
    ]);
    if options.second_backend {
        status.extend(settings([("sweep.backend_groups.filebis", &world.group(Service::BackendFilebis))]));
    }
    if let Some(rail) = options.rail {
        let setting = format!("sweep.backend_groups.{}", rail.backend());
        status.extend(settings([(setting.as_str(), world.group(rail.service()).as_str())]));
    }
    status
}

fn file(name: &str, folder: &str, world: &World) -> Settings {
    settings([
        ("backend.name", name),
        ("files.close_after", "300ms"),
        ("files.tick", "50ms"),
        ("files.recover_after", "2s"),
        ("files.rows_max", "500"),
        ("store.root", &world.folder(folder)),
        ("store.poll", "100ms"),
        ("store.settle", "100ms"),
    ])
}

fn simulator(world: &World) -> Settings {
    settings([
        ("bind", &world.address(Service::Simulator)),
        ("bank_root", &world.folder("bank")),
        ("book", &world.folder("book.jsonl")),
        ("bank_poll", "50ms"),
        ("bank_delay", "100ms"),
    ])
}
