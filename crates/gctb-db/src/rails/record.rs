//! Records what was learnt: each word is judged by `gctb_domain::paying` against the row as it stands, and the rows, their status
//! chunk, what is left for later, conflicts and exceptions are one commit.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, Integer, Nullable, Text, Uuid as SqlUuid};
use gctb_domain::paying::{Bearer, Decision, Learnt, Next, decide};
use gctb_domain::{BatchId, LedgerState, News, RailKey, Seq};

use super::row::{self, RailRow};
use super::work::{Later, WorkKind};
use super::{BatchWords, Holder, Turned, Word};
use crate::conflicts::{self, NewConflict};
use crate::ledger::{Said, Taken};
use crate::outbox;
use crate::pool::Abort;

/// Longest evidence that a row keeps, in characters.
const EVIDENCE_CHARS_MAX: usize = 200;
/// How often the wait for another attempt is doubled.
const DOUBLINGS_MAX: u32 = 10;

/// Records what was learnt about instructions of one batch. `window` are the positions of the work that the words are about,
/// where it was still this process's: whoever of them is open after this and was given nothing to wait for is asked about.
pub(super) fn record(
    connection: &mut PgConnection,
    holder: &Holder,
    told: &BatchWords,
    window: Option<Vec<i32>>,
    now: DateTime<Utc>,
    turned: &mut Turned,
) -> Result<(), Abort> {
    let in_hand = told.work.is_none() || window.is_some();
    let window = window.unwrap_or_default();
    let seqs: Vec<i32> = told.words.iter().map(|word| word.seq.0).chain(window.iter().copied()).collect();
    if seqs.is_empty() {
        return Ok(());
    }
    let mut rows: BTreeMap<i32, RailRow> =
        row::read(connection, told.batch, seqs, holder.settle)?.into_iter().map(|row| (row.ledger.seq, row)).collect();
    let mut judgement = Judgement {
        in_hand,
        holder,
        batch: told.batch,
        later: Later::default(),
        conflicts: Vec::new(),
        disbelieved: Vec::new(),
    };
    for word in &told.words {
        judgement.judge(word, rows.get_mut(&word.seq.0))?;
    }
    for seq in window {
        if let Some(row) = rows.get(&seq) {
            judgement.leave_to_somebody(row)?;
        }
    }
    let mut changed: Vec<RailRow> = rows.into_values().filter(RailRow::is_changed).collect();
    changed.iter_mut().for_each(|row| row.ledger.changed_at = now);
    row::update(connection, told.batch, &changed)?;
    let entries = changed.iter().map(|row| row.ledger.entry()).collect::<Result<Vec<_>, _>>()?;
    turned.outbox.extend(outbox::insert_status(connection, told.batch, entries, told.traceparent.as_deref())?);
    turned.recorded += changed.len();
    let Judgement { later, conflicts, disbelieved, .. } = judgement;
    later.insert(connection, &holder.backend, told.batch)?;
    conflicts::insert_conflicts(connection, &conflicts)?;
    insert_exceptions(connection, holder, told.batch, &disbelieved)?;
    turned.conflicts += conflicts.len();
    turned.exceptions += disbelieved.len();
    Ok(())
}

/// A word that nobody believes.
struct Disbelieved {
    kind: &'static str,
    detail: String,
    key: Option<RailKey>,
    seq: Seq,
}

struct Judgement<'a> {
    /// Whether the work that the words are about was still this process's, or the words are about none.
    in_hand: bool,
    holder: &'a Holder,
    batch: BatchId,
    later: Later,
    conflicts: Vec<NewConflict>,
    disbelieved: Vec<Disbelieved>,
}

