//! What a bank said about payments: judged line by line against the ledger, recorded once, told in the same commit.

use std::collections::{BTreeMap, HashMap, HashSet};

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, SmallInt, Text, Timestamptz, Uuid as SqlUuid};
use gctb_domain::{BackendName, BatchId, InstructionId, LedgerState, Money, News, RailKey, ReasonCode, Seq};
use uuid::Uuid;

use crate::conflicts::{self, NewConflict};
use crate::error::DbError;
use crate::ledger::{self, LedgerRow, Said, Taken};
use crate::outbox::{self, OutboxRow};
use crate::pool::{Abort, Db, until_first};
use crate::stretches::{Stretch, joining_by_hash, stretches};

/// A line of a response file that could be read.
#[derive(Clone, Debug)]
pub struct FileLine {
    /// The line in the file, the header being 1.
    pub line_no: i32,
    /// Which attempt it is about.
    pub rail_key: RailKey,
    /// What the bank says.
    pub news: News,
    /// The amount that it says it about.
    pub amount: Money,
    /// Why it refused.
    pub reason: Option<ReasonCode>,
    /// The bank's code and words.
    pub message: String,
    /// The bank's own reference.
    pub rail_reference: Option<String>,
}

/// A line that cannot be believed.
#[derive(Clone, Debug)]
pub struct LineException {
    /// The line in the file.
    pub line_no: i32,
    /// A word for what is wrong.
    pub kind: &'static str,
    /// A sentence about it.
    pub detail: String,
    /// The reference as the bank gave it, cut at 64 characters.
    pub payment_ref: String,
    /// The instruction, where the reference names one.
    pub instruction: Option<InstructionId>,
}

/// What recording some lines came to.
#[derive(Clone, Debug, Default)]
pub struct SettleOutcome {
    /// Ledger rows that changed.
    pub recorded: usize,
    /// Lines that say what the ledger knew.
    pub already_known: usize,
    /// Lines that went to the exceptions.
    pub exceptions: usize,
    /// Contradictions that were met.
    pub conflicts: usize,
    /// The outbox rows that were committed, to be published from memory.
    pub outbox: Vec<OutboxRow>,
}

impl Db {
    /// Records the lines `first_line ..` of a response file: ledger, status events, exceptions, conflicts, the files'
    /// counters and the progress through the file, in one commit. Lines that are recorded already change nothing.
    ///
    /// `unreadable` are the lines of the same stretch that could not be read; `lines_total` is how many lines of the file
    /// are recorded after this call.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing of the stretch is recorded then.
    pub fn settle_lines(
        &self,
        backend: &BackendName,
        incoming_id: i64,
        lines: &[FileLine],
        unreadable: Vec<LineException>,
        lines_before: i32,
        lines_total: i32,
    ) -> Result<SettleOutcome, DbError> {
        let answer = Answer { backend, incoming_id, lines, unreadable, lines_before, lines_total };
        // Another process may record news of the same payments: where it was first, the lines are judged anew.
        until_first(|| self.transaction("record lines of a response file", |connection| settle(connection, &answer)))
            .inspect(|_| fail::fail_point!("settle.commit.after"))
    }
}

/// A stretch of a response file.
struct Answer<'a> {
    backend: &'a BackendName,
    incoming_id: i64,
    lines: &'a [FileLine],
    unreadable: Vec<LineException>,
    lines_before: i32,
    lines_total: i32,
}

