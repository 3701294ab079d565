//! Rails that are called: who may act for an attempt, what is believed of whom, and that nothing is left where nobody looks.

use std::time::Duration;

use gctb_db::{
    BatchClaims, BatchWords, Claim, ControlState, Db, DueAttempt, DueWork, Holder, PersonsWord, RailState, Resolved,
    Todo, Turn, Turned, Word,
};
use gctb_domain::paying::{Dedupe, Learnt, RailKind};
use gctb_domain::{BackendName, LedgerState, RailKey, Seq};
use gctb_testkit::TestDatabase;
use uuid::Uuid;

use crate::world::{Item, Message, claim_of, count, kes, ledger, stored, told};

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
           AND NOT EXISTS (SELECT FROM ledger_work w WHERE w.batch_id = l.batch_id AND l.seq = ANY(w.seqs))",
    )
}

#[test]
fn a_window_is_claimed_paid_and_recorded_and_nothing_is_left_to_do() {
    let Some(database) = gctb_testkit::database("a_window_is_claimed_paid") else { return };
    let (db, me) = (database.db(), process(LONG));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let claimed = claim(db, &me, &batch, 3);
    assert_eq!(claimed.claimed, [[Seq(0), Seq(1), Seq(2)]]);
    assert_eq!(ledger(&database, &batch), ["0:3:1:mpesa", "1:3:1:mpesa", "2:3:1:mpesa"]);
    let recorded = tell(db, &me, &batch, (0..3).map(|seq| word(seq, Learnt::Paid)).collect(), claimed.windows[0]);
    assert_eq!((recorded.recorded, told(&recorded.outbox).len()), (3, 3), "told in the commit that records it");
    assert_eq!(ledger(&database, &batch), ["0:7:2:mpesa", "1:7:2:mpesa", "2:7:2:mpesa"]);
    assert_eq!(count(&database, "ledger_work"), "0");
}

#[test]
fn i2_what_one_replica_claimed_no_other_may_send_however_often_the_message_comes() {
    let Some(database) = gctb_testkit::database("i2_what_one_replica_claimed") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    assert_eq!(claim(db, &process(LONG), &batch, 2).claimed, [[Seq(0), Seq(1)]]);
    let again = claim(db, &process(LONG), &batch, 2);
    assert_eq!((again.claimed, again.already_known), (vec![Vec::new()], 2));
    assert_eq!(told(&again.outbox).len(), 2, "the rows are told again as they stand");
}

#[test]
fn i2_a_successor_waits_for_the_end_of_the_lease_and_then_asks_and_never_sends() {
    let Some(database) = gctb_testkit::database("i2_a_successor_waits") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100)]);
    let (gone, successor) = (process(LONG), process(LONG));
    claim(db, &gone, &batch, 1);
    db.execute_sql("UPDATE ledger_work SET due_at = now()").expect("somebody looks too early");
    assert_eq!(taken(&take_up(db, &successor).expect("it is due")), Vec::<String>::new(), "the lease runs");
    assert_eq!(forgotten(&database), Vec::<String>::new());
    db.execute_sql("UPDATE ledger_work SET due_at = now(); UPDATE payment_ledger SET quiet_at = now()").expect("time");
    assert_eq!(taken(&take_up(db, &successor).expect("it is due")), ["0:1:Ask:true"]);
    assert_eq!(ledger(&database, &batch), ["0:5:2:mpesa"], "its sender is gone, and nobody knows");
}

#[test]
fn i2_i3_a_former_owner_is_believed_that_it_paid_and_nothing_else() {
    let Some(database) = gctb_testkit::database("i2_i3_a_former_owner") else { return };
    let db = database.db();
    let batch = stored(db, &[Item::Accepted(100); 2]);
    let (frozen, successor) = (process(NONE), process(LONG));
    let window = claim(db, &frozen, &batch, 2).windows[0];
    let taken_up = take_up(db, &successor).expect("its lease is over");
    assert_eq!(taken_up.attempts.len(), 2);
    let late = vec![word(0, Learnt::Refused { again: true }), word(1, Learnt::Paid)];
    tell(db, &frozen, &batch, late, window);
    assert_eq!(ledger(&database, &batch), ["0:5:3:mpesa", "1:7:3:mpesa"], "evidence; and money that moved");
    assert_eq!(
        database.value("SELECT evidence AS value FROM payment_ledger WHERE seq = 0"),
        "Refused { again: true }: in the rail's words"
    );
    assert_eq!(
        database.value(&format!("SELECT count(*)::text AS value FROM ledger_work WHERE work_id = '{}'", taken_up.work)),
        "1",
        "who was frozen cannot end the window of its successor"
    );
}

