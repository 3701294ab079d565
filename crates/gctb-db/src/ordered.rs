//! What was ordered of a rail, for whoever hears about it: whom, and how much.
//!
//! Neither changes once the instruction is claimed, so that what is read here without a lock still holds when the news about it
//! are judged. Nothing here says whether it was paid.

use diesel::RunQueryDsl;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Uuid as SqlUuid};
use gctb_domain::{BatchId, Currency, Money, Seq};

use crate::error::DbError;
use crate::pool::{Abort, Db};
use crate::stretches::stretches;

/// What was ordered for an instruction.
#[derive(Clone, Debug)]
pub struct Ordered {
    /// Its position.
    pub seq: Seq,
    /// Payee's address; empty where nobody is paid.
    pub resolved_fa: String,
    /// How much; None where the row names no amount that this version can read.
    pub amount: Option<Money>,
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Integer)]
    seq: i32,
    #[diesel(sql_type = Nullable<Text>)]
    resolved_fa: Option<String>,
    #[diesel(sql_type = Nullable<BigInt>)]
    amount: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    currency: Option<String>,
}

impl Row {
    fn read(self) -> Ordered {
        let currency = self.currency.and_then(|code| Currency::parse(&code).ok());
        let amount = self.amount.zip(currency).and_then(|(minor, currency)| Money::from_minor(minor, currency).ok());
        Ordered { seq: Seq(self.seq), resolved_fa: self.resolved_fa.unwrap_or_default(), amount }
    }
}

impl Db {
    /// What was ordered at these positions of a batch. A position about which nobody has decided is left out.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn ordered(&self, batch: BatchId, positions: &[Seq]) -> Result<Vec<Ordered>, DbError> {
        let mut seqs: Vec<i32> = positions.iter().map(|seq| seq.0).collect();
        seqs.sort_unstable();
        seqs.dedup();
        self.transaction("read what was ordered of a rail", |connection| {
            let mut ordered = Vec::with_capacity(seqs.len());
            for stretch in stretches(&seqs, |seq| *seq) {
                let rows: Vec<Row> = diesel::sql_query(
                    "SELECT seq, resolved_fa, amount, currency FROM payment_ledger
                     WHERE batch_id = $1 AND seq BETWEEN $2 AND $3 AND seq = ANY($4)",
                )
                .bind::<SqlUuid, _>(batch.as_uuid())
                .bind::<Integer, _>(stretch.first)
                .bind::<Integer, _>(stretch.last)
                .bind::<Array<Integer>, _>(stretch.rows)
                .load(connection)?;
                ordered.extend(rows.into_iter().map(Row::read));
            }
            Ok::<_, Abort>(ordered)
        })
    }
}
