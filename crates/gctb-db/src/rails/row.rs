//! A ledger row with all that a called rail needs of it: read without a lock, written from the version that was judged.

use std::time::Duration;

use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use diesel::{QueryableByName, RunQueryDsl};
use gctb_domain::paying::{Naming, Standing, by_evidence, handle_after};
use gctb_domain::{BatchId, BatchNo, Currency, LedgerState, MAX_ATTEMPT, Money, News, Seq};
use uuid::Uuid;

use super::evidence::{EVIDENCE_COLUMNS, Evidence, EvidenceColumns};
use super::work::milliseconds;
use super::{DueAttempt, Holder, Todo};
use crate::ledger::{LEDGER_COLUMNS, LedgerRow};
use crate::pool::Abort;
use crate::stretches::{Stretch, joining_by_hash, stretches};

/// A row as it is judged, and what it was before.
#[derive(Clone, Debug, QueryableByName)]
pub(super) struct RailRow {
    #[diesel(embed)]
    pub(super) ledger: LedgerRow,
    #[diesel(sql_type = BigInt)]
    batch_no: i64,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(super) owner: Option<Uuid>,
    #[diesel(sql_type = Nullable<Text>)]
    payee_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    narrative: Option<String>,
    #[diesel(sql_type = SmallInt)]
    pub(super) sends: i16,
    #[diesel(sql_type = SmallInt)]
    pub(super) not_found: i16,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) rail_handle: Option<String>,
    #[diesel(sql_type = SmallInt)]
    pub(super) asked: i16,
    /// The one row of `ledger_work` that looks after it.
    #[diesel(sql_type = Nullable<SqlUuid>)]
    pub(super) work_id: Option<Uuid>,
    #[diesel(embed)]
    heard: EvidenceColumns,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) past_attempts: Option<String>,
    /// Attempts that do not count. None: each does.
    #[diesel(sql_type = Nullable<SmallInt>)]
    spared: Option<i16>,
    /// Whether nothing of the attempt can be under way.
    #[diesel(sql_type = Bool)]
    pub(super) quiet: bool,
    /// How long the last lease still runs, in milliseconds.
    #[diesel(sql_type = BigInt)]
    pub(super) leased_ms: i64,
    #[diesel(sql_type = Integer)]
    version_before: i32,
    #[diesel(sql_type = SmallInt)]
    state_before: i16,
    #[diesel(sql_type = Nullable<SqlUuid>)]
    work_before: Option<Uuid>,
    /// A send begins with the commit: how long until the attempt is quiet again, in milliseconds.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub(super) quiet_in_ms: Option<i64>,
}

impl RailRow {
    pub(super) fn batch_no(&self) -> BatchNo {
        BatchNo(self.batch_no)
    }

    pub(super) const fn is_changed(&self) -> bool {
        self.ledger.version != self.version_before
    }

    /// Every update of a row raises its version, once.
    pub(super) fn touch(&mut self) {
        if !self.is_changed() {
            self.ledger.version += 1;
        }
    }

    /// Whether the backend claimed it.
    pub(super) fn is_of(&self, holder: &Holder) -> bool {
        self.ledger.backend.as_deref() == Some(holder.backend.as_str())
    }

    pub(super) fn standing(&self) -> Result<Standing, Abort> {
        let count = |count: i16| u16::try_from(count).unwrap_or(0);
        Ok(Standing {
            state: self.ledger.state()?,
            sends: count(self.sends),
            not_found: count(self.not_found),
            quiet: self.quiet,
            fenced: false,
        })
    }

