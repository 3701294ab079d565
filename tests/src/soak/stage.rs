//! The bridge of one seed with all that a soak does to it: faults are begun, and mended when their time is over.
//!
//! It must not know what has to hold afterwards.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use gctb_events::Topic;
use serde_json::json;

use super::fault::Fault;
use super::kafka_server::KafkaServer;
use super::lines;
use super::plan::{Plan, routes};
use crate::bank::Bank;
use crate::batch::{Batch, Fate};
use crate::consumer::Consumer;
use crate::crash_points;
use crate::process::Process;
use crate::service::Service;
use crate::system::{Options, System};

/// What nobody can read.
pub(super) const POISON: &[u8] = b"Nyambura's garbage is no protobuf";

/// How a fault ends.
#[derive(Debug)]
enum Mend {
    Resume(Service),
    Line(Service),
    AllLines,
    Kafka,
    Mapper,
    BankGoesOn,
    BankTellsTheTruth,
    Folder,
    Release(usize),
    Replica(usize),
    Disarm,
}

/// A service that was started with a crash point.
#[derive(Debug)]
struct Armed {
    service: Service,
    point: String,
    is_frozen: bool,
}

/// What has gone wrong that changes what may be found afterwards.
#[derive(Debug, Default)]
pub(super) struct Happened {
    /// Batches that were cancelled at some time.
    pub(super) cancelled: BTreeSet<usize>,
    /// Batches some of whose people the mapper did not know for a while.
    pub(super) forgotten: BTreeSet<usize>,
    /// What the bank said instead of the plain truth.
    pub(super) answers: BTreeSet<&'static str>,
    /// Topics that got a message nobody can read.
    pub(super) poisoned: Vec<Consumer>,
    /// Whether the simulator died: its switches are then as at its start, and it may answer twice.
    pub(super) bank_died: bool,
    /// What did not happen though it was drawn, and which crash points were reached.
    pub(super) notes: Vec<String>,
}

/// The bridge of one seed.
pub(super) struct Stage {
    /// The bridge.
    pub(super) system: System,
    /// What was drawn.
    pub(super) plan: Plan,
    /// What has gone wrong.
    pub(super) happened: Happened,
    /// The bank of the second backend.
    pub(super) second_bank: Option<Bank>,
    second_bank_process: Option<Process>,
    replicas: Vec<Option<Process>>,
    mends: Vec<(Instant, Mend)>,
    armed: Option<Armed>,
    kafka: KafkaServer,
    routes_have_changed: bool,
}

impl Stage {
    /// Everything runs; None, and the test counted as skipped, without the servers.
    pub(super) fn set(name: &str, plan: Plan) -> Option<Self> {
        let options = Options {
            second_backend: plan.two_backends,
            more_routes: routes(plan.two_backends, false),
            ..Options::default()
        };
        let mut system = System::prepare(name, options)?;
        for service in lines::services() {
            lines::mend(service);
            let url = lines::url_through(service, system.database.url());
            system.options.settings.push((service, "database.url".to_owned(), url));
        }
        for service in Service::CONSUMERS.into_iter().chain([Service::BackendFilebis]) {
            let short = ("kafka.session_timeout".to_owned(), "3s".to_owned());
            system.options.settings.push((service, short.0, short.1));
        }
        let mut stage = Self {
            system,
            plan,
            happened: Happened::default(),
            second_bank: None,
            second_bank_process: None,
            replicas: Vec::new(),
            mends: Vec::new(),
            armed: None,
            kafka: KafkaServer::of_the_environment(),
            routes_have_changed: false,
        };
        stage.open_second_bank();
        stage.system.start_all();
        for service in stage.plan.twins.clone() {
            stage.add_replica(service);
        }
        Some(stage)
    }

    fn open_second_bank(&mut self) {
        if self.plan.two_backends {
            let (address, process) = self.system.start_bank("bank-filebis");
            self.second_bank = Some(Bank::at(&address));
            self.second_bank_process = Some(process);
        }
    }

