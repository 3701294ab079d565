//! Whether a backend may pay at all: paused by a person, or held because its rail refuses everybody.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::pg::PgConnection;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text, Timestamptz};
use diesel::{OptionalExtension, QueryableByName, RunQueryDsl};
use gctb_domain::BackendName;

use super::work::milliseconds;
use crate::error::DbError;
use crate::operators;
use crate::pool::{Abort, Db};

/// What the control row of a backend says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum RailState {
    /// It may pay.
    Open = 1,
    /// A person has stopped it, and a person opens it.
    Paused = 2,
    /// The rail refuses everybody: no funds, credentials, a lock.
    Held = 3,
}

impl RailState {
    /// The name that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "OPEN",
            Self::Paused => "PAUSED",
            Self::Held => "HELD",
        }
    }

    fn from_code(code: i16) -> Option<Self> {
        [Self::Open, Self::Paused, Self::Held].into_iter().find(|state| *state as i16 == code)
    }
}

/// A backend's control row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RailControl {
    /// What it says.
    pub state: RailState,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// When it opens by itself.
    pub resume_at: Option<DateTime<Utc>>,
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = Text)]
    reason: String,
    #[diesel(sql_type = Timestamptz)]
    since: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    resume_at: Option<DateTime<Utc>>,
}

/// Whether the backend may pay now. Locks the row FOR SHARE: who pauses a rail waits for the claims that saw it open.
pub(super) fn is_open(connection: &mut PgConnection, backend: &BackendName) -> Result<bool, Abort> {
    #[derive(QueryableByName)]
    struct Open {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        open: bool,
    }
    let open: Option<Open> = diesel::sql_query(
        "SELECT state = 1 OR coalesce(resume_at <= now(), false) AS open FROM rail_controls WHERE backend = $1 FOR SHARE",
    )
    .bind::<Text, _>(backend.as_str())
    .get_result(connection)
    .optional()?;
    Ok(open.is_none_or(|row| row.open))
}

fn set(
    connection: &mut PgConnection,
    backend: &BackendName,
    state: RailState,
    reason: &str,
    resume_after: Option<Duration>,
) -> Result<(), Abort> {
    diesel::sql_query(
        "INSERT INTO rail_controls AS r (backend, state, reason, resume_at)
         VALUES ($1, $2, $3, now() + $4 * interval '1 millisecond')
         ON CONFLICT (backend) DO UPDATE
         SET state = excluded.state, reason = excluded.reason, resume_at = excluded.resume_at,
             since = CASE WHEN r.state = excluded.state THEN r.since ELSE now() END
         WHERE NOT (r.state = 2 AND excluded.state = 3)",
    )
    .bind::<Text, _>(backend.as_str())
    .bind::<SmallInt, _>(state as i16)
    .bind::<Text, _>(reason)
    .bind::<Nullable<BigInt>, _>(resume_after.map(milliseconds))
    .execute(connection)?;
    Ok(())
}

impl Row {
    fn read(self, doing: &'static str) -> Result<RailControl, DbError> {
        let state = RailState::from_code(self.state);
        let state = state.ok_or(DbError::Unreadable { doing, what: "rail_controls.state" })?;
        Ok(RailControl { state, reason: self.reason, since: self.since, resume_at: self.resume_at })
    }
}

impl Db {
    /// What stands about a backend. None: nothing ever did, and it is open.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn rail_control(&self, backend: &BackendName) -> Result<Option<RailControl>, DbError> {
        let doing = "read whether a backend may pay";
        let row: Option<Row> = self.with(doing, |connection| {
            diesel::sql_query("SELECT state, reason, since, resume_at FROM rail_controls WHERE backend = $1")
                .bind::<Text, _>(backend.as_str())
                .get_result(connection)
                .optional()
        })?;
        row.map(|row| row.read(doing)).transpose()
    }

    /// Opens, pauses or holds a backend. It returns when no claim that saw it otherwise is under way. A pause by a person is
    /// not weakened by a hold.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn set_rail(
        &self,
        backend: &BackendName,
        state: RailState,
        reason: &str,
        resume_after: Option<Duration>,
    ) -> Result<(), DbError> {
        self.transaction("change whether a backend may pay", |connection| {
            set(connection, backend, state, reason, resume_after)
        })
    }

    /// [`Db::set_rail`] by a person, with the audit entry in the same commit.
    ///
    /// # Errors
    /// Where Postgres refuses; nothing is changed then.
    pub fn set_rail_by_hand(
        &self,
        backend: &BackendName,
        state: RailState,
        actor: &str,
        reason: &str,
    ) -> Result<(), DbError> {
        self.transaction("change whether a backend may pay", |connection| {
            set(connection, backend, state, reason, None)?;
            let action = match state {
                RailState::Open => "rail resume",
                RailState::Paused | RailState::Held => "rail pause",
            };
            operators::record(connection, actor, action, backend.as_str(), reason)
        })
    }

    /// Every backend that was ever introduced, with what stands about it, by name.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn rail_controls(&self) -> Result<Vec<(String, RailControl)>, DbError> {
        #[derive(QueryableByName)]
        struct Named {
            #[diesel(sql_type = Text)]
            backend: String,
            #[diesel(embed)]
            row: Row,
        }
        let doing = "list the backends";
        let rows: Vec<Named> = self.with(doing, |connection| {
            diesel::sql_query("SELECT backend, state, reason, since, resume_at FROM rail_controls ORDER BY backend")
                .load(connection)
        })?;
        rows.into_iter().map(|named| Ok((named.backend, named.row.read(doing)?))).collect()
    }
}
