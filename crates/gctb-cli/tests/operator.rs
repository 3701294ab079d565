//! What operators do with `gctb`, on a real Postgres and a real Kafka, through the real binary.
//!
//! Each test has a database and a payment backend of its own, and so topics that no other test touches.

use std::process::{Command, Output};
use std::time::Duration;

use gctb_domain::BackendName;
use gctb_events::{Headers, Outgoing, header};
use gctb_runtime::{Health, KafkaSettings, Producer, ReadFrom, ServiceIdentity, read_topic, settings};
use gctb_testkit::TestDatabase;
use serde::Deserialize;
use uuid::Uuid;

/// A deployment with one backend of its own, as the command sees it.
struct World {
    database: TestDatabase,
    brokers: String,
    backend: String,
}

impl World {
    fn of(test: &str) -> Option<Self> {
        let (database, brokers) = gctb_testkit::database(test).zip(gctb_testkit::kafka(test))?;
        let backend = format!("cli-{}", &Uuid::new_v4().simple().to_string()[..12]);
        let world = Self { database, brokers, backend };
        assert_ended(&world.gctb(&["topics", "apply"]), 0);
        Some(world)
    }

    fn gctb(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_gctb"))
            .args(arguments)
            .env("GCTB_CLI__DATABASE__URL", self.database.url())
            .env("GCTB_CLI__KAFKA__BROKERS", &self.brokers)
            .env("GCTB_CLI__BACKENDS", &self.backend)
            .output()
            .expect("the binary runs")
    }

    fn topic(&self) -> String {
        format!("gctb.payments.{}", self.backend)
    }

    fn kafka(&self) -> KafkaSettings {
        #[derive(Deserialize)]
        struct OnlyKafka {
            kafka: KafkaSettings,
        }
        let identity = ServiceIdentity { name: "gctb-cli-test", about: "", defaults: "[kafka]\n" };
        let brokers = ("GCTB_CLI_TEST__KAFKA__BROKERS".to_owned(), self.brokers.clone());
        settings::load_from::<OnlyKafka>(&identity, std::iter::empty(), [brokers].into_iter()).expect("settings").kafka
    }

    fn produce(&self, messages: &[Outgoing]) {
        let producer = Producer::new(&self.kafka(), "gctb-cli-test", &Health::new()).expect("a producer");
        producer.send_all(messages).expect("Kafka takes the messages");
    }
}

#[track_caller]
fn assert_ended(output: &Output, code: i32) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "standard output:\n{out}\nstandard error:\n{err}");
    format!("{out}{err}")
}

/// Compares without regard to the width of a table's columns.
fn has_row(text: &str, cells: &[&str]) -> bool {
    text.lines().any(|line| line.split('|').map(str::trim).filter(|cell| !cell.is_empty()).eq(cells.iter().copied()))
}

