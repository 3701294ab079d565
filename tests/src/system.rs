//! A whole bridge of one test's own: a database, fresh topics, a bank, and the services as processes.
//!
//! Kafka's topics have one name each, so that one system runs at a time; tests wait for each other.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gctb_testkit::{TestDatabase, eventually_within};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use crate::bank::Bank;
use crate::batch::{Batch, SENDER, header};
use crate::http;
use crate::kafka::Kafka;
use crate::process::{Process, free_port, program};
use crate::rails::Rail;
use crate::service::Service;
use crate::traces::Traces;

/// What a condition may take at most. Two cores are shared with whatever else is built and tested.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Lines of each log that are shown when a test fails.
const LOG_TAIL: usize = 25;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What a test wants otherwise.
#[derive(Clone, Debug)]
pub struct Options {
    /// Deploys the second file backend, `filebis`, as well.
    pub second_backend: bool,
    /// Starts a second replica of the file backend.
    pub second_replica: bool,
    /// Deploys the backend of this rail that is called, as two replicas if `second_replica` is set.
    pub rail: Option<Rail>,
    /// The backend that every address is routed to.
    pub route_to: &'static str,
    /// Routes that are tried before, as the mapper's settings file has them.
    pub more_routes: String,
    /// Where traces go.
    pub otlp_endpoint: Option<String>,
    /// Which Kafka gctb-api is told of, if not the true one.
    pub api_brokers: Option<String>,
    /// Which Postgres gctb-api is told of, if not the true one.
    pub api_database_url: Option<String>,
    /// What is logged.
    pub log_filter: &'static str,
    /// More settings: service, key, value.
    pub settings: Vec<(Service, String, String)>,
}

impl Options {
    fn deploys(&self, service: Service) -> bool {
        match service {
            Service::BackendFilebis => self.second_backend,
            Service::BackendFileTwin => self.second_replica && self.rail.is_none(),
            Service::BackendMpesa | Service::BackendMojaloop => self.rail.is_some_and(|rail| rail.service() == service),
            Service::BackendMpesaTwin | Service::BackendMojaloopTwin => {
                self.second_replica && self.rail.is_some_and(|rail| rail.twin() == service)
            }
            Service::Simulator | Service::Status | Service::Mapper | Service::BackendFile | Service::Api => true,
        }
    }
}

impl Options {
    /// Time-outs of seconds, so that an outage can outlast all of them.
    pub fn impatient() -> Self {
        let settings = [
            ("kafka.message_timeout", "2s"),
            ("kafka.request_timeout", "2s"),
            ("kafka.extra.socket_timeout_ms", "3000"),
            ("kafka.extra.topic_metadata_refresh_interval_ms", "1000"),
            ("database.connect_timeout", "1s"),
            ("database.statement_timeout", "5s"),
            ("database.silence_timeout", "4s"),
        ];
        let of_service = |service: Service| settings.map(|(key, value)| (service, key.to_owned(), value.to_owned()));
        let services = Service::ALL.into_iter().filter(|service| *service != Service::Simulator);
        Self { settings: services.flat_map(of_service).collect(), ..Self::default() }
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            second_backend: false,
            second_replica: false,
            rail: None,
            route_to: "file",
            more_routes: String::new(),
            otlp_endpoint: None,
            api_brokers: None,
            api_database_url: None,
            log_filter: "info",
            settings: Vec::new(),
        }
    }
}

/// A batch that was acknowledged.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its transaction, as the answer names it.
    pub transaction_id: String,
    /// What was sent.
    pub batch: Batch,
}

/// What services are pointed at.
pub(crate) struct World<'a> {
    pub(crate) brokers: &'a str,
    pub(crate) database_url: &'a str,
    ports: &'a BTreeMap<Service, u16>,
    callback_ports: &'a BTreeMap<Service, u16>,
    run: &'a str,
    folder: &'a str,
}

