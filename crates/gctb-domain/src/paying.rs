//! What follows from what was learnt about an attempt to pay over a rail that is called: pure decisions, and nothing else.
//!
//! Nobody here calls a rail, reads a clock or writes a row; whether an attempt is *quiet* is the caller's to know. Every order in
//! which replicas, crashes, late requests and operators can meet is explored with these functions in `paying/model.rs`.

use crate::ledger::{LedgerState, News};

mod handles;
#[cfg(test)]
mod model;

pub use handles::{Naming, handle_after};

/// What a rail does with a second request under a key that it has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dedupe {
    /// It pays again.
    Never,
    /// It does not pay again what it has paid; a key that it refused may be paid the next time.
    OncePaid,
    /// It remembers every key that it has seen, also those that it refused.
    OnceSeen,
}

/// What a rail can do. A backend states it, and the decisions rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RailKind {
    /// What becomes of a second request under the same key.
    pub dedupes: Dedupe,
    /// Whether it says what became of a request.
    pub can_be_asked: bool,
    /// Whether a payment is prepared first, without moving money, and can then be made impossible.
    pub two_phase: bool,
}

/// What somebody has learnt about an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Learnt {
    /// The rail paid.
    Paid,
    /// The money came back.
    Returned,
    /// The rail has it and will answer later.
    Accepted,
    /// The rail says that it did not pay what it was asked to pay.
    Refused {
        /// Whether another attempt may have a better end.
        again: bool,
    },
    /// This time no request that could move money has left this process, or the rail turned it away unread.
    NotSent,
    /// Asked, the rail does not know the attempt.
    NotFound,
    /// The rail says that it has had this key before, and not what became of it.
    Duplicate,
    /// No answer, or one that nobody can read.
    Nothing,
    /// It may have been paid, and there is nothing to ask by: the rail never told what it calls the attempt.
    Unanswerable,
}

/// Who learnt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bearer {
    /// The process that owns the attempt, by its own call or inquiry.
    Owner,
    /// Anybody else: a former owner, a callback at another replica.
    Other,
}

/// How an attempt stands when something is learnt about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// The state of its ledger row.
    pub state: LedgerState,
    /// How many requests that could move money may have left under its key, one that is just being decided about included.
    pub sends: u16,
    /// How often the rail did not know it when it was asked in quiet, this time included.
    pub not_found: u16,
    /// Whether every request that was ever begun for it was over for certain **when the rail was asked**: the lease, the deadline
    /// of the call and the rail's own time had passed since the last one could begin. What was learnt before decides nothing
    /// later: the rail may have paid since. The answer to a send is never learnt in quiet.
    pub quiet: bool,
    /// Whether the rail has confirmed that what was prepared is impossible now.
    pub fenced: bool,
}

/// What is done next about an attempt of which nobody knows the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// The rail is asked when the row comes due.
    Ask,
    /// It is sent again under the same key, after a ledger update that counts the send.
    SendAgain,
    /// The rail is told to make impossible what was prepared, and asked again.
    Fence,
    /// It waits for a person with evidence.
    Operator,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decision {
    /// The ledger takes these news.
    Record(News),
    /// The row is UNKNOWN, or becomes it, and this is done next.
    Unknown(Next),
    /// The send is uncounted and the owner keeps the attempt, to send it under the same key when it can.
    GiveBack,
    /// Kept on the row as evidence; its owner decides when it is due.
    Keep,
    /// Nothing changes.
    Ignore,
}

/// What was heard about an attempt from somebody who may not decide, kept until its owner does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Evidence {
    /// What.
    pub learnt: Learnt,
    /// How many sends were counted when the rail was asked, or where nobody had asked, when it was heard.
    pub sends: u16,
    /// Whether nothing of the attempt could be under way when the rail was asked.
    pub quiet: bool,
}

impl Evidence {
    /// Whether it takes the place of what was heard before: weaker words never do, and of equal ones the later count.
    pub const fn replaces(self, earlier: Self) -> bool {
        self.weight() >= earlier.weight()
    }

    /// Whether it says more than what was heard before.
    pub const fn outweighs(self, earlier: Self) -> bool {
        self.weight() > earlier.weight()
    }

    const fn weight(self) -> u8 {
        match self.learnt {
            Learnt::Nothing | Learnt::Unanswerable => 0,
            Learnt::NotSent => 1,
            Learnt::NotFound => 2,
            Learnt::Duplicate => 3,
            Learnt::Accepted => 4,
            Learnt::Refused { .. } if !self.quiet => 5,
            Learnt::Refused { .. } => 6,
            // Money that moved is recorded at once, whoever says so: it is never kept as evidence.
            Learnt::Paid | Learnt::Returned => 7,
        }
    }
}

