//! A bridge of which one service dies at crash points, one after the other, with work in hand.
//!
//! After each death the service is started again, the harness plays the operator, and all witnesses are asked: see
//! [`Doomed::dies_at`]. What would only take time is hurried: a restarted member of a consumer group is known by its name, and
//! what is due in some seconds is made due now, the leases of the dead among it.

mod command;

use std::path::Path;
use std::time::{Duration, Instant};

use gctb_events::Event;
use tempfile::TempDir;
use uuid::Uuid;

use crate::batch::{Batch, Fate, Item};
use crate::crash_points::{Scenario, VARIABLE};
use crate::equation::assert_all_ended;
use crate::news::{news_of_a_payment, unknown_batch};
use crate::rails::Rail;
use crate::service::Service;
use crate::system::{Options, PATIENCE, System};

/// Disbursements of a batch that are paid, beside the bad ones.
const PAYABLE: usize = 200;

/// The pause between two looks whether the service has died, and between two pushes where it needs them to get there.
const LOOK: Duration = Duration::from_millis(100);

/// Where a file system lies that is another one than that of temporary files.
const OTHER_FILE_SYSTEM: &str = "/dev/shm";

/// The bridge, and who dies.
pub struct Doomed {
    system: System,
    victim: Service,
    elsewhere: Option<TempDir>,
    /// Numbers of payees of a rail that were used.
    payees: u64,
}

impl Doomed {
    /// Starts everything, with the rail that the victim pays over. None, and the test counted as skipped, without the servers.
    pub fn start(test: &str, victim: Service) -> Option<Self> {
        // Of M-Pesa's two the one that answers by callbacks, too.
        let rail = [Rail::Daraja, Rail::Mojaloop].into_iter().find(|rail| rail.service() == victim);
        Self::deploy(test, victim, rail)
    }

    fn deploy(test: &str, victim: Service, rail: Option<Rail>) -> Option<Self> {
        let set = |service, key: &str, value: &str| (service, key.to_owned(), value.to_owned());
        let mut settings: Vec<(Service, String, String)> = vec![
            set(Service::BackendFile, "files.recover_after", "0s"),
            set(Service::Status, "sweep.resend_after", "1s"),
            set(Service::Status, "sweep.settle", "100ms"),
        ];
        // What is asked again, or tried again, is so at once.
        let soon = [
            ("rail.look_every", "50ms"),
            ("rail.retry_after", "50ms"),
            ("rail.ask_after", "100ms"),
            ("rail.ask_after_max", "500ms"),
            ("rail.asks_max", "60"),
        ];
        settings.extend(rail.into_iter().flat_map(|rail| soon.map(|(key, value)| set(rail.service(), key, value))));
        let route_to = rail.map_or("file", Rail::backend);
        let mut system =
            System::prepare(test, Options { settings, rail, route_to, ..Options::default() }.kept_by_name())?;
        // A rail is there before its backend: M-Pesa's certificate is fetched from it.
        system.start_service(Service::Simulator);
        system.start_all();
        Some(Self { system, victim, elsewhere: None, payees: 0 })
    }

    /// Puts work in hand, lets the victim die at the point (`name:nth`), starts it again, does what an operator does, and asks all
    /// witnesses what became of every batch so far.
    ///
    /// # Panics
    /// Where it did not die there, or anything of the equation does not hold.
    pub fn dies_at(&mut self, point: &str, scenario: Scenario) {
        let began = Instant::now();
        eprintln!("{} dies at {point}", self.victim.name());
        let to_post = self.put_in_hand(scenario);
        self.pause_others(scenario);
        let logged = self.system.log(self.victim).len();
        self.system.launch_with(self.victim, &[(VARIABLE, point)]);
        if let Some(batch) = &to_post {
            self.system.wait_until_ready(self.victim);
            // The sender may get an answer, or none.
            let _ = self.system.post(batch, &[]);
        }
        self.wait_for_death(point, scenario, logged);
        self.resume_others(scenario);
        self.clear(scenario);
        if self.system.options.rail.is_some() {
            self.end_leases();
        }
        self.system.start_service(self.victim);
        if let Some(batch) = to_post {
            self.system.submit(batch);
        }
        self.system.execute("UPDATE outbox SET due_at = now()");
        self.system.settle_unclear_files();
        self.system.wait_until_finished();
        assert_all_ended(&self.system);
        eprintln!("    and all is well again, {:.1?} later", began.elapsed());
    }