#[test]
fn i3_no_answer_is_unknown_and_asked_about_or_a_persons_where_the_rail_cannot_be_asked() {
    let Some(database) = gctb_testkit::database("i3_no_answer_is_unknown") else { return };
    let db = database.db();
    for (kind, left) in [(ASKABLE, "2"), (BLIND, "5")] {
        let me = Holder { kind, ..process(LONG) };
        let batch = stored(db, &[Item::Accepted(100)]);
        let windows = claim(db, &me, &batch, 1).windows[0];
        tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], windows);
        assert_eq!(ledger(&database, &batch), ["0:5:2:mpesa"]);
        let kinds = format!("SELECT kind::text AS value FROM ledger_work WHERE batch_id = '{}'", batch.id);
        assert_eq!(database.values(&kinds), [left]);
    }
}

#[test]
fn i2_i3_what_the_rail_does_not_know_is_sent_again_only_when_quiet_under_its_key_and_counted_first() {
    let Some(database) = gctb_testkit::database("i2_i3_what_the_rail_does_not_know") else { return };
    let db = database.db();
    let (gone, me) = (process(NONE), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &gone, &batch, 1);
    let asked = take_up(db, &me).expect("due");
    tell(db, &me, &batch, vec![word(0, Learnt::NotFound)], Some(asked.work));
    let asked = take_up(db, &me).expect("asked again");
    assert_eq!(taken(&asked), ["0:1:Ask:true"], "not found, not in quiet: no proof");
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], Some(asked.work));
    let sent = take_up(db, &me).expect("sent again");
    assert_eq!(taken(&sent), ["0:1:Send:false"], "the same attempt, the same key");
    assert_eq!(database.value("SELECT concat_ws(',', sends, not_found) AS value FROM payment_ledger"), "2,1");
}

#[test]
fn a_refusal_leads_to_further_attempts_under_keys_of_their_own_until_there_are_enough() {
    let Some(database) = gctb_testkit::database("a_refusal_leads_to_further_attempts") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let mut windows = claim(db, &me, &batch, 1).windows[0];
    for attempt in 1..=3 {
        let refused = about(attempt, word(0, Learnt::Refused { again: true }));
        tell(db, &me, &batch, vec![refused], windows);
        let Some(next) = take_up(db, &me) else { break };
        assert_eq!(taken(&next), [format!("0:{}:Send:false", attempt + 1)]);
        windows = Some(next.work);
    }
    assert_eq!(ledger(&database, &batch), ["0:8:6:mpesa"], "closed");
    assert_eq!(count(&database, "ledger_work"), "0");
    let past = database.value("SELECT past_attempts AS value FROM payment_ledger");
    assert_eq!(past, "1\t-\t-\tin the rail's words\n2\t-\t-\tin the rail's words");
}

#[test]
fn i2_news_that_an_earlier_attempt_was_paid_are_believed_and_a_conflict() {
    let Some(database) = gctb_testkit::database("i2_news_that_an_earlier_attempt") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let windows = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Refused { again: true })], windows);
    take_up(db, &me).expect("a second attempt");
    let late = tell(db, &me, &batch, vec![word(0, Learnt::Paid)], None);
    assert_eq!((late.conflicts, ledger(&database, &batch)), (1, vec!["0:7:4:mpesa".to_owned()]));
    let twice = tell(
        db,
        &me,
        &batch,
        vec![about(2, Word { rail_reference: Some("other".to_owned()), ..word(0, Learnt::Paid) })],
        None,
    );
    assert_eq!(twice.conflicts, 1, "and so is the payment of the attempt that followed");
}

