//! What has to hold when a seed is at rest: invariants I1 to I7 from the tables, the topics, and the banks' books.
//!
//! The judges are what was sent and what the banks booked; both are known here without the bridge.

use std::collections::BTreeMap;

use gctb_domain::RailKey;
use gctb_events::{BatchProgress, Event, InstructionChunk, PaymentChunk, StatusChunk, Topic};
use gctb_runtime::RawMessage;
use gctb_testkit::{TestDatabase, eventually_within};

use super::plan::{decimals, minor, minor_of, received};
use super::stage::{POISON, Stage, topic, transaction_id};
use crate::bank::Entry;
use crate::batch::{Fate, Item};
use crate::consumer::Consumer;
use crate::kafka::Kafka;
use crate::service::Service;
use crate::system::{PATIENCE, System};
use crate::tables::Snapshot;

/// What became of all disbursements of a seed. Nothing is in flight, lost or paid twice, or there would be no outcome.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Disbursements that were received.
    pub received: u64,
    /// Paid.
    pub paid: u64,
    /// Refused, cancelled, or paid and sent back.
    pub failed: u64,
    /// What did not happen though it was drawn, and which crash points were reached.
    pub notes: Vec<String>,
}

/// Number of the batch, position in it.
type Place = (i64, i32);

/// What the tables say of one instruction.
#[derive(Debug)]
struct Row {
    transaction_id: String,
    reference: String,
    amount: Option<i128>,
    currency: String,
    status: u8,
    version: i32,
    ledger: Option<LedgerRow>,
}

#[derive(Debug)]
struct LedgerRow {
    state: u8,
    version: i32,
    amount: Option<i128>,
}

const ROWS: &str = "SELECT concat_ws('|', b.batch_no, p.seq, b.transaction_id, p.request_id, coalesce(p.amount::text, '-'), p.currency,
        p.status, p.version, coalesce(l.state::text, '-'), coalesce(l.version::text, '-'), coalesce(l.amount::text, '-')) AS value
    FROM payment_instructions p JOIN batches b USING (batch_id) LEFT JOIN payment_ledger l USING (batch_id, seq)";

/// The status that the projection shows for a state of the ledger, both by number.
fn status_of(state: u8) -> Option<u8> {
    match state {
        1 | 8 => Some(6),
        2 => Some(7),
        7 => Some(5),
        9 => Some(8),
        _ => None,
    }
}

/// Checks everything.
///
/// # Panics
/// Where anything does not hold.
pub(super) fn everything(stage: &mut Stage) -> Outcome {
    let rows = rows(&stage.system.database);
    all_that_was_acknowledged_is_stored(stage, &rows);
    each_has_ended_and_is_told_of_as_it_stands(&rows);
    each_has_ended_as_it_may(stage, &rows);
    the_books_agree(stage, &rows);
    totals_are_the_sums(stage, &rows);
    files_are_answered_to_the_last_minor_unit(&stage.system.database);
    nothing_is_left_for_people(stage);
    the_senders_can_see_it(&stage.system);
    topics_can_be_read(stage);
    a_second_fold_changes_nothing(stage);
    let count = |wanted: &[u8]| rows.values().filter(|row| wanted.contains(&row.status)).count() as u64;
    let notes = stage.happened.notes.clone();
    Outcome { received: rows.len() as u64, paid: count(&[5]), failed: count(&[6, 7, 8]), notes }
}

fn rows(database: &TestDatabase) -> BTreeMap<Place, Row> {
    database.values(ROWS).iter().map(|row| read_row(row)).collect()
}

fn read_row(row: &str) -> (Place, Row) {
    let fields: Vec<&str> = row.split('|').collect();
    let [
        batch_no,
        seq,
        transaction_id,
        reference,
        amount,
        currency,
        status,
        version,
        state,
        ledger_version,
        ledger_amount,
    ] = fields[..]
    else {
        panic!("a row has eleven fields");
    };
    let number = |text: &str| text.parse::<i128>().ok();
    let ledger = state.parse().ok().map(|state| LedgerRow {
        state,
        version: ledger_version.parse().expect("a version"),
        amount: number(ledger_amount),
    });
    let row = Row {
        transaction_id: transaction_id.to_owned(),
        reference: reference.to_owned(),
        amount: number(amount),
        currency: currency.to_owned(),
        status: status.parse().expect("a status"),
        version: version.parse().expect("a version"),
        ledger,
    };
    ((batch_no.parse().expect("a number"), seq.parse().expect("a position")), row)
}

