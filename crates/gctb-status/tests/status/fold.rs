//! The handler: entries that cannot be folded, outbox rows that go only with their fold, batches that finish.

use gctb_db::{MAX_FOLD_ENTRIES, OutboxRow};
use gctb_domain::{BatchId, LedgerState};
use gctb_events::{BatchProgress, Event, StatusChunk};
use gctb_runtime::{HandleError, Handled, Handler};
use gctb_status::StatusFolder;
use gctb_testkit::TestDatabase;
use uuid::Uuid;

use crate::world::{Item, accept, arrived, assert_totals, chunk, entry, statuses, waits};

const KES: Item = Item::Accepted(100, "KES");

/// Handles messages polled together; gives what the handler says, and what it published.
fn handle(database: &TestDatabase, poll: &[&StatusChunk]) -> (Result<Handled, HandleError>, Vec<OutboxRow>) {
    let mut published = Vec::new();
    let polled: Vec<_> = poll.iter().map(|chunk| arrived(chunk)).collect();
    let handled = StatusFolder::new(database.db().clone(), |rows| published.extend(rows)).handle(&polled);
    (handled, published)
}

fn outcomes(handled: &Handled) -> Vec<(&'static str, u64)> {
    handled.outcomes.iter().copied().filter(|(_, count)| *count > 0).collect()
}

/// Postgres takes no text with a NUL in it: an entry that everybody can decode and nobody can store.
fn poison(seq: i32, version: i32) -> gctb_events::LedgerEntry {
    gctb_events::LedgerEntry { message: "a\0b".to_owned(), ..entry(seq, version, LedgerState::Paid) }
}

#[test]
fn i4_the_totals_equation_holds_after_every_fold() {
    let Some(database) = gctb_testkit::database("i4_the_totals_equation") else { return };
    let items = [KES, Item::Accepted(250, "UGX"), Item::Accepted(7, "KES"), Item::Refused];
    let batch = accept(database.db(), &items, |_| Vec::new()).id;
    assert_totals(&database, batch);
    let history = [
        (0, 1, LedgerState::Claimed),
        (1, 1, LedgerState::Rejected),
        (2, 3, LedgerState::Paid),
        (2, 1, LedgerState::Claimed),
        (0, 2, LedgerState::Unknown),
        (0, 3, LedgerState::Paid),
        (2, 4, LedgerState::Returned),
    ];
    let mut progress = Vec::new();
    for (seq, version, state) in history {
        let (handled, published) = handle(&database, &[&chunk(&database, batch, vec![entry(seq, version, state)])]);
        handled.expect("Postgres is there");
        progress.extend(published);
        assert_totals(&database, batch);
    }
    assert_eq!(statuses(&database, batch), ["0:5:3", "1:6:1", "2:8:4", "3:6:1"]);
    let versions: Vec<i64> = progress
        .iter()
        .map(|row| BatchProgress::decode(&row.message.payload).expect("a progress").event.totals_version)
        .collect();
    assert_eq!(versions, [1, 2], "the batch finished, and changed once after it had");
}

#[test]
fn i7_an_entry_that_postgres_refuses_is_set_aside_alone_and_the_others_are_folded() {
    let Some(database) = gctb_testkit::database("i7_an_entry_that_postgres_refuses") else { return };
    let batch = accept(database.db(), &[KES; 5], |_| Vec::new()).id;
    let mut entries: Vec<_> = (0..5).map(|seq| entry(seq, 1, LedgerState::Claimed)).collect();
    entries[2] = poison(2, 1);
    let chunk = chunk(&database, batch, entries);
    let (handled, _) = handle(&database, &[&chunk]);
    let handled = handled.expect("the others are folded");
    assert_eq!(outcomes(&handled), [("folded", 4)]);
    assert_eq!(statuses(&database, batch), ["0:3:1", "1:3:1", "2:1:0", "3:3:1", "4:3:1"]);
    let [dead] = handled.dead.as_slice() else { panic!("one entry is dead: {:?}", handled.dead) };
    let alone = StatusChunk::decode(&dead.payload).expect("it can be driven again").event;
    assert_eq!(alone, StatusChunk { entries: vec![poison(2, 1)], ..chunk.clone() });
    assert!(!dead.reason.contains("account:"), "no address in a reason: {}", dead.reason);
    assert!(!waits(&database, &chunk), "the dead letter holds the entry; the row would be sent for ever");
    assert_totals(&database, batch);
}

#[test]
fn what_was_said_before_a_refused_entry_stands() {
    let Some(database) = gctb_testkit::database("what_was_said_before_a_refused_entry") else { return };
    let batch = accept(database.db(), &[KES, KES], |_| Vec::new()).id;
    let earlier = chunk(&database, batch, vec![entry(0, 1, LedgerState::Claimed), entry(1, 1, LedgerState::Claimed)]);
    let refused = chunk(&database, batch, vec![poison(0, 2)]);
    let (handled, _) = handle(&database, &[&refused, &earlier]);
    assert_eq!(handled.expect("the others are folded").dead.len(), 1);
    assert_eq!(statuses(&database, batch), ["0:3:1", "1:3:1"]);
    assert!(!waits(&database, &earlier) && !waits(&database, &refused));
}

