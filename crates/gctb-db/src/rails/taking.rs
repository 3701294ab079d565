//! What is done about each payment of a row of work that came due: decided by what was heard, handed out, or put off.
//!
//! It reads and writes nothing: rows come in and go out changed.

use std::time::Duration;

use gctb_domain::paying::{Dedupe, Next, may_try_again, take_over};
use gctb_domain::{LedgerState, News, ReasonCode};
use uuid::Uuid;

use super::row::RailRow;
use super::work::{Later, WorkKind};
use super::{DueAttempt, Holder, Todo};
use crate::controls::ControlState;
use crate::ledger::Said;
use crate::pool::Abort;

/// A row of work that is being taken up.
pub(super) struct Taking<'a> {
    holder: &'a Holder,
    control: ControlState,
    /// The window of what is handed out.
    pub(super) window: Uuid,
    pub(super) attempts: Vec<DueAttempt>,
    pub(super) later: Later,
}

impl<'a> Taking<'a> {
    pub(super) fn new(holder: &'a Holder, control: ControlState) -> Self {
        Self { holder, control, window: Uuid::now_v7(), attempts: Vec::new(), later: Later::default() }
    }

    /// Takes up one payment that this work looks after.
    pub(super) fn take(&mut self, kind: WorkKind, row: &mut RailRow) -> Result<(), Abort> {
        let state = row.ledger.state()?;
        let open = matches!(state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown);
        let is_mine = row.owner == Some(self.holder.owner);
        if open && !is_mine && row.leased_ms > 0 {
            // Its owner may still act. A successor waits for the end of the lease.
            self.later.add(kind, row.rest_of_lease(), row);
            return Ok(());
        }
        if open && let Some(news) = row.decided_by_evidence(self.holder)? {
            return self.decide(row, news);
        }
        match kind {
            WorkKind::Window | WorkKind::Ask if open => self.ask(row),
            WorkKind::Fence if open && row.quiet => self.hand_out(Todo::Fence, row),
            WorkKind::Fence if open => self.ask(row),
            WorkKind::Send if open => self.send_again(row, state),
            WorkKind::Retry if state == LedgerState::NotPaid => self.try_again(row),
            // Decided meanwhile, or a person's.
            WorkKind::Window
            | WorkKind::Ask
            | WorkKind::Send
            | WorkKind::Retry
            | WorkKind::Operator
            | WorkKind::Fence => {
                row.is_done();
                Ok(())
            }
        }
    }

    /// What was heard decides, and now it is its owner who says so.
    fn decide(&mut self, row: &mut RailRow, news: News) -> Result<(), Abort> {
        row.touch();
        row.owner = Some(self.holder.owner);
        let (reason, words) = row.evidence_said();
        let is_spared = row.evidence()?.is_some_and(|heard| heard.refuses_everybody);
        tell(row, self.holder.closing(news, row.attempts_counted(is_spared)), reason, &words)?;
        if row.ledger.state()? == LedgerState::NotPaid {
            if is_spared {
                row.spare();
            }
            self.later.add(WorkKind::Retry, self.holder.retry_wait(row.attempts_counted(false)), row);
        } else {
            row.is_done();
        }
        Ok(())
    }

    fn ask(&mut self, row: &mut RailRow) -> Result<(), Abort> {
        let count = |count: i16| u16::try_from(count).unwrap_or(0);
        match take_over(self.holder.kind, count(row.asked), count(self.holder.asks_max)) {
            Next::Ask | Next::SendAgain | Next::Fence => {
                if row.ledger.state()? == LedgerState::Claimed && row.sends > 0 {
                    // It may have been sent, and its sender is gone: whatever this question comes to, that send stays counted.
                    self.news(row, News::Unknown, "an answer is missing")?;
                }
                row.touch();
                row.asked = row.asked.saturating_add(1);
                self.hand_out(Todo::Ask, row)
            }
            Next::Operator => {
                let why = if self.holder.kind.can_be_asked {
                    "an answer is missing, and no question decided anything"
                } else {
                    "an answer is missing, and the rail cannot be asked"
                };
                self.news(row, News::Unknown, why)?;
                self.later.add(WorkKind::Operator, Duration::ZERO, row);
                Ok(())
            }
        }
    }

    /// The same attempt, under the same key.
    fn send_again(&mut self, row: &mut RailRow, state: LedgerState) -> Result<(), Abort> {
        let never_left = state == LedgerState::Claimed && row.sends == 0;
        let dedupes = self.holder.kind.dedupes != Dedupe::Never && !self.holder.kind.two_phase;
        // Decided some time ago: it must still be so.
        let may_repeat = dedupes && state == LedgerState::Unknown && row.quiet;
        match self.control {
            ControlState::Held => {
                self.later.add(WorkKind::Send, self.holder.retry_after, row);
                Ok(())
            }
            ControlState::Cancelled if never_left => {
                self.news(row, News::NotPaid, "never sent")?;
                self.news(row, News::Cancelled, "the batch was cancelled")?;
                row.is_done();
                Ok(())
            }
            // It may have been paid: only the rail or a person can say.
            ControlState::Cancelled => self.ask(row),
            // Never twice at once: what was sent before must be over.
            ControlState::Open if !never_left && !may_repeat => self.ask(row),
            ControlState::Open => {
                row.begin_send(self.holder);
                self.hand_out(Todo::Send, row)
            }
        }
    }

    /// Another attempt, under another key.
    fn try_again(&mut self, row: &mut RailRow) -> Result<(), Abort> {
        match self.control {
            ControlState::Held => {
                self.later.add(WorkKind::Retry, self.holder.retry_after, row);
                Ok(())
            }
            ControlState::Cancelled => {
                self.news(row, News::Cancelled, "the batch was cancelled")?;
                row.is_done();
                Ok(())
            }
            ControlState::Open
                if may_try_again(row.standing()?, row.attempts_counted(false), self.holder.attempts_max) =>
            {
                row.next_attempt(self.holder);
                self.hand_out(Todo::Send, row)
            }
            ControlState::Open => {
                let message = row.ledger.message.clone().unwrap_or_default();
                self.news(row, News::Refused, &message)?;
                row.is_done();
                Ok(())
            }
        }
    }

    fn news(&self, row: &mut RailRow, news: News, message: &str) -> Result<(), Abort> {
        let reason = row.ledger.reason_code.as_deref().and_then(ReasonCode::from_code);
        tell(row, news, reason, message)
    }

    fn hand_out(&mut self, todo: Todo, row: &mut RailRow) -> Result<(), Abort> {
        row.touch();
        row.owner = Some(self.holder.owner);
        row.is_looked_after_by(self.window);
        self.attempts.push(row.due(todo)?);
        Ok(())
    }
}

/// The row takes news; with whatever else this commit changes of it that is one version.
fn tell(row: &mut RailRow, news: News, reason: Option<ReasonCode>, message: &str) -> Result<(), Abort> {
    let before = row.ledger.version;
    row.ledger.take(&Said { news, reason, message, rail_reference: None })?;
    if row.ledger.version != before {
        row.ledger.version = before;
        row.touch();
    }
    Ok(())
}
