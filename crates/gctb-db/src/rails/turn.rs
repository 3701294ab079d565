//! A turn of a lane: one commit that records its last window and claims its next one.

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Timestamptz};
use diesel::{ExecuteCopyFromDsl, RunQueryDsl};
use gctb_domain::{LedgerState, Seq};
use uuid::Uuid;

use super::record::record;
use super::work::{self, NewWork, WorkKind, milliseconds};
use super::{BatchClaims, Holder, RailGate, Turn, Turned, control};
use crate::admission::{Admission, Claim, admit};
use crate::error::DbError;
use crate::ledger::{all_or_none, claimed};
use crate::outbox;
use crate::pool::{Abort, Db, until_first};

impl Db {
    /// Ends the last window's row in `ledger_work`, records what was learnt by it, and claims the next one: ledger rows, the
    /// windows, what is left for later and status chunks are one commit. What the answer does not name as claimed may not
    /// be sent. While the rail is paused or held nothing is claimed, and what was learnt is recorded all the same.
    ///
    /// # Errors
    /// `UnknownBatch` where a claim's batch is not here: nobody may pay what this database does not know. Nothing of the turn
    /// is done then, or where Postgres refuses.
    pub fn turn(&self, holder: &Holder, turn: &Turn) -> Result<Turned, DbError> {
        let doing = "record a window of calls and claim the next";
        until_first(|| self.transaction(doing, |connection| take_turn(connection, holder, turn)))
            .inspect(|_| fail::fail_point!("rail.turn.after"))
    }
}

fn take_turn(connection: &mut PgConnection, holder: &Holder, turn: &Turn) -> Result<Turned, Abort> {
    // The rail's gate before any other lock: whoever stops the rail waits in front of the claims that come after.
    let rail = if turn.claims.is_empty() { RailGate::Open } else { control::enter(connection, &holder.backend)? };
    let clock = clock(connection, holder)?;
    let mut turned = Turned { rail, ..Turned::default() };
    record_words(connection, holder, turn, &clock, &mut turned)?;
    if !turn.claims.is_empty() {
        claim_all(connection, holder, turn, &clock, &mut turned)?;
    }
    fail::fail_point!("rail.turn.before");
    Ok(turned)
}

fn record_words(
    connection: &mut PgConnection,
    holder: &Holder,
    turn: &Turn,
    clock: &Clock,
    turned: &mut Turned,
) -> Result<(), Abort> {
    // In order of the batches' ids, so that two turns about the same ones do not wait for each other in a circle.
    let mut told: Vec<_> = turn.words.iter().collect();
    told.sort_by_key(|words| words.batch);
    // Windows first, as everybody locks them before ledger rows.
    let mut in_hand = Vec::with_capacity(told.len());
    for words in &told {
        in_hand.push(words.work.map(|work| work::end(connection, work)).transpose()?.flatten());
    }
    for (words, window) in told.into_iter().zip(in_hand) {
        record(connection, holder, words, window, clock.now, turned)?;
    }
    Ok(())
}

fn claim_all(
    connection: &mut PgConnection,
    holder: &Holder,
    turn: &Turn,
    clock: &Clock,
    turned: &mut Turned,
) -> Result<(), Abort> {
    turned.claimed = vec![Vec::new(); turn.claims.len()];
    turned.windows = vec![None; turn.claims.len()];
    if turned.rail == RailGate::Stopped {
        return Ok(());
    }
    let mut order: Vec<(usize, &BatchClaims)> = turn.claims.iter().enumerate().collect();
    order.sort_by_key(|(_, claims)| claims.batch);
    for (place, claims) in order {
        (turned.claimed[place], turned.windows[place]) = claim(connection, holder, claims, clock, turned)?;
    }
    Ok(())
}

/// Postgres' time, and when a lease that begins now is over for certain.
#[derive(diesel::QueryableByName)]
struct Clock {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    quiet_at: DateTime<Utc>,
}

