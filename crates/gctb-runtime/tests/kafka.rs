//! The loop, the producer and the positions on a real Kafka: `GCTB_TEST_KAFKA=host:port`. Without it each story is skipped
//! and named in the file that `GCTB_TEST_SKIPS` names.
//!
//! Every story has a topic and a group of its own, so that they run side by side and beside anything else.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gctb_domain::{BackendName, BatchId, LedgerState, Seq};
use gctb_events::{BatchProgress, Event, Headers, LedgerEntry, Outgoing, StatusChunk, Topic, TopicDeclaration, header};
use gctb_runtime::settings::load_from;
use gctb_runtime::topics_admin::wait_until_declared;
use gctb_runtime::{
    ConsumerSettings, Fate, HandleError, Handled, Handler, Health, Incoming, KafkaSettings, LoopError, LoopWorld,
    Positions, PositionsError, ProduceError, Producer, ReadFrom, ServiceIdentity, Shutdown, TopicAdmin,
    TopicAdminError, TopicChange, TopicProblem, consume, read_topic,
};
use serde::Deserialize;
use uuid::Uuid;

const LONG: Duration = Duration::from_secs(60);
const IDENTITY: ServiceIdentity = ServiceIdentity {
    name: "gctb-test",
    about: "",
    // A heart that beats fast hears of a rebalance soon.
    defaults: "[kafka.extra]\n\"heartbeat.interval.ms\" = \"200\"\n[consumer]\nretry_backoff_max = \"400ms\"\n",
};

#[derive(Deserialize)]
struct Settings {
    kafka: KafkaSettings,
    consumer: ConsumerSettings,
}

/// One story's topic, group and clients.
struct Stage {
    topic: Topic,
    kafka: KafkaSettings,
    consumer: ConsumerSettings,
    producer: Producer,
    health: Health,
}

fn settings(brokers: &str) -> Settings {
    let env = [("GCTB_TEST__KAFKA__BROKERS".to_owned(), brokers.to_owned())];
    load_from(&IDENTITY, std::iter::empty(), env.into_iter()).expect("the settings are complete")
}

fn test_kafka(story: &str) -> Option<String> {
    if let Ok(brokers) = std::env::var("GCTB_TEST_KAFKA") {
        return Some(brokers);
    }
    if let Ok(path) = std::env::var("GCTB_TEST_SKIPS") {
        let mut skips = std::fs::OpenOptions::new().append(true).create(true).open(path).expect("a file for skips");
        writeln!(skips, "SKIPPED {story}: GCTB_TEST_KAFKA is not set").expect("written");
    }
    None
}

impl Stage {
    /// A stage with a topic of `partitions` partitions and its dead-letter topic; None where the story is skipped.
    fn set(story: &str, partitions: i32) -> Option<Self> {
        let stage = Self::without_topic(&test_kafka(story)?);
        let declared = stage.declared(partitions);
        TopicAdmin::new(&stage.kafka).expect("a client").apply(&declared).expect("topics");
        Some(stage)
    }

    fn without_topic(brokers: &str) -> Self {
        let mut settings = settings(brokers);
        let name = format!("t{}", Uuid::new_v4().simple());
        let backend = BackendName::parse(&name[..16]).expect("a name");
        settings.kafka.group = Some(format!("test-{backend}"));
        let health = Health::new();
        let producer = Producer::new(&settings.kafka, "gctb-test", &health).expect("a producer");
        let topic = Topic::Payments(backend);
        Self { topic, kafka: settings.kafka, consumer: settings.consumer, producer, health }
    }

    fn declared(&self, partitions: i32) -> [TopicDeclaration; 2] {
        let retention = Duration::from_secs(3600);
        [
            TopicDeclaration { topic: self.topic.clone(), partitions, retention },
            TopicDeclaration { topic: self.topic.dead(), partitions: 1, retention },
        ]
    }

    fn group(&self) -> String {
        self.kafka.group.clone().expect("set with the stage")
    }

