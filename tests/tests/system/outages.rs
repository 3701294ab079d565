//! Dependencies that are away.

use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::proxy::Proxy;
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, Service, System};
use gctb_testkit::eventually_within;

#[test]
fn i8_batches_are_accepted_while_kafka_is_away_and_go_out_when_it_is_back() {
    let test = "i8_batches_are_accepted_while_kafka_is_away_and_go_out_when_it_is_back";
    let nobody_listens_there = Some("127.0.0.1:1".to_owned());
    let Some(mut system) = System::start(test, Options { api_brokers: nobody_listens_there, ..Options::default() })
    else {
        return;
    };
    let sent = system.submit(Batch::payable(600));
    assert_eq!(system.kafka.count("gctb.batches"), 0, "nothing has reached Kafka");
    assert_eq!(system.completed(&sent), Some(0), "and the sender can ask");
    system.kill_9(Service::Api);
    system.options.api_brokers = None;
    system.start_service(Service::Api);
    system.wait_until_finished();
    assert_all_ended(&system);
}

#[test]
fn i8_while_postgres_is_away_the_api_answers_503_and_acknowledges_nothing() {
    let test = "i8_while_postgres_is_away_the_api_answers_503_and_acknowledges_nothing";
    let Some(mut system) = System::prepare(test, Options::default()) else { return };
    let (line, url) = line_to_postgres(&system);
    system.options.api_database_url = Some(url);
    system.start_all();
    system.submit(Batch::payable(50));

    line.cut();
    let batch = Batch::payable(50);
    let (status, answer) = system.post(&batch, &[]).expect("gctb-api answers");
    assert_eq!(status, 503, "{answer}");
    let rows = system.database.value("SELECT count(*)::text AS value FROM batches");
    assert_eq!(rows, "1", "nothing of it is stored");

    line.mend();
    eventually_within(PATIENCE, "the same message to be taken", || {
        let (status, _) = system.post(&batch, &[]).ok()?;
        (status == 200).then_some(())
    });
    system.submit(batch);
    assert_eq!(system.database.value("SELECT count(*)::text AS value FROM batches"), "2", "however often it was sent");
    system.wait_until_finished();
    assert_all_ended(&system);
}

/// A proxy to the database server, and the system's database URL through it.
fn line_to_postgres(system: &System) -> (Proxy, String) {
    let url = system.database.url();
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let server = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let line = Proxy::to(server);
    let through = url.replacen(host, &line.address().to_string(), 1);
    (line, through)
}