#[test]
fn a_dead_letter_is_listed_and_shown_and_goes_back_to_the_topic_it_came_from() {
    let Some(world) = World::of("a_dead_letter_is_listed_and_shown_and_goes_back_to_the_topic_it_came_from") else {
        return;
    };
    let topic = world.topic();
    let headers = [
        (header::SCHEMA, "gctb.v1.PaymentChunk".to_owned()),
        (header::DEAD_REASON, "nobody can read the entry".to_owned()),
        (header::DEAD_GROUP, "gctb-backend-file".to_owned()),
        (header::DEAD_ORIGIN, format!("{topic}/3/42")),
    ];
    let headers: Headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let payload = b"secret entry".to_vec();
    world.produce(&[Outgoing {
        topic: format!("{topic}.dead"),
        key: "b:0:0".into(),
        payload: payload.clone(),
        headers,
    }]);

    let listed = assert_ended(&world.gctb(&["dead", "list", "--json"]), 0);
    assert!(listed.contains(&format!(r#""topic":"{topic}""#)) && listed.contains(r#""count":1"#), "{listed}");
    let shown = assert_ended(&world.gctb(&["dead", "show", &topic]), 0);
    assert!(shown.contains("nobody can read the entry") && shown.contains("/3/42"), "{shown}");
    let tried = assert_ended(&world.gctb(&["dead", "redrive", &topic, "--dry-run"]), 0);
    assert!(tried.contains("1 of 1 dead letters would be sent again"), "{tried}");
    let all = |topic: &str| read_topic(&world.kafka(), topic, &ReadFrom::Beginning, 10, Duration::from_secs(30));
    assert_eq!(all(&topic).expect("readable"), []);

    assert_ended(&world.gctb(&["dead", "redrive", &format!("{topic}.dead")]), 0);
    let back = all(&topic).expect("readable");
    assert_eq!(back.len(), 1);
    assert_eq!((back[0].payload.as_slice(), back[0].key.as_slice()), (payload.as_slice(), b"b:0:0".as_slice()));
    assert_eq!(back[0].headers.keys().collect::<Vec<_>>(), [header::SCHEMA]);
    assert_eq!(world.database.value("SELECT action AS value FROM operator_actions"), "dead redrive");
}

#[test]
fn a_replay_sets_the_group_back_says_how_far_and_is_recorded() {
    let Some(world) = World::of("a_replay_sets_the_group_back_says_how_far_and_is_recorded") else { return };
    let topic = world.topic();
    let message = || Outgoing { topic: topic.clone(), key: "one".into(), payload: vec![1], headers: Headers::new() };
    world.produce(&[message(), message(), message()]);
    let replay = |from: &str, further: &[&str]| {
        let group = format!("group-of-{}", world.backend);
        let arguments = ["replay", &topic, "--group", &group, "--from", from];
        assert_ended(&world.gctb(&[&arguments, further].concat()), 0)
    };

    replay("2", &[]);
    let planned = replay("earliest", &["--dry-run"]);
    assert!((0..6).any(|partition| has_row(&planned, &[&partition.to_string(), "2", "0", "2"])), "{planned}");
    replay("earliest", &[]);
    let again = replay("earliest", &["--dry-run"]);
    assert!((0..6).all(|partition| has_row(&again, &[&partition.to_string(), "0", "0", "0"])), "{again}");
    let recorded = world.database.values("SELECT action || ' ' || target AS value FROM operator_actions");
    assert_eq!(recorded, vec![format!("replay {topic} group-of-{}", world.backend); 2]);
}

#[test]
fn a_file_whose_delivery_is_unclear_waits_for_a_person_and_takes_the_persons_word_once() {
    let Some(world) = World::of("a_file_whose_delivery_is_unclear_waits_for_a_person_and_takes_the_persons_word_once")
    else {
        return;
    };
    world.database.db().execute_sql(
        "INSERT INTO outgoing_files (name, backend, payer_fa, currency, state, close_due_at, execution_date, line_count,
                amount_minor, sha256, layout_version, delivering_at, needs_operator_since)
         VALUES ('f-7.csv', 'file', 'account:1@b.b.bank_acc', 'KES', 3, now(), '2026-11-23', 2, 1050, 'x', 1,
                now() - interval '1 hour', now())",
    ).expect("the file is there");
    let resolve = |further: &[&str]| {
        world.gctb(&[&["files", "resolve", "f-7.csv", "--evidence", "ticket 4711"], further].concat())
    };

    let listed = assert_ended(&world.gctb(&["files", "overdue"]), 0);
    assert!(listed.contains("f-7.csv") && listed.contains("KES 10.50"), "{listed}");
    let early = assert_ended(&resolve(&["--absent", "--quarantine", "2h"]), 1);
    assert!(early.contains("may still be on its way"), "{early}");
    assert_ended(&resolve(&["--delivered", "--dry-run"]), 0);
    assert_ended(&resolve(&["--delivered"]), 0);
    assert_eq!(world.database.value("SELECT state::text AS value FROM outgoing_files"), "4");
    let late = assert_ended(&resolve(&["--absent"]), 1);
    assert!(late.contains("does not wait for an operator"), "{late}");
    assert_eq!(world.database.value("SELECT evidence AS value FROM operator_actions"), "ticket 4711");
}

#[test]
fn a_backend_is_paused_and_resumed_by_hand_and_both_are_recorded() {
    let Some(world) = World::of("a_backend_is_paused_and_resumed_by_hand_and_both_are_recorded") else { return };
    let change = |verb: &str, further: &[&str]| {
        world.gctb(&[&["rail", verb, "mpesa", "--evidence", "ticket 4711"], further].concat())
    };
    assert!(assert_ended(&change("pause", &[]), 1).contains("no backend mpesa has ever started"));
    let mpesa = BackendName::parse("mpesa").expect("a name");
    world.database.db().introduce_rail(&mpesa).expect("it starts");
    assert!(assert_ended(&change("pause", &["--dry-run"]), 0).contains("mpesa was OPEN and would be PAUSED"));
    assert!(assert_ended(&change("pause", &[]), 0).contains("mpesa was OPEN and is PAUSED"));
    let listed = assert_ended(&world.gctb(&["rail", "list"]), 0);
    assert!(listed.contains("PAUSED") && listed.contains("ticket 4711"), "{listed}");
    assert!(assert_ended(&change("resume", &[]), 0).contains("mpesa was PAUSED and is OPEN"));
    let recorded = world
        .database
        .values("SELECT concat_ws(' ', action, target, evidence) AS value FROM operator_actions ORDER BY action_id");
    assert_eq!(recorded, ["rail pause mpesa ticket 4711", "rail resume mpesa ticket 4711"]);
}

#[test]
fn a_word_about_a_payment_that_nobody_knows_is_refused_and_not_recorded() {
    let Some(world) = World::of("a_word_about_a_payment_that_nobody_knows_is_refused_and_not_recorded") else { return };
    assert!(assert_ended(&world.gctb(&["payments", "unknown"]), 0).contains("no payment waits for a person"));
    let resolve = |key: &str, further: &[&str]| {
        world.gctb(&[&["payments", "resolve", key, "--paid", "--evidence", "ticket 4711"], further].concat())
    };
    assert!(assert_ended(&resolve("00000040001P", &[]), 1).contains("is the key of no payment in this database"));
    assert!(assert_ended(&resolve("00000040001Q", &[]), 2).contains("check character is wrong"));
    assert_ended(&resolve("00000040001P", &["--not-paid"]), 2);
    assert_eq!(world.database.value("SELECT count(*)::text AS value FROM operator_actions"), "0");
}

#[test]
fn topics_and_schema_that_are_as_declared_are_left_alone() {
    let Some(world) = World::of("topics_and_schema_that_are_as_declared_are_left_alone") else { return };
    assert!(assert_ended(&world.gctb(&["topics", "apply"]), 0).contains("0 changes made"));
    assert_ended(&world.gctb(&["topics", "check"]), 0);
    assert_ended(&world.gctb(&["topics", "check", "--backends", "never-deployed"]), 1);
    assert!(assert_ended(&world.gctb(&["migrate"]), 0).contains("0 migrations applied"));
    assert_ended(&world.gctb(&["migrate", "--dry-run"]), 0);
}

#[test]
fn a_password_in_the_environment_is_never_printed() {
    let output = Command::new(env!("CARGO_BIN_EXE_gctb"))
        .args(["conflicts", "list"])
        .env("GCTB_CLI__DATABASE__URL", "postgres://gctb:hunter2@127.0.0.1:1/gctb")
        .output()
        .expect("the binary runs");
    let failed = assert_ended(&output, 1);
    let help = Command::new(env!("CARGO_BIN_EXE_gctb"))
        .args(["migrate", "--help"])
        .env("GCTB_CLI__DATABASE__URL", "postgres://gctb:hunter2@127.0.0.1:1/gctb")
        .output()
        .expect("the binary runs");
    let help = assert_ended(&help, 0);
    assert!(!failed.contains("hunter2") && !help.contains("hunter2"), "{failed}{help}");
}
