//! What people look at of called rails: what is held back and until when, and all attempts of one instruction.
//!
//! Read-only. Nothing is decided by what stands here: what is held is counted in the projection too, which may be some seconds late.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryResult, QueryableByName, RunQueryDsl};
use gctb_domain::{LedgerState, RailKey};
use uuid::Uuid;

use super::control::RailState;
use super::open_payment::{LOOKED_AFTER, NAMED, OPEN_PAYMENT_COLUMNS, OpenPayment};
use super::work::WorkKind;
use crate::error::DbError;
use crate::pool::Db;

/// A backend that may not pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoppedRail {
    /// The backend.
    pub backend: String,
    /// Why it may not: `PAUSED` or `HELD`.
    pub state: RailState,
    /// The reason that was given.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it opens by itself. None: a person opens it.
    pub resume_at: Option<DateTime<Utc>>,
    /// Instructions that it has claimed and would send again. What it has not claimed waits in its topic.
    pub waiting: i64,
}

/// A batch that may not be paid.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct HeldBatch {
    /// Who sent it.
    #[diesel(sql_type = Text)]
    pub sender_id: String,
    /// In which transaction.
    #[diesel(sql_type = Text)]
    pub transaction_id: String,
    /// Since when.
    #[diesel(sql_type = Timestamptz)]
    pub since: DateTime<Utc>,
    /// Its instructions that nobody has claimed.
    #[diesel(sql_type = BigInt)]
    pub waiting: i64,
    /// All of its instructions that have not ended.
    #[diesel(sql_type = Integer)]
    pub in_flight: i32,
}

/// A payment that nobody makes before its time: it was given back unsent, or was definitely not paid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostponedPayment {
    /// Which.
    pub payment: OpenPayment,
    /// How it stands.
    pub state: LedgerState,
    /// What comes next, and when at the earliest.
    pub next: NextStep,
}

/// What is done next about an attempt, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextStep {
    /// What.
    pub what: Step,
    /// Not before; what is past waits for its backend.
    pub due_at: DateTime<Utc>,
}

/// What may be done next about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// Calls are under way; when their time is over, somebody else looks.
    InHand,
    /// The rail is asked.
    Ask,
    /// It is sent again, under the same key.
    Send,
    /// Another attempt begins.
    Retry,
    /// A person decides.
    Person,
    /// What was prepared is made impossible.
    Fence,
}

impl Step {
    /// In words that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InHand => "calls are under way",
            Self::Ask => "ask the rail",
            Self::Send => "send it, same key",
            Self::Retry => "another attempt",
            Self::Person => "a person decides",
            Self::Fence => "make it impossible",
        }
    }

    const fn of(kind: WorkKind) -> Self {
        match kind {
            WorkKind::Window => Self::InHand,
            WorkKind::Ask => Self::Ask,
            WorkKind::Send => Self::Send,
            WorkKind::Retry => Self::Retry,
            WorkKind::Operator => Self::Person,
            WorkKind::Fence => Self::Fence,
        }
    }
}

/// Which instruction is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstructionName {
    /// By the key that a rail knows one of its attempts by.
    Key(RailKey),
    /// As its sender calls it.
    Reference {
        /// The sender.
        sender: String,
        /// The batch's transaction_id.
        transaction: String,
        /// The disbursement's reference_id.
        reference: String,
    },
}

/// An instruction with all attempts to pay it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionAttempts {
    /// Number of its batch.
    pub batch_no: i64,
    /// Position in the batch.
    pub seq: i32,
    /// Who sent it.
    pub sender_id: String,
    /// In which transaction.
    pub transaction_id: String,
    /// Under which reference.
    pub request_id: String,
    /// Minor units; None where the amount as sent is none.
    pub amount: Option<i64>,
    /// ISO 4217, as sent.
    pub currency: String,
    /// What the ledger says. None: nobody has decided anything about it.
    pub standing: Option<AttemptStanding>,
    /// Earlier attempts, the first one first.
    pub past: Vec<PastAttempt>,
    /// What is done next, and when. None: nothing, it has ended or waits in Kafka or in a file.
    pub next: Option<NextStep>,
}

