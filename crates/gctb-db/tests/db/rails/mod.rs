//! Rails that are called: a process that claims, tells and takes up, as the stories need it.

mod controls;
mod evidence;
mod exceptions;
mod handles;
mod operators;
mod poison;
mod questions;
mod spared;
mod views;
mod who_acts;
mod work;

use std::time::Duration;

use gctb_db::{BatchClaims, BatchWords, ByHand, Claim, Db, DueAttempt, DueWork, Holder, Turn, Turned, Word};
use gctb_domain::paying::{Dedupe, Learnt, RailKind};
use gctb_domain::{BackendName, Seq};
use gctb_testkit::TestDatabase;
use uuid::Uuid;

use crate::world::{Message, claim_of};

const LONG: Duration = Duration::from_secs(600);
const NONE: Duration = Duration::ZERO;

/// It dedupes on what it has paid, and can be asked.
const ASKABLE: RailKind = RailKind { dedupes: Dedupe::OncePaid, can_be_asked: true, two_phase: false };
/// It pays what it is sent and says nothing afterwards.
const BLIND: RailKind = RailKind { dedupes: Dedupe::Never, can_be_asked: false, two_phase: false };

/// A process whose lease lasts as long as this.
fn process(lease: Duration) -> Holder {
    Holder {
        backend: BackendName::parse("mpesa").expect("a name"),
        owner: Uuid::new_v4(),
        kind: ASKABLE,
        lease,
        settle: NONE,
        attempts_max: 3,
        ask_after: NONE,
        ask_after_max: NONE,
        asks_max: 100,
        retry_after: NONE,
    }
}

fn word(seq: i32, learnt: Learnt) -> Word {
    Word {
        seq: Seq(seq),
        attempt: 1,
        learnt,
        sends: 1,
        quiet: false,
        fenced: false,
        amount: None,
        handle: None,
        rail_reference: (learnt == Learnt::Paid).then(|| format!("rail-{seq}")),
        reason: None,
        refuses_everybody: false,
        message: "in the rail's words".to_owned(),
        send_after: NONE,
    }
}

fn quietly(word: Word) -> Word {
    Word { quiet: true, ..word }
}

fn about(attempt: i16, word: Word) -> Word {
    Word { attempt, ..word }
}

fn claims_of(batch: &Message, claims: Vec<Claim>) -> Turn {
    let claims = vec![BatchClaims { batch: batch.id, batch_no: batch.no, traceparent: None, claims }];
    Turn { claims, ..Turn::default() }
}

fn words_of(batch: &Message, words: Vec<Word>, work: Option<Uuid>) -> Turn {
    Turn { words: vec![BatchWords { batch: batch.id, work, traceparent: None, words }], claims: Vec::new() }
}

/// Claims the first `many` instructions of a batch.
fn claim(db: &Db, holder: &Holder, batch: &Message, many: i32) -> Turned {
    db.turn(holder, &claims_of(batch, (0..many).map(|seq| claim_of(seq, 100)).collect())).expect("Postgres is there")
}

fn tell(db: &Db, holder: &Holder, batch: &Message, words: Vec<Word>, work: Option<Uuid>) -> Turned {
    db.turn(holder, &words_of(batch, words, work)).expect("Postgres is there")
}

fn take_up(db: &Db, holder: &Holder) -> Option<DueWork> {
    db.take_up(holder).expect("Postgres is there")
}

/// What a process takes up, as `seq:attempt:todo:quiet`.
fn taken(work: &DueWork) -> Vec<String> {
    let said = |due: &DueAttempt| format!("{}:{}:{:?}:{}", due.seq, due.attempt, due.todo, due.quiet);
    work.attempts.iter().map(said).collect()
}

/// Rows that are open and that nobody will ever look at: there must be none, always (I4).
fn forgotten(database: &TestDatabase) -> Vec<String> {
    database.values(
        "SELECT l.seq || ':' || l.state AS value FROM payment_ledger l
         WHERE l.state IN (3, 4, 5, 6) AND l.file_id IS NULL
           AND NOT EXISTS (SELECT FROM ledger_work w
                           WHERE w.work_id = l.work_id AND w.batch_id = l.batch_id AND l.seq = ANY(w.seqs))",
    )
}

/// What a person does by hand.
fn by_hand(dry_run: bool) -> ByHand<'static> {
    ByHand { actor: "clerk", evidence: "ticket 4711", dry_run }
}

/// What looks after each open payment of a batch: `seq:kind`.
fn looked_after(database: &TestDatabase, batch: &Message) -> Vec<String> {
    database.values(&format!(
        "SELECT concat_ws(':', l.seq, w.kind) AS value FROM payment_ledger l JOIN ledger_work w USING (work_id)
         WHERE l.batch_id = '{}' ORDER BY l.seq",
        batch.id
    ))
}

/// Time passes: everything that waits is due.
fn all_is_due(db: &Db) {
    db.execute_sql("UPDATE ledger_work SET due_at = now() WHERE kind <> 5").expect("Postgres is there");
}

/// Time passes: nothing that was sent can be under way any more.
fn all_is_quiet(db: &Db) {
    db.execute_sql("UPDATE payment_ledger SET quiet_at = now()").expect("Postgres is there");
}
