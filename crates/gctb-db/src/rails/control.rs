//! Whether a backend may pay at all: paused by a person, or held because its rail refuses everybody.
//!
//! A process holds and releases; a person pauses, resumes and probes. A process never weakens what stands: neither a pause nor a
//! hold that lasts longer.

use std::time::Duration;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::result::Error as DieselError;
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Timestamptz};
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

/// What that means for who wants to pay now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RailGate {
    /// It may pay.
    #[default]
    Open,
    /// It is held and its time is over: who pays now finds out whether the rail takes payments again.
    Probe,
    /// It may not pay.
    Stopped,
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
    /// When it may be probed. None: a person must open it, if it is stopped.
    pub resume_at: Option<DateTime<Utc>>,
}

/// What a person wants of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RailOrder {
    /// It pays nobody until a person resumes it.
    Pause,
    /// It pays again.
    Resume,
    /// It is held, and tries now whether its rail takes payments again.
    Probe,
}

/// Who does something by hand, and on what grounds.
#[derive(Clone, Copy, Debug)]
pub struct ByHand<'a> {
    /// The user.
    pub actor: &'a str,
    /// Who said so, when and where it is kept.
    pub evidence: &'a str,
    /// Only say what would become of it.
    pub dry_run: bool,
}

/// What became of a person's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RailOrdered {
    /// It is done, or would be.
    Done {
        /// What stood before.
        before: RailControl,
    },
    /// No such backend ever started here.
    NeverIntroduced,
    /// Nothing is to be probed: it is open, or paused, which a person resumes.
    Refused(RailControl),
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

impl Row {
    fn read(self) -> Result<RailControl, Abort> {
        let state = RailState::from_code(self.state).ok_or(Abort::Unreadable("rail_controls.state"))?;
        Ok(RailControl { state, reason: self.reason, since: self.since, resume_at: self.resume_at })
    }
}

/// The first of the two numbers of the advisory locks that are the rails' gates; the second is made of the backend's name.
const GATES: i32 = 0x7261_696c;
/// How long a stopper waits for claims before it lets those behind it pass, in milliseconds.
const STOP_WAIT_MS: u32 = 2_000;
/// How often a process tries, which comes again later.
const PROCESS_TRIES: u32 = 10;
/// How often a person's order is tried: for a minute. Postgres ends what a frozen process has open after half of that, unless
/// `database.transaction_idle_timeout` says otherwise.
const PERSON_TRIES: u32 = 30;

#[derive(QueryableByName)]
struct Gate {
    #[diesel(sql_type = SmallInt)]
    state: i16,
    #[diesel(sql_type = diesel::sql_types::Bool)]
    over: bool,
}

impl Gate {
    fn read(row: Option<Self>) -> Result<RailGate, Abort> {
        let Some(Self { state, over }) = row else { return Ok(RailGate::Open) };
        Ok(match RailState::from_code(state).ok_or(Abort::Unreadable("rail_controls.state"))? {
            RailState::Open => RailGate::Open,
            RailState::Held if over => RailGate::Probe,
            RailState::Held | RailState::Paused => RailGate::Stopped,
        })
    }
}

/// Whether the backend may pay now, until the end of this transaction. The first lock of whoever claims.
///
/// The advisory lock is a queue: share locks of a row are granted past an update that waits for them, so that claims which
/// overlap without end would keep it waiting for ever. The row is locked too, for who stops a rail without the queue.
pub(super) fn enter(connection: &mut PgConnection, backend: &BackendName) -> Result<RailGate, Abort> {
    let row: Option<Gate> = diesel::sql_query(
        "WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared($2, hashtext($1)) IS NULL AS entered)
         SELECT r.state, coalesce(r.resume_at <= clock_timestamp(), false) AS over
         FROM rail_controls r, gate WHERE r.backend = $1 FOR SHARE OF r",
    )
    .bind::<Text, _>(backend.as_str())
    .bind::<Integer, _>(GATES)
    .get_result(connection)
    .optional()?;
    Gate::read(row)
}

