//! Records what was learnt: each word is judged by `gctb_domain::paying` against the row as it stands, and the rows, their status
//! chunk, what is left for later, conflicts and exceptions are one commit.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use gctb_domain::paying::{Bearer, Decision, Learnt, Naming, Next, decide};
use gctb_domain::{BatchId, LedgerState, News, RailKey};
use uuid::Uuid;

use super::evidence::Evidence;
use super::exceptions::{self, NewException};
use super::row::{self, RailRow};
use super::work::{self, Later, Window, WorkKind};
use super::{BatchWords, Holder, Turned, Word};
use crate::conflicts::{self, NewConflict};
use crate::ledger::{Said, Taken};
use crate::outbox;
use crate::pool::Abort;

/// Records what was learnt about instructions of one batch. `window` is the work that the words are about, where it was still
/// this process's: whoever of it is open after this and was given nothing to wait for is asked about.
pub(super) fn record(
    connection: &mut PgConnection,
    holder: &Holder,
    told: &BatchWords,
    window: Option<Window>,
    now: DateTime<Utc>,
    turned: &mut Turned,
) -> Result<(), Abort> {
    let in_hand = told.work.is_none() || window.is_some();
    let of_window = window.as_ref().map(|window| window.seqs.as_slice()).unwrap_or_default();
    let seqs: Vec<i32> = told.words.iter().map(|word| word.seq.0).chain(of_window.iter().copied()).collect();
    if seqs.is_empty() {
        return Ok(());
    }
    let mut rows: BTreeMap<i32, RailRow> =
        row::read(connection, told.batch, seqs, holder.settle)?.into_iter().map(|row| (row.ledger.seq, row)).collect();
    let others = windows_of_others(connection, told, window.as_ref(), &rows)?;
    let mut judgement = Judgement {
        in_hand,
        holder,
        batch: told.batch,
        work: window.as_ref().map(|window| window.work_id),
        others,
        now,
        later: Later::default(),
        conflicts: Vec::new(),
        disbelieved: Vec::new(),
    };
    if let Some(window) = &window {
        // Also what is closed by this keeps the name that the rail has for it.
        rows.values_mut().for_each(|row| window.name(row));
    }
    for word in &told.words {
        judgement.judge(&readable(word), rows.get_mut(&word.seq.0))?;
    }
    let told_of: BTreeSet<i32> = told.words.iter().map(|word| word.seq.0).collect();
    for seq in of_window {
        if let Some(row) = rows.get_mut(seq) {
            if !told_of.contains(seq) {
                row.was_not_asked();
            }
            judgement.leave_to_somebody(row)?;
        }
    }
    let changed: Vec<RailRow> = rows.into_values().filter(RailRow::is_changed).collect();
    turned.recorded += changed.len();
    let Judgement { later, conflicts, disbelieved, .. } = judgement;
    turned.outbox.extend(write_down(connection, told, changed, now)?);
    later.insert(connection, &holder.backend, told.batch)?;
    conflicts::insert_conflicts(connection, &conflicts)?;
    exceptions::insert(connection, &holder.backend, &disbelieved)?;
    turned.conflicts += conflicts.len();
    turned.exceptions += disbelieved.len();
    Ok(())
}

/// Words of callbacks and of former owners may be about payments that somebody has in hand just now. What is paid or returned
/// plans nothing, so that nobody needs to know.
fn windows_of_others(
    connection: &mut PgConnection,
    told: &BatchWords,
    own: Option<&Window>,
    rows: &BTreeMap<i32, RailRow>,
) -> Result<Vec<Window>, Abort> {
    let own = own.map(|window| window.work_id);
    let plans = |word: &&Word| !matches!(word.learnt, Learnt::Paid | Learnt::Returned);
    let mut works: Vec<Uuid> = told
        .words
        .iter()
        .filter(plans)
        .filter_map(|word| rows.get(&word.seq.0).and_then(|row| row.work_id))
        .filter(|work| Some(*work) != own)
        .collect();
    works.sort_unstable();
    works.dedup();
    work::windows(connection, &works)
}

