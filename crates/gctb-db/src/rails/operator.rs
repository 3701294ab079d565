//! What people see and decide of payments over called rails: those of which nobody knows the end.
//!
//! A person's word obeys the same rules as everybody's: from UNKNOWN alone, when nothing of the attempt can be under way, and not
//! against what was heard.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};
use gctb_domain::paying::may_be_resolved;
use gctb_domain::{BackendName, BatchId, LedgerState, News, RailKey};
use uuid::Uuid;

use super::row::{self, RailRow};
use super::work::{self, WorkKind};
use crate::error::DbError;
use crate::ledger::Said;
use crate::operators;
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db, until_first};

/// A payment that waits for a person.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub struct WaitingPayment {
    /// The backend.
    #[diesel(sql_type = Text)]
    pub backend: String,
    /// Number of its batch, position and attempt make the rail key.
    #[diesel(sql_type = BigInt)]
    pub batch_no: i64,
    /// Position in the batch.
    #[diesel(sql_type = Integer)]
    pub seq: i32,
    /// The attempt.
    #[diesel(sql_type = SmallInt)]
    pub attempt: i16,
    /// Who sent it.
    #[diesel(sql_type = Text)]
    pub sender_id: String,
    /// In which transaction.
    #[diesel(sql_type = Text)]
    pub transaction_id: String,
    /// Under which reference.
    #[diesel(sql_type = Text)]
    pub request_id: String,
    /// Minor units.
    #[diesel(sql_type = BigInt)]
    pub amount: i64,
    /// ISO 4217.
    #[diesel(sql_type = Text)]
    pub currency: String,
    /// What the rail calls it.
    #[diesel(sql_type = Nullable<Text>)]
    pub rail_handle: Option<String>,
    /// The last words about it.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// What was heard from somebody who may not decide.
    #[diesel(sql_type = Nullable<Text>)]
    pub evidence: Option<String>,
    /// Since when nobody knows.
    #[diesel(sql_type = Timestamptz)]
    pub since: DateTime<Utc>,
    /// Whether nothing of it can be under way any more, so that a person may decide.
    #[diesel(sql_type = Bool)]
    pub quiet: bool,
}

/// What a person found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PersonsWord {
    /// The rail paid, under this reference of its own if it is known.
    Paid {
        /// The rail's reference.
        rail_reference: Option<String>,
    },
    /// The rail did not pay this attempt and never will.
    NotPaid,
}

/// What became of a person's word.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// The ledger has taken it, or would.
    Taken(Vec<OutboxRow>),
    /// No instruction has this key.
    NoSuchPayment,
    /// The ledger is at another attempt.
    OtherAttempt(i16),
    /// It is not UNKNOWN.
    NotUnknown(LedgerState),
    /// A request may still be under way, for so long.
    NotQuiet(Duration),
    /// The word goes against what was heard.
    Contradicted(String),
}

impl Db {
    /// The payments that wait for a person, those that wait longest first.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn waiting_payments(&self, limit: i64) -> Result<Vec<WaitingPayment>, DbError> {
        self.with("list payments of which nobody knows the end", |connection| {
            diesel::sql_query(
                "SELECT w.backend, l.batch_no, l.seq, l.attempt, b.sender_id, b.transaction_id, p.request_id, l.amount,
                        l.currency, l.rail_handle, coalesce(l.message, '') AS message, l.evidence, w.made_at AS since,
                        coalesce(l.quiet_at <= now(), true) AS quiet
                 FROM ledger_work w
                 CROSS JOIN LATERAL unnest(w.seqs) AS s (seq)
                 JOIN payment_ledger l ON l.batch_id = w.batch_id AND l.seq = s.seq
                 JOIN payment_instructions p ON p.batch_id = l.batch_id AND p.seq = l.seq
                 JOIN batches b ON b.batch_id = l.batch_id
                 WHERE w.kind = 5 AND l.state = 5 ORDER BY w.made_at, l.batch_no, l.seq LIMIT $1",
            )
            .bind::<BigInt, _>(limit)
            .load(connection)
        })
    }

    /// Takes a person's word about the attempt of `key`, with the audit entry and the status chunk in the same commit. A dry
    /// run says what would become of it.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing is taken then.
    pub fn resolve_payment(
        &self,
        key: RailKey,
        word: &PersonsWord,
        actor: &str,
        evidence: &str,
        dry_run: bool,
    ) -> Result<Resolved, DbError> {
        let doing = "take an operator's word about a payment";
        let asked = Asked { key, word, actor, evidence, dry_run };
        until_first(|| self.transaction(doing, |connection| resolve(connection, &asked)))
    }
}

