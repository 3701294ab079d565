//! Several replicas of each consumer: one dies, one freezes and wakes up long after everybody took it for dead, and they come and
//! go while batches pass.
//!
//! Who freezes does so at a crash point (`tests/crash-points.toml`), since the harm would lie between two steps. Its line to
//! Postgres is cut meanwhile, as a network or Postgres' own time-outs cut it in the end: its locks go, and the others take over
//! what it had in hand. Then it wakes up in the middle of what it was about to do.

use std::time::{Duration, Instant};

use chrono::Utc;
use gctb_domain::{BackendName, BatchId, LedgerState, Seq};
use gctb_events::{Event, LedgerEntry, StatusChunk};
use gctb_system_tests::crash_points::VARIABLE;
use gctb_system_tests::equation::{Before, assert_all_ended};
use gctb_system_tests::proxy::Proxy;
use gctb_system_tests::system::PATIENCE;
use gctb_system_tests::{Batch, Consumer, Item, Options, Replica, Service, System};
use gctb_testkit::eventually_within;
use uuid::Uuid;

/// What a whole story of freezing, time-outs and waking up may take at most between two of its steps.
const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// Without crash points nobody freezes exactly there.
fn has_crash_points(test: &str) -> bool {
    if !gctb_runtime::HAS_CRASH_POINTS {
        gctb_testkit::skipped(test, "built without the feature gctb-runtime/crash-points; `make test` builds with it");
    }
    gctb_runtime::HAS_CRASH_POINTS
}

/// Groups that take a silent member for dead after three seconds, so that a freeze can outlast it.
fn hasty() -> Options {
    let short = |service| (service, "kafka.session_timeout".to_owned(), "3s".to_owned());
    Options { settings: Service::CONSUMERS.map(short).to_vec(), ..Options::default() }
}

/// A replica that freezes at a point, and its line to Postgres.
struct Zombie {
    replica: Replica,
    point: &'static str,
    line: Proxy,
}

impl Zombie {
    fn start(system: &System, service: Service, point: &'static str) -> Self {
        let (line, url) = Proxy::to_database(system.database.url());
        let armed = format!("{point}:freeze");
        let name = format!("{}-zombie", service.name());
        let replica = system.replica(service, &name, &[("database.url", &url)], &[(VARIABLE, &armed)]);
        replica.wait_until_armed(point);
        Self { replica, point, line }
    }

    /// Ends its connections; it can make new ones when it wakes up.
    fn lose_its_line(&self) {
        self.line.cut();
        self.line.mend();
    }

    /// Lets it go on, and returns when it is a member of its group again, or of the bridge at least.
    fn wake_up(&mut self) {
        let assigned = self.replica.assignments();
        self.replica.resume();
        eventually_within(LONG_PATIENCE, "the one that was frozen to work again", || {
            (self.replica.assignments() > assigned).then_some(())
        });
        self.replica.wait_until_ready();
        assert!(self.replica.is_running(), "it wakes up and works on");
    }
}

