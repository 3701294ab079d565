//! The one state machine: what the payment ledger may say about an instruction, and what may follow.
//!
//! Who may bring which news (owner, former owner, operator) is decided where the row is locked; here stands only what
//! each state makes of it. SQL CHECK `ledger_state_known` repeats the list by number.

use std::fmt;

/// The state of an instruction's ledger row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
pub enum LedgerState {
    /// Refused before any backend saw it (intake, mapper).
    Rejected = 1,
    /// Cancelled before it was paid.
    Cancelled = 2,
    /// A backend owns it; a payment may be under way.
    Claimed = 3,
    /// The rail said that it has the instruction.
    Accepted = 4,
    /// Sent, and nobody knows what became of it.
    Unknown = 5,
    /// The rail definitely did not pay this attempt; another may follow.
    NotPaid = 6,
    /// The rail paid.
    Paid = 7,
    /// Closed without payment: nobody adds an attempt.
    Failed = 8,
    /// The rail paid and took the money back.
    Returned = 9,
}

/// What somebody has learnt about an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum News {
    /// The rail has it and will answer later.
    Accepted,
    /// An answer is missing or cannot be read.
    Unknown,
    /// The rail paid it.
    Paid,
    /// The rail definitely did not pay this attempt, and another attempt may follow.
    NotPaid,
    /// The rail definitely did not pay, and no attempt follows.
    Refused,
    /// The money came back after it was paid.
    Returned,
    /// The sender or an operator cancelled it.
    Cancelled,
}

impl fmt::Display for News {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Unknown => "unknown",
            Self::Paid => "paid",
            Self::NotPaid => "not paid",
            Self::Refused => "refused",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        })
    }
}

/// What a state makes of news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The row moves to this state.
    Moved(LedgerState),
    /// The row says so already, or something later: nothing changes.
    AlreadyKnown,
    /// News that contradicts a final state. The row moves to the state given (real money moved) or stays where it
    /// is, and a conflict is recorded either way.
    Conflict(LedgerState),
}

/// News that a state cannot take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the ledger state {state} cannot take the news \"{news}\"")]
pub struct IllegalTransition {
    /// The state the row is in.
    pub state: LedgerState,
    /// What was brought.
    pub news: News,
}

impl LedgerState {
    /// Every state.
    pub const ALL: [Self; 9] = [
        Self::Rejected,
        Self::Cancelled,
        Self::Claimed,
        Self::Accepted,
        Self::Unknown,
        Self::NotPaid,
        Self::Paid,
        Self::Failed,
        Self::Returned,
    ];

    /// The number that the database and the events carry.
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Reads such a number.
    pub fn from_code(code: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }

    /// The name that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
            Self::Claimed => "CLAIMED",
            Self::Accepted => "ACCEPTED",
            Self::Unknown => "UNKNOWN",
            Self::NotPaid => "NOT_PAID",
            Self::Paid => "PAID",
            Self::Failed => "FAILED",
            Self::Returned => "RETURNED",
        }
    }

    /// Whether the instruction is decided for good, short of a contradiction or a return.
    pub const fn is_final(self) -> bool {
        match self {
            Self::Claimed | Self::Accepted | Self::Unknown | Self::NotPaid => false,
            Self::Rejected | Self::Cancelled | Self::Paid | Self::Failed | Self::Returned => true,
        }
    }

    /// What this state makes of `news`.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the news makes no sense here, such as a return of what was refused.
    pub const fn apply(self, news: News) -> Result<Step, IllegalTransition> {
        use LedgerState as S;
        let step = match (self, news) {
            (S::Claimed | S::Unknown, News::Accepted) => Step::Moved(S::Accepted),
            (S::Claimed | S::Accepted, News::Unknown) => Step::Moved(S::Unknown),
            (S::Claimed | S::Accepted | S::Unknown | S::NotPaid, News::Paid) => Step::Moved(S::Paid),
            (S::Claimed | S::Accepted | S::Unknown, News::NotPaid) => Step::Moved(S::NotPaid),
            (S::Claimed | S::Accepted | S::Unknown | S::NotPaid, News::Refused) => Step::Moved(S::Failed),
            (S::NotPaid, News::Cancelled) => Step::Moved(S::Cancelled),
            // What came back was paid before, even where the news of the payment come later: banks do not keep an order.
            (S::Claimed | S::Accepted | S::Unknown | S::Paid, News::Returned) => Step::Moved(S::Returned),

            // Money moved although the ledger had closed the instruction without it: the row tells the truth now.
            (S::Failed | S::Rejected | S::Cancelled, News::Paid) => Step::Conflict(S::Paid),
            // A refusal after a payment does not take the payment back; an operator must look.
            (S::Paid, News::Refused | News::NotPaid) => Step::Conflict(S::Paid),
            (S::Returned, News::Refused | News::NotPaid) => Step::Conflict(S::Returned),

            // Late or repeated news about what is known.
            (S::Accepted, News::Accepted)
            | (S::Unknown, News::Unknown)
            | (S::NotPaid, News::NotPaid | News::Accepted | News::Unknown)
            | (S::Paid, News::Paid | News::Accepted | News::Unknown)
            | (S::Failed, News::Refused | News::NotPaid | News::Accepted | News::Unknown)
            | (S::Rejected, News::Refused | News::NotPaid)
            | (S::Returned, News::Returned | News::Paid | News::Accepted | News::Unknown)
            | (S::Cancelled, News::Cancelled | News::Refused | News::NotPaid) => Step::AlreadyKnown,

            (
                S::Claimed | S::Accepted | S::Unknown | S::Paid | S::Failed | S::Rejected | S::Returned,
                News::Cancelled,
            )
            | (S::NotPaid | S::Failed | S::Rejected | S::Cancelled, News::Returned)
            | (S::Rejected | S::Cancelled, News::Accepted | News::Unknown) => {
                return Err(IllegalTransition { state: self, news });
            }
        };
        Ok(step)
    }
}