impl World<'_> {
    pub(crate) fn address(&self, service: Service) -> String {
        format!("127.0.0.1:{}", self.ports[&service])
    }

    /// Where a backend listens for callbacks.
    pub(crate) fn callbacks(&self, service: Service) -> String {
        format!("127.0.0.1:{}", self.callback_ports[&service])
    }

    pub(crate) fn group(&self, service: Service) -> String {
        // Replicas share the group of the first.
        let first = service.first_replica();
        format!("{}-{}", first.name(), self.run)
    }

    /// The second group of gctb-mapper.
    pub(crate) fn resolver_group(&self) -> String {
        format!("{}-resolve", self.group(Service::Mapper))
    }

    pub(crate) fn folder(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

/// A running bridge.
pub struct System {
    processes: BTreeMap<Service, Process>,
    /// What services are started with from now on.
    pub options: Options,
    /// The database.
    pub database: TestDatabase,
    /// Kafka.
    pub kafka: Kafka,
    /// Acknowledged batches, in order.
    pub sent: Vec<Sent>,
    brokers: String,
    ports: BTreeMap<Service, u16>,
    callback_ports: BTreeMap<Service, u16>,
    run: String,
    folder: TempDir,
    _one_at_a_time: MutexGuard<'static, ()>,
}

impl System {
    /// Starts everything, and returns when all is ready. None, and the test counted as skipped, without the servers.
    pub fn start(test: &str, options: Options) -> Option<Self> {
        let mut system = Self::prepare(test, options)?;
        system.start_all();
        Some(system)
    }

    /// [`System::start`] with nothing running yet.
    pub fn prepare(test: &str, options: Options) -> Option<Self> {
        let brokers = gctb_testkit::kafka(test)?;
        let database = gctb_testkit::database(test)?;
        Some(Self::prepare_on(options, &brokers, &brokers, database))
    }

    /// [`System::prepare`] on servers of the test's own: the services are told of `brokers`, the test itself uses
    /// `own_brokers`.
    pub fn prepare_on(options: Options, brokers: &str, own_brokers: &str, database: TestDatabase) -> Self {
        let one_at_a_time = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let kafka = Kafka::at(own_brokers);
        kafka.start_afresh();
        let folder = tempfile::Builder::new().prefix("gctb-system-").tempdir().expect("a folder");
        for shared in
            ["bank", "bank-filebis"].iter().flat_map(|bank| [format!("{bank}/outgoing"), format!("{bank}/incoming")])
        {
            std::fs::create_dir_all(folder.path().join(shared)).expect("the folders that a bank shares");
        }
        Self {
            processes: BTreeMap::new(),
            options,
            database,
            kafka,
            sent: Vec::new(),
            brokers: brokers.to_owned(),
            ports: Service::ALL.into_iter().map(|service| (service, free_port())).collect(),
            callback_ports: Service::ALL.into_iter().map(|service| (service, free_port())).collect(),
            run: Uuid::new_v4().simple().to_string()[..8].to_owned(),
            folder,
            _one_at_a_time: one_at_a_time,
        }
    }

    /// What runs.
    pub fn services(&self) -> Vec<Service> {
        self.processes.keys().copied().collect()
    }

    /// Starts what is not running, all at once, and waits until it is ready.
    pub fn start_all(&mut self) {
        let wanted = Service::ALL.into_iter().filter(|service| self.options.deploys(*service));
        let mut missing: Vec<Service> = wanted.filter(|service| !self.processes.contains_key(service)).collect();
        // Before all others, which are set up with what it gives out: Daraja's certificate.
        missing.extract_if(.., |service| *service == Service::Simulator).for_each(|first| self.start_service(first));
        for service in &missing {
            self.launch(*service);
        }
        for service in missing {
            self.wait_until_ready(service);
        }
    }

    /// Starts a service, and returns when it is ready.
    pub fn start_service(&mut self, service: Service) {
        self.launch(service);
        self.wait_until_ready(service);
    }

    /// Starts a service without waiting for it.
    ///
    /// # Panics
    /// Where it runs already.
    pub fn launch(&mut self, service: Service) {
        self.launch_with(service, &[]);
    }

    /// [`System::launch`] with more environment variables.
    ///
    /// # Panics
    /// Where it runs already.
    pub fn launch_with(&mut self, service: Service, more: &[(&str, &str)]) {
        assert!(!self.processes.contains_key(&service), "{} runs already", service.name());
        let world = self.world();
        let mut environment = service.environment(&world, &self.options);
        environment.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let args = self.settings_file(service, service.name());
        let process = Process::start(&program(service.program()), &args, &environment, &self.log_path(service));
        self.processes.insert(service, process);
    }

    /// The arguments that name the settings file of a service; it is written under `name`. None where there is none.
    pub(crate) fn settings_file(&self, service: Service, name: &str) -> Vec<String> {
        let Some(text) = service.file(&self.options) else { return Vec::new() };
        let path = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&path, text).expect("a settings file");
        vec!["--config".to_owned(), path.display().to_string()]
    }

    /// Gives every consumer group a new name, for what is started from now on.
    pub fn rename_groups(&mut self) {
        self.run = Uuid::new_v4().simple().to_string()[..8].to_owned();
    }

    /// Starts one more simulator, for a bank that works in `folder`; its address, when it is ready.
    pub fn start_bank(&self, folder: &str) -> (String, Process) {
        let address = format!("127.0.0.1:{}", free_port());
        let mut environment = Service::Simulator.environment(&self.world(), &self.options);
        let setting = |key: &str, value: String| (format!("GCTB_SIMULATOR__{key}"), value);
        environment.push(setting("BIND", address.clone()));
        environment.push(setting("BANK_ROOT", self.world().folder(folder)));
        environment.push(setting("BOOK", self.world().folder(&format!("{folder}.jsonl"))));
        let log = self.path(&format!("{folder}.log"));
        let process = Process::start(&program("gctb-simulator"), &[], &environment, &log);
        let ready = || http::page(&format!("http://{address}{}", Service::Simulator.ready_path())).ok();
        eventually_within(PATIENCE, "one more bank", ready);
        (address, process)
    }

    /// Returns when the service says that it can work.
    ///
    /// # Panics
    /// Where it ends or takes too long.
    pub fn wait_until_ready(&mut self, service: Service) {
        let url = self.url(service, service.ready_path());
        let process = self.processes.get_mut(&service).expect("it was started");
        let deadline = Instant::now() + PATIENCE;
        while let Err(says) = http::page(&url) {
            if let Some(how) = process.has_ended() {
                panic!("{} ended at its start: {how}", service.name());
            }
            assert!(Instant::now() < deadline, "{} is not ready after {PATIENCE:?}: {says}", service.name());
            // The pause between two looks.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Ends a service at once.
    pub fn kill_9(&mut self, service: Service) {
        self.take(service).kill_9();
    }

    /// Waits until a service has ended by itself, and says how; None where it still runs after `patience`.
    pub fn ended_within(&mut self, service: Service, patience: Duration) -> Option<String> {
        let how = self.processes.get_mut(&service).and_then(|process| process.ended_within(patience))?;
        self.processes.remove(&service);
        Some(how)
    }

    /// Asks a service to end, and waits until it has.
    ///
    /// # Panics
    /// Where it ends with an error.
    pub fn stop(&mut self, service: Service) {
        let how = self.take(service).terminate();
        assert!(how.ends_with(" 0"), "{} was asked to end: {how}", service.name());
    }

    /// Freezes a service.
    pub fn pause(&self, service: Service) {
        self.processes[&service].signal("STOP");
    }

    /// Lets a frozen service go on.
    pub fn resume(&self, service: Service) {
        self.processes[&service].signal("CONT");
    }

    /// Whether it stands still, after SIGSTOP or at a crash point.
    pub fn is_frozen(&self, service: Service) -> bool {
        self.processes.get(&service).is_some_and(Process::is_stopped)
    }

    /// Whether it still runs.
    pub fn is_running(&mut self, service: Service) -> bool {
        self.processes.get_mut(&service).is_some_and(|process| process.has_ended().is_none())
    }

    fn take(&mut self, service: Service) -> Process {
        self.processes.remove(&service).unwrap_or_else(|| panic!("{} does not run", service.name()))
    }

    pub(crate) fn world(&self) -> World<'_> {
        World {
            brokers: &self.brokers,
            database_url: self.database.url(),
            ports: &self.ports,
            callback_ports: &self.callback_ports,
            run: &self.run,
            folder: self.folder.path().to_str().expect("a path of UTF-8"),
        }
    }

    /// The consumer group of gctb-mapper that reads `gctb.resolve`.
    pub fn resolver_group(&self) -> String {
        self.world().resolver_group()
    }

    /// The consumer group of a service of this system, for gctb-mapper the one that reads `gctb.batches`.
    pub fn group(&self, service: Service) -> String {
        self.world().group(service)
    }

    /// A folder or file of this system.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A page of a service.
    pub fn url(&self, service: Service, path: &str) -> String {
        format!("http://{}{path}", self.world().address(service))
    }

    /// The simulated bank and mapper.
    pub fn bank(&self) -> Bank {
        Bank::at(&self.world().address(Service::Simulator))
    }

    fn log_path(&self, service: Service) -> PathBuf {
        self.path(&format!("{}.log", service.name()))
    }

    /// What a service has logged.
    pub fn log(&self, service: Service) -> String {
        std::fs::read(self.log_path(service)).map(|log| String::from_utf8_lossy(&log).into_owned()).unwrap_or_default()
    }

    /// Posts a disburse message; the HTTP status and the answer.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn post(&self, batch: &Batch, headers: &[(&str, &str)]) -> reqwest::Result<(u16, Value)> {
        http::post(&self.disburse_url(), &batch.json(), headers)
    }

    /// Where disburse messages are posted.
    pub fn disburse_url(&self) -> String {
        self.url(Service::Api, "/disburse/sync/disburse")
    }

    /// Submits a batch, which must be taken.
    ///
    /// # Panics
    /// Where it is not.
    pub fn submit(&mut self, batch: Batch) -> Sent {
        self.submit_traced(batch, &[])
    }

    /// [`System::submit`] with more HTTP headers.
    ///
    /// # Panics
    /// Where it is not taken.
    pub fn submit_traced(&mut self, batch: Batch, headers: &[(&str, &str)]) -> Sent {
        let (status, answer) = self.post(&batch, headers).expect("gctb-api answers");
        assert_eq!(status, 200, "{answer}");
        self.remember(batch, &answer)
    }

    /// Takes a batch that was acknowledged up among those that were sent. The answer must name every disbursement.
    pub(crate) fn remember(&mut self, batch: Batch, answer: &Value) -> Sent {
        let items = answer["message"]["disbursements_status"].as_array().map_or(0, Vec::len);
        assert_eq!(items, batch.items.len(), "every disbursement is answered");
        let transaction_id = answer["message"]["transaction_id"].as_str().expect("a transaction_id").to_owned();
        let sent = Sent { transaction_id, batch };
        self.sent.push(sent.clone());
        sent
    }

    /// Asks for the status of a transaction, in the name of who sent it.
    ///
    /// # Errors
    /// Where nobody answers.
    pub fn status(&self, transaction_id: &str, page_size: usize) -> reqwest::Result<(u16, Value)> {
        let sent = self.sent.iter().find(|sent| sent.transaction_id == transaction_id);
        let sender = sent.map_or(SENDER, |sent| sent.batch.sender);
        let request = json!({
            "signature": "",
            "header": header(sender, "status", &Uuid::new_v4().to_string()),
            "message": {
                "transaction_id": Uuid::new_v4().to_string(),
                "txnstatus_request": {
                    "reference_id": Uuid::new_v4().to_string(),
                    "txn_type": "disburse",
                    "attribute_type": "transaction_id",
                    "attribute_value": transaction_id,
                    "pagination": { "page_size": page_size, "page_number": 1 },
                    "locale": "eng",
                },
            },
        });
        http::post(&self.url(Service::Api, "/disburse/sync/txn/status"), &request.to_string(), &[])
    }

    /// How many disbursements of a transaction are decided, by the status API; None while it does not answer.
    pub fn completed(&self, sent: &Sent) -> Option<u64> {
        let (status, answer) = self.status(&sent.transaction_id, 1).ok()?;
        let header = &answer["header"];
        (status == 200 && header["total_count"] == sent.batch.items.len())
            .then(|| header["completed_count"].as_u64())
            .flatten()
    }

    /// Returns when the status API says that nothing of any batch is in flight.
    pub fn wait_until_finished(&self) {
        for sent in &self.sent {
            let all = sent.batch.items.len() as u64;
            eventually_within(PATIENCE, "a batch of which nothing is in flight", || {
                self.completed(sent).filter(|completed| *completed == all)
            });
        }
    }

    /// Returns when this query, whose one column is called `value`, gives this text.
    pub fn wait_for_value(&self, what: &str, sql: &str, wanted: &str) {
        eventually_within(PATIENCE, what, || (self.database.value(sql) == wanted).then_some(()));
    }

    /// Returns when nothing waits in the outbox: every status is folded, every message sent.
    pub fn wait_for_an_empty_outbox(&self) {
        self.wait_for_value("an empty outbox", "SELECT count(*)::text AS value FROM outbox", "0");
    }

    /// Returns when so many ledger rows are in one of these states (numbers as in payment_ledger.state).
    pub fn wait_for_ledger(&self, states: &str, count: usize) {
        let sql = format!("SELECT count(*)::text AS value FROM payment_ledger WHERE state IN ({states})");
        self.wait_for_value(&format!("{count} ledger rows in the states {states}"), &sql, &count.to_string());
    }

    /// The sum of a metric over the lines that have all of these words; 0 where there is none or nobody answers.
    pub fn metric(&self, service: Service, name: &str, words: &[&str]) -> u64 {
        http::sum_of_metric(&http::page(&self.url(service, "/metrics")).unwrap_or_default(), name, words)
    }

    /// How many messages a consumer has handled since its start, repeats included.
    pub fn messages_handled(&self, service: Service) -> u64 {
        self.metric(service, "gctb_consumer_messages_total", &[&format!("topic=\"{}\"", service.topic())])
    }

    /// How many entries had this outcome in a consumer since its start.
    pub fn entries(&self, service: Service, outcome: &str) -> u64 {
        let topic = format!("topic=\"{}\"", service.topic());
        self.metric(service, "gctb_entries_total", &[&topic, &format!("outcome=\"{outcome}\"")])
    }

    /// Runs SQL, as an operator with a tool or a test that cannot wait.
    ///
    /// # Panics
    /// Where Postgres refuses.
    pub fn execute(&self, sql: &str) {
        self.database.db().execute_sql(sql).expect("the test's statement runs");
    }

    /// Runs the `gctb` command, which must succeed; what it prints.
    ///
    /// # Panics
    /// Where it fails.
    pub fn gctb(&self, args: &[&str]) -> String {
        self.try_gctb(args).unwrap_or_else(|says| panic!("gctb {args:?}: {says}"))
    }

    /// [`System::gctb`] where it may fail.
    ///
    /// # Errors
    /// What it prints then.
    pub fn try_gctb(&self, args: &[&str]) -> Result<String, String> {
        let output = Command::new(program("gctb"))
            .args(args)
            .env("GCTB_CLI__DATABASE__URL", self.database.url())
            .env("GCTB_CLI__KAFKA__BROKERS", &self.brokers)
            .env("GCTB_CLI__API__URL", self.url(Service::Api, ""))
            .output()
            .expect("gctb runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() { Ok(text) } else { Err(text + &String::from_utf8_lossy(&output.stderr)) }
    }

    /// Does what an operator does after a crash in the middle of a put: looks whether the file is at the bank, and says so.
    /// Nothing to do where no put was under way.
    ///
    /// # Panics
    /// Where a delivery stays unclear.
    pub fn settle_unclear_files(&self) {
        let unsettled =
            "SELECT count(*)::text AS value FROM outgoing_files WHERE state = 3 AND needs_operator_since IS NULL";
        self.wait_for_value("every broken delivery to be looked for", unsettled, "0");
        self.resolve_unclear_files();
    }

    /// [`System::settle_unclear_files`] for those that have been looked for by now.
    ///
    /// # Panics
    /// Where an operator's word is refused.
    pub fn resolve_unclear_files(&self) {
        for name in
            self.database.values("SELECT name AS value FROM outgoing_files WHERE needs_operator_since IS NOT NULL")
        {
            let at_the_bank =
                ["bank/outgoing", "bank/outgoing/archive"].iter().any(|place| self.path(place).join(&name).exists());
            let word = if at_the_bank { "--delivered" } else { "--absent" };
            self.gctb(&["files", "resolve", &name, word, "--evidence", "looked into the folder", "--quarantine", "0s"]);
        }
    }

    /// Sends spans of all services to `traces`.
    pub fn trace_to(options: Options, traces: &Traces) -> Options {
        Options { otlp_endpoint: Some(traces.url()), ..options }
    }
}

impl Drop for System {
    fn drop(&mut self) {
        self.processes.clear();
        if !std::thread::panicking() {
            return;
        }
        for service in Service::ALL {
            let log = self.log(service);
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
            if !tail.is_empty() {
                eprintln!("--- the last lines of {}\n{}", service.name(), tail.join("\n"));
            }
        }
        self.folder.disable_cleanup(true);
        eprintln!("--- all of it is kept in {}", self.folder.path().display());
    }
}
