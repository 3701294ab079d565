//! What these tests share: messages as the API hands them over, claims as the file backend makes them.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use gctb_db::{
    Claim, ClaimOutcome, Db, DbError, FileLine, Intake, NewBatch, NewInstruction, OutboxRow, PutOutcome, Refusal,
    Registration,
};
use gctb_domain::{BackendName, BatchId, BatchNo, Currency, Money, News, RailKey, ReasonCode, Seq};
use gctb_events::{Event, LedgerEntry, StatusChunk};
use gctb_testkit::TestDatabase;
use uuid::Uuid;

/// What a disbursement of a test's message is.
#[derive(Clone, Copy)]
pub(crate) enum Item {
    /// Accepted, with this amount in minor units of KES.
    Accepted(i64),
    /// Refused at intake.
    Refused,
}

/// A message as it was parsed.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: BatchId,
    pub(crate) no: BatchNo,
    pub(crate) sender: &'static str,
    pub(crate) transaction: String,
    pub(crate) message: String,
    pub(crate) items: Vec<Item>,
}

impl Message {
    pub(crate) fn new(db: &Db, items: &[Item]) -> Self {
        Self::accepted_at(db, items, Utc::now())
    }

    pub(crate) fn accepted_at(db: &Db, items: &[Item], at: DateTime<Utc>) -> Self {
        let id = BatchId::accepted_at(at);
        let no = db.next_batch_no().expect("a number");
        let (transaction, message) = (format!("t-{id}"), format!("m-{id}"));
        Self { id, no, sender: "sender", transaction, message, items: items.to_vec() }
    }

    pub(crate) fn store(&self, db: &Db) -> Result<Intake, DbError> {
        self.store_with(db, &[])
    }

    pub(crate) fn store_with(&self, db: &Db, outbox: &[OutboxRow]) -> Result<Intake, DbError> {
        let names: Vec<String> = (0..self.items.len()).map(|seq| format!("r-{seq}")).collect();
        let items: Vec<NewInstruction<'_>> =
            self.items.iter().zip(&names).zip(0..).map(|((item, name), seq)| instruction(seq, name, *item)).collect();
        let batch = NewBatch {
            batch_id: self.id,
            batch_no: self.no,
            sender_id: self.sender,
            transaction_id: &self.transaction,
            message_id: &self.message,
            digest: &[1, 2, 3],
            digest_version: 1,
            request_timestamp: Utc::now(),
            received_at: Utc::now(),
            traceparent: None,
            instructions: items.len(),
            in_flight: items.iter().filter(|item| item.refusal.is_none()).count(),
        };
        db.intake(&batch, items, || outbox)
    }
}

/// A message that is stored.
pub(crate) fn stored(db: &Db, items: &[Item]) -> Message {
    let message = Message::new(db, items);
    assert!(matches!(message.store(db), Ok(Intake::Stored)), "it is stored");
    message
}

pub(crate) fn kes(minor: i64) -> Money {
    Money::from_minor(minor, Currency::parse("KES").expect("a currency")).expect("a positive amount")
}

pub(crate) fn instruction(seq: i32, request_id: &str, item: Item) -> NewInstruction<'_> {
    let (amount, refusal) = match item {
        Item::Accepted(minor) => (Some(kes(minor)), None),
        Item::Refused => (None, Some(Refusal { code: ReasonCode::AmountInvalid, message: "not an amount" })),
    };
    NewInstruction {
        seq: Seq(seq),
        request_id,
        from_fa: PAYER,
        to_fa: "account:2@a.b.bank_acc",
        amount,
        currency: "KES",
        amount_text: refusal.map(|_| "ten"),
        scheduled_at: None,
        scheduled_text: None,
        payer_name: None,
        payee_name: Some("Payee"),
        purpose: None,
        note: None,
        instruction: None,
        locale: None,
        refusal,
    }
}

pub(crate) const PAYER: &str = "account:1@a.b.bank_acc";

pub(crate) fn file_backend() -> BackendName {
    BackendName::parse("file").expect("a name")
}