/// I1, I6: every disbursement of every acknowledged batch is there once, as it was sent, and nothing else is.
fn all_that_was_acknowledged_is_stored(stage: &Stage, rows: &BTreeMap<Place, Row>) {
    let sent: usize = stage.plan.batches.iter().map(|batch| batch.items.len()).sum();
    let batches = stage.system.database.value("SELECT count(*)::text AS value FROM batches");
    assert_eq!(batches, stage.plan.batches.len().to_string(), "I1: left: batches stored; right: sent");
    assert_eq!(rows.len(), sent, "I1: left: instructions stored; right: disbursements sent");
    for (place, row) in rows {
        let item = item_of(stage, *place, row);
        assert_eq!(row.reference, item.reference_id, "I1: the reference at {place:?}");
        assert_eq!((row.amount, &row.currency), (minor(item), &item.currency), "I6: the amount at {place:?}");
    }
}

fn item_of<'a>(stage: &'a Stage, (_, seq): Place, row: &Row) -> &'a Item {
    let batch = stage.plan.batches.iter().find(|batch| transaction_id(batch) == row.transaction_id);
    let batch = batch.unwrap_or_else(|| panic!("I1: a batch is stored that nobody sent"));
    &batch.items[usize::try_from(seq).expect("a position")]
}

/// I4, I5: nothing is in flight, and the projection shows what the ledger says.
fn each_has_ended_and_is_told_of_as_it_stands(rows: &BTreeMap<Place, Row>) {
    for (place, row) in rows {
        let ledger = row.ledger.as_ref().unwrap_or_else(|| panic!("I4: nobody decided about {place:?}"));
        let status = status_of(ledger.state);
        assert!(status.is_some(), "I4: {place:?} has not ended: its ledger row is in state {}", ledger.state);
        assert_eq!(
            (Some(row.status), row.version),
            (status, ledger.version),
            "I5: left: status and version of {place:?} in the projection; right: by the ledger"
        );
    }
}

/// I3, I7: each has ended in a way that what was sent, and what went wrong, allows.
fn each_has_ended_as_it_may(stage: &Stage, rows: &BTreeMap<Place, Row>) {
    let happened = &stage.happened;
    for (place, row) in rows {
        let item = item_of(stage, *place, row);
        let batch = stage.plan.batches.iter().position(|batch| transaction_id(batch) == row.transaction_id);
        let batch = batch.expect("it was found before");
        let is_cancelled = happened.cancelled.contains(&batch);
        let may = match row.status {
            5 => item.fate == Fate::Paid,
            6 => {
                item.fate != Fate::Paid || (happened.forgotten.contains(&batch) && item.payee_fa.starts_with("token:"))
            }
            7 => is_cancelled,
            8 => item.fate == Fate::Paid && happened.answers.contains("return_after_paid"),
            _ => false,
        };
        assert!(may, "I3, I7: {place:?} ended with status {} and must not: {:?}", row.status, item.fate);
    }
}

/// I2: each that the ledger calls paid or returned stands in a book exactly once, with its amount; no other stands there.
fn the_books_agree(stage: &Stage, rows: &BTreeMap<Place, Row>) {
    let mut paid: BTreeMap<Place, u32> = BTreeMap::new();
    let second = stage.second_bank.iter().flat_map(|bank| bank.entries());
    for Entry { payment_ref, amount, currency } in stage.system.bank().entries().into_iter().chain(second) {
        let key = RailKey::parse(&payment_ref).expect("a book's reference is one of ours");
        let place = (key.batch_no().0, key.seq().0);
        let row = rows.get(&place).unwrap_or_else(|| panic!("I2: a bank paid {place:?}, which nobody sent"));
        let booked = decimals(&currency).and_then(|decimals| minor_of(&amount, decimals));
        assert_eq!((booked, &currency), (row.amount, &row.currency), "I6: left: what a bank paid to {place:?}");
        *paid.entry(place).or_default() += 1;
    }
    for (place, row) in rows {
        let times = paid.get(place).copied().unwrap_or(0);
        assert!(times <= 1, "I2: {place:?} was paid {times} times");
        let ledger = row.ledger.as_ref().expect("it was looked at before");
        let is_paid = matches!(ledger.state, 7 | 9);
        assert_eq!(times == 1, is_paid, "I2, I3: left: {place:?} stands in a book; right: it is paid by the ledger");
        assert!(!is_paid || ledger.amount == row.amount, "I6: the ledger's amount of {place:?}");
    }
}

