//! What was heard about an attempt from somebody who may not decide, as its row keeps it.
//!
//! What it weighs and what follows from it is decided by `gctb_domain::paying`.

use std::fmt;

use chrono::{DateTime, Utc};
use diesel::QueryableByName;
use diesel::sql_types::{Bool, Nullable, SmallInt, Text, Timestamptz};
use gctb_domain::paying::{self, Learnt};

use crate::pool::Abort;

/// Longest words that a row keeps, in characters.
const WORDS_CHARS_MAX: usize = 200;

/// What was heard about an attempt from somebody who may not decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What.
    pub learnt: Learnt,
    /// Whether the rail refused everybody at that moment.
    pub refuses_everybody: bool,
    /// When it was heard.
    pub at: DateTime<Utc>,
    /// How many sends were counted when the rail was asked, or where nobody had asked, when it was heard.
    pub sends: i16,
    /// Whether nothing of the attempt could be under way when the rail was asked.
    pub quiet: bool,
    /// The words that came with it.
    pub words: String,
}

impl Evidence {
    /// What the decisions need of it.
    pub(super) fn weighed(&self) -> paying::Evidence {
        paying::Evidence { learnt: self.learnt, sends: u16::try_from(self.sends).unwrap_or(0), quiet: self.quiet }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.learnt {
            Learnt::Nothing | Learnt::Unanswerable => "no answer",
            Learnt::NotSent => "not sent",
            Learnt::NotFound => "not found",
            Learnt::Duplicate => "had before",
            Learnt::Accepted => "accepted",
            Learnt::Refused { again: true } if self.refuses_everybody => "refused as everybody was",
            Learnt::Refused { again: true } => "refused",
            Learnt::Refused { again: false } => "refused for good",
            Learnt::Paid => "paid",
            Learnt::Returned => "returned",
        };
        let how = if self.quiet { "asked when nothing was under way" } else { "while it may have been under way" };
        write!(f, "{what}, heard {} {how}: {}", self.at.format("%Y-%m-%dT%H:%M:%SZ"), self.words)
    }
}

/// The columns of [`EvidenceColumns`].
pub(super) const EVIDENCE_COLUMNS: &str =
    "evidence_kind, evidence_at, evidence_sends, evidence_quiet, evidence_reason, evidence";

/// Evidence as it is stored; all of it is NULL where nothing was heard.
#[derive(Clone, Debug, Default, QueryableByName)]
pub(super) struct EvidenceColumns {
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub(super) evidence_kind: Option<i16>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub(super) evidence_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<SmallInt>)]
    pub(super) evidence_sends: Option<i16>,
    #[diesel(sql_type = Nullable<Bool>)]
    pub(super) evidence_quiet: Option<bool>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) evidence_reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    pub(super) evidence: Option<String>,
}

impl EvidenceColumns {
    pub(super) fn new(evidence: &Evidence, reason: Option<&str>) -> Self {
        Self {
            evidence_kind: code(evidence.learnt, evidence.refuses_everybody),
            evidence_at: Some(evidence.at),
            evidence_sends: Some(evidence.sends),
            evidence_quiet: Some(evidence.quiet),
            evidence_reason: reason.map(str::to_owned),
            evidence: Some(evidence.words.chars().take(WORDS_CHARS_MAX).collect()),
        }
    }

    /// What was heard, if anything was.
    pub(super) fn read(&self) -> Result<Option<Evidence>, Abort> {
        let (Some(kind), Some(at)) = (self.evidence_kind, self.evidence_at) else { return Ok(None) };
        Ok(Some(Evidence {
            learnt: learnt(kind).ok_or(Abort::Unreadable("payment_ledger.evidence_kind"))?,
            refuses_everybody: kind == REFUSED_AS_EVERYBODY,
            at,
            sends: self.evidence_sends.unwrap_or(0),
            quiet: self.evidence_quiet.unwrap_or(false),
            words: self.evidence.clone().unwrap_or_default(),
        }))
    }
}

/// The number of a refusal that everybody gets.
const REFUSED_AS_EVERYBODY: i16 = 8;

/// The number that the database keeps. None: money that moved is never kept as evidence.
const fn code(learnt: Learnt, refuses_everybody: bool) -> Option<i16> {
    match learnt {
        Learnt::Nothing | Learnt::Unanswerable => Some(1),
        Learnt::NotSent => Some(2),
        Learnt::NotFound => Some(3),
        Learnt::Duplicate => Some(4),
        Learnt::Accepted => Some(5),
        Learnt::Refused { again: true } if refuses_everybody => Some(REFUSED_AS_EVERYBODY),
        Learnt::Refused { again: true } => Some(6),
        Learnt::Refused { again: false } => Some(7),
        Learnt::Paid | Learnt::Returned => None,
    }
}

fn learnt(code: i16) -> Option<Learnt> {
    Some(match code {
        1 => Learnt::Nothing,
        2 => Learnt::NotSent,
        3 => Learnt::NotFound,
        4 => Learnt::Duplicate,
        5 => Learnt::Accepted,
        6 | REFUSED_AS_EVERYBODY => Learnt::Refused { again: true },
        7 => Learnt::Refused { again: false },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_read_as_it_was_kept_and_its_words_are_cut() {
        for kind in 1..=8 {
            let (learnt, refuses_everybody) = (learnt(kind).expect("a known number"), kind == 8);
            assert_eq!(code(learnt, refuses_everybody), Some(kind));
            let at = DateTime::UNIX_EPOCH;
            let words = "ä".repeat(WORDS_CHARS_MAX + 1);
            let heard = Evidence { learnt, refuses_everybody, at, sends: 2, quiet: true, words };
            let kept = EvidenceColumns::new(&heard, Some("rjct.x")).read();
            let kept = kept.ok().flatten().expect("it is read");
            assert_eq!(kept, Evidence { words: "ä".repeat(WORDS_CHARS_MAX), ..heard });
        }
        assert_eq!((learnt(0), learnt(9)), (None, None));
    }

    #[test]
    fn evidence_says_what_was_heard_when_and_how() {
        let heard = Evidence {
            learnt: Learnt::Refused { again: true },
            refuses_everybody: false,
            at: DateTime::UNIX_EPOCH,
            sends: 1,
            quiet: true,
            words: "no such account".to_owned(),
        };
        let shown = "refused, heard 1970-01-01T00:00:00Z asked when nothing was under way: no such account";
        assert_eq!(heard.to_string(), shown);
    }
}