struct Asked<'a> {
    key: RailKey,
    word: &'a PersonsWord,
    actor: &'a str,
    evidence: &'a str,
    dry_run: bool,
}

#[derive(diesel::QueryableByName)]
struct BatchRow {
    #[diesel(sql_type = SqlUuid)]
    batch_id: Uuid,
    #[diesel(sql_type = Nullable<Text>)]
    traceparent: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

fn resolve(connection: &mut PgConnection, asked: &Asked<'_>) -> Result<Resolved, Abort> {
    let batch: Option<BatchRow> =
        diesel::sql_query("SELECT batch_id, traceparent, now() AS now FROM batches WHERE batch_no = $1")
            .bind::<BigInt, _>(asked.key.batch_no().0)
            .get_result(connection)
            .optional()?;
    let Some(BatchRow { batch_id, traceparent, now }) = batch else { return Ok(Resolved::NoSuchPayment) };
    let batch = BatchId::from_uuid(batch_id);
    let found = row::read(connection, batch, vec![asked.key.seq().0], Duration::ZERO)?.into_iter().next();
    let Some(mut row) = found else { return Ok(Resolved::NoSuchPayment) };
    if let Some(refusal) = refusal(asked, &row)? {
        return Ok(refusal);
    }
    if asked.dry_run {
        return Ok(Resolved::Taken(Vec::new()));
    }
    let backend = row.ledger.backend.as_deref().map(BackendName::parse).transpose();
    let backend = backend.ok().flatten().ok_or(Abort::Unreadable("payment_ledger.backend"))?;
    let (news, rail_reference, message) = match asked.word {
        PersonsWord::Paid { rail_reference } => (News::Paid, rail_reference.as_deref(), "an operator: paid"),
        PersonsWord::NotPaid => (News::NotPaid, None, "an operator: not paid"),
    };
    row.ledger.take(&Said { news, reason: None, message, rail_reference })?;
    row.ledger.changed_at = now;
    row::update(connection, batch, std::slice::from_ref(&row))?;
    let outbox = outbox::insert_status(connection, batch, vec![row.ledger.entry()?], traceparent.as_deref())?;
    forget_waiting(connection, batch, row.ledger.seq)?;
    if news == News::NotPaid {
        // Its backend decides whether another attempt follows.
        work::insert(connection, &backend, WorkKind::Retry, Duration::ZERO, None, batch, &[row.ledger.seq])?;
    }
    let action = if news == News::Paid { "payments resolve --paid" } else { "payments resolve --not-paid" };
    operators::record(connection, asked.actor, action, &asked.key.to_string(), asked.evidence)?;
    Ok(Resolved::Taken(outbox))
}

/// Why a person's word is not taken, if so.
fn refusal(asked: &Asked<'_>, row: &RailRow) -> Result<Option<Resolved>, Abort> {
    let standing = row.standing()?;
    if row.ledger.attempt != asked.key.attempt() {
        return Ok(Some(Resolved::OtherAttempt(row.ledger.attempt)));
    }
    if standing.state != LedgerState::Unknown || row.ledger.file_id.is_some() {
        return Ok(Some(Resolved::NotUnknown(standing.state)));
    }
    if !may_be_resolved(standing) {
        let rest = u64::try_from(row.leased_ms).unwrap_or(0);
        return Ok(Some(Resolved::NotQuiet(Duration::from_millis(rest))));
    }
    let heard = row.evidence.as_deref().unwrap_or_default();
    let against: &[&str] = match asked.word {
        PersonsWord::Paid { .. } => &["Refused"],
        PersonsWord::NotPaid => &["Accepted", "Duplicate"],
    };
    let contradicted = against.iter().any(|word| heard.starts_with(word));
    Ok(contradicted.then(|| Resolved::Contradicted(heard.to_owned())))
}

/// It waits for nobody any more.
fn forget_waiting(connection: &mut PgConnection, batch: BatchId, seq: i32) -> Result<(), Abort> {
    diesel::sql_query("DELETE FROM ledger_work WHERE kind = 5 AND batch_id = $1 AND seqs = ARRAY[$2]")
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<Integer, _>(seq)
        .execute(connection)?;
    diesel::sql_query(
        "UPDATE ledger_work SET seqs = array_remove(seqs, $2) WHERE kind = 5 AND batch_id = $1 AND $2 = ANY(seqs)",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<Integer, _>(seq)
    .execute(connection)?;
    Ok(())
}