#[test]
fn what_never_left_is_sent_later_under_its_key_and_cancelled_with_its_batch() {
    let Some(database) = gctb_testkit::database("what_never_left_is_sent_later") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let windows = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], windows);
    let sent = take_up(db, &me).expect("due");
    assert_eq!(taken(&sent), ["0:1:Send:false"]);
    assert_eq!(database.value("SELECT sends::text AS value FROM payment_ledger"), "1", "uncounted, then counted");
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], Some(sent.work));
    db.set_control(batch.id, ControlState::Held).expect("held");
    assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
    assert_eq!(forgotten(&database), Vec::<String>::new(), "it waits for the release");
    db.set_control(batch.id, ControlState::Cancelled).expect("cancelled");
    let outcome = take_up(db, &me).expect("due");
    assert_eq!((outcome.attempts.len(), told(&outcome.outbox).len()), (0, 1));
    assert!(ledger(&database, &batch)[0].starts_with("0:2:"), "{:?}", ledger(&database, &batch));
}

#[test]
fn i2_what_may_have_been_paid_is_not_sent_again_after_a_cancel() {
    let Some(database) = gctb_testkit::database("i2_what_may_have_been_paid") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let windows = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], windows);
    db.set_control(batch.id, ControlState::Cancelled).expect("cancelled");
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Ask:true"]);
}

#[test]
fn i2_a_turn_whose_commit_nobody_heard_of_gives_a_send_back_once() {
    let Some(database) = gctb_testkit::database("i2_a_turn_whose_commit_nobody_heard_of") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], window);
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Send:false"], "another lane of the same process sends it");
    // The first lane did not hear that its commit was done, and tells the same again.
    tell(db, &me, &batch, vec![word(0, Learnt::NotSent)], window);
    assert_eq!(
        database.value("SELECT concat_ws(',', state, sends) AS value FROM payment_ledger"),
        "3,1",
        "it stays counted"
    );
    assert_eq!(
        database.value("SELECT count(*)::text AS value FROM ledger_work WHERE kind = 3"),
        "0",
        "and goes out once"
    );
    assert_eq!(forgotten(&database), Vec::<String>::new());
}

#[test]
fn i2_i3_what_was_learnt_before_a_later_send_does_not_decide_about_that_one() {
    let Some(database) = gctb_testkit::database("i2_i3_what_was_learnt_before_a_later_send") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    let asked = take_up(db, &me).expect("asked");
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::NotFound))], Some(asked.work));
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["0:1:Send:false"]);
    // A callback that answers a question from before the second send.
    tell(db, &me, &batch, vec![quietly(word(0, Learnt::Refused { again: true }))], None);
    assert_eq!(
        database.value("SELECT concat_ws(',', state, sends) AS value FROM payment_ledger"),
        "5,2",
        "evidence alone"
    );
}

#[test]
fn i2_work_that_was_decided_long_ago_is_looked_at_again_before_anything_is_sent() {
    let Some(database) = gctb_testkit::database("i2_work_that_was_decided_long_ago") else { return };
    let db = database.db();
    let me = Holder { kind: BLIND, ..process(NONE) };
    let batch = stored(db, &[Item::Accepted(100)]);
    let window = claim(db, &me, &batch, 1).windows[0];
    tell(db, &me, &batch, vec![word(0, Learnt::Nothing)], window);
    db.execute_sql("UPDATE ledger_work SET kind = 3, due_at = now()").expect("an order to send that is out of date");
    assert_eq!(taken(&take_up(db, &me).expect("due")), Vec::<String>::new());
    assert_eq!(database.values("SELECT kind::text AS value FROM ledger_work"), ["5"], "a person's");
}

#[test]
fn i4_a_window_that_ends_without_a_word_about_a_payment_leaves_it_to_be_asked_about() {
    let Some(database) = gctb_testkit::database("i4_a_window_that_ends_without_a_word") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let window = claim(db, &me, &batch, 3).windows[0];
    let wrong = Word { amount: Some(kes(7)), ..word(1, Learnt::Paid) };
    tell(db, &me, &batch, vec![word(0, Learnt::Paid), wrong], window);
    assert_eq!(forgotten(&database), Vec::<String>::new());
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["1:1:Ask:true", "2:1:Ask:true"]);
}

