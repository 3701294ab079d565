//! The schema and its version. Migrations are applied by a command only; a service checks that they were.

use diesel::RunQueryDsl;
use diesel::connection::SimpleConnection;
use diesel::sql_types::{Integer, Timestamptz};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use chrono::{DateTime, Utc};

use crate::error::DbError;
use crate::pool::Db;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations");

/// Two `gctb migrate` at once wait for each other on this advisory lock.
const MIGRATION_LOCK: i64 = 0x6763_7462;

/// A migration may take as long as it takes. The connection goes back to the pool, whose limit must hold again then.
const NO_TIMEOUT: &str = "SELECT set_config('gctb.statement_timeout', current_setting('statement_timeout'), false);
    SET statement_timeout = 0";
const TIMEOUT_AS_BEFORE: &str =
    "SELECT set_config('statement_timeout', current_setting('gctb.statement_timeout'), false)";

/// What `migrate` did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationReport {
    /// The migrations that were applied now.
    pub applied: Vec<String>,
    /// How many monthly partitions were made now.
    pub partitions_made: i32,
}

/// Whether the schema is what this version needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// It is.
    Current,
    /// Migrations of this version are missing: `gctb migrate`.
    Behind,
    /// No partition takes the batches of this month: `gctb migrate`, or a running gctb-status, makes it.
    NoPartition,
}

impl Db {
    /// Applies what is missing and makes this month's and the next three months' partitions.
    ///
    /// # Errors
    /// The first statement that fails; what was applied before it stays.
    pub fn migrate(&self) -> Result<MigrationReport, DbError> {
        let applied = self.with("apply the migrations", |connection| {
            connection.batch_execute(&format!("{NO_TIMEOUT}; SELECT pg_advisory_lock({MIGRATION_LOCK})"))?;
            let applied = connection
                .run_pending_migrations(MIGRATIONS)
                .map(|versions| versions.iter().map(ToString::to_string).collect());
            connection.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK}); {TIMEOUT_AS_BEFORE}"))?;
            applied.map_err(diesel::result::Error::QueryBuilderError)
        })?;
        Ok(MigrationReport { applied, partitions_made: self.make_partitions(4)? })
    }

    /// Makes the monthly partitions of this month and of `months - 1` after it where they are missing.
    ///
    /// # Errors
    /// Where Postgres refuses.
    pub fn make_partitions(&self, months: i32) -> Result<i32, DbError> {
        #[derive(diesel::QueryableByName)]
        struct Made {
            #[diesel(sql_type = Integer)]
            made: i32,
        }
        self.transaction("make the monthly partitions", |connection| {
            // The parents' lock queues in front of every claim: give up soon, and try again later.
            connection.batch_execute("SET LOCAL lock_timeout = '5s'")?;
            let made = diesel::sql_query("SELECT gctb_make_partitions(now(), $1) AS made")
                .bind::<Integer, _>(months)
                .get_result::<Made>(connection)?
                .made;
            fail::fail_point!("partitions.commit.before");
            Ok(made)
        })
        .inspect(|_| fail::fail_point!("partitions.commit.after"))
    }

    /// Says whether the schema is what this version needs, `at` the time of the next batch.
    ///
    /// # Errors
    /// Where Postgres cannot be asked.
    pub fn schema_state(&self, at: DateTime<Utc>) -> Result<SchemaState, DbError> {
        let doing = "check the version of the schema";
        let pending = self.with(doing, |connection| {
            connection.has_pending_migration(MIGRATIONS).map_err(diesel::result::Error::QueryBuilderError)
        })?;
        if pending {
            return Ok(SchemaState::Behind);
        }
        #[derive(diesel::QueryableByName)]
        struct Present {
            #[diesel(sql_type = diesel::sql_types::Bool)]
            present: bool,
        }
        let sql = "SELECT to_regclass('payment_instructions_' || m) IS NOT NULL AND to_regclass('payment_ledger_' || m) IS NOT NULL AS present
                   FROM to_char($1 AT TIME ZONE 'UTC', 'YYYY_MM') AS m";
        let present = self.with(doing, |connection| {
            diesel::sql_query(sql).bind::<Timestamptz, _>(at).get_result::<Present>(connection).map(|row| row.present)
        })?;
        Ok(if present { SchemaState::Current } else { SchemaState::NoPartition })
    }
}