fn settle(connection: &mut PgConnection, answer: &Answer<'_>) -> Result<SettleOutcome, Abort> {
    if !advance(connection, answer)? {
        return Ok(SettleOutcome { already_known: answer.lines.len(), ..SettleOutcome::default() });
    }
    let mut judgement = Judgement { exceptions: answer.unreadable.clone(), ..Judgement::default() };
    let batches = batches_of(connection, answer.lines)?;
    let mut by_batch: BTreeMap<BatchId, (Option<&str>, Vec<&FileLine>)> = BTreeMap::new();
    for line in answer.lines {
        match batches.get(&line.rail_key.batch_no().0) {
            Some((batch, traceparent)) => {
                by_batch.entry(*batch).or_insert((traceparent.as_deref(), Vec::new())).1.push(line);
            }
            None => judgement.exceptions.push(exception(
                line,
                None,
                "unknown_batch",
                "no batch has this reference's number",
            )),
        }
    }
    let mut outcome = SettleOutcome::default();
    let mut news = FileNews::default();
    let now = chrono_now(connection)?;
    for (batch, (traceparent, lines)) in by_batch {
        let mut rows = read_rows(connection, batch, &lines)?;
        let files = sent_files(connection, &rows)?;
        for line in &lines {
            judgement.judge(answer.backend, batch, line, rows.get_mut(&line.rail_key.seq().0), &files)?;
        }
        news.note(answer.backend, rows.values())?;
        let mut changed: Vec<Judged> = rows.into_values().filter(Judged::is_changed).collect();
        changed.iter_mut().for_each(|judged| judged.row.changed_at = now);
        update_rows(connection, batch, &changed)?;
        outcome.recorded += changed.len();
        let entries = changed.iter().map(|judged| judged.row.entry()).collect::<Result<Vec<_>, _>>()?;
        outcome.outbox.extend(outbox::insert_status(connection, batch, entries, traceparent)?);
    }
    update_files(connection, &news)?;
    conflicts::insert_conflicts(connection, &judgement.conflicts)?;
    conflicts::insert_exceptions(connection, answer.incoming_id, &judgement.exceptions)?;
    count_exceptions(connection, answer.incoming_id, judgement.exceptions.len())?;
    outcome.already_known = judgement.already_known;
    outcome.exceptions = judgement.exceptions.len();
    outcome.conflicts = judgement.conflicts.len();
    fail::fail_point!("settle.commit.before");
    Ok(outcome)
}

/// A ledger row that lines are judged against, and as it was before.
struct Judged {
    row: LedgerRow,
    before: LedgerState,
    version_before: i32,
}

impl Judged {
    const fn is_changed(&self) -> bool {
        self.row.version != self.version_before
    }
}

#[derive(Default)]
struct Judgement {
    already_known: usize,
    exceptions: Vec<LineException>,
    conflicts: Vec<NewConflict>,
}

impl Judgement {
    fn judge(
        &mut self,
        backend: &BackendName,
        batch: BatchId,
        line: &FileLine,
        judged: Option<&mut Judged>,
        files: &HashSet<i64>,
    ) -> Result<(), Abort> {
        let Some(judged) = judged else {
            self.exceptions.push(exception(
                line,
                Some(batch),
                "unknown_instruction",
                "the ledger has no row for this reference",
            ));
            return Ok(());
        };
        if let Some((kind, detail)) = disbelief(backend, line, &judged.row, files) {
            self.exceptions.push(exception(line, Some(batch), kind, detail));
            return Ok(());
        }
        let said = Said {
            news: line.news,
            reason: line.reason,
            message: &line.message,
            rail_reference: line.rail_reference.as_deref(),
        };
        match judged.row.take(&said)? {
            Taken::Changed => {}
            Taken::AlreadyKnown => self.already_known += 1,
            Taken::Conflict { before, after, detail } => self.conflicts.push(NewConflict {
                batch,
                seq: judged.row.seq,
                version: judged.row.version,
                before,
                after,
                detail,
                rail_reference: line.rail_reference.clone(),
            }),
            Taken::Impossible(illegal) => {
                self.exceptions.push(exception(line, Some(batch), "impossible_news", &illegal.to_string()));
            }
        }
        Ok(())
    }
}

/// Why a line cannot be believed, if so.
fn disbelief(
    backend: &BackendName,
    line: &FileLine,
    row: &LedgerRow,
    sent_files: &HashSet<i64>,
) -> Option<(&'static str, &'static str)> {
    if row.backend.as_deref() != Some(backend.as_str()) {
        return Some(("not_ours", "the instruction was not claimed by this backend"));
    }
    if row.attempt != line.rail_key.attempt() {
        return Some(("other_attempt", "the reference names another attempt than the ledger's"));
    }
    if row.currency.as_deref() != Some(line.amount.currency().code()) {
        return Some(("currency_differs", "the currency is not the one that was sent"));
    }
    if row.amount != Some(line.amount.minor()) {
        return Some(("amount_differs", "the amount is not the one that was sent"));
    }
    let sent = row.file_id.is_some_and(|file_id| sent_files.contains(&file_id));
    // PAID is believed at once: the money moved. Anything else about a file that was not sent is not an answer to it.
    if !sent && line.news != News::Paid {
        return Some(("file_not_sent", "the file of this instruction was not sent"));
    }
    None
}

