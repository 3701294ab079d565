//! A file backend's claim: ledger rows, their place in an open payment file and their status chunk in one commit.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use diesel::ExecuteCopyFromDsl;
use diesel::pg::PgConnection;
use gctb_domain::{BackendName, BatchId, BatchNo};
use gctb_events::LedgerEntry;
use uuid::Uuid;

use crate::admission::{Admission, Claim, admit};
use crate::error::DbError;
use crate::ledger::{self, all_or_none};
use crate::outbox::{self, OutboxRow};
use crate::outgoing_files;
use crate::pool::{Abort, Db, until_first};

/// What shares a payment file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileGroup {
    /// The payer's account that is debited.
    pub payer_fa: String,
    /// The one currency.
    pub currency: String,
}

impl Claim {
    /// What shares its payment file.
    pub fn group(&self) -> FileGroup {
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
    /// Claims instructions of one batch for `backend` and puts each into the open file of its group.
    ///
    /// `files` are the files that this process fills; one that another replica closed is replaced by a new one, which is
    /// closed `close_after_ms` later. Whoever has a ledger row keeps it: it is emitted again as it stands. Of claims with
    /// one position the first counts.
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
        claims: &[Claim],
        files: &HashMap<FileGroup, FilePlace>,
        close_after_ms: i64,
        traceparent: Option<&str>,
    ) -> Result<ClaimOutcome, DbError> {
        let mut asked: Vec<&Claim> = claims.iter().collect();
        asked.sort_by_key(|claim| claim.seq);
        asked.dedup_by_key(|claim| claim.seq);
        let repeated = claims.len() - asked.len();
        let asked = Asked { backend, batch, batch_no, claims: asked, files, close_after_ms, traceparent };
        // Whoever is first inserts the row. Where that is another process, this one finds the row at its next look.
        let doing = "claim instructions for payment files";
        until_first(|| self.transaction(doing, |connection| claim(connection, &asked)))
            .map(|outcome| ClaimOutcome { already_known: outcome.already_known + repeated, ..outcome })
            .inspect(|_| fail::fail_point!("claim.commit.after"))
    }
}

/// Claims of one batch, each position once and in order.
struct Asked<'a> {
    backend: &'a BackendName,
    batch: BatchId,
    batch_no: BatchNo,
    claims: Vec<&'a Claim>,
    files: &'a HashMap<FileGroup, FilePlace>,
    close_after_ms: i64,
    traceparent: Option<&'a str>,
}

fn claim(connection: &mut PgConnection, asked: &Asked<'_>) -> Result<ClaimOutcome, Abort> {
    let admission = admit(connection, asked.batch, asked.batch_no, &asked.claims)?;
    let Admission { now, mut entries, admitted, already_known, not_now, cancelled, rejected } = admission;
    let places = open_places(connection, asked, &admitted)?;
    let claimed = place(asked.backend, &admitted, &places, now);
    insert_claims(connection, asked, &claimed)?;
    let files = count_places(asked.files, &places, &claimed);
    let claimed_count = claimed.len();
    entries.extend(claimed.into_iter().map(|claimed| claimed.entry));
    let outbox = outbox::insert_status(connection, asked.batch, entries, asked.traceparent)?;
    fail::fail_point!("claim.commit.before");
    Ok(ClaimOutcome { claimed: claimed_count, rejected, cancelled, already_known, not_now, files, outbox })
}

/// Share-locks the open file of each group, in the order of their ids, and opens what is missing.
fn open_places(
    connection: &mut PgConnection,
    asked: &Asked<'_>,
    claims: &[&Claim],
) -> Result<HashMap<FileGroup, (i64, String)>, Abort> {
    let groups: BTreeSet<FileGroup> = claims.iter().map(|claim| claim.group()).collect();
    let known: Vec<i64> = groups.iter().filter_map(|group| asked.files.get(group)).map(|place| place.file_id).collect();
    let still_open = outgoing_files::share_lock_open(connection, &known)?;
    let mut places = HashMap::with_capacity(groups.len());
    for group in groups {
        let kept = asked
            .files
            .get(&group)
            .and_then(|place| still_open.get(&place.file_id).map(|name| (place.file_id, name.clone())));
        let place = match kept {
            Some(place) => place,
            None => outgoing_files::open(connection, asked.backend, &group, asked.close_after_ms)?,
        };
        places.insert(group, place);
    }
    Ok(places)
}

