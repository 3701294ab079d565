//! What operators do with `gctb`, on a real Postgres and a real Kafka, through the real binary.
//!
//! Each test has a database and a payment backend of its own, and so topics that no other test touches.

use std::process::{Command, Output};
use std::time::Duration;

use gctb_domain::{BackendName, BatchNo, RailKey, Seq};
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
fn a_backend_is_paused_resumed_and_probed_by_hand_and_all_of_it_is_recorded() {
    let Some(world) = World::of("a_backend_is_paused_resumed_and_probed_by_hand") else { return };
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
    assert!(assert_ended(&change("probe", &[]), 1).contains("gctb rail resume opens it"));
    assert!(assert_ended(&change("resume", &[]), 0).contains("mpesa was PAUSED and is OPEN"));
    assert!(assert_ended(&change("probe", &[]), 1).contains("there is nothing to try"));
    assert!(world.database.db().hold_rail(&mpesa, "no funds", None).expect("held"));
    assert!(assert_ended(&change("probe", &[]), 0).contains("mpesa is tried with its next payments (no funds)"));
    let recorded = world
        .database
        .values("SELECT concat_ws(' ', action, target, evidence) AS value FROM operator_actions ORDER BY action_id");
    let by_hand = |verb: &str| format!("rail {verb} mpesa ticket 4711");
    assert_eq!(recorded, [by_hand("pause"), by_hand("resume"), by_hand("probe")]);
}

/// A callback about the second payment of `HELD`, and a word that names none.
const DISBELIEVED: &str = "
    INSERT INTO rail_exceptions (backend, kind, detail, rail_key, batch_id, seq, body, recorded_at)
    SELECT 'mpesa', 'amount_differs', 'it says another amount', 'KEY-1', batch_id, 1, '{\"Amount\": 254700001234}',
           '2026-11-23 08:00:00Z' FROM batches;
    INSERT INTO rail_exceptions (backend, kind, detail, recorded_at)
    VALUES ('mojaloop', 'other_attempt', 'the key names another attempt', '2026-11-23 09:00:00Z');";

