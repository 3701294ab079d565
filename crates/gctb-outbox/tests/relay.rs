//! When the relay looks into the outbox, and what it does with rows that Kafka does not take, on a real database. There is no
//! Kafka here.

use std::time::Duration;

use gctb_outbox::{Outbox, OutboxSettings};
use gctb_runtime::settings::load_from;
use gctb_runtime::{Health, KafkaSettings, Producer, ServiceIdentity, Shutdown, Workers};
use gctb_testkit::{TestDatabase, eventually};
use serde::Deserialize;

const IDENTITY: ServiceIdentity = ServiceIdentity { name: "gctb-test", about: "", defaults: "[kafka]" };
/// Longer than the test may take, so that a look before the first wait is the only one.
const HOUR: Duration = Duration::from_secs(3600);
/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

#[derive(Deserialize)]
struct Settings {
    kafka: KafkaSettings,
}

/// A relay that looks once, until the end of its test.
struct Relay {
    health: Health,
    shutdown: Shutdown,
    workers: Workers,
}

impl Relay {
    fn start(database: &TestDatabase) -> Self {
        let env = [("BROKERS", NOBODY), ("MESSAGE_TIMEOUT", "1s")];
        let env = env.map(|(key, value)| (format!("GCTB_TEST__KAFKA__{key}"), value.to_owned()));
        let Settings { kafka } =
            load_from(&IDENTITY, std::iter::empty(), env.into_iter()).expect("the settings are complete");
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let producer = Producer::new(&kafka, IDENTITY.name, &health).expect("a producer");
        let meter = opentelemetry::global::meter("test");
        let mut workers = Workers::new(&shutdown);
        let settings = OutboxSettings {
            queue_bytes_max: 1,
            relay_interval: HOUR,
            relay_rows_max: 1,
            resend_after: Duration::ZERO,
        };
        Outbox::start(&settings, database.db(), &producer, &health, &meter, &shutdown, &mut workers)
            .expect("it starts");
        Self { health, shutdown, workers }
    }

    fn stop(self) {
        self.shutdown.request();
        self.workers.join(Duration::from_secs(10)).expect("its threads end at once, however long the interval is");
    }
}

#[test]
fn the_relay_looks_once_before_its_first_wait_so_that_a_long_interval_keeps_no_service_from_being_ready() {
    let test = "the_relay_looks_once_before_its_first_wait_so_that_a_long_interval_keeps_no_service_from_being_ready";
    let Some(database) = gctb_testkit::database(test) else { return };
    let relay = Relay::start(&database);
    eventually("the relay to say that Postgres answers", || {
        (!relay.health.ready().failing.contains_key("postgres")).then_some(())
    });
    relay.stop();
}

#[test]
fn i8_a_row_that_kafka_does_not_take_stays_in_the_outbox() {
    let Some(database) = gctb_testkit::database("i8_a_row_that_kafka_does_not_take_stays_in_the_outbox") else {
        return;
    };
    let row = "INSERT INTO outbox (id, kind, batch_id, topic, key, schema, payload, due_at)
        VALUES (gen_random_uuid(), 1, gen_random_uuid(), 'gctb.batches', 'k', 's', '', '2020-01-01')";
    database.db().execute_sql(row).expect("a row that is due");
    let relay = Relay::start(&database);
    // The relay has let it go: it is there with a new due time and no emission that counts, or it is gone.
    let rows = "SELECT count(*)::text AS value FROM outbox";
    let leased = "SELECT count(*)::text AS value FROM outbox WHERE emissions > 0 OR due_at < '2021-01-01'";
    eventually("the relay to let the row go", || (database.value(leased) == "0").then_some(()));
    assert_eq!(database.value(rows), "1");
    relay.stop();
}
