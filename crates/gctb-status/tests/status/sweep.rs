//! The sweeper: emits exactly what nobody decided about, as often as allowed, and never floods what is only slow.

use std::collections::BTreeSet;

use chrono::Utc;
use gctb_db::{ControlState, DueSweep, OutboxRow, Rejection};
use gctb_domain::{BackendName, BatchId, Currency, FinancialAddress, Money, ReasonCode, Seq};
use gctb_events::{Event, Instruction, InstructionChunk};
use gctb_runtime::PositionsError;
use gctb_status::{IDENTITY, Round, Settings, SweepSettings, Sweeper};
use gctb_testkit::TestDatabase;

use crate::world::{Batch, Item, accept};

const KES: Item = Item::Accepted(100, "KES");

fn settings() -> SweepSettings {
    let required = [("GCTB_STATUS__DATABASE__URL", "postgres://u@h/d"), ("GCTB_STATUS__KAFKA__BROKERS", "k:1")];
    let env = required.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let settings: Settings =
        gctb_runtime::settings::load_from(&IDENTITY, std::iter::empty(), env.into_iter()).expect("the defaults");
    settings.sweep
}

/// One look with every batch due, and what it published.
fn look(
    database: &TestDatabase,
    settings: &SweepSettings,
    have_passed: impl FnMut(&DueSweep, chrono::DateTime<Utc>) -> Result<bool, PositionsError>,
) -> (Round, Vec<OutboxRow>) {
    database.db().execute_sql("UPDATE batch_sweeps SET due_at = now()").expect("all are due");
    let mut published = Vec::new();
    let meter = opentelemetry::global::meter("test");
    let publish = |rows| published.extend(rows);
    let round = Sweeper::new(database.db().clone(), settings, have_passed, publish, Utc::now, &meter).round();
    (round.expect("Postgres is there"), published)
}

fn positions(rows: &[OutboxRow]) -> Vec<i32> {
    let chunk = |row: &OutboxRow| InstructionChunk::decode(&row.message.payload).expect("a chunk").event;
    rows.iter().flat_map(|row| chunk(row).instructions).map(|instruction| instruction.seq.0).collect()
}

fn emission_of(batch: Batch) -> Vec<OutboxRow> {
    let fa = FinancialAddress::parse("account:1@a.b.bank_acc").expect("an address");
    let instruction = Instruction {
        seq: Seq(0),
        reference_id: "r-0".to_owned(),
        from_fa: fa.clone(),
        to_fa: fa,
        amount: Money::from_minor(100, Currency::parse("KES").expect("a currency")).expect("positive"),
        scheduled_at: None,
        payee_name: String::new(),
        purpose: String::new(),
        note: String::new(),
    };
    let chunks = InstructionChunk::split(batch.id, batch.no, 0, vec![instruction]);
    chunks.iter().map(|chunk| OutboxRow::instructions(chunk, None, None)).collect()
}

fn forget_outbox(database: &TestDatabase) {
    database.db().execute_sql("DELETE FROM outbox").expect("deleted, as after a delivery");
}

fn unreachable() -> PositionsError {
    PositionsError::Kafka {
        doing: "find the ends of",
        what: "gctb.batches".to_owned(),
        reason: "nobody answers".to_owned(),
    }
}

#[test]
fn i4_what_is_due_and_has_no_ledger_row_is_emitted_again_and_nothing_else() {
    let Some(database) = gctb_testkit::database("i4_what_is_due_and_has_no_ledger_row") else { return };
    let items = [KES, KES, Item::Due(3_600), Item::Refused, Item::Due(-3_600)];
    let batch = accept(database.db(), &items, |_| Vec::new());
    let rejection = Rejection { seq: Seq(1), reason: ReasonCode::PayeeFaInvalid, message: "no such payee".to_owned() };
    database.db().reject(batch.id, batch.no, &[rejection], None).expect("it is decided");
    forget_outbox(&database);
    let (round, published) = look(&database, &settings(), |_, _| Ok(true));
    assert_eq!(round, Round { emitted: 2, ..Round::default() });
    assert_eq!(positions(&published), [0, 4]);
    let waiting = database.value("SELECT count(*)::text AS value FROM outbox WHERE kind = 1");
    assert_eq!(waiting, "1", "committed before it was published");
}