    /// Good and bad disbursements, for the rail where there is one.
    fn batch(&mut self) -> Batch {
        let Some(rail) = self.system.options.rail else { return Batch::mixed(PAYABLE) };
        let mut items: Vec<Item> = (0..PAYABLE).map(|_| self.payable(rail)).collect();
        let bad = bad_for(rail, self.payees);
        // Among the first: what was sent twice and is refused waits for the end of a lease that nobody may hurry.
        for (n, item) in bad.into_iter().enumerate() {
            items.insert(3 * (n + 1), item);
        }
        Batch::of(items)
    }

    /// A disbursement to somebody who got none yet, and whom the rail pays.
    fn payable(&mut self, rail: Rail) -> Item {
        self.payees += 1;
        Item {
            payee_fa: rail.address(self.payees),
            amount: format!("{}.00", 100 + self.payees % 900),
            ..Item::to_account()
        }
    }

    /// The victim is dead: nobody acts on its leases any more, and what it sent has reached the rail, or never will. What it had
    /// asked Postgres to commit is waited for.
    fn end_leases(&self) {
        let program = self.victim.program();
        let connections = format!(
            "SELECT count(*)::text AS value FROM pg_stat_activity
             WHERE datname = current_database() AND application_name = '{program}'"
        );
        self.system.wait_for_value("the connections of the dead to end", &connections, "0");
        self.system.execute("UPDATE payment_ledger SET quiet_at = now() WHERE quiet_at > now()");
        self.system.execute("UPDATE ledger_work SET due_at = now() WHERE due_at > now()");
    }

    /// Stops the victim, and leaves work for it. What gctb-api shall get is given back, to be posted when it runs again.
    fn put_in_hand(&mut self, scenario: Scenario) -> Option<Batch> {
        let batch = match scenario {
            Scenario::Scheduled | Scenario::Lost => in_a_second(self.batch()),
            Scenario::Batch
            | Scenario::KafkaAway
            | Scenario::Poison
            | Scenario::UnrenderableFile
            | Scenario::PutThatDoesNothing
            | Scenario::BrokenDelivery
            | Scenario::BrokenResponse
            | Scenario::UnknownBatch
            | Scenario::SlowMapper
            | Scenario::AbandonedWindow => self.batch(),
        };
        if scenario == Scenario::SlowMapper {
            self.system.kill_9(Service::Mapper);
        }
        if self.victim != Service::Api {
            self.system.kill_9(self.victim);
            self.system.submit(batch);
            self.spoil(scenario);
            return None;
        }
        if scenario == Scenario::Scheduled {
            self.system.submit(batch);
            self.system.kill_9(self.victim);
            self.spoil(scenario);
            return None;
        }
        self.system.kill_9(self.victim);
        self.spoil(scenario);
        Some(batch)
    }

