//! A payment over a called rail that has not ended, as the lists for people name it.
//!
//! Each list begins with what looks after its payments. What one of them adds, and whom it leaves out, it says itself.

use diesel::QueryableByName;
use diesel::sql_types::{BigInt, Integer, SmallInt, Text};

/// A payment that somebody or something looks after.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub struct OpenPayment {
    /// The backend.
    #[diesel(sql_type = Text)]
    pub backend: String,
    /// Number of its batch; with position and attempt it makes the rail key.
    #[diesel(sql_type = BigInt)]
    pub batch_no: i64,
    /// Position in the batch.
    #[diesel(sql_type = Integer)]
    pub seq: i32,
    /// The last attempt, or the one that was given back.
    #[diesel(sql_type = SmallInt)]
    pub attempt: i16,
    /// Who sent it.
    #[diesel(sql_type = Text)]
    pub sender_id: String,
    /// In which transaction.
    #[diesel(sql_type = Text)]
    pub transaction_id: String,
    /// Under which reference.
    #[diesel(sql_type = Text)]
    pub request_id: String,
    /// Minor units.
    #[diesel(sql_type = BigInt)]
    pub amount: i64,
    /// ISO 4217.
    #[diesel(sql_type = Text)]
    pub currency: String,
    /// The last words about it.
    #[diesel(sql_type = Text)]
    pub message: String,
}

/// The columns of [`OpenPayment`], from [`LOOKED_AFTER`] and [`NAMED`].
pub(super) const OPEN_PAYMENT_COLUMNS: &str = "w.backend, l.batch_no, l.seq, l.attempt, b.sender_id, b.transaction_id, \
     p.request_id, l.amount, l.currency, coalesce(l.message, '') AS message";

/// Each row of work `w` with each ledger row `l` that it looks after. It may name a position whose ledger row names other work
/// by now, and means it no more.
pub(super) const LOOKED_AFTER: &str = "ledger_work w CROSS JOIN LATERAL unnest(w.seqs) AS s (seq) \
     JOIN payment_ledger l ON l.batch_id = w.batch_id AND l.seq = s.seq AND l.work_id = w.work_id";

/// Their instruction `p` and batch `b`.
pub(super) const NAMED: &str = "JOIN payment_instructions p ON p.batch_id = l.batch_id AND p.seq = l.seq \
     JOIN batches b ON b.batch_id = l.batch_id";
