//! What these tests share: batches as intake stores them, and messages as the loop hands them over.

use chrono::{DateTime, TimeDelta, Utc};
use gctb_db::{Db, Intake, NewBatch, NewInstruction, OutboxRow, Refusal};
use gctb_domain::{BackendName, BatchId, BatchNo, Currency, LedgerState, Money, ReasonCode, Seq};
use gctb_events::{LedgerEntry, StatusChunk};
use gctb_runtime::{Incoming, Origin};
use gctb_testkit::TestDatabase;
use uuid::Uuid;

/// What an instruction of a test's batch is.
#[derive(Clone, Copy)]
pub(crate) enum Item {
    /// Accepted, with this amount in minor units and currency.
    Accepted(i64, &'static str),
    /// Accepted, and due so many seconds from now.
    Due(i64),
    /// Refused at intake.
    Refused,
}

#[derive(Clone, Copy)]
pub(crate) struct Batch {
    pub(crate) id: BatchId,
    pub(crate) no: BatchNo,
}

pub(crate) fn accept(db: &Db, items: &[Item], outbox: impl FnOnce(Batch) -> Vec<OutboxRow>) -> Batch {
    let now = Utc::now();
    let batch = Batch { id: BatchId::accepted_at(now), no: db.next_batch_no().expect("a number") };
    let names: Vec<String> = (0..items.len()).map(|seq| format!("r-{seq}")).collect();
    let instructions: Vec<NewInstruction<'_>> =
        items.iter().zip(&names).zip(0..).map(|((item, name), seq)| instruction(seq, name, *item, now)).collect();
    let transaction_id = batch.id.to_string();
    let new = NewBatch {
        batch_id: batch.id,
        batch_no: batch.no,
        sender_id: "sender",
        transaction_id: &transaction_id,
        message_id: &transaction_id,
        digest: &[1],
        digest_version: 1,
        request_timestamp: now,
        received_at: now,
        traceparent: None,
        instructions: instructions.len(),
        in_flight: instructions.iter().filter(|item| item.refusal.is_none()).count(),
    };
    let outbox = outbox(batch);
    let stored = db.intake(&new, instructions, || &outbox).expect("it is stored");
    assert!(matches!(stored, Intake::Stored));
    batch
}

fn instruction(seq: i32, request_id: &str, item: Item, now: DateTime<Utc>) -> NewInstruction<'_> {
    let money =
        |minor, currency| Money::from_minor(minor, Currency::parse(currency).expect("a currency")).expect("positive");
    let (amount, scheduled_at, refusal) = match item {
        Item::Accepted(minor, currency) => (Some(money(minor, currency)), None, None),
        Item::Due(seconds) => (Some(money(100, "KES")), Some(now + TimeDelta::seconds(seconds)), None),
        Item::Refused => (None, None, Some(Refusal { code: ReasonCode::AmountInvalid, message: "not an amount" })),
    };
    NewInstruction {
        seq: Seq(seq),
        request_id,
        from_fa: "account:1@a.b.bank_acc",
        to_fa: "account:2@a.b.bank_acc",
        amount,
        currency: amount.map_or("KES", |amount| amount.currency().code()),
        amount_text: refusal.map(|_| "x"),
        scheduled_at,
        scheduled_text: None,
        payer_name: None,
        payee_name: None,
        purpose: None,
        note: None,
        instruction: None,
        locale: None,
        refusal,
    }
}

/// What the ledger says in a state; everything in it follows from position and version.
pub(crate) fn entry(seq: i32, version: i32, state: LedgerState) -> LedgerEntry {
    LedgerEntry {
        seq: Seq(seq),
        version,
        state,
        attempt: 1,
        backend: Some(BackendName::parse("file").expect("a name")),
        resolved_fa: format!("account:{seq}@v{version}"),
        file: Some(format!("f-{version}")),
        rail_reference: Some(format!("rail-{seq}-{version}")),
        reason: (state == LedgerState::Failed).then_some(ReasonCode::PaymentFailed),
        message: format!("version {version}"),
        changed_at: DateTime::from_timestamp(1_800_000_000 + i64::from(version), 0).expect("in range"),
    }
}

/// A chunk that waits in the outbox, as whoever changed the ledger left it.
pub(crate) fn chunk(database: &TestDatabase, batch: BatchId, entries: Vec<LedgerEntry>) -> StatusChunk {
    let outbox_id = Uuid::new_v4();
    let sql = format!(
        "INSERT INTO outbox (id, kind, batch_id, topic, key, schema, payload, due_at)
         VALUES ('{outbox_id}', 2, '{batch}', 'gctb.status', 'k', 's', '', now() + interval '1 hour')"
    );
    database.db().execute_sql(&sql).expect("the row is written");
    StatusChunk { batch_id: batch, outbox_id, entries }
}

pub(crate) fn arrived(event: &StatusChunk) -> Incoming<StatusChunk> {
    let origin = Origin { topic: "gctb.status".to_owned(), partition: 0, offset: 7, timestamp_ms: None };
    Incoming { event: event.clone(), origin, traceparent: None }
}

/// Whether the chunk still waits in the outbox.
pub(crate) fn waits(database: &TestDatabase, chunk: &StatusChunk) -> bool {
    !database.values(&format!("SELECT id::text AS value FROM outbox WHERE id = '{}'", chunk.outbox_id)).is_empty()
}

/// `seq:status:version` of every instruction of a batch.
pub(crate) fn statuses(database: &TestDatabase, batch: BatchId) -> Vec<String> {
    database.values(&format!(
        "SELECT concat_ws(':', seq, status, version) AS value FROM payment_instructions WHERE batch_id = '{batch}' ORDER BY seq"
    ))
}

/// Asserts the equation of invariant I4: what the totals say is what the rows add up to, and none is missing.
pub(crate) fn assert_totals(database: &TestDatabase, batch: BatchId) {
    let totals = database.values(&format!(
        "SELECT concat_ws(':', currency, status, instructions, amount_minor) AS value FROM batch_totals
         WHERE batch_id = '{batch}' AND instructions <> 0 ORDER BY currency, status"
    ));
    let counted = database.values(&format!(
        "SELECT concat_ws(':', c, status, count(*), coalesce(sum(amount), 0)) AS value
         FROM (SELECT CASE WHEN amount IS NULL THEN 'XXX' ELSE currency END AS c, status, amount
               FROM payment_instructions WHERE batch_id = '{batch}') i
         GROUP BY c, status ORDER BY c, status"
    ));
    assert_eq!(totals, counted, "totals per currency and status");
    let equation = database.value(&format!(
        "SELECT concat_ws(' ', instruction_count = (SELECT sum(instructions) FROM batch_totals t WHERE t.batch_id = b.batch_id),
                in_flight = (SELECT coalesce(sum(instructions), 0) FROM batch_totals t WHERE t.batch_id = b.batch_id AND status < 5)) AS value
         FROM batches b WHERE batch_id = '{batch}'"
    ));
    assert_eq!(equation, "t t", "received = all statuses together, and those in flight are counted");
}