    /// How long the last lease still runs.
    pub(super) fn rest_of_lease(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.leased_ms).unwrap_or(0))
    }

    /// How long until nothing of the attempt can be under way.
    pub(super) fn rest_until_quiet(&self, holder: &Holder) -> Duration {
        if self.quiet { Duration::ZERO } else { self.rest_of_lease() + holder.settle }
    }

    /// From now on this row of `ledger_work` looks after it, and no other.
    pub(super) fn is_looked_after_by(&mut self, work: Uuid) {
        if self.work_id != Some(work) {
            self.touch();
            self.work_id = Some(work);
        }
    }

    /// Nobody needs to look after it any more.
    pub(super) fn is_done(&mut self) {
        if self.work_id.is_some() {
            self.touch();
            self.work_id = None;
        }
    }

    /// The row of work that waited for a person about it and does so no more, with its position.
    pub(super) fn left_waiting(&self) -> Option<(i32, Uuid)> {
        let was_unknown = self.state_before == LedgerState::Unknown.code();
        let before = self.work_before.filter(|before| was_unknown && self.work_id != Some(*before));
        before.map(|work| (self.ledger.seq, work))
    }

    /// What was heard of it from somebody who may not decide.
    pub(super) fn evidence(&self) -> Result<Option<Evidence>, Abort> {
        self.heard.read()
    }

    /// The reason code that came with the evidence, and its words.
    pub(super) fn evidence_said(&self) -> (Option<gctb_domain::ReasonCode>, String) {
        let reason = self.heard.evidence_reason.as_deref().and_then(gctb_domain::ReasonCode::from_code);
        (reason, self.heard.evidence.clone().unwrap_or_default())
    }

    /// Keeps what was heard, unless it is weaker than what was heard before. True: it says more than that.
    pub(super) fn hear(&mut self, heard: &Evidence, reason: Option<&str>) -> Result<bool, Abort> {
        let before = self.heard.read()?.map(|before| before.weighed());
        if before.is_none_or(|before| heard.weighed().replaces(before)) {
            self.touch();
            self.heard = EvidenceColumns::new(heard, reason);
        }
        Ok(before.is_none_or(|before| heard.weighed().outweighs(before)))
    }

    /// What its owner records of the evidence alone, without asking the rail once more.
    pub(super) fn decided_by_evidence(&self, holder: &Holder) -> Result<Option<News>, Abort> {
        let standing = self.standing()?;
        Ok(self.evidence()?.and_then(|heard| by_evidence(holder.kind, standing, heard.weighed())))
    }

    /// From now on the rail is asked about it by the handle that follows from this.
    pub(super) fn name(&mut self, naming: Naming<String>) {
        let handle = handle_after(self.rail_handle.clone(), naming);
        if handle != self.rail_handle {
            self.touch();
            self.rail_handle = handle;
        }
    }

    /// A person who has to find out what became of it reads the last words about it, also where it was UNKNOWN before.
    pub(super) fn is_explained(&mut self, words: &str) {
        if self.ledger.message.as_deref() != Some(words) {
            self.touch();
            self.ledger.message = Some(words.to_owned());
        }
    }

    /// A question that there was no time for uses up none of those that there may be.
    pub(super) fn was_not_asked(&mut self) {
        if self.asked > 0 {
            self.touch();
            self.asked -= 1;
        }
    }

    /// A send is counted, and its process is the owner for a lease.
    pub(super) fn begin_send(&mut self, holder: &Holder) {
        self.touch();
        self.owner = Some(holder.owner);
        self.sends = self.sends.saturating_add(1);
        self.asked = 0;
        self.name(Naming::Send(holder.kind));
        self.quiet_in_ms = Some(milliseconds(holder.lease + holder.settle));
    }

    /// How many of its attempts count, the present one only if it is not spared. Where no key is left for another one, no limit
    /// is higher.
    pub(super) fn attempts_counted(&self, is_spared: bool) -> i16 {
        if self.ledger.attempt >= MAX_ATTEMPT {
            return i16::MAX;
        }
        self.ledger.attempt - self.spared.unwrap_or(0) - i16::from(is_spared)
    }

    /// The present attempt was refused as everybody's was: it does not count.
    pub(super) fn spare(&mut self) {
        self.touch();
        self.spared = Some(self.spared.unwrap_or(0).saturating_add(1));
    }

    /// The attempt goes to the past ones, and another one begins with a send.
    pub(super) fn next_attempt(&mut self, holder: &Holder) {
        let LedgerRow { attempt, rail_reference, reason_code, message, .. } = &self.ledger;
        let text = |text: &Option<String>| text.as_deref().unwrap_or("-").replace(['\n', '\t'], " ");
        let past = format!("{attempt}\t{}\t{}\t{}", text(rail_reference), text(reason_code), text(message));
        self.past_attempts =
            Some(self.past_attempts.take().map_or_else(|| past.clone(), |before| format!("{before}\n{past}")));
        self.touch();
        self.ledger.attempt += 1;
        self.ledger.state = LedgerState::Claimed.code();
        self.ledger.rail_reference = None;
        self.ledger.reason_code = None;
        self.ledger.message = None;
        self.sends = 0;
        self.not_found = 0;
        self.rail_handle = None;
        self.heard = EvidenceColumns::default();
        self.begin_send(holder);
    }

    pub(super) fn due(&self, todo: Todo) -> Result<DueAttempt, Abort> {
        let currency = self.ledger.currency.as_deref().and_then(|code| Currency::parse(code).ok());
        let amount =
            currency.zip(self.ledger.amount).and_then(|(currency, minor)| Money::from_minor(minor, currency).ok());
        Ok(DueAttempt {
            seq: Seq(self.ledger.seq),
            attempt: self.ledger.attempt,
            todo,
            sends: self.sends,
            quiet: self.quiet && self.quiet_in_ms.is_none(),
            handle: self.rail_handle.clone(),
            resolved_fa: self.ledger.resolved_fa.clone().unwrap_or_default(),
            amount: amount.ok_or(Abort::Unreadable("payment_ledger.amount"))?,
            payee_name: self.payee_name.clone().unwrap_or_default(),
            narrative: self.narrative.clone().unwrap_or_default(),
        })
    }
}