#[test]
fn chunks_of_a_batch_that_this_database_does_not_know_are_set_aside_whole() {
    let Some(database) = gctb_testkit::database("chunks_of_an_unknown_batch") else { return };
    let known = accept(database.db(), &[KES], |_| Vec::new()).id;
    let unknown = BatchId::from_uuid(Uuid::from_u128(7));
    let stray = chunk(&database, unknown, vec![entry(0, 1, LedgerState::Paid), entry(1, 1, LedgerState::Paid)]);
    let good = chunk(&database, known, vec![entry(0, 1, LedgerState::Claimed)]);
    let (handled, _) = handle(&database, &[&stray, &good]);
    let handled = handled.expect("the known batch is folded");
    let [dead] = handled.dead.as_slice() else { panic!("one letter: {:?}", handled.dead) };
    assert_eq!(StatusChunk::decode(&dead.payload).expect("it can be driven again").event, stray);
    assert_eq!(outcomes(&handled), [("folded", 1)]);
    assert_eq!(statuses(&database, known), ["0:3:1"]);
    assert!(!waits(&database, &stray));
}

#[test]
fn an_entry_beyond_the_batch_changes_nothing() {
    let Some(database) = gctb_testkit::database("an_entry_beyond_the_batch") else { return };
    let batch = accept(database.db(), &[KES], |_| Vec::new()).id;
    let beyond = chunk(&database, batch, vec![entry(99, 1, LedgerState::Paid)]);
    let (handled, published) = handle(&database, &[&beyond]);
    assert_eq!(outcomes(&handled.expect("nothing is wrong")), [("already_known", 1)]);
    assert!(published.is_empty());
    assert!(!waits(&database, &beyond));
    assert_totals(&database, batch);
}

#[test]
fn a_chunk_of_which_nobody_could_read_an_entry_leaves_the_outbox() {
    let Some(database) = gctb_testkit::database("a_chunk_without_entries") else { return };
    let batch = accept(database.db(), &[KES], |_| Vec::new()).id;
    let empty = chunk(&database, batch, Vec::new());
    let (handled, _) = handle(&database, &[&empty]);
    assert_eq!(outcomes(&handled.expect("nothing is wrong")), []);
    assert!(!waits(&database, &empty));
}

#[test]
fn i5_a_chunk_stays_in_the_outbox_until_the_commit_that_folds_its_last_entry() {
    let Some(database) = gctb_testkit::database("i5_a_chunk_stays_in_the_outbox") else { return };
    let size = i32::try_from(MAX_FOLD_ENTRIES).expect("small") + 2;
    let batch = accept(database.db(), &vec![KES; MAX_FOLD_ENTRIES + 2], |_| Vec::new()).id;
    let last = size - 1;
    // The first chunk is folded by the first commit, the other one only by the second, which fails.
    let within = chunk(&database, batch, (1..last).map(|seq| entry(seq, 1, LedgerState::Claimed)).take(100).collect());
    let mut spread: Vec<_> = (101..last).map(|seq| entry(seq, 1, LedgerState::Claimed)).collect();
    spread.extend([entry(0, 1, LedgerState::Claimed), entry(last, 1, LedgerState::Claimed)]);
    let spread = chunk(&database, batch, spread);
    database.db().execute_sql(&fail_update_of(last)).expect("the trigger is made");
    let (handled, _) = handle(&database, &[&spread, &within]);
    assert!(matches!(handled, Err(HandleError::Retry(_))), "{handled:?}");
    assert!(!waits(&database, &within), "folded, and gone in the same commit");
    assert!(waits(&database, &spread), "its last entry is not folded");
    assert_totals(&database, batch);

    database.db().execute_sql("DROP TRIGGER failing ON payment_instructions").expect("the trigger goes");
    let (handled, _) = handle(&database, &[&spread, &within]);
    let handled = handled.expect("Postgres is back");
    assert_eq!(outcomes(&handled), [("folded", 2), ("already_known", MAX_FOLD_ENTRIES as u64)]);
    assert!(!waits(&database, &spread));
    assert_totals(&database, batch);
}

/// Makes Postgres fail, as if it were going away, when this instruction is updated.
fn fail_update_of(seq: i32) -> String {
    format!(
        "CREATE FUNCTION failing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$;
         CREATE TRIGGER failing BEFORE UPDATE ON payment_instructions FOR EACH ROW WHEN (OLD.seq = {seq}) EXECUTE FUNCTION failing()"
    )
}

#[test]
fn i8_while_postgres_is_away_nothing_is_lost_and_the_same_messages_come_again() {
    let Some(database) = gctb_testkit::database("i8_while_postgres_is_away") else { return };
    let batch = accept(database.db(), &[KES], |_| Vec::new()).id;
    let news = chunk(&database, batch, vec![entry(0, 1, LedgerState::Paid)]);
    database.db().execute_sql("ALTER TABLE batch_totals RENAME TO elsewhere").expect("renamed");
    let (handled, published) = handle(&database, &[&news]);
    assert!(matches!(handled, Err(HandleError::Retry(_))), "{handled:?}");
    assert!(published.is_empty() && waits(&database, &news));
    assert_eq!(statuses(&database, batch), ["0:1:0"], "the whole fold was rolled back");
    database.db().execute_sql("ALTER TABLE elsewhere RENAME TO batch_totals").expect("renamed back");
    let (handled, published) = handle(&database, &[&news]);
    handled.expect("Postgres is back");
    assert_eq!(published.len(), 1, "the batch finished");
    assert!(!waits(&database, &news));
}
