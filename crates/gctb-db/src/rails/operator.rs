//! What people see and decide of payments over called rails: those of which nobody knows the end.
//!
//! A person's word obeys the same rules as everybody's: from UNKNOWN alone, when nothing of the attempt can be under way, and not
//! against what was heard, unless it overrules that in so many words.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Bool, Nullable, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use gctb_domain::paying::{Learnt, may_be_resolved};
use gctb_domain::{BackendName, BatchId, LedgerState, News, RailKey};
use uuid::Uuid;

use super::ByHand;
use super::evidence::{EVIDENCE_COLUMNS, Evidence, EvidenceColumns};
use super::open_payment::{LOOKED_AFTER, NAMED, OPEN_PAYMENT_COLUMNS, OpenPayment};
use super::row::{self, RailRow};
use super::work::{self, NewWork, WorkKind};
use crate::error::DbError;
use crate::ledger::Said;
use crate::operators;
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db, until_first};

/// A payment that waits for a person.
#[derive(Clone, Debug)]
pub struct WaitingPayment {
    /// Which.
    pub payment: OpenPayment,
    /// What the rail calls it.
    pub rail_handle: Option<String>,
    /// What was heard from somebody who may not decide, the weightiest of it.
    pub evidence: Option<Evidence>,
    /// Since when it waits.
    pub since: DateTime<Utc>,
    /// Whether nothing of it can be under way any more, so that a person may decide.
    pub quiet: bool,
}

#[derive(QueryableByName)]
struct WaitingRow {
    #[diesel(embed)]
    payment: OpenPayment,
    #[diesel(sql_type = Nullable<Text>)]
    rail_handle: Option<String>,
    #[diesel(embed)]
    heard: EvidenceColumns,
    #[diesel(sql_type = Timestamptz)]
    since: DateTime<Utc>,
    #[diesel(sql_type = Bool)]
    quiet: bool,
}

impl WaitingRow {
    fn read(self) -> Result<WaitingPayment, Abort> {
        let Self { payment, rail_handle, heard, since, quiet } = self;
        Ok(WaitingPayment { payment, rail_handle, evidence: heard.read()?, since, quiet })
    }
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
    /// The word goes against what was heard, and does not overrule it.
    Contradicted(Evidence),
}

impl Db {
    /// The payments that wait for a person, those that wait longest first.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn waiting_payments(&self, limit: i64) -> Result<Vec<WaitingPayment>, DbError> {
        self.transaction("list payments of which nobody knows the end", |connection| {
            let rows: Vec<WaitingRow> = diesel::sql_query(format!(
                "SELECT {OPEN_PAYMENT_COLUMNS}, l.rail_handle, {EVIDENCE_COLUMNS}, w.made_at AS since,
                        coalesce(l.quiet_at <= now(), true) AS quiet
                 FROM {LOOKED_AFTER} {NAMED}
                 WHERE w.kind = 5 AND l.state BETWEEN 3 AND 6 ORDER BY w.made_at, l.batch_no, l.seq LIMIT $1"
            ))
            .bind::<BigInt, _>(limit)
            .load(connection)?;
            rows.into_iter().map(WaitingRow::read).collect()
        })
    }

    /// Takes a person's word about the attempt of `key`, with the audit entry and the status chunk in the same commit. A word
    /// against what was heard is taken only where it overrules that, and the audit entry says so. A dry run says what would
    /// become of it.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing is taken then.
    pub fn resolve_payment(
        &self,
        key: RailKey,
        word: &PersonsWord,
        by: &ByHand<'_>,
        overrule: bool,
    ) -> Result<Resolved, DbError> {
        let doing = "take an operator's word about a payment";
        let asked = Asked { key, word, by, overrule };
        until_first(|| self.transaction(doing, |connection| resolve(connection, &asked)))
            .inspect(|_| fail::fail_point!("rail.resolve.after"))
    }
}

struct Asked<'a> {
    key: RailKey,
    word: &'a PersonsWord,
    by: &'a ByHand<'a>,
    overrule: bool,
}

#[derive(QueryableByName)]
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
    if asked.by.dry_run {
        return Ok(Resolved::Taken(Vec::new()));
    }
    let overruled = contradiction(asked.word, &row)?;
    let backend = row.ledger.backend.as_deref().map(BackendName::parse).transpose();
    let backend = backend.ok().flatten().ok_or(Abort::Unreadable("payment_ledger.backend"))?;
    let (news, rail_reference, message) = match asked.word {
        PersonsWord::Paid { rail_reference } => (News::Paid, rail_reference.as_deref(), "an operator: paid"),
        PersonsWord::NotPaid => (News::NotPaid, None, "an operator: not paid"),
    };
    row.ledger.take(&Said { news, reason: None, message, rail_reference })?;
    row.ledger.changed_at = now;
    row.is_done();
    if news == News::NotPaid {
        // Its backend decides whether another attempt follows.
        let (id, seqs) = (Uuid::now_v7(), [row.ledger.seq]);
        let (backend, kind, after, owner) = (&backend, WorkKind::Retry, Duration::ZERO, None);
        row.is_looked_after_by(id);
        work::insert(connection, &NewWork { id, backend, kind, after, owner, batch, seqs: &seqs, failures: 0 })?;
    }
    row::update(connection, batch, std::slice::from_ref(&row))?;
    work::waits_no_more(connection, &row.left_waiting().into_iter().collect::<Vec<_>>())?;
    let outbox = outbox::insert_status(connection, batch, vec![row.ledger.entry()?], traceparent.as_deref())?;
    audit(connection, asked, overruled.as_ref())?;
    fail::fail_point!("rail.resolve.before");
    Ok(Resolved::Taken(outbox))
}

/// What was done, by whom, on what grounds, and against what.
fn audit(connection: &mut PgConnection, asked: &Asked<'_>, overruled: Option<&Evidence>) -> Result<(), Abort> {
    let action = match (asked.word, overruled) {
        (PersonsWord::Paid { .. }, None) => "payments resolve --paid",
        (PersonsWord::NotPaid, None) => "payments resolve --not-paid",
        (PersonsWord::Paid { .. }, Some(_)) => "payments resolve --paid --overrule",
        (PersonsWord::NotPaid, Some(_)) => "payments resolve --not-paid --overrule",
    };
    let against = overruled.map_or_else(String::new, |heard| format!(" (against: {heard})"));
    let evidence = format!("{}{against}", asked.by.evidence);
    operators::record(connection, asked.by.actor, action, &asked.key.to_string(), &evidence)
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
    let against = contradiction(asked.word, row)?.filter(|_| !asked.overrule);
    Ok(against.map(Resolved::Contradicted))
}

/// What was heard that goes against a person's word.
fn contradiction(word: &PersonsWord, row: &RailRow) -> Result<Option<Evidence>, Abort> {
    let Some(heard) = row.evidence()? else { return Ok(None) };
    let says_paid = matches!(heard.learnt, Learnt::Accepted | Learnt::Duplicate);
    let says_not_paid = matches!(heard.learnt, Learnt::Refused { .. });
    let goes_against = match word {
        PersonsWord::Paid { .. } => says_not_paid,
        PersonsWord::NotPaid => says_paid,
    };
    Ok(Some(heard).filter(|_| goes_against))
}