/// The rows at these positions, in order.
pub(super) fn read(
    connection: &mut PgConnection,
    batch: BatchId,
    mut seqs: Vec<i32>,
    settle: Duration,
) -> Result<Vec<RailRow>, Abort> {
    seqs.sort_unstable();
    seqs.dedup();
    let sql = format!(
        "SELECT {LEDGER_COLUMNS}, batch_no, owner, payee_name, narrative, sends, not_found, asked, rail_handle, work_id,
                {EVIDENCE_COLUMNS}, past_attempts, spared,
                coalesce(quiet_at <= now(), true) AS quiet,
                coalesce(ceil(extract(epoch FROM quiet_at - now()) * 1000)::bigint - $5, 0) AS leased_ms,
                version AS version_before, state AS state_before, work_id AS work_before, NULL::bigint AS quiet_in_ms
         FROM payment_ledger WHERE batch_id = $1 AND seq BETWEEN $2 AND $3 AND seq = ANY($4) ORDER BY seq"
    );
    let mut rows = Vec::with_capacity(seqs.len());
    for stretch in stretches(&seqs, |seq| *seq) {
        let found: Vec<RailRow> = diesel::sql_query(&sql)
            .bind::<SqlUuid, _>(batch.as_uuid())
            .bind::<Integer, _>(stretch.first)
            .bind::<Integer, _>(stretch.last)
            .bind::<Array<Integer>, _>(stretch.rows)
            .bind::<BigInt, _>(milliseconds(settle))
            .load(connection)?;
        rows.extend(found);
    }
    Ok(rows)
}

/// Writes rows that changed, in order of position, each from the version that was judged.
pub(super) fn update(connection: &mut PgConnection, batch: BatchId, rows: &[RailRow]) -> Result<(), Abort> {
    joining_by_hash(connection, |connection| {
        stretches(rows, |row| row.ledger.seq).try_for_each(|stretch| update_stretch(connection, batch, &stretch))
    })
}

fn update_stretch(connection: &mut PgConnection, batch: BatchId, stretch: &Stretch<'_, RailRow>) -> Result<(), Abort> {
    let rows = || stretch.rows.iter();
    let updated = diesel::sql_query(
        "UPDATE payment_ledger l
         SET version = u.version, state = u.state, attempt = u.attempt, owner = u.owner, sends = u.sends,
             not_found = u.not_found, rail_handle = u.rail_handle, past_attempts = u.past_attempts,
             work_id = u.work_id, asked = u.asked, evidence_kind = u.evidence_kind, evidence_at = u.evidence_at,
             evidence_sends = u.evidence_sends, evidence_quiet = u.evidence_quiet, evidence_reason = u.evidence_reason,
             evidence = u.evidence, spared = u.spared, rail_reference = u.rail_reference, reason_code = u.reason_code,
             message = u.message,
             quiet_at = coalesce(now() + u.quiet_in * interval '1 millisecond', l.quiet_at), changed_at = u.changed_at
         FROM unnest($4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24,
                     $25, $26, $27)
              AS u (seq, judged, version, state, attempt, owner, sends, not_found, rail_handle, past_attempts, work_id,
                    asked, evidence_kind, evidence_at, evidence_sends, evidence_quiet, evidence_reason, evidence,
                    rail_reference, reason_code, message, quiet_in, changed_at, spared)
         WHERE l.batch_id = $1 AND l.seq BETWEEN $2 AND $3 AND l.seq = u.seq AND l.version = u.judged",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<Integer, _>(stretch.first)
    .bind::<Integer, _>(stretch.last)
    .bind::<Array<Integer>, _>(rows().map(|row| row.ledger.seq).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows().map(|row| row.version_before).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows().map(|row| row.ledger.version).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(rows().map(|row| row.ledger.state).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(rows().map(|row| row.ledger.attempt).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(rows().map(|row| row.owner).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(rows().map(|row| row.sends).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(rows().map(|row| row.not_found).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.rail_handle.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.past_attempts.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<SqlUuid>>, _>(rows().map(|row| row.work_id).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(rows().map(|row| row.asked).collect::<Vec<_>>())
    .bind::<Array<Nullable<SmallInt>>, _>(rows().map(|row| row.heard.evidence_kind).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(rows().map(|row| row.heard.evidence_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<SmallInt>>, _>(rows().map(|row| row.heard.evidence_sends).collect::<Vec<_>>())
    .bind::<Array<Nullable<Bool>>, _>(rows().map(|row| row.heard.evidence_quiet).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.heard.evidence_reason.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.heard.evidence.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.ledger.rail_reference.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.ledger.reason_code.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.ledger.message.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<BigInt>>, _>(rows().map(|row| row.quiet_in_ms).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows().map(|row| row.ledger.changed_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<SmallInt>>, _>(rows().map(|row| row.spared).collect::<Vec<_>>())
    .execute(connection)?;
    if updated < stretch.rows.len() { Err(Abort::Overtaken) } else { Ok(()) }
}