fn exception(line: &FileLine, batch: Option<BatchId>, kind: &'static str, detail: &str) -> LineException {
    LineException {
        line_no: line.line_no,
        kind,
        detail: detail.to_owned(),
        payment_ref: line.rail_key.to_string(),
        instruction: batch.map(|batch| InstructionId { batch, seq: Seq(line.rail_key.seq().0) }),
    }
}

/// Moves the progress through the file; false where somebody was here already.
fn advance(connection: &mut PgConnection, answer: &Answer<'_>) -> Result<bool, Abort> {
    let moved = diesel::sql_query(
        "UPDATE incoming_files SET lines_done = $3 WHERE incoming_id = $1 AND lines_done = $2 AND state = 1",
    )
    .bind::<BigInt, _>(answer.incoming_id)
    .bind::<Integer, _>(answer.lines_before)
    .bind::<Integer, _>(answer.lines_total)
    .execute(connection)?;
    Ok(moved == 1)
}

fn count_exceptions(connection: &mut PgConnection, incoming_id: i64, count: usize) -> Result<(), Abort> {
    let count = i32::try_from(count).map_err(|_| Abort::Unreadable("incoming_files.exception_count"))?;
    diesel::sql_query(
        "UPDATE incoming_files SET exception_count = exception_count + $2 WHERE incoming_id = $1 AND $2 > 0",
    )
    .bind::<BigInt, _>(incoming_id)
    .bind::<Integer, _>(count)
    .execute(connection)?;
    Ok(())
}

fn chrono_now(connection: &mut PgConnection) -> Result<chrono::DateTime<chrono::Utc>, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Now {
        #[diesel(sql_type = diesel::sql_types::Timestamptz)]
        now: chrono::DateTime<chrono::Utc>,
    }
    Ok(diesel::sql_query("SELECT now() AS now").get_result::<Now>(connection)?.now)
}

type BatchesByNo = HashMap<i64, (BatchId, Option<String>)>;

fn batches_of(connection: &mut PgConnection, lines: &[FileLine]) -> Result<BatchesByNo, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = SqlUuid)]
        batch_id: Uuid,
        #[diesel(sql_type = BigInt)]
        batch_no: i64,
        #[diesel(sql_type = Nullable<Text>)]
        traceparent: Option<String>,
    }
    let mut numbers: Vec<i64> = lines.iter().map(|line| line.rail_key.batch_no().0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let rows: Vec<Row> =
        diesel::sql_query("SELECT batch_id, batch_no, traceparent FROM batches WHERE batch_no = ANY($1)")
            .bind::<Array<BigInt>, _>(numbers)
            .load(connection)?;
    Ok(rows.into_iter().map(|row| (row.batch_no, (BatchId::from_uuid(row.batch_id), row.traceparent))).collect())
}

/// The rows as they stand. They are not locked: the update names the version that was judged.
fn read_rows(
    connection: &mut PgConnection,
    batch: BatchId,
    lines: &[&FileLine],
) -> Result<BTreeMap<i32, Judged>, Abort> {
    let seqs: Vec<i32> = lines.iter().map(|line| line.rail_key.seq().0).collect();
    ledger::standing(connection, batch, &seqs)?
        .into_iter()
        .map(|row| Ok((row.seq, Judged { before: row.state()?, version_before: row.version, row })))
        .collect()
}

/// Which of the rows' files are at the bank, or may be: an answer to a put that seemed to fail shows that it arrived.
fn sent_files(connection: &mut PgConnection, rows: &BTreeMap<i32, Judged>) -> Result<HashSet<i64>, Abort> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        file_id: i64,
    }
    let mut ids: Vec<i64> = rows.values().filter_map(|judged| judged.row.file_id).collect();
    ids.sort_unstable();
    ids.dedup();
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT file_id FROM outgoing_files WHERE file_id = ANY($1) AND (state IN (3, 4, 5) OR delivering_at IS NOT NULL)",
    )
    .bind::<Array<BigInt>, _>(ids)
    .load(connection)?;
    Ok(rows.into_iter().map(|row| row.file_id).collect())
}

