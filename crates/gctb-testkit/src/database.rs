//! A database of a test's own.

use std::time::Duration;

use gctb_db::{Db, DbOptions, testing};
use secrecy::SecretString;
use uuid::Uuid;

/// A migrated database that goes when the test ends.
pub struct TestDatabase {
    db: Db,
    url: String,
    name: String,
    server: DbOptions,
}

impl TestDatabase {
    /// Makes one on the server at `server_url`, whose user may create databases.
    ///
    /// # Panics
    /// Where that fails: the test cannot go on.
    pub fn create(server_url: &str) -> Self {
        let name = format!("gctb_test_{}", Uuid::new_v4().simple());
        let server = options(server_url);
        testing::execute(&server, &format!("CREATE DATABASE {name}")).expect("a test database can be made");
        let url = with_database(server_url, &name);
        let db = Db::new(&options(&url));
        db.migrate().expect("the migrations apply to an empty database");
        Self { db, url, name, server }
    }

    /// The database.
    pub const fn db(&self) -> &Db {
        &self.db
    }

    /// Its URL, for a process that the test starts.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The values of a query whose one column is called `value` and is text.
    ///
    /// # Panics
    /// Where the query fails.
    pub fn values(&self, sql: &str) -> Vec<String> {
        self.db.query_text(sql).expect("the test's query runs")
    }

    /// The one value of such a query.
    ///
    /// # Panics
    /// Where there is not exactly one.
    pub fn value(&self, sql: &str) -> String {
        let values = self.values(sql);
        assert_eq!(values.len(), 1, "one value expected of: {sql}");
        values.into_iter().next().unwrap_or_default()
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if testing::execute(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name)).is_err() {
            // The server goes with the test run, and the database with it.
        }
    }
}

fn options(url: &str) -> DbOptions {
    DbOptions {
        url: SecretString::from(url.to_owned()),
        pool_size: 8,
        connect_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
        silence_timeout: Duration::from_secs(30),
        transaction_idle_timeout: Duration::from_secs(30),
        application_name: "gctb-test".to_owned(),
    }
}

/// The same server, another database: replaces the path of a `postgres://` URL.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, None), |(base, query)| (base, Some(query)));
    let host_end = base.find("://").map_or(0, |at| at + 3);
    let path = base[host_end..].find('/').map_or(base.len(), |at| host_end + at);
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    format!("{}/{name}{query}", &base[..path])
}