/// How the ledger row of an instruction stands, with its last attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptStanding {
    /// The state.
    pub state: LedgerState,
    /// The backend that claimed it.
    pub backend: Option<String>,
    /// The last attempt; 0: nobody tried.
    pub attempt: i16,
    /// How many requests that could move money may have left for it.
    pub sends: i16,
    /// Whether nothing of it can be under way.
    pub quiet: bool,
    /// The payment file that it is in.
    pub file: Option<String>,
    /// What the rail calls it.
    pub rail_handle: Option<String>,
    /// The rail's reference of the payment.
    pub rail_reference: Option<String>,
    /// Why it was refused.
    pub reason_code: Option<String>,
    /// The last words about it.
    pub message: Option<String>,
    /// What was heard from somebody who may not decide.
    pub evidence: Option<String>,
    /// When the row last changed.
    pub changed_at: DateTime<Utc>,
}

/// An attempt that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastAttempt {
    /// Which.
    pub attempt: i16,
    /// The rail's reference, if it gave one.
    pub rail_reference: Option<String>,
    /// Why it was refused.
    pub reason_code: Option<String>,
    /// The rail's words.
    pub message: Option<String>,
}

impl Db {
    /// The backends that may not pay, by name.
    ///
    /// # Errors
    /// Where Postgres refuses, or a row has a state that nobody knows.
    pub fn stopped_rails(&self) -> Result<Vec<StoppedRail>, DbError> {
        let waiting = self.with("count what stopped backends would send", claimed_and_unsent)?;
        let stopped = self.rail_controls()?.into_iter().filter(|(_, control)| control.state != RailState::Open);
        let with_count = stopped.map(|(backend, control)| {
            let count = waiting.iter().find(|row| row.backend == backend).map_or(0, |row| row.waiting);
            StoppedRail {
                backend,
                state: control.state,
                reason: control.reason,
                since: control.since,
                resume_at: control.resume_at,
                waiting: count,
            }
        });
        Ok(with_count.collect())
    }

    /// The batches that are held, those that are held longest first, at most `limit`.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn held_batches(&self, limit: i64) -> Result<Vec<HeldBatch>, DbError> {
        self.with("list the batches that are held", |connection| {
            diesel::sql_query(
                "SELECT b.sender_id, b.transaction_id, c.changed_at AS since, b.in_flight,
                        (SELECT coalesce(sum(t.instructions), 0)::bigint FROM batch_totals t
                         WHERE t.batch_id = c.batch_id AND t.status = 1) AS waiting
                 FROM batch_controls c JOIN batches b ON b.batch_id = c.batch_id
                 WHERE c.state = 2 ORDER BY c.changed_at, b.batch_no LIMIT $1",
            )
            .bind::<BigInt, _>(limit)
            .load(connection)
        })
    }

    /// The payments that were given back or definitely not made, and are tried again, the next one first, at most `limit`.
    ///
    /// # Errors
    /// Where Postgres refuses, or a row has a state or kind that nobody knows.
    pub fn postponed_payments(&self, limit: i64) -> Result<Vec<PostponedPayment>, DbError> {
        const DOING: &str = "list the payments that are tried again";
        let rows: Vec<PostponedRow> = self.with(DOING, |connection| {
            diesel::sql_query(format!(
                "SELECT {OPEN_PAYMENT_COLUMNS}, l.state, w.kind, w.due_at
                 FROM {LOOKED_AFTER} {NAMED}
                 WHERE {SENT_LATER} ORDER BY w.due_at, l.batch_no, l.seq LIMIT $1"
            ))
            .bind::<BigInt, _>(limit)
            .load(connection)
        })?;
        rows.into_iter().map(|row| row.read(DOING)).collect()
    }

    /// An instruction with all attempts to pay it. None: this database has no such instruction.
    ///
    /// # Errors
    /// Where Postgres refuses, or a row has a state or kind that nobody knows.
    pub fn instruction_attempts(&self, name: &InstructionName) -> Result<Option<InstructionAttempts>, DbError> {
        const DOING: &str = "read the attempts to pay an instruction";
        let row = self.with(DOING, |connection| {
            let Some((batch, seq)) = position_of(connection, name)? else { return Ok(None) };
            attempts_at(connection, batch, seq)
        })?;
        row.map(|row| row.read(DOING)).transpose()
    }
}