    fn send(&self, numbers: impl IntoIterator<Item = i64>) {
        let messages: Vec<Outgoing> = numbers.into_iter().map(|number| self.message(number)).collect();
        self.producer.send_all(&messages).expect("sent");
    }

    fn message(&self, number: i64) -> Outgoing {
        // A batch of its own each, so that the keys spread over the partitions.
        let event = BatchProgress { batch_id: BatchId::from_uuid(Uuid::new_v4()), totals_version: number };
        Outgoing::new(&self.topic, &event, Uuid::new_v4(), None)
    }

    fn raw(&self, payload: &[u8]) -> Outgoing {
        Outgoing { topic: self.topic.name(), key: "k".to_owned(), payload: payload.to_vec(), headers: Headers::new() }
    }

    fn start<H: Handler + Send + 'static>(&self, handler: H) -> Running {
        let shutdown = Shutdown::new();
        let world = LoopWorld {
            service: "gctb-test",
            kafka: self.kafka.clone(),
            consumer: self.consumer.clone(),
            producer: self.producer.clone(),
            health: self.health.clone(),
            meter: opentelemetry::global::meter("test"),
            shutdown: shutdown.clone(),
        };
        let topic = self.topic.clone();
        Running { shutdown, thread: std::thread::spawn(move || consume(&topic, &world, handler)) }
    }

    fn committed(&self) -> i64 {
        let positions = Positions::new(&self.kafka).expect("a client");
        let committed = positions.committed(&self.group(), &self.topic.name()).expect("positions");
        committed.values().map(|offset| offset.unwrap_or(0)).sum()
    }

    fn dead_letters(&self) -> Vec<gctb_runtime::RawMessage> {
        read_topic(&self.kafka, &self.topic.dead().name(), &ReadFrom::Beginning, 1000, LONG).expect("the dead letters")
    }
}

struct Running {
    shutdown: Shutdown,
    thread: JoinHandle<Result<(), LoopError>>,
}

impl Running {
    fn stop(self) -> Result<(), LoopError> {
        self.shutdown.request();
        self.thread.join().expect("the loop does not panic")
    }

    fn end(self) -> LoopError {
        self.thread.join().expect("the loop does not panic").expect_err("the loop stops by itself")
    }
}

/// Notes the numbers it is handed, after asking `first` whether it may.
struct Notes<F> {
    seen: Arc<Mutex<Vec<i64>>>,
    first: F,
}

type Polled = [Incoming<BatchProgress>];

fn notes<F: FnMut(&Polled) -> Result<(), HandleError>>(first: F) -> (Notes<F>, Arc<Mutex<Vec<i64>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    (Notes { seen: Arc::clone(&seen), first }, seen)
}

impl<F: FnMut(&Polled) -> Result<(), HandleError>> Handler for Notes<F> {
    type Event = BatchProgress;

    fn handle(&mut self, polled: &Polled) -> Result<Handled, HandleError> {
        (self.first)(polled)?;
        self.seen.lock().expect("unpoisoned").extend(polled.iter().map(|incoming| incoming.event.totals_version));
        Ok(Handled { outcomes: vec![("noted", polled.len() as u64)], ..Handled::default() })
    }
}

