//! What can still be paid from the account, as far as anybody knows: the last balance that was told, less what was claimed since.
//!
//! It saves payments from being refused one by one where the account is nearly empty. It is no proof of anything: M-Pesa alone
//! decides about funds. It knows nothing of windows, and of the ledger only sums.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gctb_backend::Affordable;
use gctb_runtime::{Component, Health, Shutdown};

use crate::daraja::Daraja;
use crate::settings::DarajaSettings;

const UNKNOWN: &str = "no balance was told for a while, so that nothing is claimed (mpesa.daraja.funds_check)";

/// The funds of the paying account. Sums are in minor units of the rail's currency.
#[derive(Debug)]
pub struct Funds {
    checked: bool,
    ask_every: Duration,
    age_max: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: Option<Told>,
    /// Claimed since the balance was last asked for. An answer that comes holds nothing of this for certain.
    since_asked: i64,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    minor: i64,
    at: Instant,
    /// Claimed and not in `minor` yet.
    claimed: i64,
}

impl Funds {
    /// Funds of which nothing is known yet.
    pub fn new(settings: &DarajaSettings) -> Self {
        Self {
            checked: settings.funds_check,
            ask_every: settings.balance_every,
            age_max: settings.balance_age_max,
            state: Mutex::default(),
        }
    }

    /// Whether so much may be claimed, as far as is known. Always where funds are not checked; never where they are and no
    /// balance was told lately.
    pub fn allows(&self, sum_minor: i64) -> bool {
        !self.checked || self.left(Instant::now()).is_some_and(|left| sum_minor <= left)
    }

    /// So much was claimed.
    pub fn spend(&self, sum_minor: i64) {
        self.lock().spend(sum_minor);
    }

    /// [`Self::allows`] and [`Self::spend`] in one, so that two lanes cannot both claim the last of it. What is claimed in the
    /// end may be less; the next balance puts that right.
    pub fn take(&self, sum_minor: i64) -> Affordable {
        if !self.checked {
            return Affordable::Yes;
        }
        let mut state = self.lock();
        match self.left_of(&state, Instant::now()) {
            None => Affordable::Unknown,
            Some(left) if sum_minor > left => Affordable::No,
            Some(_) => {
                state.spend(sum_minor);
                Affordable::Yes
            }
        }
    }

    /// The rail says that the account holds so much; less than nothing where it is overdrawn.
    pub fn told(&self, minor: i64) {
        self.told_at(minor, Instant::now());
    }

    /// The balance is being asked for: what is claimed from now on is not in the answer.
    pub fn asked(&self) {
        self.lock().since_asked = 0;
    }

    /// Asks for the balance again and again while it `may_ask`, until the shutdown. Ends at once where funds are not checked.
    ///
    /// The health component `funds` says so while no balance is known. Run it where the rail's other calls run: connections are
    /// kept by the runtime that made them.
    pub async fn watch(&self, rail: &Daraja, health: &Health, may_ask: impl Fn() -> bool + Send, shutdown: &Shutdown) {
        if !self.checked {
            return;
        }
        let component = health.advisory("funds");
        loop {
            // A question carries the same credential as a payment: one too many locks it.
            if may_ask() {
                self.asked();
                let asked = rail.ask_balance().await;
                if !asked.taken {
                    tracing::warn!(why = asked.message, "the balance could not be asked for");
                }
            }
            if shutdown_within(self.ask_every, shutdown).await {
                return;
            }
            self.show(&component);
        }
    }

    fn show(&self, component: &Component) {
        if self.left(Instant::now()).is_some() {
            component.ok();
        } else if component.failing(UNKNOWN) {
            tracing::warn!("{UNKNOWN}");
        }
    }

    fn told_at(&self, minor: i64, at: Instant) {
        let mut state = self.lock();
        state.told = Some(Told { minor, at, claimed: state.since_asked });
    }

    fn left(&self, now: Instant) -> Option<i64> {
        self.left_of(&self.lock(), now)
    }

    fn left_of(&self, state: &State, now: Instant) -> Option<i64> {
        let told = state.told.filter(|told| now.saturating_duration_since(told.at) <= self.age_max)?;
        Some(told.minor.saturating_sub(told.claimed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn spend(&mut self, sum_minor: i64) {
        self.since_asked = self.since_asked.saturating_add(sum_minor);
        if let Some(told) = &mut self.told {
            told.claimed = told.claimed.saturating_add(sum_minor);
        }
    }
}

/// Whether the shutdown was requested before `wait` had passed.
async fn shutdown_within(wait: Duration, shutdown: &Shutdown) -> bool {
    tokio::time::timeout(wait, shutdown.requested()).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::settings;

    fn funds(checked: bool) -> Funds {
        Funds::new(&DarajaSettings { funds_check: checked, ..settings().daraja })
    }

    #[test]
    fn what_is_not_checked_is_allowed_and_what_is_not_known_is_not() {
        assert!(funds(false).allows(i64::MAX) && funds(false).take(i64::MAX) == Affordable::Yes);
        assert!(!funds(true).allows(1) && funds(true).take(1) != Affordable::Yes);
        let empty = funds(false);
        empty.told(0);
        assert!(empty.allows(1), "nobody asked for a check");
    }

    #[test]
    fn what_was_claimed_since_the_balance_was_told_is_not_there_any_more() {
        let funds = funds(true);
        funds.told(100);
        assert!(funds.allows(100) && !funds.allows(101));
        assert!(
            funds.take(60) == Affordable::Yes && funds.take(60) != Affordable::Yes,
            "two lanes cannot both have the last of it"
        );
        funds.spend(40);
        assert!(!funds.allows(1));
        funds.told(-5);
        assert!(!funds.allows(0), "an account that is overdrawn");
    }

    #[test]
    fn what_is_claimed_after_the_question_is_not_in_its_answer() {
        let funds = funds(true);
        funds.told(100);
        assert!(funds.take(10) == Affordable::Yes);
        funds.asked();
        assert!(funds.take(20) == Affordable::Yes);
        funds.told(90);
        assert!(funds.allows(70) && !funds.allows(71));
    }

    #[test]
    fn an_old_balance_is_none() {
        let funds = funds(true);
        let told = Instant::now();
        funds.told_at(100, told);
        assert_eq!(funds.left(told + funds.age_max), Some(100));
        assert_eq!(funds.left(told + funds.age_max + Duration::from_millis(1)), None);
    }
}