impl Judgement<'_> {
    fn judge(&mut self, word: &Word, row: Option<&mut RailRow>) -> Result<(), Abort> {
        let Some(row) = row else {
            self.disbelieve(word, None, "unknown_instruction", "the ledger has no row for this key");
            return Ok(());
        };
        if let Some((kind, detail)) = disbelief(self.holder, word, row) {
            self.disbelieve(word, Some(row), kind, detail);
            return Ok(());
        }
        if word.attempt != row.ledger.attempt {
            return self.judge_earlier_attempt(word, row);
        }
        let mut standing = row.standing()?;
        // What was asked before a later send, or is told again, was not asked in quiet.
        let quiet = word.quiet && row.quiet && word.sends == row.sends && self.in_hand;
        standing.quiet = quiet;
        standing.fenced = word.fenced;
        standing.not_found += u16::from(word.learnt == Learnt::NotFound && quiet);
        let is_owner = row.owner == Some(self.holder.owner) && self.in_hand;
        let bearer = if is_owner { Bearer::Owner } else { Bearer::Other };
        let decision = decide(self.holder.kind, standing, word.learnt, bearer);
        // Only who owns the attempt may give it another name than it has.
        let renames = is_owner && row.rail_handle != word.handle;
        if let Some(handle) = word.handle.as_ref().filter(|_| renames || row.rail_handle.is_none()) {
            row.touch();
            row.rail_handle = Some(handle.clone());
        }
        match decision {
            Decision::Record(news) => {
                if news == News::Accepted {
                    // Also where the row says so already: nobody else will ask.
                    self.later.add(WorkKind::Ask, self.holder.ask_after, row.ledger.seq);
                }
                self.take(word, row, self.closing(news, row.ledger.attempt))
            }
            Decision::Unknown(next) => {
                if i16::try_from(standing.not_found).is_ok_and(|count| count != row.not_found) {
                    row.touch();
                    row.not_found = i16::try_from(standing.not_found).unwrap_or(i16::MAX);
                }
                self.take(word, row, News::Unknown)?;
                let (kind, after) = match next {
                    Next::Ask => (WorkKind::Ask, self.holder.ask_after),
                    Next::SendAgain => (WorkKind::Send, word.send_after),
                    Next::Fence => (WorkKind::Fence, Duration::ZERO),
                    Next::Operator => (WorkKind::Operator, Duration::ZERO),
                };
                self.later.add(kind, after, row.ledger.seq);
                Ok(())
            }
            Decision::GiveBack => {
                row.touch();
                row.sends = (row.sends - 1).max(0);
                self.later.add(WorkKind::Send, word.send_after, row.ledger.seq);
                Ok(())
            }
            Decision::Keep => {
                row.touch();
                let evidence = format!("{:?}: {}", word.learnt, word.message);
                row.evidence = Some(evidence.chars().take(EVIDENCE_CHARS_MAX).collect());
                // Until it is quiet an answer would decide nothing.
                self.later.add(
                    WorkKind::Ask,
                    self.holder.ask_after.max(row.rest_until_quiet(self.holder)),
                    row.ledger.seq,
                );
                Ok(())
            }
            Decision::Ignore => Ok(()),
        }
    }

    /// An open row whose work ends always has somebody who looks at it next, whatever was learnt, or forgotten, about it.
    fn leave_to_somebody(&mut self, row: &RailRow) -> Result<(), Abort> {
        let state = row.ledger.state()?;
        let open = matches!(state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown);
        if open && row.is_of(self.holder) && !self.later.has(row.ledger.seq) {
            self.later.add(WorkKind::Ask, self.holder.ask_after, row.ledger.seq);
        }
        Ok(())
    }

    /// A refusal of the last attempt that there may be closes the instruction.
    fn closing(&self, news: News, attempt: i16) -> News {
        if news == News::NotPaid && attempt >= self.holder.attempts_max { News::Refused } else { news }
    }

    fn take(&mut self, word: &Word, row: &mut RailRow, news: News) -> Result<(), Abort> {
        let before = row.ledger.version;
        let said =
            Said { news, reason: word.reason, message: &word.message, rail_reference: word.rail_reference.as_deref() };
        match row.ledger.take(&said)? {
            Taken::Changed => {
                // A row that was touched by the same commit before is one version further, not two.
                row.ledger.version = before;
                row.touch();
                if row.ledger.state()? == LedgerState::NotPaid {
                    let doublings = u32::try_from(row.ledger.attempt - 1).unwrap_or(0).min(DOUBLINGS_MAX);
                    let after = self.holder.retry_after.saturating_mul(1 << doublings);
                    self.later.add(WorkKind::Retry, after, row.ledger.seq);
                }
            }
            Taken::AlreadyKnown => {}
            Taken::Conflict { before: was, after, detail } => {
                if row.ledger.version != before {
                    row.ledger.version = before;
                    row.touch();
                }
                self.conflict(word, row, was, after, detail);
            }
            Taken::Impossible(illegal) => self.disbelieve(word, Some(row), "impossible_news", &illegal.to_string()),
        }
        Ok(())
    }

    /// What comes about an attempt that is closed. Only money is news of it: then somebody was paid by an attempt that was taken
    /// for unpaid, and the one that followed may pay again.
    fn judge_earlier_attempt(&mut self, word: &Word, row: &mut RailRow) -> Result<(), Abort> {
        let state = row.ledger.state()?;
        if word.learnt == Learnt::Paid && state == LedgerState::Paid && row.ledger.rail_reference == word.rail_reference
        {
            return Ok(());
        }
        if word.learnt != Learnt::Paid || word.attempt > row.ledger.attempt {
            self.disbelieve(word, Some(row), "other_attempt", "the key names another attempt than the ledger's");
            return Ok(());
        }
        row.touch();
        row.ledger.state = LedgerState::Paid.code();
        if row.ledger.rail_reference.is_none() {
            row.ledger.rail_reference.clone_from(&word.rail_reference);
        }
        row.ledger.reason_code = None;
        row.ledger.message = Some(word.message.clone());
        let detail =
            format!("attempt {} was paid after all, and the ledger is at attempt {}", word.attempt, row.ledger.attempt);
        self.conflict(word, row, state, LedgerState::Paid, detail);
        Ok(())
    }

    fn conflict(&mut self, word: &Word, row: &RailRow, before: LedgerState, after: LedgerState, detail: String) {
        self.conflicts.push(NewConflict {
            batch: self.batch,
            seq: row.ledger.seq,
            version: row.ledger.version,
            before,
            after,
            detail,
            rail_reference: word.rail_reference.clone(),
        });
    }

    fn disbelieve(&mut self, word: &Word, row: Option<&RailRow>, kind: &'static str, detail: &str) {
        let key = row.and_then(|row| RailKey::new(row.batch_no(), word.seq, word.attempt).ok());
        self.disbelieved.push(Disbelieved { kind, detail: detail.to_owned(), key, seq: word.seq });
    }
}