/// What was given back unsent or was definitely not paid, and is tried again: of what somebody looks after.
const SENT_LATER: &str = "w.kind IN (3, 4) AND l.state IN (3, 5, 6)";

#[derive(QueryableByName)]
struct Waiting {
    #[diesel(sql_type = Text)]
    backend: String,
    #[diesel(sql_type = BigInt)]
    waiting: i64,
}

fn claimed_and_unsent(connection: &mut PgConnection) -> QueryResult<Vec<Waiting>> {
    diesel::sql_query(format!(
        "SELECT w.backend, count(*) AS waiting FROM {LOOKED_AFTER} WHERE {SENT_LATER} GROUP BY 1"
    ))
    .load(connection)
}

#[derive(QueryableByName)]
struct PostponedRow {
    #[diesel(embed)]
    payment: OpenPayment,
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = SmallInt)]
    kind: i16,
    #[diesel(sql_type = Timestamptz)]
    due_at: DateTime<Utc>,
}

impl PostponedRow {
    fn read(self, doing: &'static str) -> Result<PostponedPayment, DbError> {
        let Self { payment, state: code, kind, due_at } = self;
        Ok(PostponedPayment { payment, state: state(code, doing)?, next: step(kind, due_at, doing)? })
    }
}

#[derive(QueryableByName)]
struct Position {
    #[diesel(sql_type = SqlUuid)]
    batch_id: Uuid,
    #[diesel(sql_type = Integer)]
    seq: i32,
}

/// The batch first: its id is what names the partition of all further questions.
fn position_of(connection: &mut PgConnection, name: &InstructionName) -> QueryResult<Option<(Uuid, i32)>> {
    let found: Option<Position> = match name {
        InstructionName::Key(key) => diesel::sql_query("SELECT batch_id, $2 AS seq FROM batches WHERE batch_no = $1")
            .bind::<BigInt, _>(key.batch_no().0)
            .bind::<Integer, _>(key.seq().0)
            .get_result(connection)
            .optional()?,
        InstructionName::Reference { sender, transaction, reference } => diesel::sql_query(
            "SELECT p.batch_id, p.seq FROM payment_instructions p
             WHERE p.batch_id = (SELECT batch_id FROM batches WHERE sender_id = $1 AND transaction_id = $2)
               AND p.request_id = $3 ORDER BY p.seq LIMIT 1",
        )
        .bind::<Text, _>(sender)
        .bind::<Text, _>(transaction)
        .bind::<Text, _>(reference)
        .get_result(connection)
        .optional()?,
    };
    Ok(found.map(|position| (position.batch_id, position.seq)))
}

fn attempts_at(connection: &mut PgConnection, batch: Uuid, seq: i32) -> QueryResult<Option<AttemptsRow>> {
    diesel::sql_query(
        "SELECT b.batch_no, p.seq, b.sender_id, b.transaction_id, p.request_id, p.amount, p.currency,
                l.state, l.backend, l.attempt, l.sends, coalesce(l.quiet_at <= now(), true) AS quiet, l.file, l.rail_handle,
                l.rail_reference, l.reason_code, l.message, l.evidence, l.past_attempts, l.changed_at, w.kind, w.due_at
         FROM batches b
         JOIN payment_instructions p ON p.batch_id = $1 AND p.seq = $2
         LEFT JOIN payment_ledger l ON l.batch_id = $1 AND l.seq = $2
         LEFT JOIN ledger_work w ON w.work_id = l.work_id AND $2 = ANY(w.seqs) AND l.state IN (3, 4, 5, 6)
         WHERE b.batch_id = $1",
    )
    .bind::<SqlUuid, _>(batch)
    .bind::<Integer, _>(seq)
    .get_result(connection)
    .optional()
}

