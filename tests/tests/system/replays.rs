//! Messages that come again, forged ones, and senders that ask twice.

use gctb_domain::{BackendName, BatchId, BatchNo, Currency, FinancialAddress, Money, Seq};
use gctb_events::{Event, Instruction, Payment, PaymentChunk, Topic};
use gctb_system_tests::batch::Fate;
use gctb_system_tests::equation::{Before, assert_all_ended};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Item, Options, Service, System};
use gctb_testkit::eventually_within;
use serde_json::json;

/// Sets every consumer back to the first message of its topic, and returns when it has handled all that the topics held.
fn replay_everything(system: &mut System) {
    for service in Service::CONSUMERS {
        system.stop(service);
    }
    let held: Vec<u64> = Service::CONSUMERS.into_iter().map(|service| system.kafka.count(service.topic())).collect();
    for service in Service::CONSUMERS {
        system.kafka.replay(&system.group(service), service.topic());
    }
    system.start_all();
    for (service, held) in Service::CONSUMERS.into_iter().zip(held) {
        assert!(held > 0, "{} has something to replay", service.topic());
        eventually_within(PATIENCE, "every message to be handled again", || {
            (system.messages_handled(service) >= held).then_some(())
        });
    }
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
    let before = Before::of(&system);

    for _ in 0..2 {
        replay_everything(&mut system);
        // Who inserts nothing obeys the row that is there: each entry was handled again, and known.
        let claimed = sent.batch.count(|fate| fate == Fate::Paid) as u64;
        wait_until_met(&system, Service::BackendFile, claimed);
        assert_eq!(system.entries(Service::BackendFile, "claimed"), 0, "nothing is claimed a second time");
        assert_eq!(system.entries(Service::Status, "folded"), 0, "nothing is folded a second time");
        assert!(system.entries(Service::Status, "already_known") > 0, "the folder met what it knew");
        assert!(system.entries(Service::Mapper, "already_known") > 0, "the mapper met its refusals again");
        before.assert_unchanged(&system, "a replay");
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
    replay_everything(&mut system);
    system.bank().pause(false);
    replay_everything(&mut system);
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
