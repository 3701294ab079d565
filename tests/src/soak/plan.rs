//! What a seed means: batches, replicas, routes, and the steps of the run in their order. It follows from the seed alone.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::Fault;
use crate::batch::{Batch, Fate, Item};
use crate::draw::Draw;
use crate::service::Service;

/// A currency, its decimals, and how often of ten it is drawn.
const CURRENCIES: [(&str, usize, u64); 4] = [("KES", 2, 6), ("USD", 2, 2), ("JPY", 0, 1), ("BHD", 3, 1)];

/// The decimals of a currency that a soak pays in; None for any other.
pub(super) fn decimals(currency: &str) -> Option<usize> {
    CURRENCIES.iter().find(|(code, ..)| *code == currency).map(|(_, decimals, _)| *decimals)
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A batch is sent.
    Send(usize),
    /// A batch is sent once more, as a sender does that has lost the answer.
    SendAgain(usize),
    /// Another message under the names of a batch: it must be refused.
    SendChanged(usize),
    /// Something goes wrong.
    Fault(Fault),
}

/// An action, and how much of the work accepted so far must have been done before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// Percent.
    pub(super) at_percent: u64,
    /// What happens then.
    pub(super) action: Action,
}

/// All that a seed draws.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub(super) seed: u64,
    /// The messages.
    pub(super) batches: Vec<Batch>,
    /// Consumers of which a second replica runs all the time.
    pub(super) twins: Vec<Service>,
    /// Whether half of the addresses are paid by a second backend with a bank of its own.
    pub(super) two_backends: bool,
    /// What happens, in order.
    pub(super) steps: Vec<Step>,
}

impl Plan {
    /// What `seed` means.
    pub fn of(seed: u64) -> Self {
        let mut draw = Draw::of(seed);
        let sizes: Vec<u64> = (0..draw.between(1, 4)).map(|_| size(&mut draw)).collect();
        let two_backends = draw.percent(35);
        let twins = Service::CONSUMERS.into_iter().filter(|_| draw.percent(35)).collect();
        let steps = steps(&mut draw, sizes.len());
        let mut people = People { draw: Draw::of(draw.any()), next: 0 };
        let batches = sizes.into_iter().map(|size| people.batch(size)).collect();
        Self { seed, batches, twins, two_backends, steps }
    }

    /// The faults, in order.
    pub(super) fn faults(&self) -> impl Iterator<Item = Fault> + '_ {
        self.steps.iter().filter_map(|step| match step.action {
            Action::Fault(fault) => Some(fault),
            Action::Send(_) | Action::SendAgain(_) | Action::SendChanged(_) => None,
        })
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.batches.iter().map(|batch| batch.items.len().to_string()).collect();
        write!(f, "seed {}: {}", self.seed, sizes.join(" + "))?;
        if self.two_backends {
            write!(f, ", two backends")?;
        }
        for twin in &self.twins {
            write!(f, ", two of {}", twin.program())?;
        }
        let faults: Vec<String> = self.faults().map(|fault| fault.to_string()).collect();
        write!(f, "; {}", faults.join(", "))
    }
}

/// Small ones, middling ones, and some of several chunks.
fn size(draw: &mut Draw) -> u64 {
    match draw.between(1, 10) {
        1..=3 => draw.between(1, 30),
        4..=7 => draw.between(30, 600),
        _ => draw.between(600, 3000),
    }
}

fn steps(draw: &mut Draw, batches: usize) -> Vec<Step> {
    let mut actions: Vec<Action> = (1..batches).map(Action::Send).collect();
    actions.extend((0..draw.between(1, 3)).map(|_| Action::Fault(Fault::draw(draw, batches))));
    if draw.percent(40) {
        actions.push(Action::SendAgain(draw.between(0, batches as u64 - 1) as usize));
    }
    if draw.percent(20) {
        actions.push(Action::SendChanged(draw.between(0, batches as u64 - 1) as usize));
    }
    shuffle(draw, &mut actions);
    // Nothing is paid before something was sent; but a fault may come first of all.
    actions.insert(usize::from(draw.percent(10)).min(actions.len()), Action::Send(0));
    actions.sort_by_key(|action| send_order(*action, batches));
    actions.into_iter().map(|action| Step { at_percent: draw.between(0, 95), action }).collect()
}

/// Batches keep any order among themselves; only what repeats one comes after all of them.
const fn send_order(action: Action, batches: usize) -> usize {
    match action {
        Action::Send(_) | Action::Fault(_) => 0,
        Action::SendAgain(_) | Action::SendChanged(_) => batches,
    }
}

fn shuffle<T>(draw: &mut Draw, several: &mut [T]) {
    for end in (1..several.len()).rev() {
        several.swap(end, draw.between(0, end as u64) as usize);
    }
}

/// Makes payees, each another person.
struct People {
    draw: Draw,
    next: u64,
}

impl People {
    fn batch(&mut self, size: u64) -> Batch {
        // Every batch has its own mixture.
        let (ids, bad) = (self.draw.between(0, 100), self.draw.one_of(&[0, 3, 15, 40]));
        let scheduled = self.draw.one_of(&[0, 0, 10, 50]);
        let mut items: Vec<Item> = (0..size).map(|_| self.item(ids, bad, scheduled)).collect();
        if size >= 4 && self.draw.percent(30) {
            let twice = self.name();
            for place in [0, size as usize / 2] {
                items[place].reference_id.clone_from(&twice);
                items[place].fate = Fate::Refused("rjct.reference_id.duplicate");
            }
        }
        let mut batch = Batch::of(items);
        batch.transaction_id = Some(self.name());
        batch.message_id = self.name();
        batch
    }