#[test]
fn what_a_rail_said_and_nobody_believed_is_listed_and_its_body_only_where_it_is_asked_for() {
    let Some(world) = World::of("what_a_rail_said_and_nobody_believed_is_listed") else { return };
    let listed = |further: &[&str], code| assert_ended(&world.gctb(&[&["rail", "exceptions"], further].concat()), code);
    assert!(listed(&[], 0).contains("there are no rail exceptions"));
    assert!(listed(&["mpesa"], 1).contains("no backend mpesa has ever started"), "it may be misspelt");
    world.database.db().execute_sql(HELD).expect("the rows are there");
    assert!(listed(&["mpesa"], 0).contains("there are no rail exceptions"));
    world.database.db().execute_sql(DISBELIEVED).expect("the rows are there");

    let both = listed(&[], 0);
    let rows: Vec<&str> = both.lines().filter(|line| line.contains("2026-11-23T")).collect();
    assert!(rows.len() == 2 && rows[0].contains("mojaloop") && rows[0].contains("other_attempt"), "{both}");
    assert!(rows[1].contains("amount_differs") && rows[1].contains("KEY-1"), "{both}");
    assert!(both.contains("| t-7 ") && both.contains("| r-1 ") && !both.contains("254700001234"), "{both}");
    assert!(!listed(&["mojaloop"], 0).contains("mpesa"));
    assert!(listed(&["--limit", "1"], 0).contains("only the first 1 were taken"));
    let body = "2026-11-23T08:00:00Z mpesa amount_differs KEY-1:\n  {\"Amount\": 254700001234}";
    assert!(listed(&["--bodies"], 0).contains(body));
    let json = listed(&["mpesa", "--json"], 0);
    assert!(json.contains(r#""reference":"r-1""#) && json.contains(r#""transaction":"t-7""#), "{json}");
    assert!(!json.contains("body"), "{json}");
    assert!(listed(&["--json", "--bodies"], 0).contains("254700001234"));
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

/// A batch of four that is held: one that nobody has claimed, one that was tried once and is tried again, one that was given back
/// unsent, and one that is paid.
const HELD: &str = "
    SELECT gctb_make_partitions(now(), 1);
    INSERT INTO batches (batch_id, batch_no, sender_id, transaction_id, message_id, digest, digest_version, request_timestamp,
                         received_at, instruction_count, in_flight)
    VALUES (gctb_batch_id_floor(now()), 7, 'pbms', 't-7', 'm-7', '', 1, now(), now(), 4, 3);
    INSERT INTO batch_controls (batch_id, state) SELECT batch_id, 2 FROM batches;
    INSERT INTO batch_totals SELECT batch_id, 'KES', 1, 1, 100 FROM batches;
    INSERT INTO batch_totals SELECT batch_id, 'KES', 2, 2, 200 FROM batches;
    INSERT INTO batch_totals SELECT batch_id, 'KES', 5, 1, 100 FROM batches;
    INSERT INTO payment_instructions (batch_id, seq, request_id, ref_hash, request_timestamp, from_fa, to_fa, amount, currency,
                                      status, prev_status, version, updated_at)
    SELECT batch_id, seq, 'r-' || seq, seq, now(), 'a', 'b', 100, 'KES', 1, 1, 0, now() FROM batches, generate_series(0, 3) AS seq;
    INSERT INTO payment_ledger (batch_id, seq, batch_no, version, state, attempt, backend, from_fa, resolved_fa, amount, currency,
                                message, past_attempts)
    SELECT batch_id, seq, 7, 2, state, attempt, 'mpesa', 'a', 'b', 100, 'KES', words, past
    FROM batches, (VALUES (1, 6, 2, 'the payee''s wallet is locked', E'1\\t-\\trjct.payment.failed\\tbusy'), (2, 3, 1, NULL, NULL),
                          (3, 7, 1, 'paid', NULL)) AS l (seq, state, attempt, words, past);
    INSERT INTO ledger_work (work_id, backend, kind, due_at, batch_id, seqs)
    SELECT gen_random_uuid(), 'mpesa', kind, '2030-01-02 03:04:05Z', batch_id, seqs
    FROM batches, (VALUES (4, ARRAY[1]), (3, ARRAY[2, 3])) AS w (kind, seqs);
    UPDATE payment_ledger l SET work_id = w.work_id FROM ledger_work w WHERE l.seq = ANY(w.seqs);
    INSERT INTO rail_controls (backend, state, reason, resume_at) VALUES ('mpesa', 3, 'no funds', '2030-01-02 03:04:05Z'),
                                                                         ('mojaloop', 1, 'introduced', NULL);";

#[test]
fn i4_what_is_held_back_is_listed_with_its_reason_its_number_and_when_it_goes_on() {
    let Some(world) = World::of("i4_what_is_held_back_is_listed") else { return };
    assert!(assert_ended(&world.gctb(&["payments", "held"]), 0).contains("nothing is held back"));
    world.database.db().execute_sql(HELD).expect("the rows are there");
    let listed = assert_ended(&world.gctb(&["payments", "held"]), 0);
    let since = world.database.value("SELECT to_char(since AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') AS value FROM rail_controls LIMIT 1");
    let due = "2030-01-02T03:04:05Z";
    for row in [
        ["mpesa", "HELD", &since, due, "2", "no funds"].as_slice(),
        ["pbms", "t-7", &since, "1", "3"].as_slice(),
        ["pbms", "t-7", "r-1", "KES 1.00", "NOT_PAID", "another attempt", due].as_slice(),
        ["pbms", "t-7", "r-2", "KES 1.00", "CLAIMED", "send it, same key", due].as_slice(),
    ] {
        let found = listed.lines().any(|line| row.iter().all(|cell| line.contains(&format!(" {cell} "))));
        assert!(found, "{row:?} is missing in\n{listed}");
    }
    assert!(!listed.contains("r-0") && !listed.contains("r-3") && !listed.contains("mojaloop"), "{listed}");
    let objects = assert_ended(&world.gctb(&["payments", "held", "--json"]), 0);
    let kinds: Vec<&str> =
        objects.lines().filter_map(|line| line.split_once(r#""held":""#)?.1.split('"').next()).collect();
    assert_eq!(kinds, ["backend", "batch", "payment", "payment"]);
    let cut = assert_ended(&world.gctb(&["payments", "held", "--limit", "1"]), 0);
    assert!(cut.contains("only the first 1 were taken") && !cut.contains("r-2"), "{cut}");
}

#[test]
fn i4_all_attempts_of_an_instruction_are_shown_by_its_key_and_by_its_reference() {
    let Some(world) = World::of("i4_all_attempts_of_an_instruction_are_shown") else { return };
    world.database.db().execute_sql(HELD).expect("the rows are there");
    let attempts = |words: &[&str]| world.gctb(&[&["payments", "attempts"], words].concat());
    let by_reference = |reference| attempts(&["--sender", "pbms", "--transaction", "t-7", "--reference", reference]);

    let key = |seq, attempt| RailKey::new(BatchNo(7), Seq(seq), attempt).expect("a key").to_string();
    let shown = assert_ended(&by_reference("r-1"), 0);
    for words in [
        "NOT_PAID",
        "busy",
        "rjct.payment.failed",
        "wallet is locked",
        &key(1, 1),
        &key(1, 2),
        "another attempt, not before 2030",
    ] {
        assert!(shown.contains(words), "{words} is missing in\n{shown}");
    }
    for attempt in [1, 2] {
        assert_eq!(assert_ended(&attempts(&[&key(1, attempt)]), 0), shown, "the key of any attempt leads there");
    }
    assert!(assert_ended(&by_reference("r-0"), 0).contains("nobody has decided anything about it yet"));
    let paid = assert_ended(&by_reference("r-3"), 0);
    assert!(paid.contains("PAID") && !paid.contains("next:"), "what has ended waits for nothing:\n{paid}");
    let json = assert_ended(&attempts(&[&key(1, 2), "--json"]), 0);
    assert!(json.contains(r#""what":"another attempt""#) && json.contains(r#""state":"NOT_PAID""#), "{json}");

    assert!(assert_ended(&by_reference("r-9"), 1).contains("no such reference"));
    assert!(assert_ended(&attempts(&[&key(9, 1)]), 1).contains("is the key of no payment in this database"));
    assert!(assert_ended(&attempts(&["--transaction", "t-7", "--reference", "r-1"]), 1).contains("no such reference"));
    assert_ended(&attempts(&[]), 2);
    assert_ended(&attempts(&["--transaction", "t-7"]), 2);
    assert_ended(&attempts(&[&key(1, 1), "--sender", "pbms"]), 2);
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