    fn add_replica(&mut self, service: Service) -> usize {
        let number = self.replicas.len();
        let name = format!("{}-replica-{number}", service.name());
        self.replicas.push(Some(self.system.start_replica(service, &name)));
        number
    }

    /// Ends every replica of a service but the first, as a deployment that is scaled down.
    pub(super) fn end_replicas(&mut self) {
        self.replicas.clear();
    }

    /// Starts a service that is not running. One that needs the bank's folder finds it as it should be.
    fn launch(&mut self, service: Service) {
        if service == Service::BackendFile {
            self.folder_takes_files();
        }
        self.system.launch(service);
        if service == Service::Simulator {
            self.system.wait_until_ready(service);
            self.happened.bank_died = true;
        }
    }

    fn kill(&mut self, service: Service) {
        if self.armed.as_ref().is_some_and(|armed| armed.service == service) {
            self.note_armed();
        }
        self.system.kill_9(service);
    }

    /// Asks a service to end, also one that is frozen.
    fn end(&mut self, service: Service) {
        if self.armed.as_ref().is_some_and(|armed| armed.service == service) {
            self.kill(service);
        } else {
            self.system.resume(service);
            self.system.stop(service);
        }
    }

    fn mend_after(&mut self, lasts: Duration, mend: Mend) {
        self.mends.push((Instant::now() + lasts, mend));
    }

    /// Whether something is broken now.
    pub(super) fn is_whole(&self) -> bool {
        self.mends.is_empty()
    }

    /// Begins a fault.
    pub(super) fn begin(&mut self, fault: Fault) {
        match fault {
            Fault::Kill(service) => {
                self.kill(service);
                self.launch(service);
            }
            Fault::KillEverything => self.kill_everything(),
            Fault::CrashPoint { service, which, nth, is_frozen, lasts } => {
                self.arm(service, which, nth, is_frozen, lasts);
            }
            Fault::Freeze(service, lasts) => {
                self.system.pause(service);
                self.mend_after(lasts, Mend::Resume(service));
            }
            Fault::FreezeAndCut(service, lasts) => {
                self.system.pause(service);
                lines::cut(service);
                lines::mend(service);
                self.mend_after(lasts, Mend::Resume(service));
            }
            Fault::ReplicaComesAndGoes(service, lasts) => {
                let number = self.add_replica(service);
                self.mend_after(lasts, Mend::Replica(number));
            }
            Fault::Replay(feed) => self.replay(feed),
            Fault::TopicRemade(feed) => {
                self.kafka.thaw();
                self.system.kafka.delete(&[topic(feed)]);
                self.system.kafka.apply();
            }
            Fault::Poison(feed) => {
                self.kafka.thaw();
                self.system.kafka.produce_bytes(feed.topic(), "poison", POISON.to_vec());
                self.happened.poisoned.push(feed);
            }
            Fault::LineCut(service, lasts) => {
                lines::cut(service);
                self.mend_after(lasts, Mend::Line(service));
            }
            Fault::AllLinesCut(lasts) => {
                lines::services().for_each(lines::cut);
                self.mend_after(lasts, Mend::AllLines);
            }
            Fault::KafkaFrozen(lasts) => {
                if self.kafka.freeze() {
                    self.mend_after(lasts, Mend::Kafka);
                } else {
                    self.happened.notes.push("Kafka is not ours to freeze".to_owned());
                }
            }
            Fault::Mapper(mode, lasts) => {
                self.system.bank().mapper(&json!({ "mode": mode }));
                self.mend_after(lasts, Mend::Mapper);
            }
            Fault::MapperMoves => self.system.bank().mapper(&json!({ "salt": "everybody has moved" })),
            Fault::MapperForgets(lasts) => {
                self.mapper_forgets();
                self.mend_after(lasts, Mend::Mapper);
            }
            Fault::BankPaused(lasts) => {
                self.system.bank().pause(true);
                self.mend_after(lasts, Mend::BankGoesOn);
            }
            Fault::BankAnswers(how, lasts) => {
                self.system.bank().respond(how);
                self.happened.answers.insert(how);
                self.mend_after(lasts, Mend::BankTellsTheTruth);
            }
            Fault::FolderRefuses(lasts) => {
                self.folder_refuses();
                self.mend_after(lasts, Mend::Folder);
            }
            Fault::RoutesChange => self.change_routes(),
            Fault::Held(batch, lasts) => {
                self.control(batch, 2);
                self.mend_after(lasts, Mend::Release(batch));
            }
            Fault::Cancelled(batch) => {
                self.control(batch, 3);
                self.happened.cancelled.insert(batch);
            }
        }
    }