/// I4, I6: the totals are the sums over the rows, and over what was sent.
fn totals_are_the_sums(stage: &Stage, rows: &BTreeMap<Place, Row>) {
    let sql = "SELECT concat_ws('|', b.batch_no, t.currency, t.status, t.instructions, t.amount_minor) AS value
        FROM batch_totals t JOIN batches b USING (batch_id) WHERE t.instructions <> 0 OR t.amount_minor <> 0";
    let mut by_totals: Vec<String> = stage.system.database.values(sql);
    let mut sums: BTreeMap<(i64, &str, u8), (u64, i128)> = BTreeMap::new();
    for ((batch_no, _), row) in rows {
        let currency = if row.amount.is_some() { row.currency.as_str() } else { "XXX" };
        let sum = sums.entry((*batch_no, currency, row.status)).or_default();
        sum.0 += 1;
        sum.1 += row.amount.unwrap_or(0);
    }
    let line = |((batch_no, currency, status), (count, minor)): (&(i64, &str, u8), &(u64, i128))| {
        format!("{batch_no}|{currency}|{status}|{count}|{minor}")
    };
    let mut by_rows: Vec<String> = sums.iter().map(line).collect();
    by_totals.sort();
    by_rows.sort();
    assert_eq!(by_totals, by_rows, "I4: left: the control totals; right: the sums over the rows");
    let mut by_currency: BTreeMap<String, (u64, i128)> = BTreeMap::new();
    for ((_, currency, _), (count, minor)) in sums {
        let sum = by_currency.entry(currency.to_owned()).or_default();
        *sum = (sum.0 + count, sum.1 + minor);
    }
    assert_eq!(by_currency, received(&stage.plan.batches), "I4, I6: left: the totals; right: what was sent");
}

/// Every file that was sent is answered wholly, and its control totals are the sums over its ledger rows.
fn files_are_answered_to_the_last_minor_unit(database: &TestDatabase) {
    let differ = "SELECT f.name || ': ' || concat_ws(', ', f.state, f.line_count, f.amount_minor, f.answered_count) AS value
        FROM outgoing_files f
        LEFT JOIN LATERAL (SELECT count(*) AS lines, sum(amount) AS minor FROM payment_ledger l WHERE l.file_id = f.file_id) l ON true
        WHERE NOT coalesce((f.state = 6 AND l.lines = 0)
                           OR (f.state = 5 AND f.line_count = l.lines AND f.amount_minor = l.minor AND f.answered_count = l.lines), false)";
    let differ = database.values(differ);
    assert!(
        differ.is_empty(),
        "I4, I6: files whose state, lines, sum or answers are not those of the ledger: {differ:?}"
    );
}

/// I3, I7: what people must look at is there only where it was drawn.
fn nothing_is_left_for_people(stage: &Stage) {
    let database = &stage.system.database;
    let count = |what: &str| database.value(&format!("SELECT count(*)::text AS value FROM {what}"));
    let said = |words: &[&str]| words.iter().any(|word| stage.happened.answers.contains(word));
    if !said(&["paid_then_rejected", "rejected_then_paid"]) {
        assert_eq!(count("ledger_conflicts"), "0", "I3: contradictions though no bank contradicted itself");
    }
    if !said(&["wrong_amount", "wrong_currency", "unknown_ref"]) {
        let odd = "file_exceptions WHERE kind <> 'file_set_aside'";
        assert_eq!(count(odd), "0", "I7: exceptions though no bank said anything odd");
    }
    let listed = "file_exceptions WHERE kind = 'file_set_aside'";
    assert_eq!(count(listed), count("incoming_files WHERE state = 3"), "I7: left: files in the list; right: set aside");
    if !said(&["bad_structure"]) {
        assert_eq!(count("incoming_files WHERE state = 3"), "0", "I7: response files were set aside");
    }
    assert_eq!(count("batch_sweeps"), "0", "I4: batches that are at their end are looked at still");
    for bank in stage.bank_folders() {
        let refused = std::fs::read_dir(bank.join("outgoing/refused")).map_or(0, Iterator::count);
        assert_eq!(refused, 0, "I6: a bank refused files whole");
    }
}

