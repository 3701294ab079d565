//! Control totals of a batch: moved by deltas under the batch row's lock, never counted item by item.

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{Array, BigInt, SmallInt, Text, Uuid as SqlUuid};
use gctb_domain::{BatchId, PaymentStatus};

use crate::error::DbError;
use crate::pool::{Abort, Db};

/// How much a total moves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delta {
    pub(crate) currency: String,
    pub(crate) status: PaymentStatus,
    pub(crate) instructions: i64,
    pub(crate) amount_minor: i128,
}

/// One total of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TotalRow {
    /// ISO 4217 code, or XXX.
    pub currency: String,
    /// The status that is counted.
    pub status: PaymentStatus,
    /// How many instructions.
    pub instructions: i64,
    /// Their sum in minor units.
    pub amount_minor: i128,
}

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many instructions it has.
    pub received: i64,
    /// How many are not final.
    pub in_flight: i64,
}

/// Adds the deltas to the totals. Rows that reach zero stay: they cost nothing and keep the key in place.
pub(crate) fn add(
    connection: &mut PgConnection,
    batch: BatchId,
    deltas: impl IntoIterator<Item = Delta>,
) -> Result<(), Abort> {
    let mut deltas: Vec<Delta> = deltas.into_iter().filter(|d| d.instructions != 0 || d.amount_minor != 0).collect();
    deltas.sort_by(|a, b| (&a.currency, a.status).cmp(&(&b.currency, b.status)));
    let currencies: Vec<&str> = deltas.iter().map(|delta| delta.currency.as_str()).collect();
    let statuses: Vec<i16> = deltas.iter().map(|delta| delta.status.code()).collect();
    let counts: Vec<i64> = deltas.iter().map(|delta| delta.instructions).collect();
    // NUMERIC travels as text: no float, and no decimal type that diesel would have to know.
    let amounts: Vec<String> = deltas.iter().map(|delta| delta.amount_minor.to_string()).collect();
    diesel::sql_query(
        "INSERT INTO batch_totals AS t (batch_id, currency, status, instructions, amount_minor)
         SELECT $1, d.currency, d.status, d.instructions, d.amount_minor::numeric
         FROM unnest($2, $3, $4, $5) AS d (currency, status, instructions, amount_minor)
         ON CONFLICT (batch_id, currency, status) DO UPDATE
         SET instructions = t.instructions + excluded.instructions, amount_minor = t.amount_minor + excluded.amount_minor",
    )
    .bind::<SqlUuid, _>(batch.as_uuid())
    .bind::<Array<Text>, _>(currencies)
    .bind::<Array<SmallInt>, _>(statuses)
    .bind::<Array<BigInt>, _>(counts)
    .bind::<Array<Text>, _>(amounts)
    .execute(connection)?;
    Ok(())
}

impl Db {
    /// The totals of a batch, those of zero instructions left out.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn batch_totals(&self, batch: BatchId) -> Result<Vec<TotalRow>, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            currency: String,
            #[diesel(sql_type = SmallInt)]
            status: i16,
            #[diesel(sql_type = BigInt)]
            instructions: i64,
            #[diesel(sql_type = Text)]
            amount_minor: String,
        }
        let doing = "read the totals of a batch";
        let rows: Vec<Row> = self.with(doing, |connection| {
            diesel::sql_query(
                "SELECT currency, status, instructions, amount_minor::text AS amount_minor FROM batch_totals
                 WHERE batch_id = $1 AND instructions <> 0 ORDER BY currency, status",
            )
            .bind::<SqlUuid, _>(batch.as_uuid())
            .load(connection)
        })?;
        rows.into_iter()
            .map(|row| {
                Ok(TotalRow {
                    status: PaymentStatus::from_code(row.status)
                        .ok_or(DbError::Unreadable { doing, what: "batch_totals.status" })?,
                    amount_minor: row
                        .amount_minor
                        .parse()
                        .map_err(|_| DbError::Unreadable { doing, what: "batch_totals.amount_minor" })?,
                    currency: row.currency,
                    instructions: row.instructions,
                })
            })
            .collect()
    }
}