pub(crate) fn claim_of(seq: i32, minor: i64) -> Claim {
    Claim {
        seq: Seq(seq),
        payer_fa: PAYER.to_owned(),
        resolved_fa: format!("account:{seq}@c.d.bank_acc"),
        amount: kes(minor),
        scheduled_at: None,
        payee_name: "Payee".to_owned(),
        narrative: "support".to_owned(),
        refusal: None,
    }
}

pub(crate) fn due_in(claim: Claim, seconds: i64) -> Claim {
    Claim { scheduled_at: Some(Utc::now() + TimeDelta::seconds(seconds)), ..claim }
}

/// Longer than any put of a test takes.
pub(crate) const PUT_MAX: Duration = Duration::from_secs(600);

/// Claims for the backend `file`, as a process that fills no file yet.
pub(crate) fn claim(db: &Db, batch: &Message, claims: &[Claim]) -> Result<ClaimOutcome, DbError> {
    db.claim_for_files(&file_backend(), batch.id, batch.no, claims, &HashMap::new(), 3_600_000, None)
}

/// The number of the one file of an outcome.
pub(crate) fn file_of(outcome: &ClaimOutcome) -> i64 {
    outcome.files.values().map(|place| place.file_id).next().expect("one file")
}

/// A batch of `amounts`, claimed into one file that is closed.
pub(crate) fn closed_file(db: &Db, amounts: &[i64]) -> (Message, i64) {
    let items: Vec<Item> = amounts.iter().map(|minor| Item::Accepted(*minor)).collect();
    let batch = stored(db, &items);
    let claims: Vec<Claim> = amounts.iter().zip(0..).map(|(minor, seq)| claim_of(seq, *minor)).collect();
    let outcome = claim(db, &batch, &claims).expect("claimed");
    let file = file_of(&outcome);
    assert!(db.close_file(file).expect("Postgres is there"), "this call closed it");
    (batch, file)
}

/// The same, and the bank has the file.
pub(crate) fn sent_file(db: &Db, amounts: &[i64]) -> (Message, i64) {
    let (batch, file) = closed_file(db, amounts);
    let owner = Uuid::new_v4();
    assert!(db.begin_delivery(file, owner, &[9; 32], 1).expect("Postgres is there").is_begun(), "begun");
    let put = db.deliver(file, owner, PUT_MAX, |_| PutOutcome::Delivered).expect("Postgres is there");
    assert_eq!(put, Some(PutOutcome::Delivered));
    (batch, file)
}

/// A line of a response file about the first attempt.
pub(crate) fn line(line_no: i32, batch: &Message, seq: i32, news: News, minor: i64) -> FileLine {
    FileLine {
        line_no,
        rail_key: RailKey::new(batch.no, Seq(seq), 1).expect("fits"),
        news,
        amount: kes(minor),
        reason: (news == News::Refused).then_some(ReasonCode::PayeeFaInvalid),
        message: "in the bank's words".to_owned(),
        rail_reference: Some(format!("bank-{seq}")),
    }
}

/// Registers a response file whose content is `content`.
pub(crate) fn response(db: &Db, content: u8) -> i64 {
    match db.register_incoming(&file_backend(), "response.csv", &[content; 32], 10).expect("Postgres is there") {
        Registration::New(file) | Registration::Known(file) => file.incoming_id,
    }
}

/// `seq:state:version:backend` of every ledger row of a batch.
pub(crate) fn ledger(database: &TestDatabase, batch: &Message) -> Vec<String> {
    database.values(&format!(
        "SELECT concat_ws(':', seq, state, version, backend) AS value FROM payment_ledger WHERE batch_id = '{}' ORDER BY seq",
        batch.id
    ))
}

/// How many rows a table has.
pub(crate) fn count(database: &TestDatabase, table: &str) -> String {
    database.value(&format!("SELECT count(*)::text AS value FROM {table}"))
}

/// What status rows of the outbox tell.
pub(crate) fn told(rows: &[OutboxRow]) -> Vec<LedgerEntry> {
    rows.iter()
        .flat_map(|row| StatusChunk::decode(&row.message.payload).expect("a status chunk").event.entries)
        .collect()
}
