//! Kafka killed, silent, stopped for longer than it keeps records, and topics that are deleted and made again.

use std::time::{Duration, Instant};

use gctb_events::Topic;
use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::own_kafka::OwnKafka;
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, Sent, Service, System};
use gctb_testkit::eventually_within;

/// A consumer, and the health component of its topic.
const CONSUMERS: [(Service, &str); 3] = [
    (Service::Mapper, "kafka gctb.batches"),
    (Service::BackendFile, "kafka gctb.payments.file"),
    (Service::Status, "kafka gctb.status"),
];

/// What an answer may take while Kafka is away: less than any time-out of Kafka, so that nobody has waited for it.
const UNDISTURBED: Duration = Duration::from_secs(2);

#[test]
fn i4_i8_kafka_killed_silent_and_away_for_longer_than_its_retention_loses_nothing_and_pays_nobody_twice() {
    let test = "i4_i8_kafka_killed_silent_and_away_for_longer_than_its_retention_loses_nothing_and_pays_nobody_twice";
    let Some(mut kafka) = OwnKafka::start(test) else { return };
    let Some(database) = gctb_testkit::database(test) else { return };
    let mut system = System::prepare_on(Options::impatient(), &kafka.brokers(), &kafka.direct(), database);
    system.start_all();

    // Killed, with payments in hand.
    system.bank().pause(true);
    system.submit(Batch::mixed(600));
    system.wait_for_value("claims", "SELECT (count(*) > 0)::text AS value FROM payment_ledger WHERE state = 3", "true");
    kafka.kill_9();
    assert_batches_are_taken_and_told_of(&mut system);
    assert_kafka_is_missed(&system, "no broker answers");
    kafka.start_again();
    system.bank().pause(false);
    assert_all_goes_on(&system);

    // Connections stand, and nothing is answered.
    kafka.line.fall_silent();
    assert_batches_are_taken_and_told_of(&mut system);
    assert_kafka_is_missed(&system, "");
    kafka.line.mend();
    assert_all_goes_on(&system);

    // Away while records expire that nobody has read, in every topic.
    system.pause(Service::Status);
    system.pause(Service::BackendFile);
    let paid_by_nobody = system.kafka.count("gctb.payments.file");
    system.submit(Batch::mixed(400));
    gctb_testkit::eventually("payments that nobody reads", || {
        (system.kafka.count("gctb.payments.file") > paid_by_nobody).then_some(())
    });
    system.pause(Service::Mapper);
    let routed_by_nobody = system.kafka.count("gctb.batches");
    system.submit(Batch::mixed(400));
    gctb_testkit::eventually("instructions that nobody reads", || {
        (system.kafka.count("gctb.batches") > routed_by_nobody).then_some(())
    });
    kafka.line.cut();
    kafka.stop();
    assert_batches_are_taken_and_told_of(&mut system);
    kafka.start_again();
    system.kafka.expire();
    kafka.line.mend();
    for (service, _) in CONSUMERS {
        system.resume(service);
    }
    assert_all_goes_on(&system);
}

/// A batch is taken and its sender told of it, both without a delay.
fn assert_batches_are_taken_and_told_of(system: &mut System) -> Sent {
    let began = Instant::now();
    let sent = system.submit(Batch::payable(300));
    assert_eq!(system.completed(&sent), Some(0), "the sender can ask");
    assert!(began.elapsed() < UNDISTURBED, "both took {:?}", began.elapsed());
    sent
}

/// Every service says that Kafka is away, goes on living, and gctb-api goes on taking batches.
fn assert_kafka_is_missed(system: &System, words: &str) {
    for (service, component) in CONSUMERS {
        assert_eq!(system.wait_until_failing(service, component, words), 503, "{component}");
        assert_eq!(system.readiness(service).0, 503);
    }
    assert_eq!(system.wait_until_failing(Service::Api, "kafka producer", ""), 200, "it is ready for batches");
    // The outbox is everybody's: whose relay tries next is chance.
    let failed = || -> u64 {
        Service::BRIDGE.iter().map(|service| system.metric(*service, "gctb_outbox_rows_total", &["failed"])).sum()
    };
    let before = failed();
    eventually_within(PATIENCE, "a row that Kafka does not take", || (failed() > before).then_some(()));
    system.wait_for_metric(Service::Api, "gctb_outbox_backlog_rows", &[], 1);
    system.wait_for_log(Service::Api, "messages wait");
    for service in Service::BRIDGE {
        let alive = gctb_system_tests::http::page(&system.url(service, "/healthz"));
        assert!(alive.is_ok(), "{} need not be started again: {alive:?}", service.name());
    }
}

fn assert_all_goes_on(system: &System) {
    system.sweep_until_finished();
    system.wait_until_all_are_well();
    assert_all_ended(system);
}

#[test]
fn i4_topics_deleted_and_made_again_under_running_services_strand_nothing() {
    let test = "i4_topics_deleted_and_made_again_under_running_services_strand_nothing";
    let Some(mut system) = System::start(test, Options::impatient()) else { return };
    let payments = Topic::from_name("gctb.payments.file").expect("a topic");
    for topic in [Topic::Batches, Topic::Resolve, payments, Topic::Status, Topic::Completions] {
        system.bank().pause(true);
        system.submit(Batch::mixed(400));
        system.kafka.delete(std::slice::from_ref(&topic));
        system.submit(Batch::mixed(100));
        let missed_by = CONSUMERS.iter().find(|(service, _)| service.topic() == topic.name());
        if let Some((service, component)) = missed_by {
            assert_eq!(system.wait_until_failing(*service, component, "does not exist"), 503);
        }
        system.kafka.apply();
        system.bank().pause(false);
        eprintln!("{} is made again", topic.name());
        assert_all_goes_on(&system);
    }
}
