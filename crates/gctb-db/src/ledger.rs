//! The ledger's row as its writers see it, and the inserts by which somebody decides first.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryResult, RunQueryDsl};
use gctb_domain::{BackendName, BatchId, BatchNo, IllegalTransition, LedgerState, News, ReasonCode, Seq, Step};
use gctb_events::LedgerEntry;

use crate::pool::Abort;
use crate::stretches::stretches;

/// A ledger row.
#[derive(Clone, Debug, diesel::QueryableByName)]
pub(crate) struct LedgerRow {
    #[diesel(sql_type = Integer)]
    pub(crate) seq: i32,
    #[diesel(sql_type = Integer)]
    pub(crate) version: i32,
    #[diesel(sql_type = SmallInt)]
    pub(crate) state: i16,
    #[diesel(sql_type = SmallInt)]
    pub(crate) attempt: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) backend: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) resolved_fa: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) amount: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) currency: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(crate) file_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) file: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) rail_reference: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) reason_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(crate) message: Option<String>,
    #[diesel(sql_type = Timestamptz)]
    pub(crate) changed_at: DateTime<Utc>,
}

/// The columns of [`LedgerRow`].
pub(crate) const LEDGER_COLUMNS: &str = "seq, version, state, attempt, backend, resolved_fa, amount, currency, file_id, file, rail_reference, reason_code, message, changed_at";

impl LedgerRow {
    pub(crate) fn state(&self) -> Result<LedgerState, Abort> {
        LedgerState::from_code(self.state).ok_or(Abort::Unreadable("payment_ledger.state"))
    }

    /// The row as its status event tells it.
    pub(crate) fn entry(&self) -> Result<LedgerEntry, Abort> {
        let backend = self.backend.as_deref().map(BackendName::parse).transpose();
        Ok(LedgerEntry {
            seq: Seq(self.seq),
            version: self.version,
            state: self.state()?,
            attempt: self.attempt,
            backend: backend.map_err(|_| Abort::Unreadable("payment_ledger.backend"))?,
            resolved_fa: self.resolved_fa.clone().unwrap_or_default(),
            file: self.file.clone(),
            rail_reference: self.rail_reference.clone(),
            reason: self.reason_code.as_deref().and_then(ReasonCode::from_code),
            message: self.message.clone().unwrap_or_default(),
            changed_at: self.changed_at,
        })
    }
}

/// What a rail said about an attempt, in words that the ledger keeps.
pub(crate) struct Said<'a> {
    pub(crate) news: News,
    pub(crate) reason: Option<ReasonCode>,
    pub(crate) message: &'a str,
    pub(crate) rail_reference: Option<&'a str>,
}

/// What became of news.
pub(crate) enum Taken {
    /// The row tells of them now.
    Changed,
    /// The row told of them before.
    AlreadyKnown,
    /// They contradict what the row said: real money.
    Conflict { before: LedgerState, after: LedgerState, detail: String },
    /// They make no sense of such a row.
    Impossible(IllegalTransition),
}

impl LedgerRow {
    /// Takes news into the row, as the state machine has it. Whoever brings them may bring them: that is decided before.
    pub(crate) fn take(&mut self, said: &Said<'_>) -> Result<Taken, Abort> {
        let state = self.state()?;
        Ok(match state.apply(said.news) {
            Ok(Step::Moved(next)) => {
                self.version += 1;
                self.state = next.code();
                self.reason_code = said.reason.map(|reason| reason.as_str().to_owned());
                self.message = Some(said.message.to_owned());
                // A return keeps the reference of the payment that it takes back.
                if said.news != News::Returned && said.rail_reference.is_some() {
                    self.rail_reference = said.rail_reference.map(str::to_owned);
                }
                Taken::Changed
            }
            Ok(Step::AlreadyKnown) if self.is_second_payment(said, state) => Taken::Conflict {
                before: state,
                after: state,
                detail: "the rail reports a second payment under another reference of its own".to_owned(),
            },
            Ok(Step::AlreadyKnown) if self.is_named_by(said, state) => {
                self.version += 1;
                self.rail_reference = said.rail_reference.map(str::to_owned);
                Taken::Changed
            }
            Ok(Step::AlreadyKnown) => Taken::AlreadyKnown,
            Ok(Step::Conflict(next)) => {
                self.version += 1;
                self.state = next.code();
                if next != state {
                    self.reason_code = None;
                    self.message = Some(said.message.to_owned());
                    self.rail_reference = said.rail_reference.map(str::to_owned);
                }
                let detail = format!("the ledger said {state} and the rail now says \"{}\"", said.news);
                Taken::Conflict { before: state, after: next, detail }
            }
            Err(illegal) => Taken::Impossible(illegal),
        })
    }