fn clock(connection: &mut PgConnection, holder: &Holder) -> Result<Clock, Abort> {
    // The caller read its own clock before it asked for this, so that the lease that stands here never ends before its own.
    Ok(diesel::sql_query("SELECT n AS now, n + $1 * interval '1 millisecond' AS quiet_at FROM clock_timestamp() AS n")
        .bind::<BigInt, _>(milliseconds(holder.lease + holder.settle))
        .get_result(connection)?)
}

fn claim(
    connection: &mut PgConnection,
    holder: &Holder,
    asked: &BatchClaims,
    clock: &Clock,
    turned: &mut Turned,
) -> Result<(Vec<Seq>, Option<Uuid>), Abort> {
    let mut claims: Vec<&Claim> = asked.claims.iter().collect();
    claims.sort_by_key(|claim| claim.seq);
    claims.dedup_by_key(|claim| claim.seq);
    turned.already_known += asked.claims.len() - claims.len();
    let admission = admit(connection, asked.batch, asked.batch_no, &claims)?;
    let Admission { now, mut entries, admitted, already_known, not_now, cancelled, rejected } = admission;
    turned.already_known += already_known;
    turned.not_now += not_now;
    turned.cancelled += cancelled;
    turned.rejected += rejected;
    let window = Uuid::now_v7();
    insert_claims(connection, holder, asked, &admitted, window, clock)?;
    let seqs: Vec<i32> = admitted.iter().map(|claim| claim.seq.0).collect();
    if !seqs.is_empty() {
        let Holder { backend, lease, owner, .. } = holder;
        let (kind, batch) = (WorkKind::Window, asked.batch);
        let (after, owner, seqs) = (*lease, Some(*owner), seqs.as_slice());
        work::insert(connection, &NewWork { id: window, backend, kind, after, owner, batch, seqs, failures: 0 })?;
    }
    let told = |claim: &&Claim| claimed(claim.seq, &holder.backend, &claim.resolved_fa, None, now);
    entries.extend(admitted.iter().map(told));
    let rows = outbox::insert_status(connection, asked.batch, entries, asked.traceparent.as_deref())?;
    turned.outbox.extend(rows);
    let window = (!seqs.is_empty()).then_some(window);
    Ok((seqs.into_iter().map(Seq).collect(), window))
}

/// Inserts the rows by COPY, which is all or nothing: where somebody has just decided about one of them, none is inserted.
fn insert_claims(
    connection: &mut PgConnection,
    holder: &Holder,
    asked: &BatchClaims,
    claims: &[&Claim],
    window: Uuid,
    clock: &Clock,
) -> Result<(), Abort> {
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
        owner: Option<Uuid>,
        from_fa: &'a str,
        resolved_fa: &'a str,
        amount: i64,
        currency: &'a str,
        payee_name: &'a str,
        narrative: &'a str,
        changed_at: DateTime<Utc>,
        sends: i16,
        quiet_at: DateTime<Utc>,
        work_id: Option<Uuid>,
    }
    if claims.is_empty() {
        return Ok(());
    }
    let rows: Vec<New<'_>> = claims
        .iter()
        .map(|claim| New {
            batch_id: asked.batch.as_uuid(),
            seq: claim.seq.0,
            batch_no: asked.batch_no.0,
            version: 1,
            state: LedgerState::Claimed.code(),
            attempt: 1,
            backend: Some(holder.backend.as_str()),
            owner: Some(holder.owner),
            from_fa: &claim.payer_fa,
            resolved_fa: &claim.resolved_fa,
            amount: claim.amount.minor(),
            currency: claim.amount.currency().code(),
            payee_name: &claim.payee_name,
            narrative: &claim.narrative,
            changed_at: clock.now,
            sends: 1,
            quiet_at: clock.quiet_at,
            work_id: Some(window),
        })
        .collect();
    all_or_none(diesel::copy_from(crate::schema::payment_ledger::table).from_insertable(rows).execute(connection))
}