/// How often a rail that dedupes may say both that it does not know a key and that it has had it, before a person must look.
pub const NOT_FOUND_MAX: u16 = 3;

/// The rules, each of which can be taken away by the model alone, to see that somebody is then paid twice or a row tells a lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rules {
    /// Only an owner brings anything but a payment.
    owner: bool,
    /// "Not found" is no proof that nobody was paid.
    not_found: bool,
    /// A refusal decides only when nothing else of the attempt can be under way.
    quarantine: bool,
    /// A missing answer is no refusal.
    unknown: bool,
    /// A rail that contradicts itself is an operator's in the end.
    contradiction: bool,
    /// Evidence counts as quiet only where the rail was asked in quiet.
    asked_in: bool,
    /// A rail that answers nothing is not asked for ever.
    questions_end: bool,
    /// What was noted in its window is what an attempt is called, whatever it was called before.
    noted: bool,
    /// A send forgets the handle of the preparation before it.
    forgets: bool,
    /// Only its owner gives an attempt another handle than it has.
    renames: bool,
}

impl Rules {
    const ALL: Self = Self {
        owner: true,
        not_found: true,
        quarantine: true,
        unknown: true,
        contradiction: true,
        asked_in: true,
        questions_end: true,
        noted: true,
        forgets: true,
        renames: true,
    };
}

/// What follows from `learnt`, brought by `bearer`, about an attempt that stands like this.
pub fn decide(rail: RailKind, standing: Standing, learnt: Learnt, bearer: Bearer) -> Decision {
    decide_by(Rules::ALL, rail, standing, learnt, bearer)
}

fn decide_by(rules: Rules, rail: RailKind, standing: Standing, learnt: Learnt, bearer: Bearer) -> Decision {
    let open = matches!(standing.state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown);
    match bearer {
        Bearer::Owner if open => word_of_the_owner(rules, rail, standing, learnt),
        Bearer::Other if open && !rules.owner => word_of_the_owner(rules, rail, standing, learnt),
        Bearer::Owner | Bearer::Other => other_word(standing, learnt, open),
    }
}

/// What the owner brings about an attempt whose end nobody knows yet.
fn word_of_the_owner(rules: Rules, rail: RailKind, standing: Standing, learnt: Learnt) -> Decision {
    match learnt {
        Learnt::Paid => Decision::Record(News::Paid),
        Learnt::Returned => Decision::Record(News::Returned),
        Learnt::Accepted => Decision::Record(News::Accepted),
        Learnt::NotSent if standing.sends <= 1 && standing.state == LedgerState::Claimed => Decision::GiveBack,
        Learnt::Refused { again } if decides(rules, rail, standing) => {
            Decision::Record(if again { News::NotPaid } else { News::Refused })
        }
        Learnt::Refused { .. } => Decision::Keep,
        Learnt::NotFound => not_found(rules, rail, standing),
        Learnt::Nothing if !rules.unknown => Decision::Record(News::Refused),
        Learnt::NotSent | Learnt::Duplicate | Learnt::Nothing => Decision::Unknown(ask(rail)),
        Learnt::Unanswerable => Decision::Unknown(Next::Operator),
    }
}

/// What somebody else brings, or what comes when the end is known. Money that moved is believed at once, whoever says so.
fn other_word(standing: Standing, learnt: Learnt, open: bool) -> Decision {
    match learnt {
        Learnt::Paid => Decision::Record(News::Paid),
        Learnt::Returned => Decision::Record(News::Returned),
        // A contradiction: the state machine says so where the row is locked.
        Learnt::Refused { .. } if standing.state == LedgerState::Paid => Decision::Record(News::Refused),
        Learnt::Accepted
        | Learnt::Refused { .. }
        | Learnt::NotSent
        | Learnt::NotFound
        | Learnt::Duplicate
        | Learnt::Nothing
        | Learnt::Unanswerable => {
            if open {
                Decision::Keep
            } else {
                Decision::Ignore
            }
        }
    }
}

/// Whether a refusal is the end of the attempt: nothing else of it can still be under way, or would be refused too.
fn decides(rules: Rules, rail: RailKind, standing: Standing) -> bool {
    let remembered = rail.dedupes == Dedupe::OnceSeen;
    let the_only_request = standing.sends <= 1;
    standing.quiet || standing.fenced || remembered || the_only_request || !rules.quarantine
}