    fn spoil(&mut self, scenario: Scenario) {
        let topic = || self.victim.topic();
        match scenario {
            Scenario::Batch | Scenario::Scheduled | Scenario::SlowMapper => {}
            Scenario::Lost => self.system.execute("DELETE FROM outbox WHERE kind = 1"),
            Scenario::KafkaAway => {
                self.system.options.api_brokers = Some("127.0.0.1:1".to_owned());
                let short = (Service::Api, "kafka.message_timeout".to_owned(), "1s".to_owned());
                self.system.options.settings.push(short);
            }
            Scenario::Poison => self.system.kafka.produce_bytes(topic(), "poison", b"no protobuf".to_vec()),
            Scenario::UnknownBatch => {
                let news = news_of_a_payment(unknown_batch());
                self.system.kafka.produce_bytes(topic(), &news.key(), news.encode());
            }
            Scenario::UnrenderableFile => {
                self.dies_on_the_way_at("file.close.after");
                self.system.execute("UPDATE outgoing_files SET line_count = line_count + 1 WHERE state = 2");
            }
            Scenario::BrokenDelivery => self.dies_on_the_way_at("file.put.link.before"),
            Scenario::AbandonedWindow => {
                // A process begins with one payment alone; its windows grow.
                self.dies_on_the_way_at("rail.send.after:6");
                self.dies_on_the_way_at("rail.send.before:2");
                self.end_leases();
            }
            Scenario::BrokenResponse => {
                let name = format!("nonsense-{}.csv", Uuid::new_v4().simple());
                // Its content is its name: what was set aside once is known by its content.
                std::fs::write(self.system.path("bank/incoming").join(&name), &name).expect("the bank's folder");
            }
            Scenario::PutThatDoesNothing => {
                let elsewhere = tempfile::tempdir_in(OTHER_FILE_SYSTEM).expect("a second file system");
                let writing = self.system.path("bank/outgoing/.writing");
                move_files(&writing, elsewhere.path());
                std::fs::remove_dir(&writing).expect("an empty folder");
                std::os::unix::fs::symlink(elsewhere.path(), &writing).expect("a link");
                self.elsewhere = Some(elsewhere);
            }
        }
    }

    /// Every service has a relay, and each would take what is due: where the victim's shall, the others freeze.
    fn others_to_pause(&self, scenario: Scenario) -> impl Iterator<Item = Service> + use<> {
        let (victim, wanted) = (self.victim, matches!(scenario, Scenario::Scheduled | Scenario::KafkaAway));
        Service::BRIDGE.into_iter().filter(move |service| wanted && *service != victim)
    }

    fn pause_others(&self, scenario: Scenario) {
        self.others_to_pause(scenario).for_each(|service| self.system.pause(service));
        if scenario == Scenario::Scheduled {
            let not_due = "SELECT count(*)::text AS value FROM outbox WHERE kind = 1 AND due_at > now()";
            self.system.wait_for_value("the schedule's time", not_due, "0");
        }
    }

    fn resume_others(&self, scenario: Scenario) {
        self.others_to_pause(scenario).for_each(|service| self.system.resume(service));
    }

    /// An earlier death, which leaves what the scenario needs.
    fn dies_on_the_way_at(&mut self, point: &str) {
        let logged = self.system.log(self.victim).len();
        self.system.launch_with(self.victim, &[(VARIABLE, point)]);
        self.wait_for_death(point, Scenario::Batch, logged);
    }

    fn wait_for_death(&mut self, point: &str, scenario: Scenario, logged: usize) {
        let deadline = Instant::now() + PATIENCE;
        let died = loop {
            if let Some(how) = self.system.ended_within(self.victim, LOOK) {
                break how;
            }
            let name = self.victim.name();
            assert!(Instant::now() < deadline, "{name} did not come to {point}: {}", self.said(logged, point));
            match scenario {
                Scenario::KafkaAway => self.system.execute("UPDATE outbox SET due_at = now() WHERE due_at > now()"),
                Scenario::Lost | Scenario::SlowMapper => self.system.execute("UPDATE batch_sweeps SET due_at = now()"),
                Scenario::Batch
                | Scenario::Scheduled
                | Scenario::Poison
                | Scenario::UnrenderableFile
                | Scenario::PutThatDoesNothing
                | Scenario::BrokenDelivery
                | Scenario::BrokenResponse
                | Scenario::UnknownBatch
                | Scenario::AbandonedWindow => {}
            }
        };
        let said = self.said(logged, point);
        assert_eq!(said, "armed and reached", "{} ended ({died}), but not at {point}", self.victim.name());
        assert!(died.contains("SIGABRT"), "{} died at {point} of something else: {died}", self.victim.name());
    }