/// Updates the rows from the version that was judged to the new one; `rows` are in order of position.
fn update_rows(connection: &mut PgConnection, batch: BatchId, rows: &[Judged]) -> Result<(), Abort> {
    joining_by_hash(connection, |connection| {
        stretches(rows, |judged| judged.row.seq).try_for_each(|stretch| update_stretch(connection, batch, &stretch))
    })
}

fn update_stretch(connection: &mut PgConnection, batch: BatchId, stretch: &Stretch<'_, Judged>) -> Result<(), Abort> {
    let rows = || stretch.rows.iter().map(|judged| &judged.row);
    let updated = diesel::sql_query(
        "UPDATE payment_ledger l SET version = u.version, state = u.state, rail_reference = u.rail_reference,
                    reason_code = u.reason_code, message = u.message, changed_at = u.changed_at
             FROM unnest($2, $3, $4, $5, $6, $7, $8, $9)
                  AS u (seq, judged, version, state, rail_reference, reason_code, message, changed_at)
             WHERE l.batch_id = $1 AND l.seq BETWEEN $10 AND $11 AND l.seq = u.seq AND l.version = u.judged",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<Array<Integer>, _>(rows().map(|row| row.seq).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(stretch.rows.iter().map(|judged| judged.version_before).collect::<Vec<_>>())
    .bind::<Array<Integer>, _>(rows().map(|row| row.version).collect::<Vec<_>>())
    .bind::<Array<SmallInt>, _>(rows().map(|row| row.state).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.rail_reference.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.reason_code.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows().map(|row| row.message.as_deref()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows().map(|row| row.changed_at).collect::<Vec<_>>())
    .bind::<Integer, _>(stretch.first)
    .bind::<Integer, _>(stretch.last)
    .execute(connection)?;
    if updated < stretch.rows.len() { Err(Abort::Overtaken) } else { Ok(()) }
}

/// The files that answers are about, and how many of their lines became final. A line that is not believed is an answer
/// to its file all the same.
#[derive(Default)]
struct FileNews(BTreeMap<i64, i32>);

impl FileNews {
    fn note<'a>(&mut self, backend: &BackendName, rows: impl Iterator<Item = &'a Judged>) -> Result<(), Abort> {
        for judged in rows.filter(|judged| judged.row.backend.as_deref() == Some(backend.as_str())) {
            let became_final = !judged.before.is_final() && judged.row.state()?.is_final();
            if let Some(file_id) = judged.row.file_id {
                *self.0.entry(file_id).or_default() += i32::from(became_final);
            }
        }
        Ok(())
    }
}

/// An answer proves that a file which somebody tried to put is at the bank. One to a file that nobody tried to put makes it
/// an operator's: it is never put by itself.
fn update_files(connection: &mut PgConnection, news: &FileNews) -> Result<(), Abort> {
    if news.0.is_empty() {
        return Ok(());
    }
    // Locked in the order of their numbers, so that two response files that share files do not deadlock.
    let ids: Vec<i64> = news.0.keys().copied().collect();
    diesel::sql_query("SELECT FROM outgoing_files WHERE file_id = ANY($1) ORDER BY file_id FOR UPDATE")
        .bind::<Array<BigInt>, _>(&ids)
        .execute(connection)?;
    diesel::sql_query(
        "UPDATE outgoing_files f
         SET answered_count = f.answered_count + n.final,
             state = CASE WHEN f.state = 5 OR NOT tried THEN f.state
                          WHEN f.answered_count + n.final >= f.line_count THEN 5 ELSE 4 END,
             dispatched_at = CASE WHEN tried THEN coalesce(f.dispatched_at, now()) ELSE f.dispatched_at END,
             needs_operator_since = CASE WHEN NOT tried THEN coalesce(f.needs_operator_since, now()) END
         FROM (SELECT n.file_id, n.final, o.state IN (3, 4, 5) OR (o.state = 2 AND o.delivering_at IS NOT NULL) AS tried
               FROM unnest($1, $2) AS n (file_id, final) JOIN outgoing_files o USING (file_id)) n
         WHERE f.file_id = n.file_id",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Integer>, _>(news.0.values().copied().collect::<Vec<_>>())
    .execute(connection)?;
    Ok(())
}