/// Writes the rows and their status chunks.
fn write_down(
    connection: &mut PgConnection,
    told: &BatchWords,
    mut changed: Vec<RailRow>,
    now: DateTime<Utc>,
) -> Result<Vec<outbox::OutboxRow>, Abort> {
    changed.iter_mut().for_each(|row| row.ledger.changed_at = now);
    row::update(connection, told.batch, &changed)?;
    let left_waiting: Vec<(i32, Uuid)> = changed.iter().filter_map(RailRow::left_waiting).collect();
    work::waits_no_more(connection, &left_waiting)?;
    let entries = changed.iter().map(|row| row.ledger.entry()).collect::<Result<Vec<_>, _>>()?;
    outbox::insert_status(connection, told.batch, entries, told.traceparent.as_deref())
}

struct Judgement<'a> {
    /// Whether the work that the words are about was still this process's, or the words are about none.
    in_hand: bool,
    holder: &'a Holder,
    batch: BatchId,
    /// The work that ends with this.
    work: Option<Uuid>,
    /// Windows that others have in hand, of the payments that these words are about.
    others: Vec<Window>,
    now: DateTime<Utc>,
    later: Later,
    conflicts: Vec<NewConflict>,
    disbelieved: Vec<NewException>,
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
        if let Some(handle) = &word.handle {
            row.name(Naming::Said(handle.clone(), bearer));
        }
        match decision {
            Decision::Record(news) => {
                self.take(word, row, self.holder.closing(news, row.attempts_counted(word.refuses_everybody)))?;
                if news == News::Accepted {
                    // Also where the row says so already: nobody else will ask.
                    self.plan_question(row, false)?;
                }
                Ok(())
            }
            Decision::Unknown(next) => {
                if i16::try_from(standing.not_found).is_ok_and(|count| count != row.not_found) {
                    row.touch();
                    row.not_found = i16::try_from(standing.not_found).unwrap_or(i16::MAX);
                }
                self.take(word, row, News::Unknown)?;
                if next == Next::Operator {
                    row.is_explained(&word.message);
                }
                self.plan(next, word.send_after, row)
            }
            Decision::GiveBack if row.decided_by_evidence(self.holder)?.is_some() => {
                // The rail has answered what is said never to have reached it: it stays counted.
                self.take(word, row, News::Unknown)?;
                self.plan(Next::Ask, Duration::ZERO, row)
            }
            Decision::GiveBack => {
                row.touch();
                row.sends = (row.sends - 1).max(0);
                self.plan(Next::SendAgain, word.send_after, row)
            }
            Decision::Keep => {
                let says_more = self.keep(word, row, quiet)?;
                self.plan_question(row, says_more)
            }
            Decision::Ignore => Ok(()),
        }
    }

    /// Keeps on the row what its bearer may not decide. True: it says more than what was heard before.
    fn keep(&self, word: &Word, row: &mut RailRow, quiet: bool) -> Result<bool, Abort> {
        // Who cannot know how often it was sent speaks of all that is counted now.
        let sends = if word.sends > 0 { word.sends } else { row.sends };
        let Word { learnt, refuses_everybody, message, .. } = word.clone();
        let heard = Evidence { learnt, refuses_everybody, at: self.now, sends, quiet, words: message };
        let outweighs = row.hear(&heard, word.reason.map(gctb_domain::ReasonCode::as_str))?;
        // That nothing was sent or learnt is no news of what was planned since.
        Ok(outweighs && !matches!(word.learnt, Learnt::NotSent | Learnt::Nothing | Learnt::Unanswerable))
    }

    fn plan(&mut self, next: Next, send_after: Duration, row: &mut RailRow) -> Result<(), Abort> {
        let (kind, after) = match next {
            Next::Ask => return self.plan_question(row, false),
            // Not at once, whatever the rail says: what could not be sent a moment ago would be tried without end.
            Next::SendAgain => (WorkKind::Send, send_after.max(self.holder.ask_after)),
            Next::Fence => (WorkKind::Fence, Duration::ZERO),
            Next::Operator => (WorkKind::Operator, Duration::ZERO),
        };
        // It takes the place of whatever was planned; a window that somebody has in hand hands over what it knows.
        self.others.iter().for_each(|window| window.name(row));
        self.later.add(kind, after, row);
        Ok(())
    }

    /// The rail is asked when its answer is late. What somebody else has planned about the payment stands, unless evidence came
    /// that says more than what was heard before; and what somebody has in hand just now stands always: its end looks after it.
    fn plan_question(&mut self, row: &mut RailRow, says_more: bool) -> Result<(), Abort> {
        let is_ours = row.work_id.is_none_or(|work| Some(work) == self.work || self.later.holds(work));
        let in_somebodys_hand = self.others.iter().any(|window| Some(window.work_id) == row.work_id);
        if is_ours || (says_more && !in_somebodys_hand) {
            let after = self.wait_for_question(row)?;
            self.later.add(WorkKind::Ask, after, row);
        }
        Ok(())
    }

    fn wait_for_question(&self, row: &RailRow) -> Result<Duration, Abort> {
        let wait = self.holder.ask_wait(row.asked);
        let Some(evidence) = row.evidence()? else { return Ok(wait) };
        if row.decided_by_evidence(self.holder)?.is_some() {
            // There is nothing to ask: its owner decides, and its lease is all that is waited for.
            return Ok(row.rest_of_lease());
        }
        match evidence.learnt {
            // Until it is quiet an answer would decide nothing.
            Learnt::Refused { .. } => Ok(wait.max(row.rest_until_quiet(self.holder))),
            Learnt::Paid
            | Learnt::Returned
            | Learnt::Accepted
            | Learnt::NotSent
            | Learnt::NotFound
            | Learnt::Duplicate
            | Learnt::Nothing
            | Learnt::Unanswerable => Ok(wait),
        }
    }

    /// An open row whose work ends always has somebody who looks at it next, whatever was learnt, or forgotten, about it.
    fn leave_to_somebody(&mut self, row: &mut RailRow) -> Result<(), Abort> {
        let state = row.ledger.state()?;
        let open = matches!(state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown);
        let is_left = row.work_id.is_none() || row.work_id == self.work;
        if open && row.is_of(self.holder) && is_left { self.plan_question(row, false) } else { Ok(()) }
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
                self.end_or_retry(word, row)?;
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

    fn end_or_retry(&mut self, word: &Word, row: &mut RailRow) -> Result<(), Abort> {
        let state = row.ledger.state()?;
        if state == LedgerState::NotPaid {
            if word.refuses_everybody {
                row.spare();
            }
            self.later.add(WorkKind::Retry, self.holder.retry_wait(row.attempts_counted(false)), row);
        } else if state.is_final() {
            row.is_done();
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
        row.is_done();
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
        self.disbelieved.push(NewException {
            kind,
            detail: detail.to_owned(),
            rail_key: key.map(|key| key.to_string()),
            instruction: Some((self.batch, word.seq)),
            body: None,
        });
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

/// A word whose texts Postgres takes: one letter of a rail must not keep a whole window from being recorded.
fn readable(word: &Word) -> Cow<'_, Word> {
    let spoils = |text: &Option<String>| text.as_deref().is_some_and(|text| text.contains('\0'));
    if !word.message.contains('\0') && !spoils(&word.handle) && !spoils(&word.rail_reference) {
        return Cow::Borrowed(word);
    }
    let clean = |text: &Option<String>| text.as_ref().map(|text| text.replace('\0', ""));
    Cow::Owned(Word {
        message: word.message.replace('\0', ""),
        handle: clean(&word.handle),
        rail_reference: clean(&word.rail_reference),
        ..word.clone()
    })
}
