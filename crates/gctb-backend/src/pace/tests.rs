//! The pace of a rail: rate, room, rest and trial, by a clock that the test moves.

use super::*;

const PARTITIONS: u32 = 6;

fn settings(rate_per_second: u32) -> RailSettings {
    RailSettings {
        lanes: 2,
        concurrency: 64,
        rate_per_second,
        lease: Duration::from_secs(60),
        settle: Duration::from_secs(1),
        attempts_max: 3,
        retry_after: Duration::from_secs(1),
        ask_after: Duration::from_secs(1),
        ask_after_max: Duration::from_secs(10),
        asks_max: 5,
        claim_wait: Duration::from_secs(1),
        look_every: Duration::from_millis(100),
        chore_threads: 1,
        failures_max: 3,
        pause_min: Duration::from_secs(1),
        pause_max: Duration::from_secs(4),
        try_again_after_no_funds: Duration::from_secs(60),
    }
}

fn answered(count: u32) -> Summary {
    Summary { answered: count, ..Summary::default() }
}

fn failed(count: u32) -> Summary {
    Summary { failed: count, ..Summary::default() }
}

/// A pace whose first payment went well, and whose windows have grown.
fn running(rate_per_second: u32, now: Instant) -> Pace {
    let pace = Pace::new(&settings(rate_per_second), PARTITIONS, now);
    assert_eq!(pace.room(32, now), Room::For(1));
    (0..6).for_each(|_| pace.learn(answered(1), now));
    pace
}

#[test]
fn the_first_payment_of_a_process_goes_alone_and_windows_grow_when_it_is_answered() {
    let now = Instant::now();
    let pace = Pace::new(&settings(0), PARTITIONS, now);
    assert_eq!(pace.room(32, now), Room::For(1));
    assert!(matches!(pace.room(32, now), Room::Later(_)), "it is still under way");
    pace.learn(answered(1), now);
    assert_eq!(pace.room(32, now), Room::For(2));
    pace.learn(answered(2), now);
    assert_eq!(pace.room(32, now), Room::For(4));
    (0..4).for_each(|_| pace.learn(answered(4), now));
    assert_eq!(pace.room(32, now), Room::For(32));
}

#[test]
fn i8_a_rail_that_does_not_answer_is_left_alone_for_longer_and_longer_and_tried_with_one_payment() {
    let now = Instant::now();
    let pace = running(0, now);
    pace.learn(failed(2), now);
    assert_eq!(pace.room(32, now), Room::For(32), "two in a row are not three");
    pace.learn(failed(1), now);
    assert_eq!(pace.room(32, now), Room::Closed(Duration::from_secs(1)));
    let mut now = now;
    for pause in [1, 2, 4, 4] {
        assert_eq!(pace.closed_for(now), Some(Duration::from_secs(pause)));
        now += Duration::from_secs(pause);
        assert_eq!(pace.room(32, now), Room::For(1), "one payment tries it");
        pace.learn(failed(1), now);
    }
    now += Duration::from_secs(4);
    assert_eq!(pace.room(32, now), Room::For(1));
    pace.learn(answered(1), now);
    assert_eq!(pace.room(32, now), Room::For(2));
    pace.learn(failed(2), now);
    assert_eq!(pace.closed_for(now), Some(Duration::from_secs(1)), "it had only just answered");
}

#[test]
fn a_trial_that_nobody_made_is_open_to_the_next() {
    let now = Instant::now();
    let pace = Pace::new(&settings(0), PARTITIONS, now);
    assert_eq!(pace.room(32, now), Room::For(1));
    pace.unused(now);
    assert_eq!(pace.room(32, now), Room::For(1));
}

#[test]
fn i4_a_question_whose_answer_tells_nothing_of_the_rail_does_not_keep_payments_waiting() {
    let now = Instant::now();
    let pace = Pace::new(&settings(0), PARTITIONS, now);
    assert_eq!(pace.room(32, now), Room::For(1), "a chore asks before a lane pays");
    pace.learn(Summary::default(), now);
    assert_eq!(pace.room(32, now), Room::For(1), "the next call tries the rail");
    pace.slow_down(Duration::from_secs(1), now);
    assert!(matches!(pace.room(32, now), Room::Later(_)), "what a listener hears does not end a trial");
}

#[test]
fn some_failures_among_answers_do_not_close_a_rail() {
    let now = Instant::now();
    let pace = running(0, now);
    for _ in 0..10 {
        pace.learn(Summary { answered: 1, failed: 20, ..Summary::default() }, now);
    }
    assert_eq!(pace.room(32, now), Room::For(32));
}

#[test]
fn i10_the_contract_rate_is_shared_over_the_partitions() {
    let now = Instant::now();
    let pace = running(60, now);
    let at_once = |pace: &Pace| {
        let mut sum = 0;
        while let Room::For(some) = pace.room(32, now) {
            sum += some;
        }
        sum
    };
    assert!((5..=7).contains(&at_once(&pace)), "a tenth of a second's worth at once");
    pace.assigned(3);
    assert!((3..=4).contains(&at_once(&pace)), "half of the partitions, half of the rate");
    pace.assigned(0);
    assert!(at_once(&pace) <= 1, "a replica without partitions sees to what it claimed, and no more");
}

#[test]
fn a_rail_that_complains_is_called_half_as_often_and_recovers_step_by_step() {
    let now = Instant::now();
    let pace = running(0, now);
    pace.learn(answered(6400), now);
    assert_eq!(pace.room(32, now), Room::For(32), "without a contract and complaints nothing is counted");
    let complaint = Summary { answered: 1, slow_down: Some(Duration::from_secs(2)), ..Summary::default() };
    pace.learn(complaint, now);
    let rate = |pace: &Pace| pace.lock().slower;
    assert_eq!(rate(&pace), 2);
    assert!(pace.lock().limiter.is_some(), "now it is");
    pace.learn(complaint, now);
    assert_eq!(rate(&pace), 4);
    pace.room(1, now + Duration::from_secs(1));
    assert_eq!(rate(&pace), 4, "not before the time that the rail wished for");
    pace.room(1, now + Duration::from_secs(2));
    assert_eq!(rate(&pace), 3);
    for second in 3..9 {
        pace.room(1, now + Duration::from_secs(second));
    }
    assert_eq!(rate(&pace), 1);
    assert!(pace.lock().limiter.is_none());
}
