//! The proof of a called rail: payments under faults of every kind, while its two replicas are killed, frozen and started again and
//! the payments topic is replayed; at the end every word of the bridge must be what the rail's book says.
//!
//! A seed means the same payees, faults and disturbances every time. Moments are told by progress, not by the clock.

use std::fmt;
use std::time::{Duration, Instant};

use gctb_testkit::eventually_within;
use serde_json::{Value, json};

use super::payees::Payee;
use super::verdict::{self, Verdict, judge};
use super::{Book, Rail};
use crate::batch::Batch;
use crate::draw::Draw;
use crate::equation::assert_witnesses_agree;
use crate::http;
use crate::service::Service;
use crate::system::{Options, PATIENCE, System};

/// How long the bridge may take to come to rest once everything is mended.
const REST_WITHIN: Duration = Duration::from_secs(120);
/// The next disturbance comes when nothing has moved for so long: everything may be waiting for what is disturbed.
const STALLED: Duration = Duration::from_secs(3);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Longer than any claim lasts: who is frozen so long has lost all of them.
const LONG_FREEZE: Duration = Duration::from_secs(11);
/// So short that its claims are still its own.
const SHORT_FREEZE: Duration = Duration::from_secs(2);
/// Between two rounds of the operator.
const OPERATOR_EVERY: Duration = Duration::from_secs(1);

/// What is done to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disturbance {
    /// The first replica dies and is started again.
    KillFirst,
    /// The second replica dies and is started again.
    KillSecond,
    /// Both die at once.
    KillBoth,
    /// A replica stands still until others have taken over.
    FreezeForLong,
    /// A replica stands still for a moment.
    FreezeShortly,
    /// The rail itself dies, and remembers its book.
    KillRail,
    /// Whoever folds the status dies.
    KillStatus,
    /// An operator stops the rail and lets it go on.
    PauseAndResume,
    /// The payments topic is read again from its first message.
    Replay,
}

/// Drawn as often as wanted, beside the two replays.
const DRAWN: [Disturbance; 8] = [
    Disturbance::KillFirst,
    Disturbance::KillSecond,
    Disturbance::KillBoth,
    Disturbance::FreezeForLong,
    Disturbance::FreezeShortly,
    Disturbance::KillRail,
    Disturbance::KillStatus,
    Disturbance::PauseAndResume,
];

/// A trial that follows from its seed.
#[derive(Clone, Debug)]
pub struct Trial {
    rail: Rail,
    seed: u64,
    payees: Vec<Payee>,
    faults: Value,
    /// At so much progress in percent.
    disturbances: Vec<(u64, Disturbance)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// Payments.
    pub received: u64,
    /// How they stood when nothing moved any more.
    pub before: Verdict,
    /// How they stood when a person had looked all others up in the rail's book.
    pub after: Verdict,
}

impl Trial {
    /// The trial of a seed: `count` payments, and so many disturbances beside two replays.
    pub fn of(rail: Rail, seed: u64, count: u64, disturbances: usize) -> Self {
        let mut draw = Draw::of(seed);
        let faults = rail.troubled(&mut draw);
        let mut drawn: Vec<(u64, Disturbance)> =
            (0..disturbances).map(|_| (draw.between(3, 90), draw.one_of(&DRAWN))).collect();
        drawn.extend([(draw.between(20, 50), Disturbance::Replay), (draw.between(55, 90), Disturbance::Replay)]);
        drawn.sort_by_key(|(at, _)| *at);
        Self { rail, seed, payees: rail.payees(1, count), faults, disturbances: drawn }
    }

    /// Runs it. None, and the test counted as skipped, without the servers.
    ///
    /// # Panics
    /// Where anything does not hold; the sentence says what.
    pub fn run(&self, test: &str) -> Option<Outcome> {
        let options = Options {
            rail: Some(self.rail),
            second_replica: true,
            route_to: self.rail.backend(),
            settings: self.more_settings(),
            ..Options::default()
        };
        let mut system = System::start(test, options)?;
        set_faults(&system, &self.faults);
        let items = self.payees.iter().map(|payee| payee.item.clone()).collect::<Vec<_>>();
        for part in items.chunks(items.len().div_ceil(3)) {
            system.submit(Batch::of(part.to_vec()));
        }
        let mut stage = Stage { trial: self, system, frozen: None, operator: Instant::now() };
        for (at_percent, disturbance) in &self.disturbances {
            stage.wait_for(*at_percent);
            stage.disturb(*disturbance);
        }
        stage.thaw();
        set_faults(&stage.system, &self.rail.healthy());
        stage.rest();
        let before = judge(&stage.system, self.rail, &self.payees);
        stage.resolve_all();
        stage.system.wait_until_finished();
        let after = judge(&stage.system, self.rail, &self.payees);
        stage.check_the_end(after);
        Some(Outcome { received: self.payees.len() as u64, before, after })
    }