#[test]
fn i4_one_emission_takes_the_whole_of_a_large_batch() {
    let Some(database) = gctb_testkit::database("i4_one_emission_takes_the_whole") else { return };
    let batch = accept(database.db(), &vec![KES; 10_500], |_| Vec::new());
    let (round, published) = look(&database, &settings(), |_, _| Ok(true));
    assert_eq!(round, Round { emitted: 10_500, ..Round::default() });
    assert_eq!(positions(&published), (0..10_500).collect::<Vec<i32>>());
    let keys: BTreeSet<&str> = published.iter().map(|row| row.message.key.as_str()).collect();
    assert_eq!(keys.len(), published.len(), "no two chunks share a key");
    assert!(keys.contains(format!("{}:20:1", batch.id).as_str()));
}

#[test]
fn what_waits_in_the_outbox_is_not_emitted_again() {
    let Some(database) = gctb_testkit::database("what_waits_in_the_outbox") else { return };
    accept(database.db(), &[KES], emission_of);
    assert_eq!(look(&database, &settings(), |_, _| Ok(true)).0, Round::default());
    forget_outbox(&database);
    assert_eq!(look(&database, &settings(), |_, _| Ok(true)).0, Round { emitted: 1, ..Round::default() });
}

#[test]
fn a_held_batch_is_left_alone_until_it_is_released() {
    let Some(database) = gctb_testkit::database("a_held_batch_is_left_alone") else { return };
    let batch = accept(database.db(), &[KES], |_| Vec::new());
    database.db().set_control(batch.id, ControlState::Held).expect("held");
    assert_eq!(look(&database, &settings(), |_, _| Ok(true)).0, Round::default());
    database.db().set_control(batch.id, ControlState::Open).expect("released");
    assert_eq!(look(&database, &settings(), |_, _| Ok(true)).0.emitted, 1);
}

#[test]
fn a_batch_whose_consumers_are_behind_is_put_off() {
    let Some(database) = gctb_testkit::database("a_batch_whose_consumers_are_behind") else { return };
    accept(database.db(), &[KES], |_| Vec::new());
    let (round, published) = look(&database, &settings(), |_, _| Ok(false));
    assert_eq!(round, Round { postponed: 1, ..Round::default() });
    assert!(published.is_empty());
    let later = database.value("SELECT (due_at > now() + interval '30 seconds')::text AS value FROM batch_sweeps");
    assert_eq!(later, "true");
}

#[test]
fn i8_while_kafka_is_away_one_batch_asks_and_the_others_do_not_wait_for_the_time_out_too() {
    let Some(database) = gctb_testkit::database("i8_while_kafka_is_away") else { return };
    for _ in 0..3 {
        accept(database.db(), &[KES], |_| Vec::new());
    }
    let mut asked = 0;
    let (round, published) = look(&database, &settings(), |_, _| {
        asked += 1;
        Err(unreachable())
    });
    assert_eq!(round, Round { postponed: 1, ..Round::default() });
    assert!(published.is_empty());
    assert_eq!(asked, 1);
}

#[test]
fn i4_after_the_last_emission_the_instruction_is_an_operators_and_listed() {
    let Some(database) = gctb_testkit::database("i4_after_the_last_emission") else { return };
    let batch = accept(database.db(), &[KES, KES], |_| Vec::new());
    let settings = SweepSettings { emissions_max: 2, ..settings() };
    let mut parts = Vec::new();
    for _ in 0..2 {
        let (round, published) = look(&database, &settings, |_, _| Ok(true));
        assert_eq!(round, Round { emitted: 2, ..Round::default() });
        parts.extend(published.iter().map(|row| row.message.key.clone()));
        forget_outbox(&database);
    }
    assert_eq!(parts, [format!("{}:0:1", batch.id), format!("{}:0:2", batch.id)], "each emission has a key of its own");
    let (round, published) = look(&database, &settings, |_, _| Ok(true));
    assert_eq!(round, Round { stranded: 2, ..Round::default() });
    assert!(published.is_empty());
    let listed = database.db().stranded_batches().expect("can be listed");
    let listed: Vec<_> =
        listed.iter().map(|row| (BatchId::from_uuid(row.batch_id), row.stranded, row.emissions)).collect();
    assert_eq!(listed, [(batch.id, 2, 2)]);
}

#[test]
fn the_backends_group_is_its_name_unless_the_settings_say_otherwise() {
    let file = BackendName::parse("file").expect("a name");
    let second = BackendName::parse("file-2").expect("a name");
    let mut settings = settings();
    settings.backend_groups.insert(second.clone(), "night".to_owned());
    assert_eq!(settings.group_of(&file), "gctb-backend-file");
    assert_eq!(settings.group_of(&second), "night");
}