    /// A repeated PAID names the rail's same reference; another one is another payment.
    fn is_second_payment(&self, said: &Said<'_>, state: LedgerState) -> bool {
        let known = self.rail_reference.as_deref();
        let other_reference = said.rail_reference.is_some() && known.is_some() && said.rail_reference != known;
        let paid_before = matches!(state, LedgerState::Paid | LedgerState::Returned);
        said.news == News::Paid && paid_before && other_reference
    }

    /// News of a payment whose return came first: only now its reference is known.
    fn is_named_by(&self, said: &Said<'_>, state: LedgerState) -> bool {
        let is_returned = matches!(state, LedgerState::Returned);
        said.news == News::Paid && is_returned && self.rail_reference.is_none() && said.rail_reference.is_some()
    }
}

/// The rows that stand at these positions of a batch, in order.
pub(crate) fn standing(connection: &mut PgConnection, batch: BatchId, seqs: &[i32]) -> Result<Vec<LedgerRow>, Abort> {
    let mut seqs = seqs.to_vec();
    seqs.sort_unstable();
    let sql = format!(
        "SELECT {LEDGER_COLUMNS} FROM payment_ledger
         WHERE batch_id = $1 AND seq BETWEEN $2 AND $3 AND seq = ANY($4) ORDER BY seq"
    );
    let mut rows = Vec::new();
    for stretch in stretches(&seqs, |seq| *seq) {
        let found: Vec<LedgerRow> = diesel::sql_query(&sql)
            .bind::<SqlUuid, _>(batch.as_uuid())
            .bind::<Integer, _>(stretch.first)
            .bind::<Integer, _>(stretch.last)
            .bind::<Array<Integer>, _>(stretch.rows)
            .load(connection)?;
        rows.extend(found);
    }
    Ok(rows)
}

/// What is told of a first claim.
pub(crate) fn claimed(
    seq: Seq,
    backend: &BackendName,
    resolved_fa: &str,
    file: Option<&str>,
    now: DateTime<Utc>,
) -> LedgerEntry {
    LedgerEntry {
        seq,
        version: 1,
        state: LedgerState::Claimed,
        attempt: 1,
        backend: Some(backend.clone()),
        resolved_fa: resolved_fa.to_owned(),
        file: file.map(str::to_owned),
        rail_reference: None,
        reason: None,
        message: String::new(),
        changed_at: now,
    }
}

/// What became of a COPY of claims, which is all or nothing: where somebody has just decided about one of them, none is
/// inserted.
pub(crate) fn all_or_none(copied: QueryResult<usize>) -> Result<(), Abort> {
    match copied {
        Ok(_) => Ok(()),
        Err(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) => Err(Abort::Overtaken),
        Err(error) => Err(error.into()),
    }
}

/// A row by which somebody decides that an instruction is not paid at all.
pub(crate) struct Closed<'a> {
    pub(crate) seq: i32,
    pub(crate) state: LedgerState,
    pub(crate) reason: Option<ReasonCode>,
    pub(crate) message: &'a str,
}

/// Inserts such rows where nobody has decided yet, and gives those that were inserted.
pub(crate) fn insert_closed(
    connection: &mut PgConnection,
    batch: BatchId,
    batch_no: BatchNo,
    rows: &[Closed<'_>],
) -> Result<Vec<LedgerRow>, Abort> {
    let seqs: Vec<i32> = rows.iter().map(|row| row.seq).collect();
    let states: Vec<i16> = rows.iter().map(|row| row.state.code()).collect();
    let reasons: Vec<Option<&str>> = rows.iter().map(|row| row.reason.map(ReasonCode::as_str)).collect();
    let messages: Vec<&str> = rows.iter().map(|row| row.message).collect();
    let sql = format!(
        "INSERT INTO payment_ledger (batch_id, batch_no, seq, version, state, attempt, reason_code, message)
         SELECT $1, $2, r.seq, 1, r.state, 0, r.reason, r.message
         FROM unnest($3, $4, $5, $6) AS r (seq, state, reason, message)
         ON CONFLICT DO NOTHING RETURNING {LEDGER_COLUMNS}"
    );
    Ok(diesel::sql_query(sql)
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<BigInt, _>(batch_no.0)
        .bind::<Array<Integer>, _>(seqs)
        .bind::<Array<SmallInt>, _>(states)
        .bind::<Array<Nullable<Text>>, _>(reasons)
        .bind::<Array<Text>, _>(messages)
        .load(connection)?)
}
