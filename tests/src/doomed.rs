//! A bridge of which one service dies at crash points, one after the other, with work in hand.
//!
//! After each death the service is started again, the harness plays the operator, and all witnesses are asked: see
//! [`Doomed::dies_at`]. What would only take time is hurried: a restarted member of a consumer group is known by its name, and
//! what is due in some seconds is made due now.

use std::path::Path;
use std::time::{Duration, Instant};

use gctb_events::Event;
use tempfile::TempDir;
use uuid::Uuid;

use crate::batch::{Batch, Item};
use crate::crash_points::{Scenario, VARIABLE};
use crate::equation::assert_all_ended;
use crate::news::{news_of_a_payment, unknown_batch};
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
}

impl Doomed {
    /// Starts everything. None, and the test counted as skipped, without the servers.
    pub fn start(test: &str, victim: Service) -> Option<Self> {
        let set = |service, key: &str, value: &str| (service, key.to_owned(), value.to_owned());
        let mut settings: Vec<(Service, String, String)> = vec![
            set(Service::BackendFile, "files.recover_after", "0s"),
            set(Service::Status, "sweep.resend_after", "1s"),
            set(Service::Status, "sweep.settle", "100ms"),
        ];
        // A static member that comes back takes its partitions at once.
        settings
            .extend(Service::CONSUMERS.map(|service| set(service, "kafka.extra.group_instance_id", service.name())));
        let system = System::start(test, Options { settings, ..Options::default() })?;
        Some(Self { system, victim, elsewhere: None })
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

    /// Stops the victim, and leaves work for it. What gctb-api shall get is given back, to be posted when it runs again.
    fn put_in_hand(&mut self, scenario: Scenario) -> Option<Batch> {
        let batch = match scenario {
            Scenario::Scheduled | Scenario::Lost => in_a_second(Batch::mixed(PAYABLE)),
            Scenario::Batch
            | Scenario::KafkaAway
            | Scenario::Poison
            | Scenario::UnrenderableFile
            | Scenario::PutThatDoesNothing
            | Scenario::BrokenDelivery
            | Scenario::BrokenResponse
            | Scenario::UnknownBatch
            | Scenario::SlowMapper => Batch::mixed(PAYABLE),
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
                | Scenario::UnknownBatch => {}
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
            | Scenario::Lost => {}
        }
    }
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