    /// What the victim said about the point since its log had this length.
    fn said(&self, logged: usize, point: &str) -> &'static str {
        let point = point.split(':').next().unwrap_or_default();
        let log = self.system.log(self.victim);
        let since = log.get(logged..).unwrap_or_default();
        let says = |word: &str| since.lines().any(|line| line == format!("crash point {point} {word}"));
        match (says("armed"), says("reached")) {
            (true, true) => "armed and reached",
            (true, false) => "armed and not reached",
            (false, _) => "not armed: build the services with --features gctb-runtime/crash-points",
        }
    }

    /// Takes the obstacle away: what an operator repairs, or what comes back by itself.
    fn clear(&mut self, scenario: Scenario) {
        match scenario {
            Scenario::KafkaAway => {
                self.system.options.api_brokers = None;
                self.system.options.settings.pop();
            }
            Scenario::UnrenderableFile => {
                self.system.execute("UPDATE outgoing_files SET line_count = line_count - 1 WHERE state = 2");
            }
            Scenario::PutThatDoesNothing => {
                let writing = self.system.path("bank/outgoing/.writing");
                std::fs::remove_file(&writing).expect("the link");
                std::fs::create_dir(&writing).expect("a folder");
                if let Some(elsewhere) = self.elsewhere.take() {
                    move_files(elsewhere.path(), &writing);
                }
            }
            Scenario::SlowMapper => self.system.start_service(Service::Mapper),
            Scenario::Batch
            | Scenario::Scheduled
            | Scenario::Poison
            | Scenario::BrokenDelivery
            | Scenario::BrokenResponse
            | Scenario::UnknownBatch
            | Scenario::Lost
            | Scenario::AbandonedWindow => {}
        }
    }
}

/// One of every kind of bad disbursement: refused at once, by the mapper, by the backend, and by the rail, which says the same about
/// some numbers each time (docs/simulator.md, "Reserved numbers").
fn bad_for(rail: Rail, number: u64) -> Vec<Item> {
    let twice = Uuid::new_v4().to_string();
    let ending = |four: &str, code| {
        let payee_fa = format!("phone:+2547{:04}{four}", number % 10_000);
        Item { payee_fa, amount: "100.00".to_owned(), fate: Fate::Refused(code), ..Item::to_account() }
    };
    let mut bad = match rail {
        Rail::Simple => Vec::new(),
        Rail::Daraja => vec![
            Item { amount: "100.00".to_owned(), ..Item::to_closed_account() },
            Item { payee_fa: rail.address(999_999), ..Item::of_amount("150.50") },
            ending("0040", "rjct.payee_fa.invalid"),
        ],
        Rail::Mojaloop => vec![
            ending("0204", "rjct.payee_fa.invalid"),
            ending("0515", "rjct.payment.failed"),
            // Not for good: it is tried as often as the settings say.
            ending("0501", "rjct.payment.failed"),
        ],
    };
    bad.extend([
        Item::to_unknown_id(),
        Item::to_odd_address(),
        Item::of_amount("0"),
        Item::of_amount("10.505"),
        Item::of_amount("ten"),
        Item::in_unknown_currency(),
        Item::under_duplicated_reference(&twice),
        Item::under_duplicated_reference(&twice),
    ]);
    bad
}

fn in_a_second(batch: Batch) -> Batch {
    Batch { items: batch.items.into_iter().map(|item: Item| item.in_seconds(1)).collect(), ..batch }
}

/// Over the border of a file system, where a rename does not go.
fn move_files(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        std::fs::copy(&path, to.join(name)).expect("a copy");
        std::fs::remove_file(&path).expect("the original goes");
    }
}
