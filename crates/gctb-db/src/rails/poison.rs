//! Work that cannot be taken up for its content: put off at doubling intervals, told as an error once, a person's in the end.
//!
//! A payment that cannot be read is set aside alone. A whole row of work is put off where nothing of it can be written.

use std::time::Duration;

use diesel::sql_types::{BigInt, SmallInt, Uuid as SqlUuid};
use diesel::{OptionalExtension, RunQueryDsl};
use gctb_domain::{BatchId, News};
use uuid::Uuid;

use super::holder::doubled;
use super::row::RailRow;
use super::work::{Later, WorkKind, milliseconds};
use crate::error::DbError;
use crate::ledger::Said;
use crate::pool::{Abort, Db};

/// How long until it is tried again for the first time; doubled with each.
const PUT_OFF: Duration = Duration::from_secs(60);
/// The longest wait between two tries.
const PUT_OFF_MAX: Duration = Duration::from_secs(3_600);
/// How often it is tried before it is a person's: for two hours.
const FAILURES_MAX: i16 = 8;

fn wait(failures: i16) -> Duration {
    doubled(PUT_OFF, failures).min(PUT_OFF_MAX)
}

/// Puts off one payment, which stands as it did before anybody tried; the others of its row of work go on.
pub(super) fn set_aside(
    later: &mut Later,
    kind: WorkKind,
    mut row: RailRow,
    failures: i16,
    batch: BatchId,
    what: &'static str,
) -> Result<RailRow, Abort> {
    if failures == 0 {
        tracing::error!(%batch, what, "a payment that came due has a value that this version does not know; put off");
    }
    if failures + 1 < FAILURES_MAX {
        later.add_failed(kind, wait(failures), failures + 1, &mut row);
        return Ok(row);
    }
    let message = "it has a value that this version does not know";
    row.ledger.take(&Said { news: News::Unknown, reason: None, message, rail_reference: None })?;
    later.add(WorkKind::Operator, Duration::ZERO, &mut row);
    Ok(row)
}

impl Db {
    /// Puts off a whole row of work that could not be taken up.
    pub(super) fn put_off(&self, work: Uuid, error: &DbError) -> Result<(), DbError> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = SmallInt)]
            failures: i16,
        }
        let tried: Option<Row> = self.transaction("put off work that cannot be taken up", |connection| {
            let row: Option<Row> =
                diesel::sql_query("SELECT failures FROM ledger_work WHERE work_id = $1 AND kind <> 5 FOR UPDATE")
                    .bind::<SqlUuid, _>(work)
                    .get_result(connection)
                    .optional()?;
            let Some(Row { failures }) = row else { return Ok(None) };
            diesel::sql_query(
                "UPDATE ledger_work
                 SET failures = failures + 1, due_at = now() + $2 * interval '1 millisecond',
                     kind = CASE WHEN failures + 1 < $3 THEN kind ELSE 5 END
                 WHERE work_id = $1",
            )
            .bind::<SqlUuid, _>(work)
            .bind::<BigInt, _>(milliseconds(wait(failures)))
            .bind::<SmallInt, _>(FAILURES_MAX)
            .execute(connection)?;
            Ok(row)
        })?;
        if tried.is_some_and(|row| row.failures == 0) {
            let cause = std::error::Error::source(error).map(ToString::to_string);
            tracing::error!(%work, %error, cause, "payments that came due cannot be taken up; put off");
        }
        Ok(())
    }
}
