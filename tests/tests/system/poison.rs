//! Messages that nobody can read.

use gctb_events::{Event, InstructionChunk, PaymentChunk, StatusChunk, header};
use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::news::{news_of_a_payment, unknown_batch};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Consumer, Options, Service, System};
use gctb_testkit::eventually_within;

const GARBAGE: &[u8] = b"Nyambura's garbage is no protobuf";

/// An entry of which only the position can be read, as protobuf has it: field, length, `seq = 7`.
const BAD_INSTRUCTION: [u8; 4] = [0x2a, 0x02, 0x08, 0x07];
const BAD_PAYMENT: [u8; 2] = [0x2a, 0x00];
const BAD_LEDGER_ENTRY: [u8; 4] = [0x1a, 0x02, 0x08, 0x07];

#[test]
fn i7_a_poison_entry_in_each_topic_is_dead_lettered_alone_and_the_rest_goes_on() {
    let test = "i7_a_poison_entry_in_each_topic_is_dead_lettered_alone_and_the_rest_goes_on";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.submit(Batch::payable(20));
    system.wait_until_finished();

    let bad_entries: [(Consumer, &[u8]); 4] = [
        (Consumer::Router, &BAD_INSTRUCTION),
        (Consumer::Resolver, &BAD_INSTRUCTION),
        (Consumer::BackendFile, &BAD_PAYMENT),
        (Consumer::Status, &BAD_LEDGER_ENTRY),
    ];
    for (consumer, bad_entry) in bad_entries {
        let topic = consumer.topic();
        let good = system.kafka.messages(topic).swap_remove(0).payload;
        system.kafka.produce_bytes(topic, "poison", GARBAGE.to_vec());
        system.kafka.produce_bytes(topic, "poison", [&good, bad_entry].concat());
    }
    system.submit(Batch::mixed(20));
    system.wait_until_finished();
    assert_all_ended(&system);

    for (consumer, bad_entry) in bad_entries {
        let dead = wait_for_dead(&system, consumer, 2);
        assert_eq!(dead.len(), 2, "{}: each poison alone, and nothing else", consumer.topic());
        assert!(dead.iter().any(|letter| letter.payload == GARBAGE), "a message nobody can read is kept as it came");
        let entry = dead.iter().find(|letter| letter.payload != GARBAGE).expect("the bad entry");
        assert!(entry.payload.ends_with(bad_entry), "the bad entry is kept");
        assert_eq!(good_entries(consumer, &entry.payload), 0, "without the good ones beside it");
        for letter in dead {
            assert!(!letter.headers[header::DEAD_REASON].is_empty(), "it says why");
            assert!(letter.headers[header::DEAD_ORIGIN].starts_with(consumer.topic()), "and where from");
            assert_eq!(letter.headers[header::DEAD_GROUP], consumer.group(&system), "and who gave up");
        }
        assert!(system.is_running(consumer.service()), "{consumer:?} goes on");
    }
}

fn wait_for_dead(system: &System, consumer: Consumer, count: u64) -> Vec<gctb_runtime::RawMessage> {
    let topic = format!("{}.dead", consumer.topic());
    eventually_within(PATIENCE, "dead letters", || (system.kafka.count(&topic) >= count).then_some(()));
    system.kafka.messages(&topic)
}

fn good_entries(consumer: Consumer, payload: &[u8]) -> usize {
    match consumer {
        Consumer::Router | Consumer::Resolver => {
            InstructionChunk::decode(payload).map_or(0, |decoded| decoded.event.instructions.len())
        }
        Consumer::BackendFile => PaymentChunk::decode(payload).map_or(0, |decoded| decoded.event.payments.len()),
        Consumer::Status => StatusChunk::decode(payload).map_or(0, |decoded| decoded.event.entries.len()),
    }
}

#[test]
fn i2_i7_messages_about_a_batch_that_the_database_does_not_know_are_set_aside_and_nobody_is_paid() {
    let test = "i2_i7_messages_about_a_batch_that_the_database_does_not_know_are_set_aside_and_nobody_is_paid";
    let Some(mut system) = System::start(test, Options::default()) else { return };
    system.submit(Batch::payable(20));
    system.wait_until_finished();
    let unknown = unknown_batch();
    let payment = system.kafka.messages(Service::BackendFile.topic()).swap_remove(0).payload;
    let mut order = PaymentChunk::decode(&payment).expect("our own").event;
    order.batch_id = unknown;
    system.kafka.produce_bytes(Service::BackendFile.topic(), &order.key(), order.encode());
    let news = news_of_a_payment(unknown);
    system.kafka.produce_bytes(Service::Status.topic(), &news.key(), news.encode());

    for consumer in [Consumer::BackendFile, Consumer::Status] {
        let dead = wait_for_dead(&system, consumer, 1);
        assert_eq!(dead.len(), 1, "{}", consumer.topic());
        assert!(system.is_running(consumer.service()), "{consumer:?} goes on");
    }
    system.submit(Batch::payable(20));
    system.wait_until_finished();
    assert_all_ended(&system);
}
