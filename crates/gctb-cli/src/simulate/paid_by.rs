//! What the bridge's own tables say each payment backend has paid of some batches.
//!
//! A sender is not told which backend paid; this reads the instructions from Postgres and changes nothing.

use std::collections::BTreeMap;

use gctb_db::Db;
use gctb_domain::{PaymentStatus, Seq};

use crate::breakdown::Tally;
use crate::bridge::BatchName;
use crate::error::CliError;

/// Instructions read at once.
const PAGE_SIZE: i32 = 5_000;

/// What each backend paid, by its name.
pub(crate) type PaidBy = BTreeMap<String, Tally>;

/// Reads all instructions of `batches`.
pub(crate) fn paid_by(db: &Db, batches: &[BatchName]) -> Result<PaidBy, CliError> {
    let mut paid = PaidBy::new();
    for BatchName { sender, transaction } in batches {
        let batch = db
            .find_batch(sender, transaction)?
            .ok_or_else(|| CliError::UnknownBatch { transaction: transaction.clone(), sender: sender.clone() })?;
        let mut first = 0;
        loop {
            let page = db.instructions_page(batch.batch_id(), Seq(first), PAGE_SIZE)?;
            if page.is_empty() {
                break;
            }
            for row in page.iter().filter(|row| row.status == PaymentStatus::Paid) {
                let backend = row.backend.clone().unwrap_or_default();
                paid.entry(backend).or_default().count_minor(row.amount_minor, &row.currency);
            }
            first += PAGE_SIZE;
        }
    }
    Ok(paid)
}
