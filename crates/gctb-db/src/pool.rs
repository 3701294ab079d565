//! The connection pool, and the frame of every verb.

use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::pg::PgConnection;
use diesel::r2d2::{ConnectionManager, CustomizeConnection, Pool};
use diesel::{Connection, RunQueryDsl};
use secrecy::{ExposeSecret, SecretString};

use crate::error::DbError;
use crate::line;

/// A database or role may have been tuned to confirm commits that are not on the disk yet: not for us (invariant I1).
const CONFIRMED_IS_WRITTEN: &str = "SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// How to reach Postgres.
#[derive(Clone, Debug)]
pub struct DbOptions {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// Most connections of this process.
    pub pool_size: u32,
    /// How long a verb waits for a connection.
    pub connect_timeout: Duration,
    /// How long one statement may take.
    pub statement_timeout: Duration,
    /// How long the other end of a connection may be silent before it counts as broken.
    pub silence_timeout: Duration,
    /// How long a transaction may wait for this process before Postgres ends it.
    pub transaction_idle_timeout: Duration,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
}

/// The requests DB. Cheap to clone; verbs are spread over the files of this crate.
#[derive(Clone)]
pub struct Db {
    pool: Pool<ConnectionManager<PgConnection>>,
}

impl std::fmt::Debug for Db {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Db").field("pool", &self.pool.state()).finish()
    }
}

impl Db {
    /// Makes the pool. Connections are made when they are first wanted, so a service starts while Postgres is away.
    pub fn new(options: &DbOptions) -> Self {
        let statement_ms = options.statement_timeout.as_millis();
        // Postgres takes 0 for "no limit".
        let idle_ms = options.transaction_idle_timeout.as_millis().max(1);
        let name: String =
            options.application_name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        let session = format!(
            "SET statement_timeout = {statement_ms}; SET application_name = '{name}'; SET timezone = 'UTC';
             SET idle_in_transaction_session_timeout = {idle_ms};
             SET default_transaction_isolation = 'read committed'; SET jit = off;
             {CONFIRMED_IS_WRITTEN}"
        );
        let url = line::with_limits(options.url.expose_secret(), options.connect_timeout, options.silence_timeout);
        let pool = Pool::builder()
            .max_size(options.pool_size.max(1))
            .min_idle(Some(0))
            .test_on_check_out(false)
            .connection_timeout(options.connect_timeout)
            .error_handler(Box::new(Quiet))
            .connection_customizer(Box::new(Session(session)))
            .build_unchecked(ConnectionManager::new(url));
        Self { pool }
    }

    /// Says whether Postgres answers.
    ///
    /// # Errors
    /// Why it does not.
    pub fn ping(&self) -> Result<(), DbError> {
        self.with("ask Postgres whether it is there", |connection| connection.batch_execute("SELECT 1"))
    }

    /// Says whether Postgres keeps what it confirms: `fsync` and `full_page_writes` are on.
    ///
    /// # Errors
    /// Where Postgres cannot be asked.
    pub fn is_durable(&self) -> Result<bool, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Durable {
            #[diesel(sql_type = diesel::sql_types::Bool)]
            durable: bool,
        }
        let sql = "SELECT current_setting('fsync')::bool AND current_setting('full_page_writes')::bool AS durable";
        self.with("ask Postgres whether it is durable", |connection| {
            diesel::sql_query(sql).get_result::<Durable>(connection).map(|row| row.durable)
        })
    }

    pub(crate) fn with<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut PgConnection) -> Result<T, diesel::result::Error>,
    ) -> Result<T, DbError> {
        let mut connection = self.pool.get().map_err(|error| DbError::Connect { doing, source: Box::new(error) })?;
        work(&mut connection).map_err(|error| statement_error(doing, error, &mut connection))
    }

    /// One transaction. The closure's own error rolls it back.
    pub(crate) fn transaction<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut PgConnection) -> Result<T, Abort>,
    ) -> Result<T, DbError> {
        let mut connection = self.pool.get().map_err(|error| DbError::Connect { doing, source: Box::new(error) })?;
        let connection: &mut PgConnection = &mut connection;
        connection.transaction(work).map_err(|abort| match abort {
            Abort::Statement(error) => statement_error(doing, error, connection),
            Abort::UnknownBatch => DbError::UnknownBatch { doing },
            Abort::Unreadable(what) => DbError::Unreadable { doing, what },
            Abort::Overtaken => DbError::Overtaken { doing },
            Abort::Kept => DbError::Kept { doing },
        })
    }
}

/// How often work is done again at once because another process changed its rows first. Each time finds what that one left,
/// so that more than one is rare; after that the caller's own back-off goes on.
const OVERTAKEN_MAX: u32 = 3;

/// Does `work` again, a few times, where another process was first.
pub(crate) fn until_first<T>(mut work: impl FnMut() -> Result<T, DbError>) -> Result<T, DbError> {
    for _ in 1..OVERTAKEN_MAX {
        match work() {
            Err(DbError::Overtaken { .. }) => {}
            done => return done,
        }
    }
    work()
}

/// A session that began read-only stays so: after a fail-over, or when the operator has opened the database again. It is
/// ended, so that the next verb gets one that begins as the database now is.
fn statement_error(doing: &'static str, error: diesel::result::Error, connection: &mut PgConnection) -> DbError {
    use diesel::result::{DatabaseErrorKind, Error};
    if matches!(&error, Error::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _)) {
        // It answers with the end of the connection, by which the pool knows that it is of no more use.
        let _ = connection.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())");
    }
    DbError::statement(doing, error)
}

/// Why a transaction was rolled back.
pub(crate) enum Abort {
    Statement(diesel::result::Error),
    UnknownBatch,
    Unreadable(&'static str),
    Overtaken,
    Kept,
}

impl From<diesel::result::Error> for Abort {
    fn from(error: diesel::result::Error) -> Self {
        Self::Statement(error)
    }
}

/// The pool's background attempts are not worth a log line each: the verb that fails says so.
#[derive(Debug)]
struct Quiet;

impl diesel::r2d2::HandleError<diesel::r2d2::Error> for Quiet {
    fn handle_error(&self, _error: diesel::r2d2::Error) {}
}

#[derive(Debug)]
struct Session(String);

impl CustomizeConnection<PgConnection, diesel::r2d2::Error> for Session {
    fn on_acquire(&self, connection: &mut PgConnection) -> Result<(), diesel::r2d2::Error> {
        connection.batch_execute(&self.0).map_err(diesel::r2d2::Error::QueryError)
    }
}
