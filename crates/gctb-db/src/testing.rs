//! For tests only: databases that come and go, and plain SQL to look at what the verbs did.

use diesel::connection::SimpleConnection;
use diesel::deserialize::QueryableByName;
use diesel::pg::PgConnection;
use diesel::sql_types::{Nullable, Text};
use diesel::{Connection, RunQueryDsl};
use secrecy::ExposeSecret;

use crate::error::DbError;
use crate::pool::{Db, DbOptions};

/// Runs one statement on a connection of its own, such as CREATE DATABASE.
///
/// # Errors
/// What Postgres says.
pub fn execute(options: &DbOptions, sql: &str) -> Result<(), String> {
    let mut connection = PgConnection::establish(options.url.expose_secret()).map_err(|error| error.to_string())?;
    connection.batch_execute(sql).map_err(|error| error.to_string())
}

#[derive(QueryableByName)]
struct OneText {
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
}

impl Db {
    /// Runs a query whose one column is called `value` and is text; NULL comes as an empty text.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn query_text(&self, sql: &str) -> Result<Vec<String>, DbError> {
        self.with("run a test's query", |connection| {
            let rows: Vec<OneText> = diesel::sql_query(sql).load(connection)?;
            Ok(rows.into_iter().map(|row| row.value.unwrap_or_default()).collect())
        })
    }

    /// Runs statements.
    ///
    /// # Errors
    /// What Postgres says.
    pub fn execute_sql(&self, sql: &str) -> Result<(), DbError> {
        self.with("run a test's statements", |connection| connection.batch_execute(sql))
    }
}