fn the_senders_can_see_it(system: &System) {
    for sent in &system.sent {
        let all = sent.batch.items.len() as u64;
        let told = eventually_within(PATIENCE, "an answer of the status API", || system.completed(sent));
        assert_eq!(told, all, "I4: left: how many the status API says are completed; right: received");
    }
}

/// I5, I7: every message can be read but those that were drawn, and nothing else is a dead letter.
fn topics_can_be_read(stage: &Stage) {
    let held = held_by_topics(&stage.system.kafka);
    for consumer in Consumer::ALL {
        let topic = topic(consumer);
        let (name, dead) = (topic.name(), topic.dead().name());
        let is_read = |message: &RawMessage| message.payload == POISON || reads(&topic, &message.payload);
        assert!(held[&name].iter().all(is_read), "I7: a message in {name} cannot be read");
        let strange = held[&dead].iter().filter(|letter| letter.payload != POISON).count();
        assert_eq!(strange, 0, "I7: {dead} holds what is no poison");
        let is_poisoned = stage.happened.poisoned.contains(&consumer);
        assert!(held[&dead].is_empty() || is_poisoned, "I7: {dead} holds poison that nobody sent");
    }
    let is_read = |message: &RawMessage| BatchProgress::decode(&message.payload).is_ok();
    let completions = Topic::Completions.name();
    assert!(held[&completions].iter().all(is_read), "I7: a message in {completions} cannot be read");
}

/// Every message of every topic. They are read side by side, since each takes some time to be found.
fn held_by_topics(kafka: &Kafka) -> BTreeMap<String, Vec<RawMessage>> {
    let read = Consumer::ALL.into_iter().map(topic).flat_map(|topic| [topic.name(), topic.dead().name()]);
    let names: Vec<String> = read.chain([Topic::Completions.name()]).collect();
    std::thread::scope(|threads| {
        let reading = |name: String| threads.spawn(move || (kafka.messages(&name), name));
        let reading: Vec<_> = names.into_iter().map(reading).collect();
        let held = reading.into_iter().map(|topic| topic.join().expect("the topic is read"));
        held.map(|(messages, name)| (name, messages)).collect()
    })
}

fn reads(topic: &Topic, payload: &[u8]) -> bool {
    match topic {
        Topic::Batches | Topic::Resolve => {
            InstructionChunk::decode(payload).is_ok_and(|decoded| decoded.refused.is_empty())
        }
        Topic::Payments(_) => PaymentChunk::decode(payload).is_ok_and(|decoded| decoded.refused.is_empty()),
        Topic::Status => StatusChunk::decode(payload).is_ok_and(|decoded| decoded.refused.is_empty()),
        Topic::Completions | Topic::Dead(_) => false,
    }
}

/// I5: all news once more from the first, and every table is the same.
fn a_second_fold_changes_nothing(stage: &mut Stage) {
    let held = stage.system.kafka.count(Consumer::Status.topic());
    if held == 0 {
        // The topic was made again after the last news.
        return;
    }
    stage.end_replicas();
    stage.system.stop(Service::Status);
    let before = Snapshot::of(&stage.system.database);
    stage.system.kafka.replay(&Consumer::Status.group(&stage.system), Consumer::Status.topic());
    stage.system.start_service(Service::Status);
    eventually_within(PATIENCE, "every message to be folded again", || {
        (Consumer::Status.messages_handled(&stage.system) >= held).then_some(())
    });
    stage.system.wait_for_an_empty_outbox();
    let after = Snapshot::of(&stage.system.database);
    if before != after {
        before.assert_same(&after, "I5: a second fold");
    }
}
