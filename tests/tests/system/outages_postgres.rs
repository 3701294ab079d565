//! Postgres stopped, killed, crowded, read-only, refusing commits, and behind a bad line.

use std::time::Duration;

use gctb_system_tests::equation::assert_all_ended;
use gctb_system_tests::own_postgres::OwnPostgres;
use gctb_system_tests::proxy::{Break, Proxy};
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Options, Service, System};
use gctb_testkit::{TestDatabase, eventually_within};

/// Ends the services' connections, so that what is new about the server holds for them.
const END_CONNECTIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'gctb-%' AND application_name <> 'gctb-test'";

#[test]
fn i1_i8_postgres_stopped_killed_crowded_read_only_and_refusing_commits_loses_nothing_and_pays_nobody_twice() {
    let test =
        "i1_i8_postgres_stopped_killed_crowded_read_only_and_refusing_commits_loses_nothing_and_pays_nobody_twice";
    let Some(mut postgres) = OwnPostgres::start(test) else { return };
    let Some(brokers) = gctb_testkit::kafka(test) else { return };
    let database = TestDatabase::create(&postgres.url());
    let mut system = System::prepare_on(Options::impatient(), &brokers, &brokers, database);
    system.start_all();

    work_in_hand(&mut system);
    postgres.stop();
    let refused = assert_postgres_is_missed(&system, "could not connect to Postgres");
    assert_files_are_known_to_wait(&system);
    postgres.start_again();
    assert_all_goes_on(&mut system, refused);

    work_in_hand(&mut system);
    postgres.kill_9();
    let refused = assert_postgres_is_missed(&system, "could not connect to Postgres");
    assert_files_are_known_to_wait(&system);
    postgres.start_again();
    assert_all_goes_on(&mut system, refused);

    work_in_hand(&mut system);
    let mut crowd = postgres.crowd();
    eventually_within(PATIENCE, "no connection to be left for anybody else", || {
        system.execute(END_CONNECTIONS);
        crowd.extend(postgres.crowd());
        let is_out = |service: &Service| system.readiness(*service).0 == 503;
        Service::BRIDGE.iter().all(is_out).then_some(())
    });
    let refused = assert_postgres_is_missed(&system, "could not connect to Postgres");
    assert_files_are_known_to_wait(&system);
    drop(crowd);
    assert_all_goes_on(&mut system, refused);

    work_in_hand(&mut system);
    set_read_only(&system, "SET default_transaction_read_only = on");
    system.execute(END_CONNECTIONS);
    let refused = assert_postgres_is_missed(&system, "could not take due rows from the outbox");
    // The services' sessions began read-only: they must find out by themselves that it is over.
    set_read_only(&system, "RESET default_transaction_read_only");
    assert_all_goes_on(&mut system, refused);

    work_in_hand(&mut system);
    system.execute(REFUSE_COMMITS);
    let refused = Batch::payable(50);
    assert_is_refused(&system, &refused);
    system.wait_until_failing(Service::Status, "work on gctb.status", "could not fold");
    system.wait_until_failing(Service::BackendFile, "payment files", "a payment file");
    system.wait_for_log(Service::BackendFile, "payment files wait");
    system.wait_for_metric(Service::Status, "gctb_consumer_retries_total", &["gctb.status"], 3);
    system.execute("DROP FUNCTION refuse_commits CASCADE");
    assert_all_goes_on(&mut system, refused);
}

/// Refuses at the COMMIT itself what intake, fold and the delivery of files did before it.
const REFUSE_COMMITS: &str = "
    CREATE FUNCTION refuse_commits() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'this commit is refused'; END $$;
    CREATE CONSTRAINT TRIGGER refuse_intake AFTER INSERT ON batches DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse_commits();
    CREATE CONSTRAINT TRIGGER refuse_fold AFTER UPDATE ON batches DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION refuse_commits();
    CREATE CONSTRAINT TRIGGER refuse_delivery AFTER UPDATE ON outgoing_files DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.state = 4) EXECUTE FUNCTION refuse_commits();";