/// Why a word cannot be believed, if so.
fn disbelief(holder: &Holder, word: &Word, row: &RailRow) -> Option<(&'static str, &'static str)> {
    if !row.is_of(holder) {
        return Some(("not_ours", "the instruction was not claimed by this backend"));
    }
    let amount = word.amount?;
    if row.ledger.currency.as_deref() != Some(amount.currency().code()) {
        return Some(("currency_differs", "the currency is not the one that was sent"));
    }
    if row.ledger.amount != Some(amount.minor()) {
        return Some(("amount_differs", "the amount is not the one that was sent"));
    }
    None
}

fn insert_exceptions(
    connection: &mut PgConnection,
    holder: &Holder,
    batch: BatchId,
    disbelieved: &[Disbelieved],
) -> Result<(), Abort> {
    if disbelieved.is_empty() {
        return Ok(());
    }
    let keys: Vec<Option<String>> = disbelieved.iter().map(|word| word.key.map(|key| key.to_string())).collect();
    diesel::sql_query(
        "INSERT INTO rail_exceptions (backend, batch_id, kind, detail, rail_key, seq)
         SELECT $1, $2, e.* FROM unnest($3, $4, $5, $6) AS e",
    )
    .bind::<Text, _>(holder.backend.as_str())
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<Array<Text>, _>(disbelieved.iter().map(|word| word.kind).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(disbelieved.iter().map(|word| word.detail.as_str()).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(keys)
    .bind::<Array<Integer>, _>(disbelieved.iter().map(|word| word.seq.0).collect::<Vec<_>>())
    .execute(connection)?;
    Ok(())
}