#[test]
fn i8_a_paused_rail_claims_nothing_and_still_records_and_asks() {
    let Some(database) = gctb_testkit::database("i8_a_paused_rail") else { return };
    let (db, me) = (database.db(), process(NONE));
    let batch = stored(db, &[Item::Accepted(100); 3]);
    db.introduce_rail(&me.backend).expect("introduced");
    let windows = claim(db, &me, &batch, 2).windows[0];
    db.set_rail(&me.backend, RailState::Paused, "an operator says so", None).expect("paused");
    db.set_rail(&me.backend, RailState::Held, "no funds", Some(NONE)).expect("held");
    let control = db.rail_control(&me.backend).expect("Postgres is there").expect("a row");
    assert_eq!(
        (control.state, control.reason.as_str()),
        (RailState::Paused, "an operator says so"),
        "a hold is weaker"
    );
    let refused = claim(db, &me, &batch, 3);
    assert!(!refused.open && refused.claimed == [Vec::new()]);
    let words = vec![word(0, Learnt::Paid), word(1, Learnt::NotSent)];
    assert_eq!(tell(db, &me, &batch, words, windows).recorded, 2);
    assert!(take_up(db, &me).is_none(), "nothing is sent");
    db.set_rail(&me.backend, RailState::Open, "opened", None).expect("open");
    assert_eq!(taken(&take_up(db, &me).expect("due")), ["1:1:Send:false"]);
    assert_eq!(claim(db, &me, &batch, 3).claimed, [[Seq(2)]]);
}

#[test]
fn a_word_about_another_amount_or_another_backends_payment_moves_nothing_and_is_kept() {
    let Some(database) = gctb_testkit::database("a_word_about_another_amount") else { return };
    let (db, me) = (database.db(), process(LONG));
    let batch = stored(db, &[Item::Accepted(100)]);
    claim(db, &me, &batch, 1);
    let other = Holder { backend: BackendName::parse("mojaloop").expect("a name"), ..process(LONG) };
    let wrong = Word { amount: Some(kes(101)), ..word(0, Learnt::Paid) };
    assert_eq!(tell(db, &me, &batch, vec![wrong], None).exceptions, 1);
    assert_eq!(tell(db, &other, &batch, vec![word(0, Learnt::Paid)], None).exceptions, 1);
    assert_eq!(tell(db, &me, &batch, vec![about(2, word(0, Learnt::Paid)), word(7, Learnt::Paid)], None).exceptions, 2);
    assert_eq!(ledger(&database, &batch), ["0:3:1:mpesa"]);
    let kinds = database.values("SELECT kind AS value FROM rail_exceptions ORDER BY exception_id");
    assert_eq!(kinds, ["amount_differs", "not_ours", "other_attempt", "unknown_instruction"]);
}

