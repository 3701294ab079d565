//! Whether a batch may be paid. Claims lock the row FOR SHARE; whoever holds or cancels the batch waits for them.

use diesel::RunQueryDsl;
use diesel::pg::PgConnection;
use diesel::sql_types::{SmallInt, Timestamptz, Uuid as SqlUuid};

use chrono::{DateTime, Utc};
use gctb_domain::BatchId;

use crate::error::DbError;
use crate::pool::{Abort, Db};

/// What the control row of a batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum ControlState {
    /// It may be paid.
    Open = 1,
    /// Not now; what arrives is dropped, and swept up on release.
    Held = 2,
    /// Never; what nobody decided yet becomes CANCELLED.
    Cancelled = 3,
}

impl ControlState {
    fn from_code(code: i16) -> Option<Self> {
        [Self::Open, Self::Held, Self::Cancelled].into_iter().find(|state| *state as i16 == code)
    }
}

#[derive(diesel::QueryableByName)]
struct ControlRow {
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

/// Locks the control row FOR SHARE until the end of the transaction, and tells Postgres' time.
pub(crate) fn lock_control(
    connection: &mut PgConnection,
    batch: BatchId,
) -> Result<(ControlState, DateTime<Utc>), Abort> {
    let rows: Vec<ControlRow> =
        diesel::sql_query("SELECT state, clock_timestamp() AS now FROM batch_controls WHERE batch_id = $1 FOR SHARE")
            .bind::<SqlUuid, _>(batch.as_uuid())
            .load(connection)?;
    let row = rows.into_iter().next().ok_or(Abort::UnknownBatch)?;
    let state = ControlState::from_code(row.state).ok_or(Abort::Unreadable("batch_controls.state"))?;
    Ok((state, row.now))
}

impl Db {
    /// Opens, holds or cancels a batch. A release makes the sweeper look at once.
    ///
    /// # Errors
    /// `UnknownBatch`, or where Postgres refuses.
    pub fn set_control(&self, batch: BatchId, state: ControlState) -> Result<(), DbError> {
        self.transaction("change the control of a batch", |connection| {
            let changed =
                diesel::sql_query("UPDATE batch_controls SET state = $2, changed_at = now() WHERE batch_id = $1")
                    .bind::<SqlUuid, _>(batch.as_uuid())
                    .bind::<SmallInt, _>(state as i16)
                    .execute(connection)?;
            if changed == 0 {
                return Err(Abort::UnknownBatch);
            }
            diesel::sql_query("UPDATE batch_sweeps SET due_at = now() WHERE batch_id = $1")
                .bind::<SqlUuid, _>(batch.as_uuid())
                .execute(connection)?;
            Ok(())
        })
    }
}