    /// Slow enough that disturbances meet payments under way, and patient enough for a rail that was away.
    fn more_settings(&self) -> Vec<(Service, String, String)> {
        let services = [self.rail.service(), self.rail.twin()];
        let all = [("rail.rate_per_second", "250"), ("rail.asks_max", "8"), ("rail.attempts_max", "5")];
        let of_replicas = services.into_iter().flat_map(|service| all.map(|(key, value)| (service, key, value)));
        // Kafka takes the dead for dead soon: sooner than their claims end.
        let consumers = services.into_iter().chain([Service::Status]);
        let short = consumers.map(|service| (service, "kafka.session_timeout", "3s"));
        of_replicas.chain(short).map(|(service, key, value)| (service, key.to_owned(), value.to_owned())).collect()
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {} payments over {:?}", self.seed, self.payees.len(), self.rail)?;
        self.disturbances.iter().try_for_each(|(at, what)| write!(f, ", {what:?} at {at} %"))
    }
}

struct Stage<'a> {
    trial: &'a Trial,
    system: System,
    /// Who stands still, and until when.
    frozen: Option<(Service, Instant)>,
    operator: Instant,
}

impl Stage<'_> {
    fn wait_for(&mut self, at_percent: u64) {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let done = self.look();
            if done != last {
                (last, moved) = (done, Instant::now());
            }
            if done * 100 >= at_percent * self.trial.payees.len() as u64 || moved.elapsed() > STALLED {
                return;
            }
        }
    }

    /// Wakes up who is due, does an operator's round, pauses for a moment, and counts what is decided.
    fn look(&mut self) -> u64 {
        if self.frozen.is_some_and(|(_, until)| Instant::now() > until) {
            self.thaw();
        }
        if self.operator.elapsed() > OPERATOR_EVERY {
            self.operator = Instant::now();
            self.try_a_held_rail();
        }
        // The pause between two looks.
        std::thread::park_timeout(LOOK_EVERY);
        let decided = "SELECT count(*)::text AS value FROM payment_ledger WHERE state IN (1, 2, 5, 7, 8, 9)";
        self.system.database.value(decided).parse().expect("a count")
    }

    fn disturb(&mut self, disturbance: Disturbance) {
        let (first, second) = (self.trial.rail.service(), self.trial.rail.twin());
        eprintln!("    {disturbance:?}");
        match disturbance {
            Disturbance::KillFirst => self.kill_and_start(&[first]),
            Disturbance::KillSecond => self.kill_and_start(&[second]),
            Disturbance::KillBoth => self.kill_and_start(&[first, second]),
            Disturbance::FreezeForLong => self.freeze(second, LONG_FREEZE),
            Disturbance::FreezeShortly => self.freeze(first, SHORT_FREEZE),
            Disturbance::KillRail => {
                self.kill_and_start(&[Service::Simulator]);
                set_faults(&self.system, &self.trial.faults);
            }
            Disturbance::KillStatus => self.kill_and_start(&[Service::Status]),
            Disturbance::PauseAndResume => {
                for verb in ["pause", "resume"] {
                    self.system.gctb(&["rail", verb, self.trial.rail.backend(), "--evidence", "a trial"]);
                }
            }
            Disturbance::Replay => self.replay(),
        }
    }

    fn kill_and_start(&mut self, services: &[Service]) {
        if self.frozen.is_some_and(|(service, _)| services.contains(&service)) {
            self.frozen = None;
        }
        services.iter().for_each(|service| self.system.kill_9(*service));
        services.iter().for_each(|service| self.system.launch(*service));
        // Who has to be there for others; a backend whose rail is held is not ready, and need not be.
        for service in services.iter().filter(|service| **service == Service::Simulator) {
            self.system.wait_until_ready(*service);
        }
    }

    fn freeze(&mut self, service: Service, how_long: Duration) {
        self.thaw();
        self.system.pause(service);
        self.frozen = Some((service, Instant::now() + how_long));
    }

    fn thaw(&mut self) {
        if let Some((service, _)) = self.frozen.take() {
            self.system.resume(service);
        }
    }

    /// As an operator does it: nobody may be in the group.
    fn replay(&mut self) {
        self.thaw();
        let replicas = [self.trial.rail.service(), self.trial.rail.twin()];
        replicas.iter().for_each(|service| self.system.stop(*service));
        let topic = format!("gctb.payments.{}", self.trial.rail.backend());
        let group = self.system.group(replicas[0]);
        let words = ["replay", &topic, "--group", &group, "--from", "earliest"];
        eventually_within(PATIENCE, "a group that can be set back", || self.system.try_gctb(&words).ok());
        replicas.iter().for_each(|service| self.system.launch(*service));
    }

    /// A rail that refused everybody, and that nobody tries by himself, is tried by an operator.
    fn try_a_held_rail(&self) {
        let held = "SELECT count(*)::text AS value FROM rail_controls WHERE state = 3 AND resume_at IS NULL";
        if self.system.database.value(held) != "0" {
            let rail = self.trial.rail.backend();
            // It may be open again by now.
            let _ = self.system.try_gctb(&["rail", "probe", rail, "--evidence", "the faults are our own"]);
        }
    }

    /// Waits until everything is at its end or a person's.
    fn rest(&mut self) {
        let began = Instant::now();
        loop {
            self.look();
            let open = verdict::open(&self.system.database);
            if open == 0 {
                return;
            }
            let waited = began.elapsed();
            assert!(waited < REST_WITHIN, "{REST_WITHIN:?} after everything was mended {open} payments are still open");
        }
    }

    /// The operator looks every payment that waits for a person up in the rail's book, and says what stands there.
    fn resolve_all(&mut self) {
        let began = Instant::now();
        loop {
            self.look();
            let waiting = self.waiting();
            if waiting.is_empty() && verdict::open(&self.system.database) == 0 {
                return;
            }
            assert!(began.elapsed() < REST_WITHIN, "{} payments still wait for a person", waiting.len());
            let book = Book::of(&self.system);
            for payment in waiting {
                self.resolve(&payment, &book);
            }
        }
    }

    fn waiting(&self) -> Vec<Value> {
        let listed = self.system.gctb(&["payments", "unknown", "--json", "--limit", "1000"]);
        listed.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }

    fn resolve(&self, waiting: &Value, book: &Book) {
        let reference = waiting["reference"].as_str().expect("a reference");
        let payee = self.trial.payees.iter().find(|payee| payee.item.reference_id == reference).expect("one of ours");
        let key = waiting["key"].as_str().expect("a key");
        let resolve = ["payments", "resolve", key, "--evidence", "read in the rail's book", "--overrule"];
        let word: &[&str] = match book.paid_to(&payee.account) {
            [] => &["--not-paid"],
            [payment, ..] => &["--paid", "--rail-reference", &payment.payment_ref],
        };
        // Refused while a request may still be under way; it is listed again then.
        let _ = self.system.try_gctb(&[resolve.as_slice(), word].concat());
    }

    /// All witnesses agree, with each other and with the book; nothing was ever contradicted.
    fn check_the_end(&self, after: Verdict) {
        assert_eq!(after.unknown, 0, "a person has looked at everything");
        let account = assert_witnesses_agree(&self.system);
        assert_eq!(account.in_flight.count, 0, "nothing is in flight");
        let paid = (account.paid.count, account.paid.minor);
        assert_eq!(paid, Book::of(&self.system).sum(), "left: paid by the bridge; right: by the book");
        let conflicts = self.system.database.value("SELECT count(*)::text AS value FROM ledger_conflicts");
        assert_eq!(conflicts, "0", "no final word was contradicted");
        let work =
            self.system.database.value("SELECT count(*)::text AS value FROM payment_ledger WHERE work_id IS NOT NULL");
        assert_eq!(work, "0", "no work is left");
    }
}

fn set_faults(system: &System, faults: &Value) {
    let faults = if faults.is_null() { &json!({}) } else { faults };
    http::put(&system.url(Service::Simulator, "/control/faults"), faults);
}
