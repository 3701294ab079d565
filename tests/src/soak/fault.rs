//! The faults that a soak draws from, and their short names. How each is brought about lies in the stage.

use std::fmt;
use std::time::Duration;

use crate::consumer::Consumer;
use crate::draw::Draw;
use crate::service::Service;

/// What the bank says instead of the plain truth, as the simulator names it.
const ANSWERS: [&str; 10] = [
    "half",
    "none",
    "bad_structure",
    "wrong_amount",
    "wrong_currency",
    "unknown_ref",
    "duplicate_lines",
    "paid_then_rejected",
    "rejected_then_paid",
    "return_after_paid",
];

/// What the mapper does instead of answering well, as the simulator names it.
const MAPPER_MODES: [&str; 5] = ["down", "slow", "garbage", "html", "wrong_count"];

/// Something that goes wrong. Times are how long it lasts until it is mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `kill -9`, and a new start.
    Kill(Service),
    /// `kill -9` of all services at once.
    KillEverything,
    /// Death or a freeze at a crash point: which one of those that the service passes, and at which time of passing it.
    CrashPoint {
        /// Who passes it.
        service: Service,
        /// Counts around the points of the service.
        which: u64,
        /// At which passing, from 1.
        nth: u64,
        /// Frozen instead of killed.
        is_frozen: bool,
        /// How long it stays armed or frozen.
        lasts: Duration,
    },
    /// `SIGSTOP`, later `SIGCONT`.
    Freeze(Service, Duration),
    /// `SIGSTOP`, its connections to Postgres die, later `SIGCONT`: a writer that has lost its locks and does not know it.
    FreezeAndCut(Service, Duration),
    /// One more replica that comes and is killed: two rebalances.
    ReplicaComesAndGoes(Service, Duration),
    /// A topic is read again from its first message.
    Replay(Consumer),
    /// A topic is deleted and made again, while everybody runs.
    TopicRemade(Consumer),
    /// A message that nobody can read.
    Poison(Consumer),
    /// The line of one service to Postgres.
    LineCut(Service, Duration),
    /// All lines to Postgres.
    AllLinesCut(Duration),
    /// Kafka stands still.
    KafkaFrozen(Duration),
    /// The mapper misbehaves.
    Mapper(&'static str, Duration),
    /// The mapper gives everybody another account.
    MapperMoves,
    /// The mapper does not know some people for a while.
    MapperForgets(Duration),
    /// The bank neither takes nor answers files.
    BankPaused(Duration),
    /// The bank does not tell the plain truth.
    BankAnswers(&'static str, Duration),
    /// Files cannot be written into the bank's folder.
    FolderRefuses(Duration),
    /// The mapper is started again with other routes.
    RoutesChange,
    /// A batch is held, and released.
    Held(usize, Duration),
    /// A batch is cancelled.
    Cancelled(usize),
}

impl Fault {
    /// One of all.
    pub(super) fn draw(draw: &mut Draw, batches: usize) -> Self {
        let (consumer, feed) = (draw.one_of(&Service::CONSUMERS), draw.one_of(&Consumer::ALL));
        let server = draw.one_of(&[Service::Api, Service::Mapper, Service::BackendFile, Service::Status]);
        let batch = draw.between(0, batches as u64 - 1) as usize;
        let long = Duration::from_millis(draw.between(500, 5000));
        let short = Duration::from_millis(draw.between(100, 2000));
        match draw.between(0, 29) {
            0..=2 => Self::Kill(draw.one_of(&[server, server, Service::Simulator])),
            3 => Self::KillEverything,
            4..=9 => Self::CrashPoint {
                service: server,
                which: draw.between(0, 9999),
                nth: draw.one_of(&[1, 1, 1, 2, 3, 5]),
                is_frozen: draw.percent(25),
                lasts: long + Duration::from_secs(2),
            },
            10 => Self::Freeze(server, long),
            11 => Self::FreezeAndCut(server, long),
            12 => Self::ReplicaComesAndGoes(consumer, short),
            13..=14 => Self::Replay(feed),
            15..=16 => Self::TopicRemade(feed),
            17 => Self::Poison(feed),
            18 => Self::LineCut(server, long),
            19 => Self::AllLinesCut(short),
            20 => Self::KafkaFrozen(long),
            21..=22 => Self::Mapper(draw.one_of(&MAPPER_MODES), short),
            23 => Self::MapperMoves,
            24 => Self::MapperForgets(short),
            25 => Self::BankPaused(short),
            26 => Self::BankAnswers(draw.one_of(&ANSWERS), long),
            27 => Self::FolderRefuses(short),
            28 => draw.one_of(&[Self::RoutesChange, Self::Held(batch, short)]),
            _ => Self::Cancelled(batch),
        }
    }
}

/// The service's name without what all have in common.
fn short(service: Service) -> &'static str {
    let name = service.name();
    name.strip_prefix("gctb-").unwrap_or(name)
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(service) => write!(f, "kill {}", short(*service)),
            Self::KillEverything => write!(f, "kill everything"),
            Self::CrashPoint { service, nth, is_frozen, .. } => {
                write!(f, "{} {} at point", if *is_frozen { "freeze" } else { "kill" }, short(*service))?;
                if *nth > 1 { write!(f, ", time {nth}") } else { Ok(()) }
            }
            Self::Freeze(service, lasts) => write!(f, "freeze {} {lasts:?}", short(*service)),
            Self::FreezeAndCut(service, lasts) => write!(f, "freeze and cut {} {lasts:?}", short(*service)),
            Self::ReplicaComesAndGoes(service, lasts) => write!(f, "one more {} {lasts:?}", short(*service)),
            Self::Replay(feed) => write!(f, "replay {}", feed.topic()),
            Self::TopicRemade(feed) => write!(f, "remake {}", feed.topic()),
            Self::Poison(feed) => write!(f, "poison {}", feed.topic()),
            Self::LineCut(service, lasts) => write!(f, "no Postgres for {} {lasts:?}", short(*service)),
            Self::AllLinesCut(lasts) => write!(f, "no Postgres {lasts:?}"),
            Self::KafkaFrozen(lasts) => write!(f, "Kafka frozen {lasts:?}"),
            Self::Mapper(mode, lasts) => write!(f, "mapper {mode} {lasts:?}"),
            Self::MapperMoves => write!(f, "mapper gives other accounts"),
            Self::MapperForgets(lasts) => write!(f, "mapper forgets people {lasts:?}"),
            Self::BankPaused(lasts) => write!(f, "bank paused {lasts:?}"),
            Self::BankAnswers(how, lasts) => write!(f, "bank answers {how} {lasts:?}"),
            Self::FolderRefuses(lasts) => write!(f, "bank's folder refuses {lasts:?}"),
            Self::RoutesChange => write!(f, "routes change"),
            Self::Held(batch, lasts) => write!(f, "hold batch {} {lasts:?}", batch + 1),
            Self::Cancelled(batch) => write!(f, "cancel batch {}", batch + 1),
        }
    }
}
