//! Messages that come again, forged ones, and senders that ask twice.

use std::collections::BTreeSet;

use gctb_domain::{BackendName, BatchId, BatchNo, Currency, FinancialAddress, Money, Seq};
use gctb_events::{Event, Instruction, Payment, PaymentChunk, Topic};
use gctb_system_tests::bank::assert_nobody_is_paid_twice;
use gctb_system_tests::batch::Fate;
use gctb_system_tests::crash_points::VARIABLE;
use gctb_system_tests::equation::{Before, Sum, assert_all_ended, assert_witnesses_agree};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Consumer, Item, Options, Service, System};
use gctb_testkit::eventually_within;
use serde_json::json;

/// How a consumer comes to read its topic from the first message again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// An operator sets its group back, with `gctb replay`.
    GroupsSetBack,
    /// It is started under the name of a group that Kafka has never seen.
    NewGroups,
}

/// Each way, and each twice.
const EACH_WAY_TWICE: [Way; 4] = [Way::GroupsSetBack, Way::NewGroups, Way::GroupsSetBack, Way::NewGroups];

/// The process, topic and group of a loop that reads.
struct Feed {
    service: Service,
    topic: &'static str,
    group: String,
}

impl Feed {
    /// Those of this system, in the order in which an instruction meets them.
    fn all(system: &System) -> Vec<Self> {
        let feed = |consumer: Consumer| Self {
            service: consumer.service(),
            topic: consumer.topic(),
            group: consumer.group(system),
        };
        let second = Service::BackendFilebis;
        let second = Self { service: second, topic: second.topic(), group: system.group(second) };
        let mut feeds: Vec<Self> = Consumer::ALL.into_iter().map(feed).collect();
        if system.options.second_backend {
            feeds.insert(2, second);
        }
        feeds
    }

    fn messages_handled(&self, system: &System) -> u64 {
        system.metric(self.service, "gctb_consumer_messages_total", &[&format!("topic=\"{}\"", self.topic)])
    }

    /// Sets the group back as an operator does. Kafka may still count a member that has just left.
    fn set_back(&self, system: &System) {
        let words = ["replay", self.topic, "--group", &self.group, "--from", "earliest"];
        eventually_within(PATIENCE, "a group that can be set back", || system.try_gctb(&words).ok());
    }
}

/// Lets every consumer read its topic again from the first message, and returns when it has handled all that the topic held,
/// and what followed from that.
fn replay_everything(system: &mut System, way: Way) {
    let services: BTreeSet<Service> = Feed::all(system).iter().map(|feed| feed.service).collect();
    for service in services {
        system.stop(service);
    }
    let held: Vec<u64> = Feed::all(system).iter().map(|feed| system.kafka.count(feed.topic)).collect();
    match way {
        Way::GroupsSetBack => Feed::all(system).iter().for_each(|feed| feed.set_back(system)),
        Way::NewGroups => system.rename_groups(),
    }
    system.start_all();
    for (feed, held) in Feed::all(system).iter().zip(held) {
        let is_optional = feed.service == Service::BackendFilebis;
        assert!(held > 0 || is_optional, "{} has something to replay", feed.topic);
        // Those before it in the way of an instruction are done by now: nothing more comes.
        eventually_within(PATIENCE, &format!("every message of {} to be handled again", feed.topic), || {
            let handled = feed.messages_handled(system);
            (handled >= held && handled >= system.kafka.count(feed.topic)).then_some(())
        });
    }
}

/// How many entries consumers have decided about since their start. Who only meets what is decided adds nothing to it.
fn decided(system: &System) -> u64 {
    let by_mapper = [Consumer::Router, Consumer::Resolver].map(|consumer| consumer.entries(system, "rejected"));
    let by_backends = [Service::BackendFile, Service::BackendFilebis].map(|backend| {
        ["claimed", "cancelled", "rejected"].map(|outcome| system.entries(backend, outcome)).iter().sum::<u64>()
    });
    by_mapper.iter().chain(&by_backends).sum::<u64>() + system.entries(Service::Status, "folded")
}