/// Whether the rail is held until a person has acted.
pub(super) fn waits_for_a_person(connection: &mut PgConnection, backend: &BackendName) -> Result<bool, Abort> {
    let control = standing(connection, backend)?;
    Ok(control.is_some_and(|control| control.state == RailState::Held && control.resume_at.is_none()))
}

/// Waits until no claim that entered before is under way, and keeps later ones out until the end of this transaction.
fn close(connection: &mut PgConnection, backend: &BackendName) -> Result<(), Abort> {
    // A claim whose process is frozen is ended by Postgres, after a while: until then nobody waits behind this for long.
    connection.batch_execute(&format!("SET LOCAL lock_timeout = {STOP_WAIT_MS}"))?;
    let closed = diesel::sql_query("SELECT pg_advisory_xact_lock($2, hashtext($1)) IS NULL AS closed")
        .bind::<Text, _>(backend.as_str())
        .bind::<Integer, _>(GATES)
        .execute(connection);
    match closed {
        Ok(_) => Ok(()),
        Err(DieselError::DatabaseError(_, said)) if said.message().contains("lock timeout") => Err(Abort::Kept),
        Err(error) => Err(error.into()),
    }
}

fn standing(connection: &mut PgConnection, backend: &BackendName) -> Result<Option<RailControl>, Abort> {
    let row: Option<Row> =
        diesel::sql_query("SELECT state, reason, since, resume_at FROM rail_controls WHERE backend = $1")
            .bind::<Text, _>(backend.as_str())
            .get_result(connection)
            .optional()?;
    row.map(Row::read).transpose()
}

/// Writes what stands from now on.
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
             since = CASE WHEN r.state = excluded.state THEN r.since ELSE now() END",
    )
    .bind::<Text, _>(backend.as_str())
    .bind::<SmallInt, _>(state as i16)
    .bind::<Text, _>(reason)
    .bind::<Nullable<BigInt>, _>(resume_after.map(milliseconds))
    .execute(connection)?;
    Ok(())
}

fn hold(
    connection: &mut PgConnection,
    backend: &BackendName,
    reason: &str,
    resume_after: Option<Duration>,
) -> Result<bool, Abort> {
    close(connection, backend)?;
    let Some(before) = standing(connection, backend)? else {
        set(connection, backend, RailState::Held, reason, resume_after)?;
        return Ok(true);
    };
    let lasts_longer = match (before.resume_at, resume_after) {
        (None, Some(_)) => true,
        (None | Some(_), None) => false,
        (Some(until), Some(after)) => {
            now(connection)? + chrono::TimeDelta::from_std(after).unwrap_or(chrono::TimeDelta::MAX) <= until
        }
    };
    let stronger = match before.state {
        RailState::Open => false,
        RailState::Paused => true,
        RailState::Held => lasts_longer,
    };
    if !stronger {
        set(connection, backend, RailState::Held, reason, resume_after)?;
    }
    Ok(!stronger)
}

#[derive(QueryableByName)]
struct Now {
    #[diesel(sql_type = Timestamptz)]
    now: DateTime<Utc>,
}

fn now(connection: &mut PgConnection) -> Result<DateTime<Utc>, Abort> {
    let row: Now = diesel::sql_query("SELECT clock_timestamp() AS now").get_result(connection)?;
    Ok(row.now)
}

fn order(
    connection: &mut PgConnection,
    backend: &BackendName,
    order: RailOrder,
    by: &ByHand<'_>,
) -> Result<RailOrdered, Abort> {
    if !by.dry_run {
        close(connection, backend)?;
    }
    let Some(before) = standing(connection, backend)? else { return Ok(RailOrdered::NeverIntroduced) };
    let (action, state, resume_after) = match order {
        RailOrder::Pause => ("rail pause", RailState::Paused, None),
        RailOrder::Resume => ("rail resume", RailState::Open, None),
        RailOrder::Probe if before.state != RailState::Held => return Ok(RailOrdered::Refused(before)),
        RailOrder::Probe => ("rail probe", RailState::Held, Some(Duration::ZERO)),
    };
    if !by.dry_run {
        // Who probes asks whether the reason still holds: it stays.
        let reason = if order == RailOrder::Probe { &before.reason } else { by.evidence };
        set(connection, backend, state, reason, resume_after)?;
        operators::record(connection, by.actor, action, backend.as_str(), by.evidence)?;
    }
    Ok(RailOrdered::Done { before })
}

