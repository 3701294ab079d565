//! The settings group `rail`: how a backend calls its rail. Each service documents them in its `config/default.toml`.

use std::num::NonZeroU32;
use std::time::Duration;

use gctb_runtime::settings::duration;
use serde::Deserialize;

/// How a rail is called.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RailSettings {
    /// Threads that claim, call and record in turn, each with a connection to Postgres.
    pub lanes: usize,
    /// Calls under way at most, over all lanes.
    pub concurrency: usize,
    /// Payments that the contract with the rail allows in a second, shared over the partitions of the topic; 0: no limit.
    pub rate_per_second: u32,
    /// How long one claim lasts. Every call that it is for has ended before.
    #[serde(with = "duration")]
    pub lease: Duration,
    /// How long after that the rail may still act on what it was sent.
    #[serde(with = "duration")]
    pub settle: Duration,
    /// Attempts of one instruction at most.
    pub attempts_max: i16,
    /// How long after a definite refusal another attempt begins; doubled with each.
    #[serde(with = "duration")]
    pub retry_after: Duration,
    /// How long after an answer that decided nothing the rail is asked; doubled with each question.
    #[serde(with = "duration")]
    pub ask_after: Duration,
    /// The longest wait between two questions.
    #[serde(with = "duration")]
    pub ask_after_max: Duration,
    /// Questions about one attempt before a person must look.
    pub asks_max: i16,
    /// How long one call of the consumer waits for its payments to be claimed, before it looks at Kafka again.
    #[serde(with = "duration")]
    pub claim_wait: Duration,
    /// How often what came due is looked for.
    #[serde(with = "duration")]
    pub look_every: Duration,
    /// Threads that see to what came due.
    pub chore_threads: usize,
    /// Calls in a row without an answer, after which the rail is left alone for a while.
    pub failures_max: u32,
    /// The first time for which it is left alone; doubled each time that a trial fails too.
    #[serde(with = "duration")]
    pub pause_min: Duration,
    /// The longest one.
    #[serde(with = "duration")]
    pub pause_max: Duration,
    /// How long after the payer's account was short of funds the rail is tried again with one payment.
    #[serde(with = "duration")]
    pub try_again_after_no_funds: Duration,
}

/// A setting that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the setting rail.{setting} {expected}")]
pub struct UnusableRailSetting {
    /// Which.
    pub setting: &'static str,
    /// What it must be.
    pub expected: String,
}

/// Time between the claim of a window and its first call, and for noting handles between the phases.
const COMMIT_MARGIN: Duration = Duration::from_secs(5);

impl RailSettings {
    /// Looks whether the settings fit each other and a rail whose calls end within `call_deadline`.
    ///
    /// # Errors
    /// Names the first that does not.
    pub fn check(&self, call_deadline: Duration, two_phase: bool) -> Result<(), UnusableRailSetting> {
        let unless = |ok: bool, setting: &'static str, expected: &str| {
            if ok { Ok(()) } else { Err(UnusableRailSetting { setting, expected: expected.to_owned() }) }
        };
        unless((1..=64).contains(&self.lanes), "lanes", "must be from 1 to 64")?;
        unless((self.lanes..=10_000).contains(&self.concurrency), "concurrency", "must be from rail.lanes to 10000")?;
        unless((1..=16).contains(&self.chore_threads), "chore_threads", "must be from 1 to 16")?;
        unless((1..=31).contains(&self.attempts_max), "attempts_max", "must be from 1 to 31")?;
        unless(self.asks_max >= 1, "asks_max", "must be at least 1")?;
        unless(self.failures_max >= 1, "failures_max", "must be at least 1")?;
        unless(!self.ask_after.is_zero(), "ask_after", "must be more than nothing")?;
        unless(self.ask_after_max >= self.ask_after, "ask_after_max", "must not be shorter than rail.ask_after")?;
        unless(!self.claim_wait.is_zero(), "claim_wait", "must be more than nothing")?;
        unless(!self.look_every.is_zero(), "look_every", "must be more than nothing")?;
        unless(!self.pause_min.is_zero(), "pause_min", "must be more than nothing")?;
        unless(self.pause_max >= self.pause_min, "pause_max", "must not be shorter than rail.pause_min")?;
        let calls = if two_phase { 2 } else { 1 };
        let least = call_deadline * calls + COMMIT_MARGIN;
        let expected = format!("must be at least {} s: the calls of one payment must end within it", least.as_secs());
        unless(self.lease >= least, "lease", &expected)
    }

    /// Calls of one lane at most.
    pub(crate) fn window(&self) -> usize {
        (self.concurrency / self.lanes.max(1)).max(1)
    }

    /// The contract's rate, where there is one.
    pub(crate) const fn rate(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.rate_per_second)
    }
}