/// Replays everything, each way twice. Not a column of a table may change, not a line be added to the bank's book, and nobody may
/// decide or fold anything.
fn assert_replays_change_nothing(system: &mut System) {
    let before = Before::to_the_last_column(system);
    let completions = system.kafka.count("gctb.completions");
    assert!(completions > 0, "the batch's end was told");
    for way in EACH_WAY_TWICE {
        replay_everything(system, way);
        before.assert_unchanged(system, &format!("a replay by {way:?}"));
        assert_eq!(decided(system), 0, "{way:?}: nothing is decided a second time");
        assert!(system.entries(Service::Status, "already_known") > 0, "{way:?}: the folder met what it knew");
        // Nobody reads gctb.completions yet. What is finished must not be told to be finished again.
        assert_eq!(system.kafka.count("gctb.completions"), completions, "{way:?}: no batch made progress");
    }
    let set_back = Feed::all(system).len() * 2;
    let recorded = "SELECT count(*)::text AS value FROM operator_actions WHERE action = 'replay'";
    assert_eq!(system.database.value(recorded), set_back.to_string(), "each replay of an operator is on record");
}

/// How many entries a backend has been asked to pay since its start, whatever came of it.
fn entries_met(system: &System, backend: Service) -> u64 {
    ["claimed", "already_known", "rejected"].into_iter().map(|outcome| system.entries(backend, outcome)).sum()
}

fn wait_until_met(system: &System, backend: Service, entries: u64) {
    eventually_within(PATIENCE, "the backend to be asked for every payment", || {
        (entries_met(system, backend) >= entries).then_some(())
    });
}

#[test]
fn i2_i5_replaying_every_topic_from_offset_0_pays_nobody_twice_and_changes_no_row() {
    let test = "i2_i5_replaying_every_topic_from_offset_0_pays_nobody_twice_and_changes_no_row";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let sent = system.submit(Batch::mixed(1200));
    system.wait_until_finished();
    let account = assert_all_ended(&system);
    assert_replays_change_nothing(&mut system);

    // Whoever decides nothing obeys the row that is there: each entry was handled again, and known.
    let claimed = sent.batch.count(|fate| fate == Fate::Paid) as u64;
    wait_until_met(&system, Service::BackendFile, claimed);
    for consumer in [Consumer::Router, Consumer::Resolver] {
        assert!(consumer.entries(&system, "already_known") > 0, "{consumer:?} met its refusals again");
    }
    assert_eq!(assert_all_ended(&system), account);
}