    /// Mends what has lasted long enough, or everything; and starts again what died at its crash point.
    pub(super) fn mend(&mut self, all_at_once: bool) {
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.mends).into_iter().partition(|(at, _)| all_at_once || *at <= now);
        self.mends = later;
        let due: Vec<(Instant, Mend)> = due;
        for (_, mend) in due {
            self.undo(mend);
        }
        let dead = self.armed.as_ref().filter(|armed| !armed.is_frozen).map(|armed| armed.service);
        if let Some(service) = dead.filter(|service| !self.system.is_running(*service)) {
            self.kill(service);
            self.launch(service);
        }
    }

    fn undo(&mut self, mend: Mend) {
        match mend {
            Mend::Resume(service) => self.system.resume(service),
            Mend::Line(service) => lines::mend(service),
            Mend::AllLines => lines::services().for_each(lines::mend),
            Mend::Kafka => self.kafka.thaw(),
            Mend::Mapper => self.system.bank().mapper(&json!({ "mode": "normal", "overrides": {} })),
            Mend::BankGoesOn => self.system.bank().pause(false),
            Mend::BankTellsTheTruth => {
                self.system.bank().respond("all");
                self.system.bank().respond_rest();
            }
            Mend::Folder => self.folder_takes_files(),
            Mend::Release(batch) => self.release(batch),
            Mend::Replica(number) => self.replicas[number] = None,
            Mend::Disarm => self.disarm(),
        }
    }

    fn kill_everything(&mut self) {
        let services = [Service::BRIDGE.as_slice(), &[Service::Simulator]].concat();
        for service in &services {
            self.kill(*service);
        }
        for service in services.into_iter().rev() {
            self.launch(service);
        }
    }

    fn arm(&mut self, service: Service, which: u64, nth: u64, is_frozen: bool, lasts: Duration) {
        let points = points_of(service);
        if points.is_empty() || self.armed.is_some() {
            self.happened.notes.push("one crash point at a time".to_owned());
            return;
        }
        let point = points[(which % points.len() as u64) as usize].clone();
        // Who is asked to end gives its partitions back at once, so that the armed one soon has work.
        self.end(service);
        if service == Service::BackendFile {
            self.folder_takes_files();
        }
        let armed = format!("{point}:{nth}:{}", if is_frozen { "freeze" } else { "kill" });
        self.system.launch_with(service, &[(crash_points::VARIABLE, &armed)]);
        self.armed = Some(Armed { service, point, is_frozen });
        self.mend_after(lasts, Mend::Disarm);
    }

    /// Whoever froze at his point wakes up and goes on; whoever did not come to it is started again without it.
    fn disarm(&mut self) {
        let Some(armed) = &self.armed else { return };
        let (service, is_frozen) = (armed.service, armed.is_frozen);
        if self.note_armed() && is_frozen {
            self.system.resume(service);
        } else {
            self.system.kill_9(service);
            self.launch(service);
        }
    }

    /// Whether the crash point of the armed service was reached; from then on nobody is armed.
    fn note_armed(&mut self) -> bool {
        let Some(Armed { service, point, .. }) = self.armed.take() else { return false };
        let is_reached = self.system.log(service).contains(&format!("crash point {point} reached"));
        self.happened.notes.push(format!("{point}{}", if is_reached { "" } else { " not reached" }));
        is_reached
    }

    fn replay(&mut self, feed: Consumer) {
        self.kafka.thaw();
        let reader = feed.service();
        let twins = self.replicas.len();
        self.end_replicas();
        self.end(reader);
        self.system.kafka.replay(&feed.group(&self.system), feed.topic());
        self.launch(reader);
        if twins > 0 {
            for service in self.plan.twins.clone() {
                self.add_replica(service);
            }
        }
    }

    fn change_routes(&mut self) {
        self.routes_have_changed = !self.routes_have_changed;
        self.system.options.more_routes = routes(self.plan.two_backends, self.routes_have_changed);
        self.kill(Service::Mapper);
        self.launch(Service::Mapper);
    }

    /// The mapper forgets every second payee who is given by an id.
    fn mapper_forgets(&mut self) {
        let is_good_id = |item: &&crate::batch::Item| item.fate == Fate::Paid && item.payee_fa.starts_with("token:");
        let ids = self.plan.batches.iter().flat_map(|batch| batch.items.iter().filter(is_good_id));
        let forgotten: serde_json::Map<_, _> =
            ids.step_by(2).map(|item| (item.payee_fa.clone(), serde_json::Value::Null)).collect();
        self.system.bank().mapper(&json!({ "overrides": forgotten }));
        self.happened.forgotten.extend(0..self.plan.batches.len());
    }

    /// A file where the folder for unfinished files was: what must be written there cannot be.
    fn folder_refuses(&self) {
        let (place, away) = self.writing();
        if std::fs::rename(&place, &away).is_ok() {
            std::fs::write(&place, b"").expect("a file in the bank's folder");
        }
    }

    fn folder_takes_files(&self) {
        let (place, away) = self.writing();
        if away.exists() {
            std::fs::remove_file(&place).expect("the file that is in the way");
            std::fs::rename(&away, &place).expect("the folder goes back to its place");
        }
    }

    fn writing(&self) -> (PathBuf, PathBuf) {
        let outgoing = self.system.path("bank/outgoing");
        (outgoing.join(".writing"), outgoing.join(".writing-away"))
    }

    /// Sets the control row of a batch, and lets the sweeper look at it, as the database's own verb does.
    fn control(&self, batch: usize, state: u8) {
        let transaction_id = transaction_id(&self.plan.batches[batch]);
        self.system.execute(&format!(
            "WITH chosen AS (UPDATE batch_controls c SET state = {state}, changed_at = now() FROM batches b
                             WHERE b.batch_id = c.batch_id AND b.transaction_id = '{transaction_id}' RETURNING c.batch_id)
             UPDATE batch_sweeps s SET due_at = now() FROM chosen WHERE chosen.batch_id = s.batch_id"
        ));
    }

    fn release(&self, batch: usize) {
        if !self.happened.cancelled.contains(&batch) {
            self.control(batch, 1);
        }
    }

    /// The services that have ended though nobody ended them.
    pub(super) fn ended(&mut self) -> Vec<&'static str> {
        let servers = Service::BRIDGE.into_iter().chain([Service::Simulator]);
        servers.filter(|service| !self.system.is_running(*service)).map(Service::name).collect()
    }

    /// The banks' folders.
    pub(super) fn bank_folders(&self) -> Vec<PathBuf> {
        let second = self.second_bank.as_ref().map(|_| "bank-filebis");
        [Some("bank"), second].into_iter().flatten().map(|folder| self.system.path(folder)).collect()
    }
}

/// The points that a service passes with a batch in hand, each four times, and once those that need more than that.
fn points_of(service: Service) -> Vec<String> {
    let steps =
        crash_points::steps().into_iter().filter(|step| step.services.iter().any(|name| name == service.program()));
    let times = |scenario| if scenario == crash_points::Scenario::Batch { 4 } else { 1 };
    steps.flat_map(|step| step.points().into_iter().flat_map(move |point| vec![point; times(step.scenario)])).collect()
}

/// The topic that is read.
///
/// # Panics
/// Never: every consumer reads a topic of the bridge.
pub(super) fn topic(read: Consumer) -> Topic {
    Topic::from_name(read.topic()).expect("a topic of the bridge")
}

/// The transaction of a batch of a plan.
pub(super) fn transaction_id(batch: &Batch) -> &str {
    batch.transaction_id.as_deref().unwrap_or_default()
}