#[test]
fn i3_a_persons_word_needs_an_unknown_end_a_quiet_attempt_and_nothing_heard_against_it() {
    let Some(database) = gctb_testkit::database("i3_a_persons_word_needs") else { return };
    let db = database.db();
    let me = Holder { kind: BLIND, ..process(LONG) };
    let batch = stored(db, &[Item::Accepted(100); 3]);
    let windows = claim(db, &me, &batch, 3).windows[0];
    let key = |seq: i32, attempt: i16| RailKey::new(batch.no, Seq(seq), attempt).expect("fits");
    let paid = PersonsWord::Paid { rail_reference: Some("slip-7".to_owned()) };
    let resolve = |key: RailKey, word: &PersonsWord, dry_run: bool| {
        db.resolve_payment(key, word, "clerk", "ticket 4711", dry_run).expect("Postgres is there")
    };
    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::NotUnknown(LedgerState::Claimed)));
    tell(db, &me, &batch, (0..3).map(|seq| word(seq, Learnt::Nothing)).collect(), windows);
    assert_eq!(db.waiting_payments(10).expect("Postgres is there").len(), 3);
    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::NotQuiet(rest) if rest > NONE));
    db.execute_sql(
        "UPDATE payment_ledger SET quiet_at = now(), evidence = CASE seq WHEN 2 THEN 'Accepted: it has it' END",
    )
    .expect("time passes, and something is heard");
    assert!(matches!(resolve(key(0, 2), &paid, false), Resolved::OtherAttempt(1)));
    assert!(matches!(resolve(key(2, 1), &PersonsWord::NotPaid, false), Resolved::Contradicted(_)));
    assert!(matches!(resolve(key(0, 1), &paid, true), Resolved::Taken(rows) if rows.is_empty()), "a dry run");
    assert_eq!(count(&database, "operator_actions"), "0");

    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::Taken(rows) if told(&rows).len() == 1));
    assert!(matches!(resolve(key(1, 1), &PersonsWord::NotPaid, false), Resolved::Taken(_)));
    assert!(matches!(resolve(key(0, 1), &paid, false), Resolved::NotUnknown(LedgerState::Paid)), "said once");
    assert_eq!(ledger(&database, &batch), ["0:7:3:mpesa", "1:6:3:mpesa", "2:5:2:mpesa"]);
    let actions = database
        .values("SELECT concat_ws(' ', actor, action, target, evidence) AS value FROM operator_actions ORDER BY 1");
    let recorded = |word: &str, seq| format!("clerk payments resolve --{word} {} ticket 4711", key(seq, 1));
    assert_eq!(actions, [recorded("not-paid", 1), recorded("paid", 0)]);
    let waiting: Vec<i32> = db.waiting_payments(10).expect("Postgres is there").iter().map(|row| row.seq).collect();
    assert_eq!((waiting, forgotten(&database)), (vec![2], Vec::new()));
    assert_eq!(taken(&take_up(db, &me).expect("another attempt")), ["1:2:Send:false"]);
}

/// Whatever is learnt, by whomever, in whatever order: an open row always has somebody who will look at it.
#[test]
fn i4_an_open_payment_is_never_forgotten_whatever_is_learnt_about_it() {
    let Some(database) = gctb_testkit::database("i4_an_open_payment_is_never_forgotten") else { return };
    let db = database.db();
    let all = [
        Learnt::Accepted,
        Learnt::Refused { again: true },
        Learnt::Refused { again: false },
        Learnt::NotSent,
        Learnt::NotFound,
        Learnt::Duplicate,
        Learnt::Nothing,
    ];
    let mut dice = 7_u64;
    let mut draw = |many: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap_or(0) % many
    };
    let rails = [("askable", ASKABLE), ("blind", BLIND), ("two-phase", RailKind { two_phase: true, ..ASKABLE })];
    for (name, kind) in rails {
        let backend = BackendName::parse(name).expect("a name");
        let holders = [process(NONE), process(NONE)].map(|holder| Holder { kind, backend: backend.clone(), ..holder });
        let batch = stored(db, &[Item::Accepted(100); 20]);
        let mut windows = claim(db, &holders[0], &batch, 20).windows[0];
        let mut hands: Vec<(i32, i16)> = (0..20).map(|seq| (seq, 1)).collect();
        let mut owner = 0;
        for _ in 0..60 {
            let words: Vec<Word> = hands
                .iter()
                .map(|(seq, attempt)| Word { quiet: draw(2) == 0, ..about(*attempt, word(*seq, all[draw(all.len())])) })
                .collect();
            // Some are told by the one who does not own them.
            let (foreign, own) = words.split_at(draw(words.len() + 1));
            tell(db, &holders[1 - owner], &batch, foreign.to_vec(), None);
            tell(db, &holders[owner], &batch, own.to_vec(), windows.take());
            assert_eq!(forgotten(&database), Vec::<String>::new(), "{kind:?}");
            owner = draw(2);
            hands.clear();
            if let Some(work) = take_up(db, &holders[owner]) {
                hands = work.attempts.iter().map(|due| (due.seq.0, due.attempt)).collect();
                windows = Some(work.work);
                if work.attempts.iter().any(|due| due.todo == Todo::Send) {
                    assert!(kind != BLIND || work.attempts.iter().all(|due| !due.quiet), "a send begins a lease");
                }
            }
        }
    }
}