/// A claim with its place, and what is told of it.
struct Claimed<'a> {
    claim: &'a Claim,
    file_id: i64,
    entry: LedgerEntry,
}

fn place<'a>(
    backend: &BackendName,
    claims: &[&'a Claim],
    places: &HashMap<FileGroup, (i64, String)>,
    now: DateTime<Utc>,
) -> Vec<Claimed<'a>> {
    let claimed = |claim: &&'a Claim| {
        let (file_id, file) = places.get(&claim.group())?;
        let entry = ledger::claimed(claim.seq, backend, &claim.resolved_fa, Some(file), now);
        Some(Claimed { claim, file_id: *file_id, entry })
    };
    claims.iter().filter_map(claimed).collect()
}

/// Inserts the rows by COPY, which is all or nothing: where somebody has just decided about one of them, none is inserted.
fn insert_claims(connection: &mut PgConnection, asked: &Asked<'_>, claimed: &[Claimed<'_>]) -> Result<(), Abort> {
    #[derive(diesel::Insertable)]
    #[diesel(table_name = crate::schema::payment_ledger, treat_none_as_default_value = false)]
    struct New<'a> {
        batch_id: Uuid,
        seq: i32,
        batch_no: i64,
        version: i32,
        state: i16,
        attempt: i16,
        backend: Option<&'a str>,
        from_fa: &'a str,
        resolved_fa: &'a str,
        amount: i64,
        currency: &'a str,
        payee_name: &'a str,
        narrative: &'a str,
        file_id: i64,
        file: Option<&'a str>,
        changed_at: DateTime<Utc>,
    }
    if claimed.is_empty() {
        return Ok(());
    }
    let rows: Vec<New<'_>> = claimed
        .iter()
        .map(|Claimed { claim, file_id, entry }| New {
            batch_id: asked.batch.as_uuid(),
            seq: entry.seq.0,
            batch_no: asked.batch_no.0,
            version: entry.version,
            state: entry.state.code(),
            attempt: entry.attempt,
            backend: entry.backend.as_ref().map(BackendName::as_str),
            from_fa: &claim.payer_fa,
            resolved_fa: &claim.resolved_fa,
            amount: claim.amount.minor(),
            currency: claim.amount.currency().code(),
            payee_name: &claim.payee_name,
            narrative: &claim.narrative,
            file_id: *file_id,
            file: entry.file.as_deref(),
            changed_at: entry.changed_at,
        })
        .collect();
    all_or_none(diesel::copy_from(crate::schema::payment_ledger::table).from_insertable(rows).execute(connection))
}

/// The files of this process after the commit: their ids, and how many rows it has put into each.
fn count_places(
    files: &HashMap<FileGroup, FilePlace>,
    places: &HashMap<FileGroup, (i64, String)>,
    claimed: &[Claimed<'_>],
) -> HashMap<FileGroup, FilePlace> {
    let mut new_rows: HashMap<i64, usize> = HashMap::new();
    for claimed in claimed {
        *new_rows.entry(claimed.file_id).or_default() += 1;
    }
    let mut after = files.clone();
    for (group, (file_id, _)) in places {
        let before = files.get(group).filter(|place| place.file_id == *file_id).map_or(0, |place| place.rows);
        let rows = before + new_rows.get(file_id).copied().unwrap_or(0);
        after.insert(group.clone(), FilePlace { file_id: *file_id, rows });
    }
    after
}