#[test]
fn i2_a_replay_in_the_middle_of_a_batch_pays_everybody_once() {
    let test = "i2_a_replay_in_the_middle_of_a_batch_pays_everybody_once";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.bank().pause(true);
    system.submit(Batch::mixed(600));
    system.wait_for_value(
        "claims",
        "SELECT (count(*) >= 600)::text AS value FROM payment_ledger WHERE state = 3",
        "true",
    );
    replay_everything(&mut system, Way::GroupsSetBack);
    system.bank().pause(false);
    replay_everything(&mut system, Way::NewGroups);
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i2_a_changed_route_and_a_mapper_that_answers_differently_before_a_replay_pay_nobody_again() {
    let test = "i2_a_changed_route_and_a_mapper_that_answers_differently_before_a_replay_pay_nobody_again";
    let options = Options { second_backend: true, ..Options::default() };
    let Some(mut system) = System::start(test, options) else { return };
    system.bank().pause(true);
    let sent = system.submit(Batch::mixed(600));
    let claimed = sent.batch.count(|fate| fate == Fate::Paid) + 1;
    system.wait_for_ledger("3", claimed);
    system.wait_for_an_empty_outbox();

    system.stop(Service::Mapper);
    system.options.route_to = "filebis";
    system.bank().mapper(&json!({ "salt": "everybody has moved to another account" }));
    system.kafka.replay(&system.group(Service::Mapper), Service::Mapper.topic());
    system.start_service(Service::Mapper);
    wait_until_met(&system, Service::BackendFilebis, claimed as u64);
    assert_eq!(system.entries(Service::BackendFilebis, "claimed"), 0, "it claims nothing");

    system.bank().pause(false);
    system.wait_until_finished();
    assert_all_ended(&system);
    let files = "SELECT count(*)::text AS value FROM outgoing_files WHERE backend = 'filebis' AND line_count > 0";
    assert_eq!(system.database.value(files), "0", "it fills no file");
    let folder = std::fs::read_dir(system.path("bank-filebis/outgoing")).expect("its folder");
    let put = folder.flatten().filter(|entry| entry.path().is_file()).count();
    assert_eq!(put, 0, "and puts none");
    assert_replays_change_nothing(&mut system);
    assert_all_ended(&system);
}

#[test]
fn i2_i5_what_was_rejected_stays_rejected_when_the_mapper_would_now_resolve_it() {
    let test = "i2_i5_what_was_rejected_stays_rejected_when_the_mapper_would_now_resolve_it";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let nobody = |item: Item| Item { fate: Fate::Refused("rjct.payee_fa.invalid"), ..item };
    let strangers: Vec<Item> = (0..300).map(|_| nobody(Item::to_id())).collect();
    let known_to_nobody: serde_json::Map<_, _> =
        strangers.iter().map(|item| (item.payee_fa.clone(), serde_json::Value::Null)).collect();
    system.bank().mapper(&json!({ "overrides": known_to_nobody }));
    let items = strangers.into_iter().chain((0..300).map(|_| Item::to_account())).collect();
    system.submit(Batch::of(items));
    system.wait_until_finished();
    assert_all_ended(&system);

    system.bank().mapper(&json!({ "overrides": {} }));
    assert_replays_change_nothing(&mut system);
    assert!(system.entries(Service::BackendFile, "already_known") >= 600, "the backend was asked to pay them");
    assert_all_ended(&system);
}

/// A page of the status API holds so many.
fn two_thousand() -> Batch {
    Batch::of((0..2000).map(|n: usize| if n.is_multiple_of(10) { Item::to_id() } else { Item::to_account() }).collect())
}

/// Cancels every batch, as an operator's tool does.
const CANCEL: &str = "UPDATE batch_controls SET state = 3, changed_at = now()";

#[test]
fn i2_i4_of_a_batch_that_is_cancelled_while_it_is_claimed_each_instruction_is_cancelled_or_paid_once() {
    let test = "i2_i4_of_a_batch_that_is_cancelled_while_it_is_claimed_each_instruction_is_cancelled_or_paid_once";
    if !gctb_runtime::HAS_CRASH_POINTS {
        gctb_testkit::skipped(test, "built without the feature gctb-runtime/crash-points; `make test` builds with it");
        return;
    }
    let one_by_one = (Service::BackendFile, "consumer.poll_max_messages".to_owned(), "1".to_owned());
    let Some(mut system) = System::prepare(test, Options { settings: vec![one_by_one], ..Options::default() }) else {
        return;
    };
    for service in [Service::Simulator, Service::Status, Service::Mapper, Service::Api] {
        system.launch(service);
    }
    system.wait_until_ready(Service::Api);
    // The second claim stands still with its rows written, its lock on the control row held, and nothing committed.
    system.launch_with(Service::BackendFile, &[(VARIABLE, "claim.commit.before:2:freeze")]);
    let sent = system.submit(two_thousand());
    eventually_within(PATIENCE, "a claim in the middle of its commit", || {
        system.is_frozen(Service::BackendFile).then_some(())
    });
    std::thread::scope(|scope| {
        scope.spawn(|| system.execute(CANCEL));
        system.wait_for_value("the cancel to wait for the claim", WAITING_FOR_A_LOCK, "1");
        system.resume(Service::BackendFile);
    });
    system.wait_until_finished();

    assert_each_is_cancelled_or_paid_once(&system, &sent.batch.items);
    // Other batches meet the cancel wherever they are by then.
    for claims in [1, 700] {
        system.submit(two_thousand());
        let claimed = format!(
            "SELECT (count(*) >= {claims})::text AS value FROM payment_ledger l JOIN batch_controls c
                               USING (batch_id) WHERE c.state = 1"
        );
        system.wait_for_value("claims", &claimed, "true");
        system.execute(&format!("{CANCEL} WHERE state = 1"));
    }
    system.wait_until_finished();
    assert_replays_change_nothing(&mut system);
    let items: Vec<Item> = system.sent.iter().flat_map(|sent| sent.batch.items.clone()).collect();
    assert_each_is_cancelled_or_paid_once(&system, &items);
}

/// How many cancels of this database wait for a lock.
const WAITING_FOR_A_LOCK: &str = "SELECT count(*)::text AS value FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE batch_controls%'";

/// The witnesses agree; the bank paid whom the ledger calls PAID, once, and nobody whom it calls CANCELLED.
fn assert_each_is_cancelled_or_paid_once(system: &System, items: &[Item]) {
    let account = assert_witnesses_agree(system);
    assert_eq!(account.in_flight, Sum::default(), "nothing is in flight");
    let book = system.bank().book();
    assert_nobody_is_paid_twice(&book);
    let places = |state: u8| {
        let sql = format!("SELECT resolved_fa AS value FROM payment_ledger WHERE state = {state}");
        system.database.values(&sql)
    };
    let (cancelled, paid) = (places(2), places(7));
    assert!(!cancelled.is_empty() && !paid.is_empty(), "{} cancelled, {} paid", cancelled.len(), paid.len());
    assert_eq!(cancelled.len() + paid.len(), items.len(), "each is one of both");
    let account_of = |fa: &str| fa.trim_start_matches("account:").split('@').next().unwrap_or_default().to_owned();
    let in_the_book: BTreeSet<String> = book.into_iter().map(|payment| payment.account).collect();
    let in_the_ledger: BTreeSet<String> = paid.iter().map(|fa| account_of(fa)).collect();
    assert_eq!(in_the_book, in_the_ledger, "left: whom the bank paid; right: whom the ledger calls paid");
    let in_a_file = "SELECT count(*)::text AS value FROM payment_ledger WHERE state = 2 AND file_id IS NOT NULL";
    assert_eq!(system.database.value(in_a_file), "0", "nobody who is cancelled stands in a file");
}

#[test]
fn i2_refused_disbursements_are_paid_by_nobody_even_if_a_message_orders_it() {
    let test = "i2_refused_disbursements_are_paid_by_nobody_even_if_a_message_orders_it";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let sent = system.submit(Batch::mixed(40));
    system.wait_until_finished();
    assert_all_ended(&system);
    let before = Before::of(&system);

    let forged = forge_payments(&system, sent.batch.items.len(), |seq| sent.batch.items[seq].fate != Fate::Paid);
    let orders = forged.payments.len() as u64;
    assert_eq!(orders, 10, "an order for each refused disbursement");
    let met = entries_met(&system, Service::BackendFile);
    let topic = Topic::Payments(BackendName::parse("file").expect("a name"));
    system.kafka.produce_bytes(&topic.name(), &forged.key(), forged.encode());
    wait_until_met(&system, Service::BackendFile, met + orders);
    before.assert_unchanged(&system, "an order to pay what was refused");
}

/// A message that orders to pay the positions that `wanted` names of the one batch of the database.
fn forge_payments(system: &System, items: usize, wanted: impl Fn(usize) -> bool) -> PaymentChunk {
    let batch_id = system.database.value("SELECT batch_id::text AS value FROM batches");
    let batch_no = system.database.value("SELECT batch_no::text AS value FROM batches");
    let fa = |text: String| FinancialAddress::parse(&text).expect("an address");
    let kes = Currency::parse("KES").expect("a currency");
    let payment = |seq: usize| {
        let resolved_fa = fa(format!("account:99{seq:08}7777@nairobi.kcb.bank_acc"));
        let instruction = Instruction {
            seq: Seq(i32::try_from(seq).expect("few")),
            reference_id: format!("forged-{seq}"),
            from_fa: fa("account:4100200300@head.treasury.bank_acc".to_owned()),
            to_fa: resolved_fa.clone(),
            amount: Money::from_minor(100_000, kes).expect("an amount"),
            scheduled_at: None,
            payee_name: String::new(),
            purpose: String::new(),
            note: String::new(),
        };
        Payment { instruction, resolved_fa }
    };
    PaymentChunk {
        batch_id: BatchId::from_uuid(batch_id.parse().expect("an id")),
        batch_no: BatchNo(batch_no.parse().expect("a number")),
        chunk_no: 0,
        part: 99,
        payments: (0..items).filter(|seq| wanted(*seq)).map(payment).collect(),
    }
}

#[test]
fn i2_a_retried_post_without_transaction_id_is_the_same_batch_and_a_changed_one_is_refused() {
    let test = "i2_a_retried_post_without_transaction_id_is_the_same_batch_and_a_changed_one_is_refused";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    let mut batch = Batch::payable(30);
    batch.transaction_id = None;
    batch.items[7].reference_id = String::new();
    let first = system.submit(batch.clone());
    for _ in 0..3 {
        let (status, answer) = system.post(&batch, &[]).expect("gctb-api answers");
        assert_eq!(status, 200, "{answer}");
        assert_eq!(answer["message"]["transaction_id"], first.transaction_id.as_str(), "it finds itself");
    }
    let mut changed = batch;
    changed.items.push(Item::to_account());
    let (status, answer) = system.post(&changed, &[]).expect("gctb-api answers");
    assert!((400..500).contains(&status), "other content under the same name: {status} {answer}");
    assert_eq!(answer["header"]["status"], "rjct", "{answer}");
    system.wait_until_finished();
    assert_all_ended(&system);
    assert_eq!(system.database.value("SELECT count(*)::text AS value FROM batches"), "1");
}
