//! Decides which fault a call gets, and counts the faults given. It must not know what a fault does.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use serde::Serialize;

use super::dice;
use super::plan::{Fault, FaultPlan, Match, Rail, Rule, Stage, name_of};

/// For how many (stage, key) pairs the number of calls is remembered. A pair beyond them counts as called for the first
/// time.
const CALLS_LIMIT: usize = 4_000_000;
const PARTS: usize = 64;

/// What is known about a call when its fault is decided.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Call<'a> {
    /// Empty where the call has none; then the account names the call.
    pub(crate) key: &'a str,
    pub(crate) account: &'a str,
    pub(crate) amount_minor: Option<u64>,
}

impl Call<'_> {
    fn name(&self) -> &str {
        if self.key.is_empty() { self.account } else { self.key }
    }

    fn fits(&self, which: &Match) -> bool {
        let Match { key, account, amount_minor } = which;
        key.as_deref().is_none_or(|key| key == self.key)
            && account.as_deref().is_none_or(|account| account == self.account)
            && amount_minor.is_none_or(|amount| Some(amount) == self.amount_minor)
    }
}

/// The plan in force and what came of it.
pub(crate) struct Faults {
    plan: RwLock<Arc<FaultPlan>>,
    calls: Vec<Mutex<HashMap<u64, u32>>>,
    given: Mutex<BTreeMap<(Rail, Stage, String), u64>>,
}

/// How often a fault was given.
#[derive(Debug, Serialize)]
pub(crate) struct Given {
    rail: Rail,
    stage: Stage,
    fault: String,
    times: u64,
}

/// The body of `GET /control/faults`.
#[derive(Debug, Serialize)]
pub(crate) struct FaultsView {
    plan: FaultPlan,
    given: Vec<Given>,
}

impl Faults {
    pub(crate) fn new(plan: FaultPlan) -> Self {
        Self {
            plan: RwLock::new(Arc::new(plan)),
            calls: (0..PARTS).map(|_| Mutex::default()).collect(),
            given: Mutex::default(),
        }
    }

    pub(crate) fn plan(&self) -> Arc<FaultPlan> {
        Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another plan in force. Calls and faults are counted anew.
    pub(crate) fn replace(&self, plan: FaultPlan) {
        *self.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
        self.calls.iter().for_each(|part| lock(part).clear());
        lock(&self.given).clear();
    }

    pub(crate) fn view(&self) -> FaultsView {
        let given = lock(&self.given)
            .iter()
            .map(|((rail, stage, fault), times)| Given {
                rail: *rail,
                stage: *stage,
                fault: fault.clone(),
                times: *times,
            })
            .collect();
        FaultsView { plan: self.plan().as_ref().clone(), given }
    }

    /// The fault that this call gets, if any. Counts the call.
    pub(crate) fn decide(&self, rail: Rail, stage: Stage, call: Call<'_>) -> Option<Fault> {
        let plan = self.plan();
        if !plan.concerns(rail, stage) {
            return None;
        }
        let (rail_name, stage_name) = (name_of(&rail), name_of(&stage));
        let call_of = [rail_name.as_bytes(), stage_name.as_bytes(), call.name().as_bytes()];
        let nth = self.count(dice::hash(&call_of));
        let fits = |rule: &&Rule| {
            rule.rail == rail && rule.stage == stage && rule.nth.is_none_or(|n| n == nth) && call.fits(&rule.which)
        };
        let by_rule = plan.rules.iter().find(fits).map(|rule| &rule.fault);
        let by_chance = || {
            let chances = plan.chances.iter().enumerate();
            let mut mine = chances.filter(|(_, chance)| chance.rail == rail && chance.stage == stage);
            let falls = |number: usize, per_million| {
                let number = u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes();
                let [rail, stage, name] = call_of;
                let seed = plan.seed.to_le_bytes();
                dice::falls(per_million, &[&seed, rail, stage, name, &nth.to_le_bytes(), &number])
            };
            mine.find(|(number, chance)| falls(*number, chance.per_million)).map(|(_, chance)| &chance.fault)
        };
        let fault = by_rule.or_else(by_chance)?.clone();
        *lock(&self.given).entry((rail, stage, fault.name())).or_insert(0) += 1;
        Some(fault)
    }

    fn count(&self, call: u64) -> u32 {
        let part = usize::try_from(call >> 32).unwrap_or(0) % PARTS;
        let mut calls = lock(&self.calls[part]);
        if calls.len() >= CALLS_LIMIT / PARTS && !calls.contains_key(&call) {
            return 1;
        }
        let nth = calls.entry(call).or_insert(0);
        *nth = nth.saturating_add(1);
        *nth
    }
}

impl FaultPlan {
    /// Whether calls of this stage may get a fault at all.
    pub(crate) fn concerns(&self, rail: Rail, stage: Stage) -> bool {
        self.rules.iter().any(|rule| rule.rail == rail && rule.stage == stage)
            || self.chances.iter().any(|chance| chance.rail == rail && chance.stage == stage)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Counts inform and decide no money; what a panicking thread left of them is good enough.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