impl Db {
    /// Makes the control row of a backend where there is none, so that who stops it waits for the claims that saw it open.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn introduce_rail(&self, backend: &BackendName) -> Result<(), DbError> {
        self.with("introduce a backend", |connection| {
            diesel::sql_query(
                "INSERT INTO rail_controls (backend, state, reason) VALUES ($1, 1, 'never stopped') ON CONFLICT DO NOTHING",
            )
            .bind::<Text, _>(backend.as_str())
            .execute(connection)
        })?;
        Ok(())
    }

    /// What stands about a backend. None: nothing ever did, and it is open.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn rail_control(&self, backend: &BackendName) -> Result<Option<RailControl>, DbError> {
        self.transaction("read whether a backend may pay", |connection| standing(connection, backend))
    }

    /// Whether a claim would be let in now, without a lock: for who waits, and for who shows it.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn rail_gate(&self, backend: &BackendName) -> Result<RailGate, DbError> {
        self.transaction("read whether a backend may pay", |connection| {
            let row: Option<Gate> = diesel::sql_query(
                "SELECT state, coalesce(resume_at <= now(), false) AS over FROM rail_controls WHERE backend = $1",
            )
            .bind::<Text, _>(backend.as_str())
            .get_result(connection)
            .optional()?;
            Gate::read(row)
        })
    }

    /// A process holds its rail, which refuses everybody: until somebody probes it, `resume_after` from now at the earliest, or
    /// without an end. It returns when no claim that entered before is under way.
    ///
    /// False: it is stopped at least as long already, by a person's pause, a hold without an end or one that ends later; that
    /// stands.
    ///
    /// # Errors
    /// Where Postgres refuses, or claims do not end.
    pub fn hold_rail(
        &self,
        backend: &BackendName,
        reason: &str,
        resume_after: Option<Duration>,
    ) -> Result<bool, DbError> {
        in_the_queue(PROCESS_TRIES, || {
            self.transaction("hold a rail", |connection| hold(connection, backend, reason, resume_after))
        })
    }

    /// A process opens its rail after a good probe. False: it was not held, or its time is not over, since another process has
    /// held it again or a person has paused it; that stands.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn release_rail(&self, backend: &BackendName) -> Result<bool, DbError> {
        in_the_queue(PROCESS_TRIES, || {
            self.transaction("release a rail", |connection| {
                close(connection, backend)?;
                let released = diesel::sql_query(
                    "UPDATE rail_controls
                     SET state = 1, reason = 'it took a payment again', since = now(), resume_at = NULL
                     WHERE backend = $1 AND state = 3 AND resume_at <= clock_timestamp()",
                )
                .bind::<Text, _>(backend.as_str())
                .execute(connection)?;
                Ok(released > 0)
            })
        })
    }

    /// A person pauses, resumes or probes a backend, with the audit entry in the same commit. It returns when no claim that
    /// entered before is under way.
    ///
    /// # Errors
    /// Where Postgres refuses, or claims do not end; nothing is changed then.
    pub fn order_rail(&self, backend: &BackendName, what: RailOrder, by: &ByHand<'_>) -> Result<RailOrdered, DbError> {
        in_the_queue(PERSON_TRIES, || {
            self.transaction("change whether a backend may pay", |connection| order(connection, backend, what, by))
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
        self.transaction("list the backends", |connection| {
            let rows: Vec<Named> = diesel::sql_query(
                "SELECT backend, state, reason, since, resume_at FROM rail_controls ORDER BY backend",
            )
            .load(connection)?;
            rows.into_iter().map(|named| Ok((named.backend, named.row.read()?))).collect()
        })
    }
}

/// Stands in the queue of claims again, a limited number of times, where they did not end in time.
fn in_the_queue<T>(tries: u32, mut stop: impl FnMut() -> Result<T, DbError>) -> Result<T, DbError> {
    for _ in 1..tries {
        match stop() {
            Err(DbError::Kept { .. }) => {}
            done => return done,
        }
    }
    stop()
}
