//! A file backend's claim: ledger rows, their place in an open payment file and their status chunk in one commit.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use gctb_domain::{BackendName, BatchId, BatchNo, LedgerState, Money, Seq};

use crate::controls::{ControlState, lock_control};
use crate::error::DbError;
use crate::ledger::{self, Closed, LEDGER_COLUMNS, LedgerRow};
use crate::outbox::{self, OutboxRow};
use crate::outgoing_files;
use crate::pool::{Abort, Db};

/// What shares a payment file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileGroup {
    /// The payer's account that is debited.
    pub payer_fa: String,
    /// The one currency.
    pub currency: String,
}

/// An instruction to be claimed.
#[derive(Clone, Debug)]
pub struct FileClaim {
    /// Its position.
    pub seq: Seq,
    /// Payer's address.
    pub payer_fa: String,
    /// Payee's resolved address.
    pub resolved_fa: String,
    /// How much.
    pub amount: Money,
    /// Not before, by Postgres' time.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// For the bank.
    pub payee_name: String,
    /// For the payee's statement.
    pub narrative: String,
    /// Why it cannot be put into a file, with a sentence; it becomes REJECTED instead.
    pub refusal: Option<(gctb_domain::ReasonCode, String)>,
}

impl FileClaim {
    fn group(&self) -> FileGroup {
        FileGroup { payer_fa: self.payer_fa.clone(), currency: self.amount.currency().code().to_owned() }
    }
}

/// An open file that this process fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// The file.
    pub file_id: i64,
    /// How many rows this process has put into it.
    pub rows: usize,
}

/// What claiming a chunk came to.
#[derive(Clone, Debug, Default)]
pub struct ClaimOutcome {
    /// Rows inserted as CLAIMED.
    pub claimed: usize,
    /// Rows inserted as REJECTED: the layout cannot carry them.
    pub rejected: usize,
    /// Rows inserted as CANCELLED.
    pub cancelled: usize,
    /// Instructions that had a row already.
    pub already_known: usize,
    /// Instructions dropped since they are not due yet or their batch is held; the sweeper brings them again.
    pub not_now: usize,
    /// The files that this process fills from now on.
    pub files: HashMap<FileGroup, FilePlace>,
    /// The outbox rows that were committed, to be published from memory.
    pub outbox: Vec<OutboxRow>,
}

impl Db {
    /// Claims the instructions of one chunk for `backend` and puts each into the open file of its group.
    ///
    /// `files` are the files that this process fills; one that another replica closed is replaced by a new one, which is
    /// closed `close_after_ms` later. Whoever has a ledger row keeps it: it is emitted again as it stands.
    ///
    /// # Errors
    /// `UnknownBatch` where the batch is not here: nobody may pay what this database does not know.
    #[expect(
        clippy::too_many_arguments,
        reason = "one transaction's inputs; a struct would be made and taken apart at once"
    )]
    pub fn claim_for_files(
        &self,
        backend: &BackendName,
        batch: BatchId,
        batch_no: BatchNo,
        claims: &[FileClaim],
        files: &HashMap<FileGroup, FilePlace>,
        close_after_ms: i64,
        traceparent: Option<&str>,
    ) -> Result<ClaimOutcome, DbError> {
        self.transaction("claim instructions for payment files", |connection| {
            let (control, now) = lock_control(connection, batch)?;
            let (due, waiting): (Vec<&FileClaim>, Vec<&FileClaim>) =
                claims.iter().partition(|claim| claim.scheduled_at.is_none_or(|at| at <= now));
            let mut outcome = ClaimOutcome { not_now: waiting.len(), files: files.clone(), ..ClaimOutcome::default() };
            let inserted = match control {
                ControlState::Held => {
                    outcome.not_now = claims.len();
                    return Ok(outcome);
                }
                ControlState::Cancelled => {
                    let rows = cancel(connection, batch, batch_no, claims)?;
                    outcome.not_now = 0;
                    outcome.cancelled = rows.len();
                    rows
                }
                ControlState::Open => {
                    let refused = reject_unfit(connection, batch, batch_no, &due)?;
                    outcome.rejected = refused.len();
                    let fit: Vec<&FileClaim> = due.into_iter().filter(|claim| claim.refusal.is_none()).collect();
                    let places = open_places(connection, backend, &fit, files, close_after_ms)?;
                    let claimed = insert_claims(connection, backend, batch, batch_no, &fit, &places)?;
                    outcome.claimed = claimed.len();
                    outcome.files = count_places(files, &places, &claimed);
                    refused.into_iter().chain(claimed).collect()
                }
            };
            let mine: HashSet<i32> = inserted.iter().map(|row| row.seq).collect();
            let held_back: HashSet<i32> = match control {
                ControlState::Open => waiting.iter().map(|claim| claim.seq.0).collect(),
                ControlState::Held | ControlState::Cancelled => HashSet::new(),
            };
            let others: Vec<i32> = claims
                .iter()
                .map(|claim| claim.seq.0)
                .filter(|seq| !mine.contains(seq) && !held_back.contains(seq))
                .collect();
            let standing = ledger::standing(connection, batch, &others)?;
            outcome.already_known = standing.len();
            let entries = inserted.iter().chain(&standing).map(LedgerRow::entry).collect::<Result<_, _>>()?;
            outcome.outbox = outbox::insert_status(connection, batch, entries, traceparent, now)?;
            Ok(outcome)
        })
    }
}

