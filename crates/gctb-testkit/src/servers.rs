//! Where the servers are, and what a test does where they are not.

use std::io::Write;

use crate::database::TestDatabase;

/// Counts the test `name` as skipped, by name: `make test` lists it at the end.
pub fn skipped(name: &str, reason: &str) {
    let line = format!("SKIPPED {name}: {reason}\n");
    let file = std::env::var_os("GCTB_TEST_SKIPS");
    let written = file.map(|file| {
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .and_then(|mut file| file.write_all(line.as_bytes()))
    });
    assert!(!matches!(written, Some(Err(_))), "could not count the skipped test {name}");
}

/// A new, migrated database of the server at GCTB_TEST_DATABASE_URL; None (and the test counted as skipped) without it.
pub fn database(test: &str) -> Option<TestDatabase> {
    match std::env::var("GCTB_TEST_DATABASE_URL") {
        Ok(url) => Some(TestDatabase::create(&url)),
        Err(_) => {
            skipped(test, "GCTB_TEST_DATABASE_URL names no Postgres; `make test` starts one");
            None
        }
    }
}

/// The Kafka at GCTB_TEST_KAFKA; None (and the test counted as skipped) without it.
pub fn kafka(test: &str) -> Option<String> {
    match std::env::var("GCTB_TEST_KAFKA") {
        Ok(brokers) => Some(brokers),
        Err(_) => {
            skipped(test, "GCTB_TEST_KAFKA names no Kafka; `make test` starts one");
            None
        }
    }
}
