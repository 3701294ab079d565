//! Migrations: they apply to an empty database, twice is once, and each can be taken back.

use chrono::{Months, Utc};
use gctb_db::SchemaState;

use crate::world::count;

/// What takes each migration back, the youngest first.
const DOWN: [&str; 9] = [
    include_str!("../../../../migrations/00000000000009_attempts_spared/down.sql"),
    include_str!("../../../../migrations/00000000000008_rails_that_add_up/down.sql"),
    include_str!("../../../../migrations/00000000000007_called_rails/down.sql"),
    include_str!("../../../../migrations/00000000000006_leaner_payments/down.sql"),
    include_str!("../../../../migrations/00000000000005_operators/down.sql"),
    include_str!("../../../../migrations/00000000000004_files/down.sql"),
    include_str!("../../../../migrations/00000000000003_outbox/down.sql"),
    include_str!("../../../../migrations/00000000000002_instructions_and_ledger/down.sql"),
    include_str!("../../../../migrations/00000000000001_batches/down.sql"),
];

const OURS: &str = "SELECT relname::text AS value FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE '\\_\\_diesel%'
     UNION ALL SELECT proname::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1";

#[test]
fn migrations_apply_once_and_can_be_taken_back_and_applied_again() {
    let Some(database) = gctb_testkit::database("migrations_apply_once") else { return };
    let db = database.db();
    let whole = database.values(OURS);
    let again = db.migrate().expect("applied before");
    assert_eq!((again.applied.len(), again.partitions_made), (0, 0));
    for down in DOWN {
        db.execute_sql(down).expect("taken back");
    }
    assert_eq!(database.values(OURS), Vec::<String>::new(), "nothing is left behind");
    db.execute_sql("DELETE FROM __diesel_schema_migrations").expect("forgotten");
    let report = db.migrate().expect("applied again");
    assert_eq!(report.applied.len(), DOWN.len());
    assert_eq!(database.values(OURS), whole);
}

#[test]
fn two_migrations_at_once_wait_for_each_other() {
    let Some(database) = gctb_testkit::database("two_migrations_at_once") else { return };
    let db = database.db();
    for down in DOWN {
        db.execute_sql(down).expect("taken back");
    }
    db.execute_sql("DELETE FROM __diesel_schema_migrations").expect("forgotten");
    let applied = std::thread::scope(|scope| {
        let other = scope.spawn(|| db.migrate().expect("migrated").applied.len());
        db.migrate().expect("migrated").applied.len() + other.join().expect("the thread ends")
    });
    assert_eq!(applied, DOWN.len(), "each migration was applied once");
}

#[test]
fn the_state_of_the_schema_names_what_is_missing() {
    let Some(database) = gctb_testkit::database("the_state_of_the_schema") else { return };
    let db = database.db();
    let state = |months: u32| {
        db.schema_state(Utc::now().checked_add_months(Months::new(months)).expect("in range"))
            .expect("Postgres is there")
    };
    assert_eq!((state(0), state(3), state(4)), (SchemaState::Current, SchemaState::Current, SchemaState::NoPartition));
    assert_eq!(db.make_partitions(6).expect("made"), 4, "two tables, two months more");
    assert_eq!((state(5), state(6)), (SchemaState::Current, SchemaState::NoPartition));
    db.execute_sql(
        "DELETE FROM __diesel_schema_migrations WHERE version = (SELECT max(version) FROM __diesel_schema_migrations)",
    )
    .expect("forgotten");
    assert_eq!(state(0), SchemaState::Behind);
}

#[test]
fn every_table_and_column_says_what_it_is() {
    let Some(database) = gctb_testkit::database("every_table_and_column_says_what_it_is") else { return };
    let silent = database.values(
        "SELECT c.relname || coalesce('.' || a.attname, '') AS value
         FROM pg_class c LEFT JOIN LATERAL
              (SELECT attname, attnum FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 UNION ALL SELECT NULL, 0) a ON true
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND c.relname NOT LIKE '\\_\\_diesel%' AND col_description(c.oid, nullif(a.attnum, 0)) IS NULL
           AND (a.attnum > 0 OR obj_description(c.oid) IS NULL)",
    );
    assert!(silent.is_empty(), "without a COMMENT: {silent:?}");
    assert_eq!(count(&database, "batches"), "0");
}

#[test]
fn i10_after_a_migration_statements_have_their_limit_again() {
    let Some(database) = gctb_testkit::database("i10_after_a_migration") else { return };
    database.db().migrate().expect("nothing is missing");
    assert_eq!(database.value("SELECT current_setting('statement_timeout') AS value"), "30s");
}