/// Three replicas of each consumer. The third of each freezes where `freezes` says, the second is killed then. Given back are the
/// zombies; work for the others is submitted, and nobody has waited for its end.
fn one_of_three_dies_and_one_freezes(system: &mut System, freezes: [(Service, &'static str); 3]) -> Vec<Zombie> {
    let victims = Service::CONSUMERS.map(|service| {
        let name = format!("{}-victim", service.name());
        system.replica(service, &name, &[], &[])
    });
    victims.iter().for_each(Replica::wait_until_ready);
    let zombies: Vec<Zombie> =
        freezes.into_iter().map(|(service, point)| Zombie::start(system, service, point)).collect();
    let frozen = |zombie: &Zombie| zombie.replica.is_frozen_at(zombie.point);
    let deadline = Instant::now() + LONG_PATIENCE;
    while !zombies.iter().all(frozen) {
        let missing: Vec<&str> =
            zombies.iter().filter(|zombie| !frozen(zombie)).map(|zombie| zombie.replica.name()).collect();
        assert!(Instant::now() < deadline, "{missing:?} did not come to the point");
        // Chunks go to partitions by their keys, and files to whoever looks first: sooner or later each has work.
        let sent = system.submit(Batch::mixed(1200));
        let _ = eventually_or_not(|| zombies.iter().all(frozen) || system.completed(&sent) == Some(1210));
    }
    victims.into_iter().for_each(Replica::kill_9);
    system.submit(Batch::mixed(1200));
    zombies
}

/// Waits some seconds for a condition; a frozen replica may hold up what it waits for.
fn eventually_or_not(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if condition() {
            return true;
        }
        // The pause between two looks.
        std::thread::park_timeout(Duration::from_millis(50));
    }
    false
}

/// Returns when nothing of any batch is in flight, with the operator doing what has to be done.
fn wait_until_finished_with_an_operator(system: &System) {
    eventually_within(LONG_PATIENCE, "the others to finish everything", || {
        system.resolve_unclear_files();
        let is_finished =
            |sent: &gctb_system_tests::Sent| system.completed(sent) == Some(sent.batch.items.len() as u64);
        system.sent.iter().all(is_finished).then_some(())
    });
}

/// While the zombies are frozen the others finish everything; they wake up, and nothing changes; then all work together.
fn the_zombies_do_no_harm(mut system: System, freezes: [(Service, &'static str); 3]) {
    let mut zombies = one_of_three_dies_and_one_freezes(&mut system, freezes);
    zombies.iter().for_each(Zombie::lose_its_line);
    wait_until_finished_with_an_operator(&system);
    assert_all_ended(&system);
    let before = Before::of(&system);
    for consumer in Consumer::ALL {
        eventually_within(PATIENCE, "Kafka to take the killed and the frozen for dead", || {
            (system.kafka.members(&consumer.group(&system)) == 1).then_some(())
        });
    }

    zombies.iter_mut().for_each(Zombie::wake_up);
    before.assert_unchanged(&system, "a replica that was frozen and woke up");
    system.submit(Batch::mixed(300));
    wait_until_finished_with_an_operator(&system);
    assert_all_ended(&system);
    zombies.into_iter().for_each(|zombie| zombie.replica.stop());
}

#[test]
fn i2_i4_of_three_replicas_of_each_consumer_one_dies_and_one_freezes_after_its_commit_and_everybody_is_paid_once() {
    let test =
        "i2_i4_of_three_replicas_of_each_consumer_one_dies_and_one_freezes_after_its_commit_and_everybody_is_paid_once";
    if !has_crash_points(test) {
        return;
    }
    let Some(system) = System::start(test, hasty()) else { return };
    // Claimed and not told, rejected and not told, folded and not read.
    let freezes = [
        (Service::BackendFile, "claim.commit.after"),
        (Service::Mapper, "reject.commit.after"),
        (Service::Status, "fold.commit.after"),
    ];
    the_zombies_do_no_harm(system, freezes);
}

#[test]
fn i2_i4_of_three_replicas_of_each_consumer_one_dies_and_one_freezes_before_its_effect_and_everybody_is_paid_once() {
    let test = "i2_i4_of_three_replicas_of_each_consumer_one_dies_and_one_freezes_before_its_effect_and_everybody_is_paid_once";
    if !has_crash_points(test) {
        return;
    }
    let Some(system) = System::start(test, hasty()) else { return };
    // On the way to the put, DELIVERING and with the file's lock: the others lose sight of the file, and an operator says that the
    // bank never had it. Before its messages to a backend, and in a transaction with the batch's lock.
    let freezes = [
        (Service::BackendFile, "file.put.gate.before"),
        (Service::Mapper, "producer.send.before"),
        (Service::Status, "fold.commit.before"),
    ];
    the_zombies_do_no_harm(system, freezes);
}

#[test]
fn i2_i4_a_replica_that_freezes_before_it_gives_a_file_its_name_delivers_it_when_it_wakes_up_and_nobody_else_does() {
    let test = "i2_i4_a_replica_that_freezes_before_it_gives_a_file_its_name_delivers_it_when_it_wakes_up_and_nobody_else_does";
    if !has_crash_points(test) {
        return;
    }
    let Some(mut system) = System::start(test, hasty()) else { return };
    let mut zombie = Zombie::start(&system, Service::BackendFile, "file.put.link.before");
    zombie.replica.wait_until_ready();
    let deadline = Instant::now() + LONG_PATIENCE;
    while !zombie.replica.is_frozen_at(zombie.point) {
        assert!(Instant::now() < deadline, "it did not come to the point");
        let sent = system.submit(Batch::mixed(300));
        let _ = eventually_or_not(|| zombie.replica.is_frozen_at(zombie.point) || system.completed(&sent) == Some(310));
    }
    zombie.lose_its_line();
    // One file is the zombie's; it had gone through its gate. All others find it unclear and leave it alone, and an operator who
    // cannot rule out that its writer lives says nothing.
    let unclear =
        "SELECT count(*)::text AS value FROM outgoing_files WHERE state = 3 AND needs_operator_since IS NOT NULL";
    system.wait_for_value("the others to look for the file", unclear, "1");
    system.wait_for_value(
        "all else to be delivered",
        "SELECT count(*)::text AS value FROM outgoing_files WHERE state IN (1, 2, 4)",
        "0",
    );
    system.wait_for_an_empty_outbox();
    assert_eq!(system.database.value(unclear), "1", "nobody else puts it");
    // All that may be over before the group misses a member.
    eventually_within(LONG_PATIENCE, "the group to take the frozen one for dead", || {
        (system.kafka.members(&Consumer::BackendFile.group(&system)) == 1).then_some(())
    });

    zombie.wake_up();
    system.wait_until_finished();
    assert_all_ended(&system);
    zombie.replica.stop();
}

/// News of the one instruction of a batch, as they rank.
fn news(batch: BatchId, version: i32) -> StatusChunk {
    let state = if version == 1 { LedgerState::Claimed } else { LedgerState::Paid };
    let entry = LedgerEntry {
        seq: Seq(0),
        version,
        state,
        attempt: 1,
        backend: BackendName::parse("file").ok(),
        resolved_fa: format!("account:{version}@nairobi.kcb.bank_acc"),
        file: Some("a file".to_owned()),
        rail_reference: (version == 2).then(|| "the bank's".to_owned()),
        reason: None,
        message: String::new(),
        changed_at: Utc::now(),
    };
    StatusChunk { batch_id: batch, outbox_id: Uuid::new_v4(), entries: vec![entry] }
}

/// One replica folds the news of rank `first` and stands still before its commit; another one comes with the other news of the
/// same instruction and has to wait. Whoever came first, the higher rank stands in the end, and the totals with it.
fn two_replicas_fold_one_instruction(system: &mut System, first: i32, second: i32) {
    let topic = Service::Status.topic();
    let sent = system.submit(Batch::of(vec![Item::to_account()]));
    let id = format!("SELECT batch_id::text AS value FROM batches WHERE transaction_id = '{}'", sent.transaction_id);
    let batch = BatchId::from_uuid(system.database.value(&id).parse().expect("an id"));
    system.kafka.skip_all(&system.group(Service::Status), topic);
    let frozen = system.replica(Service::Status, "frozen", &[], &[(VARIABLE, "fold.commit.before:freeze")]);
    frozen.wait_until_armed("fold.commit.before");
    frozen.wait_until_ready();
    system.kafka.produce_bytes(topic, "first", news(batch, first).encode());
    eventually_within(PATIENCE, "the first fold to stand before its commit", || {
        frozen.is_frozen_at("fold.commit.before").then_some(())
    });

    // A group of its own gives it the other message alone: both believe that the instruction is theirs to fold.
    let group = format!("other-{}", Uuid::new_v4());
    system.kafka.skip_all(&group, topic);
    let other = system.replica(Service::Status, "other", &[("kafka.group", &group)], &[]);
    other.wait_until_ready();
    system.kafka.produce_bytes(topic, "second", news(batch, second).encode());
    let waits = "SELECT count(*)::text AS value FROM pg_stat_activity
                 WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%FOR NO KEY UPDATE%'";
    system.wait_for_value("the second fold to wait for the first", waits, "1");
    frozen.resume();
    for (replica, messages) in [(&frozen, 1), (&other, 1)] {
        eventually_within(PATIENCE, "both to have folded", || {
            (replica.messages_handled(topic) >= messages).then_some(())
        });
    }
    let shown = format!(
        "SELECT concat_ws(' ', p.status, p.version, p.rail_reference, b.in_flight,
                (SELECT string_agg(concat_ws(':', status, instructions), ',') FROM batch_totals t
                 WHERE t.batch_id = b.batch_id AND instructions <> 0)) AS value
         FROM payment_instructions p JOIN batches b USING (batch_id) WHERE b.batch_id = '{batch}'"
    );
    assert_eq!(system.database.value(&shown), "5 2 the bank's 0 5:1", "first {first}, then {second}");
    frozen.stop();
    other.stop();
}

#[test]
fn i5_two_replicas_that_fold_one_instruction_at_once_end_at_the_higher_rank_in_both_orders() {
    let test = "i5_two_replicas_that_fold_one_instruction_at_once_end_at_the_higher_rank_in_both_orders";
    if !has_crash_points(test) {
        return;
    }
    let Some(mut system) = System::prepare(test, Options::default()) else { return };
    // Nobody else folds, and nobody pays: the news are the test's.
    system.start_service(Service::Api);
    two_replicas_fold_one_instruction(&mut system, 1, 2);
    two_replicas_fold_one_instruction(&mut system, 2, 1);
}

/// How many replicas come and go. Two batches of a thousand begin their way with each.
const GUESTS: usize = 10;

/// Instructions of which nobody knows the end.
const IN_FLIGHT: &str = "SELECT sum(in_flight)::text AS value FROM batches";

#[test]
fn i2_i4_twenty_thousand_instructions_pass_while_replicas_of_each_consumer_come_and_go() {
    let test = "i2_i4_twenty_thousand_instructions_pass_while_replicas_of_each_consumer_come_and_go";
    let Some(mut system) = System::start(test, hasty()) else { return };
    let by_id = |n: usize| if n.is_multiple_of(10) { Item::to_id() } else { Item::to_account() };
    for round in 0..GUESTS {
        let service = Service::CONSUMERS[round % Service::CONSUMERS.len()];
        system.submit(Batch::of((0..1000).map(by_id).collect()));
        let replica = system.replica(service, &format!("guest-{round}"), &[], &[]);
        eventually_within(PATIENCE, "the new replica to be given partitions", || {
            (replica.assignments() > 0).then_some(())
        });
        // It joined, which is one rebalance; its leaving is the other. Half of them are killed in the middle of their work.
        system.submit(Batch::of((0..1000).map(by_id).collect()));
        assert_ne!(system.database.value(IN_FLIGHT), "0", "there is work while it leaves");
        if round.is_multiple_of(2) { replica.stop() } else { replica.kill_9() }
    }
    wait_until_finished_with_an_operator(&system);
    assert_all_ended(&system);
    let instructions = "SELECT count(*)::text AS value FROM payment_ledger WHERE state = 7";
    assert_eq!(system.database.value(instructions), "20000", "every one is paid");
}