fn distinct(seen: &Mutex<Vec<i64>>) -> BTreeSet<i64> {
    seen.lock().expect("unpoisoned").iter().copied().collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn a_poison_message_dies_alone_and_the_rest_goes_on() {
    let Some(stage) = Stage::set("a_poison_message_dies_alone_and_the_rest_goes_on", 1) else { return };
    stage.send([1]);
    stage.producer.send_all(&[stage.raw(b"\xff\xffnot protobuf")]).expect("sent");
    stage.send([2]);
    let (handler, seen) = notes(|_| Ok(()));
    let running = stage.start(handler);
    until("both good messages are handled", || distinct(&seen) == BTreeSet::from([1, 2]));
    running.stop().expect("it ends well");
    let letters = stage.dead_letters();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(letter.payload, b"\xff\xffnot protobuf", "as it came");
    assert_eq!(letter.key, b"k");
    assert_eq!(letter.headers[header::DEAD_GROUP], stage.group());
    assert_eq!(letter.headers[header::DEAD_ORIGIN], format!("{}/0/1", stage.topic.name()));
    assert!(letter.headers[header::DEAD_REASON].contains("gctb.v1.BatchProgress"), "{:?}", letter.headers);
    assert!(letter.headers[header::DEAD_AT].ends_with('Z'));
    assert_eq!(stage.committed(), 3, "it does not come again");
}

/// Counts the ledger entries it is handed.
struct Entries(Sender<usize>);

impl Handler for Entries {
    type Event = StatusChunk;

    fn handle(&mut self, polled: &[Incoming<StatusChunk>]) -> Result<Handled, HandleError> {
        let count: usize = polled.iter().map(|incoming| incoming.event.entries.len()).sum();
        self.0.send(count).expect("the story listens");
        Ok(Handled { outcomes: vec![("folded", count as u64)], ..Handled::default() })
    }
}

#[test]
fn a_poison_entry_of_a_chunk_dies_alone_and_can_be_driven_again() {
    let Some(stage) = Stage::set("a_poison_entry_of_a_chunk_dies_alone_and_can_be_driven_again", 1) else { return };
    let entry = |seq, version| LedgerEntry {
        seq: Seq(seq),
        version,
        state: LedgerState::Paid,
        attempt: 1,
        backend: None,
        resolved_fa: String::new(),
        file: None,
        rail_reference: None,
        reason: None,
        message: String::new(),
        changed_at: chrono::DateTime::UNIX_EPOCH,
    };
    // Versions begin at 1: the entry in the middle cannot be read.
    let entries = vec![entry(1, 1), entry(2, 0), entry(3, 1)];
    let chunk = StatusChunk { batch_id: BatchId::from_uuid(Uuid::new_v4()), outbox_id: Uuid::new_v4(), entries };
    let received = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = Outgoing::new(&stage.topic, &chunk, Uuid::new_v4(), Some(received));
    stage.producer.send_all(std::slice::from_ref(&message)).expect("sent");
    let (tell, told) = mpsc::channel();
    let running = stage.start(Entries(tell));
    assert_eq!(told.recv_timeout(LONG), Ok(2));
    until("the chunk is done with", || !stage.dead_letters().is_empty());
    running.stop().expect("it ends well");
    let letters = stage.dead_letters();
    assert_eq!(letters.len(), 1);
    let alone = StatusChunk::decode(&letters[0].payload).expect("a chunk of its own");
    assert_eq!((alone.event.entries.len(), alone.refused.len()), (0, 1));
    assert_eq!(letters[0].headers[header::TRACEPARENT], received, "it stays in its trace");
    assert_eq!(letters[0].headers[header::SCHEMA], StatusChunk::SCHEMA);
    assert_eq!(letters[0].headers[header::DEAD_REASON], "entry 2: version is out of range or unknown");
}

#[test]
fn a_handler_whose_dependency_is_down_gets_the_same_messages_again_and_loses_none() {
    let story = "a_handler_whose_dependency_is_down_gets_the_same_messages_again_and_loses_none";
    let Some(mut stage) = Stage::set(story, 3) else { return };
    stage.consumer.poll_max_messages = 7;
    stage.send(0..50);
    let mut attempts: Vec<Vec<i64>> = Vec::new();
    let (tell, refused) = mpsc::channel();
    let (handler, seen) = notes(move |polled: &Polled| {
        attempts.push(polled.iter().map(|incoming| incoming.event.totals_version).collect());
        // Every third attempt succeeds.
        if !attempts.len().is_multiple_of(3) {
            tell.send(attempts[attempts.len() - 1].clone()).expect("the story listens");
            return Err(HandleError::Retry("Postgres is away".into()));
        }
        let group = &attempts[attempts.len() - 3..];
        assert!(group.iter().all(|attempt| *attempt == group[0]), "the same messages come again: {group:?}");
        Ok(())
    });
    let running = stage.start(handler);
    refused.recv_timeout(LONG).expect("a first attempt fails");
    until("the trouble is shown", || {
        stage.health.ready().failing.values().any(|text| text.contains("Postgres is away"))
    });
    stage.send(50..60);
    until("all are handled", || distinct(&seen) == (0..60).collect());
    until("the trouble is over", || stage.health.ready().ok);
    running.stop().expect("it ends well");
    assert_eq!(seen.lock().expect("unpoisoned").len(), 60, "none was handled twice");
    assert_eq!(stage.committed(), 60);
}

#[test]
fn too_many_dead_letters_in_a_row_stop_the_loop_and_leave_the_offsets() {
    let Some(mut stage) = Stage::set("too_many_dead_letters_in_a_row_stop_the_loop_and_leave_the_offsets", 1) else {
        return;
    };
    stage.consumer.dead_letters_in_a_row_max = 5;
    stage.send([1]);
    stage.producer.send_all(&vec![stage.raw(b"\xffjunk"); 3]).expect("sent");
    stage.send([2]);
    let (handler, seen) = notes(|_| Ok(()));
    let running = stage.start(handler);
    until("what can be handled is", || distinct(&seen) == BTreeSet::from([1, 2]));
    until("it is committed", || stage.committed() == 5);
    stage.producer.send_all(&vec![stage.raw(b"\xffjunk"); 20]).expect("sent");
    let error = running.end();
    assert!(matches!(error, LoopError::TooManyDead { max: 5, .. }), "{error}");
    assert!(stage.dead_letters().len() <= 3 + 5);
    assert!(stage.committed() <= 5 + 5, "the messages that stopped it come again");
    let (handler, _) = notes(|_| Ok(()));
    let error = stage.start(handler).end();
    assert!(matches!(error, LoopError::TooManyDead { .. }), "they stop the next one as well: {error}");
}

#[test]
fn a_replay_from_offset_0_hands_every_message_again() {
    let Some(stage) = Stage::set("a_replay_from_offset_0_hands_every_message_again", 3) else { return };
    stage.send(0..40);
    let (handler, seen) = notes(|_| Ok(()));
    let running = stage.start(handler);
    until("all are handled", || distinct(&seen).len() == 40);
    until("all are committed", || stage.committed() == 40);
    let positions = Positions::new(&stage.kafka).expect("a client");
    let reset = |dry_run| positions.reset_group(&stage.group(), &stage.topic.name(), &ReadFrom::Beginning, dry_run);
    let refused = reset(false).expect_err("the group is at work");
    assert!(matches!(refused, PositionsError::GroupActive { members: 1, .. }), "{refused}");
    running.stop().expect("it ends well");
    let planned = reset(true).expect("a plan");
    assert!(
        planned.iter().all(|planned| planned.to == 0)
            && planned.iter().filter_map(|planned| planned.from).sum::<i64>() == 40
    );
    assert_eq!(stage.committed(), 40, "a dry run moves nothing");
    assert_eq!(reset(false).expect("moved"), planned);
    assert_eq!(stage.committed(), 0);
    let (handler, again) = notes(|_| Ok(()));
    let running = stage.start(handler);
    until("all are handled again", || distinct(&again).len() == 40);
    running.stop().expect("it ends well");
}

#[test]
fn a_shutdown_finishes_what_is_in_hand() {
    let Some(stage) = Stage::set("a_shutdown_finishes_what_is_in_hand", 1) else { return };
    stage.send(0..3);
    let (enter, entered) = mpsc::channel();
    let (release, released): (Sender<()>, Receiver<()>) = mpsc::channel();
    let (handler, seen) = notes(move |_: &Polled| {
        enter.send(()).expect("the story listens");
        released.recv().expect("the story releases");
        Ok(())
    });
    let running = stage.start(handler);
    entered.recv_timeout(LONG).expect("a group is in hand");
    running.shutdown.request();
    release.send(()).expect("the handler waits");
    running.stop().expect("it ends well");
    let handled = seen.lock().expect("unpoisoned").len();
    assert!(handled > 0);
    assert_eq!(stage.committed(), handled as i64, "what was in hand is committed, and nothing else");
}

#[test]
fn a_shutdown_ends_a_back_off_and_leaves_the_offsets() {
    let Some(mut stage) = Stage::set("a_shutdown_ends_a_back_off_and_leaves_the_offsets", 1) else { return };
    stage.consumer.retry_backoff_min = Duration::from_secs(3600);
    stage.consumer.retry_backoff_max = Duration::from_secs(3600);
    stage.send([1]);
    let (tell, refused) = mpsc::channel();
    let (handler, _) = notes(move |_: &Polled| {
        tell.send(()).expect("the story listens");
        Err(HandleError::Retry("Postgres is away".into()))
    });
    let running = stage.start(handler);
    refused.recv_timeout(LONG).expect("an attempt fails");
    running.stop().expect("it ends well");
    assert_eq!(stage.committed(), 0);
}

#[test]
fn two_consumers_share_the_partitions_and_together_handle_every_message() {
    let Some(mut stage) = Stage::set("two_consumers_share_the_partitions_and_together_handle_every_message", 6) else {
        return;
    };
    stage.consumer.poll_max_messages = 3;
    let (first, seen_first) = notes(|_| Ok(()));
    let (second, seen_second) = notes(|_| Ok(()));
    let (first, second) = (stage.start(first), stage.start(second));
    let mut sent = 0;
    until("both have work", || {
        stage.send(sent..sent + 20);
        sent += 20;
        !distinct(&seen_first).is_empty() && !distinct(&seen_second).is_empty()
    });
    let handled = || distinct(&seen_first).union(&distinct(&seen_second)).copied().collect::<BTreeSet<i64>>();
    until("all are handled", || handled().len() as i64 == sent);
    first.stop().expect("it ends well");
    stage.send(sent..sent + 20);
    until("who remains handles all", || handled().len() as i64 == sent + 20);
    second.stop().expect("it ends well");
    assert_eq!(stage.committed(), sent + 20);
}

#[test]
fn partitions_that_come_and_go_during_a_back_off_lose_nothing() {
    let Some(mut stage) = Stage::set("partitions_that_come_and_go_during_a_back_off_lose_nothing", 6) else { return };
    stage.consumer.poll_max_messages = 5;
    stage.send(0..100);
    let broken = Arc::new(Mutex::new(true));
    let while_broken = Arc::clone(&broken);
    let (tell, refused) = mpsc::channel();
    let (patient, seen_patient) = notes(move |_: &Polled| {
        if *while_broken.lock().expect("unpoisoned") {
            tell.send(()).expect("the story listens");
            return Err(HandleError::Retry("the mapper is away".into()));
        }
        Ok(())
    });
    let patient = stage.start(patient);
    refused.recv_timeout(LONG).expect("the first replica backs off");
    // A second replica takes some partitions, handles them, and leaves: they come back to the first, still backing off.
    let (guest, seen_guest) = notes(|_| Ok(()));
    let guest = stage.start(guest);
    until("the guest has work", || !distinct(&seen_guest).is_empty());
    stage.send(100..200);
    guest.stop().expect("it ends well");
    stage.send(200..300);
    while refused.try_recv().is_ok() {}
    // Ten attempts take some two seconds, in which the group hears ten times that its partitions moved.
    for _ in 0..10 {
        refused.recv_timeout(LONG).expect("the first replica still backs off");
    }
    *broken.lock().expect("unpoisoned") = false;
    let handled = || distinct(&seen_patient).union(&distinct(&seen_guest)).copied().collect::<BTreeSet<i64>>();
    until("all are handled", || handled() == (0..300).collect());
    drop(refused);
    patient.stop().expect("it ends well");
    assert_eq!(stage.committed(), 300);
}

#[test]
fn partitions_that_left_while_paused_are_read_again_when_they_come_back() {
    let story = "partitions_that_left_while_paused_are_read_again_when_they_come_back";
    let Some(stage) = Stage::set(story, 6) else { return };
    stage.send(0..30);
    let broken = Arc::new(Mutex::new(true));
    let while_broken = Arc::clone(&broken);
    let (handler, seen_patient) = notes(move |_: &Polled| match *while_broken.lock().expect("unpoisoned") {
        true => Err(HandleError::Retry("the mapper is away".into())),
        false => Ok(()),
    });
    let patient = stage.start(handler);
    until("it backs off", || stage.health.ready().failing.values().any(|text| text.contains("the mapper is away")));
    let (handler, seen_guest) = notes(|_| Ok(()));
    let guest = stage.start(handler);
    until("the guest has taken partitions", || !distinct(&seen_guest).is_empty());
    *broken.lock().expect("unpoisoned") = false;
    let handled = || distinct(&seen_patient).union(&distinct(&seen_guest)).copied().collect::<BTreeSet<i64>>();
    until("work goes on", || handled() == (0..30).collect());
    guest.stop().expect("it ends well");
    stage.send(30..90);
    until("all partitions are read by the one that remains", || {
        distinct(&seen_patient).is_superset(&(30..90).collect())
    });
    patient.stop().expect("it ends well");
    assert_eq!(stage.committed(), 90);
}

#[test]
fn a_replica_that_froze_loses_its_partitions_and_comes_back_to_work() {
    let Some(mut stage) = Stage::set("a_replica_that_froze_loses_its_partitions_and_comes_back_to_work", 2) else {
        return;
    };
    // The shortest that brokers take by default.
    stage.kafka.session_timeout = Duration::from_secs(6);
    stage.kafka.max_poll_interval = Duration::from_secs(6);
    stage.send(0..10);
    let (freeze, frozen) = mpsc::channel();
    let (thaw, thawed): (Sender<()>, Receiver<()>) = mpsc::channel();
    let mut woke = false;
    let (handler, seen_frozen) = notes(move |_: &Polled| {
        if !std::mem::replace(&mut woke, true) {
            freeze.send(()).expect("the story listens");
            thawed.recv().expect("the story thaws");
        }
        Ok(())
    });
    let frozen_one = stage.start(handler);
    frozen.recv_timeout(LONG).expect("it has messages in hand");
    let (handler, seen) = notes(|_| Ok(()));
    let other = stage.start(handler);
    until("the other one has handled all", || distinct(&seen) == (0..10).collect());
    stage.send(10..20);
    until("and what came later", || distinct(&seen) == (0..20).collect());
    thaw.send(()).expect("it is still frozen");
    until("the frozen one ends its work", || !distinct(&seen_frozen).is_empty());
    other.stop().expect("it ends well");
    assert_eq!(stage.committed(), 20, "who came late moved nothing back");
    stage.send(20..30);
    until("the one that woke takes over", || distinct(&seen_frozen).is_superset(&(20..30).collect()));
    frozen_one.stop().expect("it ends well");
    assert_eq!(stage.committed(), 30);
}

#[test]
fn a_group_has_passed_a_moment_when_all_from_before_it_is_committed() {
    let Some(stage) = Stage::set("a_group_has_passed_a_moment_when_all_from_before_it_is_committed", 2) else { return };
    let positions = Positions::new(&stage.kafka).expect("a client");
    let now = || chrono::Utc::now().timestamp_millis();
    let passed = |since| positions.group_has_passed(&stage.group(), &stage.topic.name(), since).expect("an answer");
    assert!(passed(now()), "nothing was ever sent");
    let before = now();
    stage.send(0..10);
    // Later than every message by the broker's millisecond clock.
    let after = now() + 1;
    assert!(passed(before), "nothing was sent before that moment");
    assert!(!passed(after));
    let (handler, seen) = notes(|_| Ok(()));
    let running = stage.start(handler);
    until("all are handled", || distinct(&seen).len() == 10);
    until("the position says so", || passed(after));
    running.stop().expect("it ends well");
    let refused = positions.watermarks("gctb.no.such.topic").expect_err("there is no such topic");
    assert!(matches!(refused, PositionsError::NoTopic { .. }), "{refused}");
}

#[test]
fn topics_are_made_and_raised_as_declared_and_a_service_refuses_to_start_without_them() {
    let story = "topics_are_made_and_raised_as_declared_and_a_service_refuses_to_start_without_them";
    let Some(brokers) = test_kafka(story) else { return };
    let stage = Stage::without_topic(&brokers);
    let name = stage.topic.name();
    let admin = TopicAdmin::new(&stage.kafka).expect("a client");
    let two = stage.declared(2);
    let missing = TopicProblem::Missing { topic: name.clone() };
    assert!(admin.check(&two).expect("an answer").contains(&missing));
    let refused = wait_until_declared(&stage.kafka, &two, &stage.health, &Shutdown::new()).expect_err("it refuses");
    assert!(matches!(refused, TopicAdminError::NotAsDeclared { .. }), "{refused}");
    assert!(refused.to_string().contains("gctb topics apply"), "{refused}");

    assert_eq!(admin.apply(&two).expect("applied").len(), 2);
    assert_eq!(admin.apply(&two).expect("applied"), [], "applying twice changes nothing");
    let mut four = stage.declared(4);
    four[0].retention = Duration::from_secs(7200);
    let few = TopicProblem::TooFewPartitions { topic: name.clone(), has: 2, declared: 4 };
    assert_eq!(admin.check(&four).expect("an answer"), [few]);
    let changes = admin.apply(&four).expect("applied");
    let raised = TopicChange::PartitionsRaised { topic: name.clone(), from: 2, to: 4 };
    let kept = TopicChange::RetentionSet { topic: name, from: "3600000".to_owned(), to: "7200000".to_owned() };
    assert_eq!(changes, [raised, kept]);
    assert_eq!(admin.check(&four).expect("an answer"), []);
    wait_until_declared(&stage.kafka, &four, &stage.health, &Shutdown::new()).expect("the service may start");
}

#[test]
fn each_message_gets_its_own_report() {
    let Some(mut stage) = Stage::set("each_message_gets_its_own_report", 1) else { return };
    stage.kafka.message_timeout = Duration::from_secs(10);
    let nowhere = Outgoing { topic: "gctb.no.such.topic".to_owned(), ..stage.message(2) };
    let results = stage.producer.send_each(&[stage.message(1), nowhere, stage.message(3)]);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].clone().expect_err("there is no such topic");
    assert_eq!(error.class(), Fate::Retry);
    assert!(error.to_string().starts_with("Kafka did not take a message for gctb.no.such.topic"), "{error}");
    let too_large = stage.raw(&vec![0; 2_000_000]);
    assert_eq!(stage.producer.send_all(&[too_large]).expect_err("it is too large").class(), Fate::Stop);
}

/// Needs no Kafka: that is the point.
#[test]
fn without_kafka_sends_fail_in_time_the_consumer_is_not_ready_and_still_ends() {
    let mut settings = settings("127.0.0.1:1");
    settings.kafka.message_timeout = Duration::from_secs(1);
    let health = Health::new();
    let producer = Producer::new(&settings.kafka, "gctb-test", &health).expect("a producer");
    assert!(health.ready().ok, "a process that only produces is ready: batches are accepted without Kafka");
    let Settings { kafka, consumer } = settings;
    let stage = Stage { topic: Topic::Batches, kafka, consumer, producer, health };
    let error = stage.producer.send_all(&[stage.message(1)]).expect_err("no broker");
    assert!(matches!(error, ProduceError::Refused { fate: Fate::Retry, .. }), "{error}");
    let (handler, _) = notes(|_| Ok(()));
    let running = stage.start(handler);
    until("it is not ready, and says why", || {
        stage.health.ready().failing.get("kafka gctb.batches").is_some_and(|text| text == "no broker answers")
    });
    assert!(!stage.health.ready().ok);
    running.stop().expect("it ends well");
}