#[derive(QueryableByName)]
struct AttemptsRow {
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Integer)]
    seq: i32,
    #[diesel(sql_type = Text)]
    sender_id: String,
    #[diesel(sql_type = Text)]
    transaction_id: String,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    amount: Option<i64>,
    #[diesel(sql_type = Text)]
    currency: String,
    #[diesel(sql_type = Nullable<SmallInt>)]
    state: Option<i16>,
    #[diesel(sql_type = Nullable<Text>)]
    backend: Option<String>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    attempt: Option<i16>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    sends: Option<i16>,
    #[diesel(sql_type = Bool)]
    quiet: bool,
    #[diesel(sql_type = Nullable<Text>)]
    file: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    rail_handle: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    rail_reference: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    message: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    evidence: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    past_attempts: Option<String>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    changed_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    kind: Option<i16>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    due_at: Option<DateTime<Utc>>,
}

impl AttemptsRow {
    fn read(self, doing: &'static str) -> Result<InstructionAttempts, DbError> {
        let past = self.past_attempts.as_deref().unwrap_or_default().lines().map(past_attempt).collect();
        let next = self.kind.zip(self.due_at).map(|(kind, due_at)| step(kind, due_at, doing)).transpose()?;
        let standing = match (self.state, self.changed_at) {
            (Some(code), Some(changed_at)) => Some(AttemptStanding {
                state: state(code, doing)?,
                backend: self.backend,
                attempt: self.attempt.unwrap_or_default(),
                sends: self.sends.unwrap_or_default(),
                quiet: self.quiet,
                file: self.file,
                rail_handle: self.rail_handle,
                rail_reference: self.rail_reference,
                reason_code: self.reason_code,
                message: self.message,
                evidence: self.evidence,
                changed_at,
            }),
            (_, _) => None,
        };
        Ok(InstructionAttempts {
            batch_no: self.batch_no,
            seq: self.seq,
            sender_id: self.sender_id,
            transaction_id: self.transaction_id,
            request_id: self.request_id,
            amount: self.amount,
            currency: self.currency,
            standing,
            past,
            next,
        })
    }
}

/// One line of `payment_ledger.past_attempts`: number, reference, reason and words with tabs between; `-` is nothing.
fn past_attempt(line: &str) -> PastAttempt {
    let mut parts = line.split('\t');
    let attempt = parts.next().and_then(|number| number.parse().ok()).unwrap_or_default();
    let mut part = || parts.next().filter(|part| *part != "-").map(str::to_owned);
    PastAttempt { attempt, rail_reference: part(), reason_code: part(), message: part() }
}

fn state(code: i16, doing: &'static str) -> Result<LedgerState, DbError> {
    LedgerState::from_code(code).ok_or(DbError::Unreadable { doing, what: "payment_ledger.state" })
}

fn step(kind: i16, due_at: DateTime<Utc>, doing: &'static str) -> Result<NextStep, DbError> {
    let kind = WorkKind::from_code(kind).map_err(|_| DbError::Unreadable { doing, what: "ledger_work.kind" })?;
    Ok(NextStep { what: Step::of(kind), due_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_attempts_are_read_as_they_were_written() {
        let read = past_attempt("2\t-\trjct.payee_fa.invalid\t2001: the initiator is invalid");
        let reason_code = Some("rjct.payee_fa.invalid".to_owned());
        let message = Some("2001: the initiator is invalid".to_owned());
        assert_eq!(read, PastAttempt { attempt: 2, rail_reference: None, reason_code, message });
        assert_eq!(past_attempt("1").message, None);
    }
}