impl fmt::Display for LedgerState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL_NEWS: [News; 7] =
        [News::Accepted, News::Unknown, News::Paid, News::NotPaid, News::Refused, News::Returned, News::Cancelled];

    #[test]
    fn stored_numbers_read_back_and_never_change() {
        let numbers: Vec<i16> = LedgerState::ALL.iter().map(|s| s.code()).collect();
        assert_eq!(numbers, (1..=9).collect::<Vec<i16>>());
        for state in LedgerState::ALL {
            assert_eq!(LedgerState::from_code(state.code()), Some(state));
        }
    }

    #[test]
    fn i3_unknown_ends_only_by_a_definite_answer() {
        for news in ALL_NEWS {
            let expected = match news {
                News::Accepted => Ok(Step::Moved(LedgerState::Accepted)),
                News::Unknown => Ok(Step::AlreadyKnown),
                News::Paid => Ok(Step::Moved(LedgerState::Paid)),
                News::NotPaid => Ok(Step::Moved(LedgerState::NotPaid)),
                News::Refused => Ok(Step::Moved(LedgerState::Failed)),
                News::Returned => Ok(Step::Moved(LedgerState::Returned)),
                News::Cancelled => Err(IllegalTransition { state: LedgerState::Unknown, news }),
            };
            assert_eq!(LedgerState::Unknown.apply(news), expected);
        }
    }

    #[test]
    fn i3_a_missing_answer_is_unknown_and_never_a_refusal() {
        for state in [LedgerState::Claimed, LedgerState::Accepted] {
            assert_eq!(state.apply(News::Unknown), Ok(Step::Moved(LedgerState::Unknown)));
        }
        assert!(!LedgerState::Unknown.is_final());
    }

    #[test]
    fn i3_a_refusal_after_the_payment_is_a_conflict_and_the_payment_stands() {
        for state in [LedgerState::Paid, LedgerState::Returned] {
            for news in [News::Refused, News::NotPaid] {
                assert_eq!(state.apply(news), Ok(Step::Conflict(state)));
            }
        }
    }

    proptest! {
        #[test]
        fn paid_is_never_forgotten(news in proptest::collection::vec(0_usize..ALL_NEWS.len(), 1..20)) {
            let mut state = LedgerState::Claimed;
            let mut paid = false;
            for index in news {
                match state.apply(ALL_NEWS[index]) {
                    Ok(Step::Moved(next) | Step::Conflict(next)) => state = next,
                    Ok(Step::AlreadyKnown) | Err(_) => {}
                }
                paid |= state == LedgerState::Paid;
                prop_assert!(!paid || matches!(state, LedgerState::Paid | LedgerState::Returned));
            }
        }

        #[test]
        fn a_final_state_moves_only_by_a_return_or_a_conflict(state in 0_usize..9, news in 0_usize..7) {
            let (state, news) = (LedgerState::ALL[state], ALL_NEWS[news]);
            if state.is_final() && let Ok(Step::Moved(next)) = state.apply(news) {
                prop_assert_eq!((state, next), (LedgerState::Paid, LedgerState::Returned));
            }
        }

        #[test]
        fn a_payment_and_its_return_end_alike_in_either_order(state in 0_usize..9) {
            let state = LedgerState::ALL[state];
            let after = |state: LedgerState, news| match state.apply(news) {
                Ok(Step::Moved(next) | Step::Conflict(next)) => next,
                Ok(Step::AlreadyKnown) | Err(_) => state,
            };
            if matches!(state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown) {
                let paid_first = after(after(state, News::Paid), News::Returned);
                prop_assert_eq!(paid_first, after(after(state, News::Returned), News::Paid));
                prop_assert_eq!(paid_first, LedgerState::Returned);
            }
        }

        #[test]
        fn the_same_news_twice_changes_nothing_more(state in 0_usize..9, news in 0_usize..7) {
            let (state, news) = (LedgerState::ALL[state], ALL_NEWS[news]);
            if let Ok(Step::Moved(next)) = state.apply(news) {
                prop_assert_eq!(next.apply(news), Ok(Step::AlreadyKnown));
            }
        }
    }
}