    /// A name of thirty-two characters that nothing else has.
    fn name(&mut self) -> String {
        format!("{:016x}{:016x}", self.draw.any(), self.draw.any())
    }

    fn item(&mut self, ids: u64, bad: u64, scheduled: u64) -> Item {
        self.next += 1;
        let is_by_id = self.draw.percent(ids);
        let item = if self.draw.percent(bad) { self.bad(is_by_id) } else { self.good(is_by_id) };
        if self.draw.percent(scheduled) { item.in_seconds(self.draw.between(1, 3) as i64) } else { item }
    }

    fn good(&mut self, is_by_id: bool) -> Item {
        let (currency, decimals) = self.currency();
        let payee_fa = if is_by_id { self.id("BEN") } else { self.account("7777") };
        let (whole, part) = (self.draw.between(1, 9_999), self.draw.between(0, 999));
        let amount = match decimals {
            0 => whole.to_string(),
            2 => format!("{whole}.{:02}", part % 100),
            _ => format!("{whole}.{part:03}"),
        };
        Item {
            reference_id: self.name(),
            payee_fa,
            amount,
            currency: currency.to_owned(),
            payee_name: format!("Nyambura Secret{}", self.next),
            scheduled_at: None,
            fate: Fate::Paid,
        }
    }

    /// One that must not be paid, for a reason that intake, the mapper or the bank finds.
    fn bad(&mut self, is_by_id: bool) -> Item {
        let good = self.good(is_by_id);
        let payee = |payee_fa, good| Item { payee_fa, fate: Fate::Refused("rjct.payee_fa.invalid"), ..good };
        let amount =
            |amount: &str, good| Item { amount: amount.to_owned(), fate: Fate::Refused("rjct.amount.invalid"), ..good };
        match self.draw.between(0, 11) {
            0 => payee(self.account("0004"), good),
            1 => payee(self.id("CLOSED"), good),
            2 => payee(self.id("NOTFOUND"), good),
            3 => payee(self.id("NOLINK"), good),
            4 => payee(self.id("INACTIVE"), good),
            5 => payee(self.id("RJCT"), good),
            6 => payee(self.id("BADFA"), good),
            7 => payee(format!("cowrie-shells:{}", self.next), good),
            8 => amount("0", good),
            9 => amount("10.50501", good),
            10 => amount("ten", good),
            _ => Item { currency: "ZZZ".to_owned(), fate: Fate::Refused("rjct.currency_code.invalid"), ..good },
        }
    }

    fn currency(&mut self) -> (&'static str, usize) {
        let mut drawn = self.draw.between(1, 10);
        for (currency, decimals, weight) in CURRENCIES {
            if drawn <= weight {
                return (currency, decimals);
            }
            drawn -= weight;
        }
        ("KES", 2)
    }

    fn id(&self, begins: &str) -> String {
        format!("token:{begins}{:012}@nationalId", self.next)
    }

    /// The first digit is drawn: routes go by it.
    fn account(&mut self, ends: &str) -> String {
        format!("account:{}{:011}{ends}@nairobi.kcb.bank_acc", self.draw.between(0, 9), self.next)
    }
}

/// The routes of a run: by the first digit of the account, and the other way round after they changed.
pub(super) fn routes(two_backends: bool, have_changed: bool) -> String {
    let digits = match (two_backends, have_changed) {
        (false, _) => return String::new(),
        (true, false) => "0-4",
        (true, true) => "5-9",
    };
    format!("[[route]]\npattern = \"^account:[{digits}]\"\nbackend = \"filebis\"\n")
}

/// How many of each currency's minor units must be received: what did not parse counts with none, under XXX.
pub(super) fn received(batches: &[Batch]) -> BTreeMap<String, (u64, i128)> {
    let mut received: BTreeMap<String, (u64, i128)> = BTreeMap::new();
    for item in batches.iter().flat_map(|batch| &batch.items) {
        let (currency, amount) = minor(item).map_or(("XXX", 0), |minor| (item.currency.as_str(), minor));
        let sum = received.entry(currency.to_owned()).or_default();
        sum.0 += 1;
        sum.1 += amount;
    }
    received
}

/// The amount of a disbursement in minor units; None where it is no amount.
pub(super) fn minor(item: &Item) -> Option<i128> {
    minor_of(&item.amount, decimals(&item.currency)?)
}

/// A plain positive decimal with at most so many decimals, in minor units.
pub(super) fn minor_of(text: &str, decimals: usize) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(part) || part.len() > decimals {
        return None;
    }
    let minor: i128 = format!("{whole}{part:0<decimals$}").parse().ok()?;
    (minor > 0).then_some(minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let (one, other) = (Plan::of(42), Plan::of(42));
        assert_eq!(one.to_string(), other.to_string());
        let ids = |plan: &Plan| plan.batches.iter().map(|batch| batch.message_id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&one), ids(&other));
    }

    #[test]
    fn every_plan_sends_each_batch_once_and_has_one_to_three_faults() {
        for seed in 0..500 {
            let plan = Plan::of(seed);
            for batch in 0..plan.batches.len() {
                let sent = plan.steps.iter().filter(|step| step.action == Action::Send(batch)).count();
                assert_eq!(sent, 1, "{plan}");
            }
            assert!((1..=3).contains(&plan.faults().count()), "{plan}");
        }
    }

    #[test]
    fn amounts_are_read_exactly() {
        assert_eq!(minor_of("12.3", 2), Some(1230));
        assert_eq!(minor_of("12", 0), Some(12));
        assert_eq!(minor_of("1.005", 3), Some(1005));
        for none in ["0", "ten", "1.005", "-1", "", "."] {
            assert_eq!(minor_of(none, 2), None, "{none}");
        }
    }
}