fn cancel(
    connection: &mut PgConnection,
    batch: BatchId,
    batch_no: BatchNo,
    claims: &[FileClaim],
) -> Result<Vec<LedgerRow>, Abort> {
    let rows: Vec<Closed<'_>> = claims
        .iter()
        .map(|claim| Closed {
            seq: claim.seq.0,
            state: LedgerState::Cancelled,
            reason: None,
            message: "the batch was cancelled",
        })
        .collect();
    ledger::insert_closed(connection, batch, batch_no, &rows)
}

fn reject_unfit(
    connection: &mut PgConnection,
    batch: BatchId,
    batch_no: BatchNo,
    claims: &[&FileClaim],
) -> Result<Vec<LedgerRow>, Abort> {
    let rows: Vec<Closed<'_>> = claims
        .iter()
        .filter_map(|claim| claim.refusal.as_ref().map(|refusal| (claim.seq.0, refusal)))
        .map(|(seq, (reason, message))| Closed { seq, state: LedgerState::Rejected, reason: Some(*reason), message })
        .collect();
    if rows.is_empty() { Ok(Vec::new()) } else { ledger::insert_closed(connection, batch, batch_no, &rows) }
}

/// Share-locks the open file of each group, in the order of their ids, and opens what is missing.
fn open_places(
    connection: &mut PgConnection,
    backend: &BackendName,
    claims: &[&FileClaim],
    files: &HashMap<FileGroup, FilePlace>,
    close_after_ms: i64,
) -> Result<HashMap<FileGroup, (i64, String)>, Abort> {
    let groups: BTreeSet<FileGroup> = claims.iter().map(|claim| claim.group()).collect();
    let known: Vec<i64> = groups.iter().filter_map(|group| files.get(group)).map(|place| place.file_id).collect();
    let still_open = outgoing_files::share_lock_open(connection, &known)?;
    let mut places = HashMap::with_capacity(groups.len());
    for group in groups {
        let kept = files
            .get(&group)
            .and_then(|place| still_open.get(&place.file_id).map(|name| (place.file_id, name.clone())));
        let place = match kept {
            Some(place) => place,
            None => outgoing_files::open(connection, backend, &group, close_after_ms)?,
        };
        places.insert(group, place);
    }
    Ok(places)
}

fn insert_claims(
    connection: &mut PgConnection,
    backend: &BackendName,
    batch: BatchId,
    batch_no: BatchNo,
    claims: &[&FileClaim],
    places: &HashMap<FileGroup, (i64, String)>,
) -> Result<Vec<LedgerRow>, Abort> {
    let placed: Vec<(&FileClaim, &(i64, String))> =
        claims.iter().filter_map(|claim| places.get(&claim.group()).map(|place| (*claim, place))).collect();
    if placed.is_empty() {
        return Ok(Vec::new());
    }
    let column = |pick: fn(&FileClaim) -> &str| placed.iter().map(|(claim, _)| pick(claim)).collect::<Vec<&str>>();
    let sql = format!(
        "INSERT INTO payment_ledger (batch_id, batch_no, backend, version, state, attempt, seq, from_fa, resolved_fa, amount, currency,
                                     payee_name, narrative, file_id, file)
         SELECT $1, $2, $3, 1, {claimed}, 1, c.*
         FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12) AS c
         ON CONFLICT DO NOTHING RETURNING {LEDGER_COLUMNS}",
        claimed = LedgerState::Claimed.code()
    );
    Ok(diesel::sql_query(sql)
        .bind::<SqlUuid, _>(batch.as_uuid())
        .bind::<BigInt, _>(batch_no.0)
        .bind::<Nullable<Text>, _>(Some(backend.as_str()))
        .bind::<Array<Integer>, _>(placed.iter().map(|(claim, _)| claim.seq.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(column(|claim| &claim.payer_fa))
        .bind::<Array<Text>, _>(column(|claim| &claim.resolved_fa))
        .bind::<Array<BigInt>, _>(placed.iter().map(|(claim, _)| claim.amount.minor()).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(column(|claim| claim.amount.currency().code()))
        .bind::<Array<Text>, _>(column(|claim| &claim.payee_name))
        .bind::<Array<Text>, _>(column(|claim| &claim.narrative))
        .bind::<Array<BigInt>, _>(placed.iter().map(|(_, place)| place.0).collect::<Vec<_>>())
        .bind::<Array<Text>, _>(placed.iter().map(|(_, place)| place.1.as_str()).collect::<Vec<_>>())
        .load(connection)?)
}

/// The files of this process after the commit: their ids, and how many rows it has put into each.
fn count_places(
    files: &HashMap<FileGroup, FilePlace>,
    places: &HashMap<FileGroup, (i64, String)>,
    claimed: &[LedgerRow],
) -> HashMap<FileGroup, FilePlace> {
    let mut new_rows: HashMap<i64, usize> = HashMap::new();
    for file_id in claimed.iter().filter_map(|row| row.file_id) {
        *new_rows.entry(file_id).or_default() += 1;
    }
    let mut after = files.clone();
    for (group, (file_id, _)) in places {
        let before = files.get(group).filter(|place| place.file_id == *file_id).map_or(0, |place| place.rows);
        let rows = before + new_rows.get(file_id).copied().unwrap_or(0);
        after.insert(group.clone(), FilePlace { file_id: *file_id, rows });
    }
    after
}