fn set_read_only(system: &System, how: &str) {
    system.execute(&format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {how}', current_database()); END $$"));
}

/// Some hundred payments, none of them at its end and all of them on their way.
fn work_in_hand(system: &mut System) {
    system.submit(Batch::mixed(400));
}

/// The message is refused with 503 and nothing of it is acknowledged.
fn assert_is_refused(system: &System, batch: &Batch) {
    let (status, answer) = system.post(batch, &[]).expect("gctb-api answers");
    assert_eq!(status, 503, "{answer}");
}

/// Every service says that it cannot work for want of Postgres, and goes on living. Gives the batch that was refused.
fn assert_postgres_is_missed(system: &System, words: &str) -> Batch {
    let refused = Batch::payable(50);
    for service in Service::BRIDGE {
        assert_eq!(system.wait_until_failing(service, "postgres", words), 503, "{}", service.name());
        system.wait_for_log(service, "the outbox cannot be read");
    }
    let failed = system.metric(Service::Api, "gctb_request_errors_total", &["failed"]);
    assert_is_refused(system, &refused);
    assert!(system.metric(Service::Api, "gctb_request_errors_total", &["failed"]) > failed, "it is counted");
    for service in Service::BRIDGE {
        let alive = gctb_system_tests::http::page(&system.url(service, "/healthz"));
        assert!(alive.is_ok(), "{} need not be started again: {alive:?}", service.name());
    }
    refused
}

/// The worker of payment files says so too, unlike of a Postgres that can be read: there it notices only what is due.
fn assert_files_are_known_to_wait(system: &System) {
    system.wait_until_failing(Service::BackendFile, "payment files", "");
}

/// The refused batch is taken now, and everything comes to its end.
fn assert_all_goes_on(system: &mut System, refused: Batch) {
    // The test's own connections broke as well.
    eventually_within(PATIENCE, "Postgres to answer the test", || system.database.db().ping().ok());
    system.submit_until_taken(refused);
    system.wait_until_all_are_well();
    system.settle_unclear_files();
    system.sweep_until_finished();
    assert_all_ended(system);
}

/// A system whose services reach Postgres through a line each.
fn on_lines(test: &str) -> Option<(System, Vec<Proxy>)> {
    let mut system = System::prepare(test, Options::impatient())?;
    let mut lines = Vec::new();
    for service in Service::BRIDGE {
        let (line, url) = Proxy::to_database(system.database.url());
        // A new connection takes five round trips: on a slow line and a busy machine more than the second of other stories.
        let more = [("database.url", url), ("database.connect_timeout", "3s".to_owned())];
        system.options.settings.extend(more.map(|(key, value)| (service, key.to_owned(), value)));
        lines.push(line);
    }
    system.start_all();
    Some((system, lines))
}

#[test]
fn i1_i2_commits_of_which_nobody_hears_whether_they_were_done_lose_nothing_and_pay_nobody_twice() {
    let test = "i1_i2_commits_of_which_nobody_hears_whether_they_were_done_lose_nothing_and_pay_nobody_twice";
    let Some((mut system, lines)) = on_lines(test) else { return };
    for which in [Break::BeforeCommit, Break::AfterCommit] {
        let before: Vec<u64> = lines.iter().map(Proxy::broken_commits).collect();
        lines.iter().for_each(|line| line.break_commits(which, 2));
        for _ in 0..4 {
            system.submit_until_taken(Batch::mixed(150));
        }
        for ((service, line), before) in Service::BRIDGE.iter().zip(&lines).zip(before) {
            let what = format!("commits of {} to break: {which:?}", service.name());
            eventually_within(PATIENCE, &what, || (line.broken_commits() >= before + 2).then_some(()));
        }
        lines.iter().for_each(Proxy::mend);
        system.settle_unclear_files();
        system.sweep_until_finished();
        system.wait_until_all_are_well();
        assert_all_ended(&system);
    }
}

#[test]
fn i8_lines_to_postgres_that_are_slow_that_break_off_and_that_fall_silent_lose_nothing() {
    let test = "i8_lines_to_postgres_that_are_slow_that_break_off_and_that_fall_silent_lose_nothing";
    let Some((mut system, lines)) = on_lines(test) else { return };

    lines.iter().for_each(|line| line.delay(Duration::from_millis(20)));
    system.submit(Batch::mixed(300));
    system.wait_until_finished();

    lines.iter().for_each(|line| line.end_connections_after(400_000));
    for _ in 0..3 {
        system.submit_until_taken(Batch::mixed(300));
    }
    system.wait_for_log(Service::Api, "could not");
    lines.iter().for_each(Proxy::mend);

    system.submit_until_taken(Batch::mixed(300));
    system.wait_until_all_are_well();
    lines.iter().for_each(Proxy::fall_silent);
    // Whether a question stays unanswered or a connection cannot be had is chance; that one of them is told is not.
    assert_eq!(system.wait_until_failing(Service::Api, "database", ""), 503);
    for service in Service::CONSUMERS {
        assert_eq!(system.wait_until_failing(service, "postgres", ""), 503, "{}", service.name());
    }
    lines.iter().for_each(Proxy::mend);
    system.submit_until_taken(Batch::mixed(100));
    system.settle_unclear_files();
    system.sweep_until_finished();
    system.wait_until_all_are_well();
    assert_all_ended(&system);
}