fn not_found(rules: Rules, rail: RailKind, standing: Standing) -> Decision {
    if !rules.not_found {
        return Decision::Record(News::NotPaid);
    }
    if !standing.quiet && rules.quarantine {
        return Decision::Unknown(Next::Ask);
    }
    if standing.not_found >= NOT_FOUND_MAX && rules.contradiction {
        return Decision::Unknown(Next::Operator);
    }
    if rail.two_phase {
        return Decision::Unknown(Next::Fence);
    }
    Decision::Unknown(match rail.dedupes {
        Dedupe::OncePaid | Dedupe::OnceSeen => Next::SendAgain,
        Dedupe::Never => Next::Operator,
    })
}

fn ask(rail: RailKind) -> Next {
    if rail.can_be_asked { Next::Ask } else { Next::Operator }
}

/// What a successor does first about an attempt whose owner is gone, and everybody about one of which nothing is known: it asks,
/// and never pays. `asked` is how often the rail was asked since the last send; after `asks_max` questions that decided nothing
/// a person must look.
pub fn take_over(rail: RailKind, asked: u16, asks_max: u16) -> Next {
    take_over_by(Rules::ALL, rail, asked, asks_max)
}

fn take_over_by(rules: Rules, rail: RailKind, asked: u16, asks_max: u16) -> Next {
    if asked >= asks_max && rules.questions_end { Next::Operator } else { ask(rail) }
}

/// What the owner of an attempt records of evidence alone, without asking the rail once more: a refusal that decides with the
/// standing in which it was asked for. Evidence of a refusal that does not is a reason to ask in quiet.
pub fn by_evidence(rail: RailKind, standing: Standing, evidence: Evidence) -> Option<News> {
    by_evidence_by(Rules::ALL, rail, standing, evidence)
}

fn by_evidence_by(rules: Rules, rail: RailKind, standing: Standing, evidence: Evidence) -> Option<News> {
    let Learnt::Refused { .. } = evidence.learnt else { return None };
    if evidence.sends != standing.sends {
        return None;
    }
    let quiet = if rules.asked_in { evidence.quiet } else { standing.quiet };
    let asked_in = Standing { quiet, fenced: false, ..standing };
    match decide_by(rules, rail, asked_in, evidence.learnt, Bearer::Owner) {
        Decision::Record(news) => Some(news),
        Decision::Unknown(_) | Decision::GiveBack | Decision::Keep | Decision::Ignore => None,
    }
}

/// Whether another attempt may begin, of which there may be `attempts_max`, where `attempt` was the last one. NOT_PAID is reached
/// only when nothing of the attempt can be under way, or would be refused: nothing more is waited for.
pub fn may_try_again(standing: Standing, attempt: i16, attempts_max: i16) -> bool {
    standing.state == LedgerState::NotPaid && attempt < attempts_max
}

/// Whether an operator may decide: nobody knows the end, and nothing that could contradict the evidence is under way.
pub fn may_be_resolved(standing: Standing) -> bool {
    standing.state == LedgerState::Unknown && standing.quiet
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAIL: RailKind = RailKind { dedupes: Dedupe::OncePaid, can_be_asked: true, two_phase: false };
    const REFUSED: Learnt = Learnt::Refused { again: true };

    fn sent(sends: u16) -> Standing {
        Standing { state: LedgerState::Unknown, sends, not_found: 0, quiet: true, fenced: false }
    }

    #[test]
    fn i2_i3_evidence_decides_where_it_was_asked_in_quiet_about_every_send_or_answers_the_only_one() {
        let heard = |learnt, sends, quiet| Evidence { learnt, sends, quiet };
        let decided = |standing, evidence| by_evidence(RAIL, standing, evidence);
        assert_eq!(decided(sent(2), heard(REFUSED, 2, true)), Some(News::NotPaid));
        assert_eq!(decided(sent(1), heard(REFUSED, 1, false)), Some(News::NotPaid));
        assert_eq!(decided(sent(2), heard(REFUSED, 2, false)), None, "something else may have been under way");
        assert_eq!(decided(sent(2), heard(REFUSED, 1, true)), None, "it was sent again since");
        for learnt in [
            Learnt::Nothing,
            Learnt::Unanswerable,
            Learnt::NotSent,
            Learnt::NotFound,
            Learnt::Duplicate,
            Learnt::Accepted,
        ] {
            assert_eq!(decided(sent(1), heard(learnt, 1, true)), None, "{learnt:?} is no end");
        }
    }

    #[test]
    fn i4_questions_end_with_a_person() {
        assert_eq!([0, 1, 2].map(|asked| take_over(RAIL, asked, 2)), [Next::Ask, Next::Ask, Next::Operator]);
    }
}
