//! The judgement: what the bridge says of every payment, held against the book of the rail.

use gctb_testkit::TestDatabase;

use super::Rail;
use super::book::Book;
use super::payees::Payee;
use crate::system::System;

/// The bridge's own word about one instruction, by the codes of `payment_ledger.state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// REJECTED, CANCELLED or FAILED: not paid, and never will be.
    NotPaid,
    /// PAID.
    Paid,
    /// UNKNOWN, waiting for a person, with the reason.
    Unknown(String),
    /// Anything that is not over.
    Open(String),
}

/// What the bridge says of one instruction.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    /// The reference that was sent.
    pub reference: String,
    /// Its word.
    pub word: Word,
}

/// Every instruction of the system.
const STANDINGS: &str = "SELECT i.request_id || '|' || coalesce(l.state, 0) || '|' || (w.work_id IS NOT NULL) || '|'
        || coalesce(l.message, '') || coalesce(l.evidence, '') AS value
    FROM payment_instructions i
    LEFT JOIN payment_ledger l USING (batch_id, seq)
    LEFT JOIN ledger_work w ON w.work_id = l.work_id AND w.kind = 5";

/// What the bridge says now.
pub(super) fn standings(database: &TestDatabase) -> Vec<Standing> {
    database.values(STANDINGS).iter().map(|row| standing(row)).collect()
}

fn standing(row: &str) -> Standing {
    let mut words = row.splitn(4, '|');
    let mut next = || words.next().unwrap_or_default().to_owned();
    let (reference, state, waits_for_a_person, reason) = (next(), next(), next() == "true", next());
    let word = match state.as_str() {
        "1" | "2" | "8" => Word::NotPaid,
        "7" => Word::Paid,
        "5" if waits_for_a_person => Word::Unknown(reason),
        other => Word::Open(format!("state {other}: {reason}")),
    };
    Standing { reference, word }
}

/// How many are not over.
pub(super) fn open(database: &TestDatabase) -> usize {
    standings(database).iter().filter(|standing| matches!(standing.word, Word::Open(_))).count()
}

/// How the payments of a trial stand when nothing moves any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Paid, by both.
    pub paid: u64,
    /// Not paid, by both.
    pub not_paid: u64,
    /// A person's.
    pub unknown: u64,
}

/// Holds every instruction against the book.
///
/// # Panics
/// Where somebody was paid twice, a word is wrong, a reason is missing, or something is not over.
pub fn judge(system: &System, rail: Rail, payees: &[Payee]) -> Verdict {
    let book = Book::of(system);
    let twice = book.paid_twice();
    assert!(twice.is_empty(), "{} payees stand twice in the book of {}: {twice:?}", twice.len(), rail.book());
    let standings: std::collections::BTreeMap<String, Word> =
        standings(&system.database).into_iter().map(|standing| (standing.reference, standing.word)).collect();
    assert_eq!(standings.len(), payees.len(), "every instruction is stored once");
    let (mut verdict, mut wrong) = (Verdict::default(), Vec::new());
    for payee in payees {
        let paid = book.paid_to(&payee.account);
        let word = &standings[&payee.item.reference_id];
        match (word, paid) {
            (Word::Paid, [entry]) if Some(entry.minor) == crate::bank::minor(&payee.item.amount) => verdict.paid += 1,
            (Word::NotPaid, []) => verdict.not_paid += 1,
            (Word::Unknown(reason), [] | [_]) if !reason.is_empty() => verdict.unknown += 1,
            (word, paid) => {
                wrong.push(format!("{}: the bridge says {word:?}, the book has {paid:?}", payee.item.payee_fa))
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} payments are told wrong, such as\n  {}",
        wrong.len(),
        wrong[..wrong.len().min(5)].join("\n  ")
    );
    let (count, _) = book.sum();
    let known: u64 = payees.iter().map(|payee| book.paid_to(&payee.account).len() as u64).sum();
    assert_eq!(count, known, "the rail paid nobody but these payees");
    let impossible = payees.iter().filter(|payee| !payee.is_payable && !book.paid_to(&payee.account).is_empty());
    let impossible: Vec<_> = impossible.map(|payee| (&payee.item.payee_fa, &payee.item.amount)).collect();
    assert!(impossible.is_empty(), "{} were paid who cannot be: {impossible:?}", impossible.len());
    verdict
}
