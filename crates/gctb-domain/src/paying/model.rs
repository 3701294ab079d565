//! Every order in which replicas, their lanes, a second backend, the mapper, a cancel, crashes, late requests, callbacks and an
//! operator can meet over one instruction, explored with the decisions of `paying`.
//!
//! A replica of backend A with two lanes, another one, and one of backend B (a changed route) may claim it, freeze anywhere and
//! wake up, and crash anywhere. A request that was sent stays under way for as long as it likes, and the rail then pays, refuses
//! or loses it. What is prepared on a two-phase rail has a handle of its own each time, by which it is accepted, asked about and made
//! impossible. An answer may come to another replica, as late as it likes; a commit may be done without its lane hearing of it,
//! which then tells the same again. A rule that is taken away must lead to a double payment or to a lie on at least one kind of
//! rail: a rule that nothing needs is not one.

mod rail;
mod steps;
mod world;

use std::collections::{HashMap, VecDeque};

use stateright::{Checker, HasDiscoveries, Model, Property};

use self::rail::Rail;
use self::world::{Call, Doing, Key, Row, Work, World, add, take};
use super::{Learnt, Rules};
use crate::ledger::{LedgerState, News};

/// The rules around the decisions, which the writers of the ledger keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Writers {
    /// Who inserts the row first decides.
    first_decides: bool,
    /// A backend never touches another backend's row.
    own_row: bool,
    /// Nothing is sent by who does not hold the lease.
    lease: bool,
    /// A successor asks first.
    ask_first: bool,
    /// An update names the state that it acts from.
    from_state: bool,
    /// Words count as the owner's only while the work that they were learnt by is still there.
    in_hand: bool,
    /// The handle of what was prepared is noted before it is paid.
    handle: bool,
}

const KEPT: Writers = Writers {
    first_decides: true,
    own_row: true,
    lease: true,
    ask_first: true,
    from_state: true,
    in_hand: true,
    handle: true,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Happens {
    MapperRejects,
    SenderCancels,
    RailPays(Key),
    RailRefuses(Key),
    RailLoses(Key),
    LeaseEnds,
    Claims(usize),
    TakesUp(usize),
    Prepares(usize),
    RefusesToPrepare(usize),
    Sends(usize),
    CannotConnect(usize),
    GivesUpSending(usize),
    Hears(usize, Learnt),
    AnswerGoesElsewhere(usize),
    CallbackArrives(usize),
    Fences(usize),
    HasNothingToFence(usize),
    FenceFails(usize),
    Tells(usize),
    TellsAndDoesNotHearIt(usize),
    Crashes(usize),
    OperatorResolves,
    NobodyTriesAgain,
}

/// Who takes part, and what may happen besides: all at once is more than a test can explore.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// The lanes that there are: 0 and 1 belong to one replica, 2 to another, 3 to the other backend.
    lanes: &'static [usize],
    /// Two of them that differ by nothing but their number.
    alike: (usize, usize),
    attempts_max: i16,
    /// An answer may reach another replica, late.
    callbacks: bool,
    /// A commit may be done without its lane hearing of it.
    unheard: bool,
}

/// Two replicas and a second backend.
const REPLICAS: Scope = Scope { lanes: &[0, 2, 3], alike: (0, 2), attempts_max: 3, callbacks: false, unheard: false };
/// Two lanes of one process, which tell their words twice, and a replica.
const TOLD_TWICE: Scope = Scope { lanes: &[0, 1, 2], alike: (0, 1), attempts_max: 2, callbacks: false, unheard: true };
/// Two replicas, whose answers reach the other one.
const CALLBACKS: Scope = Scope { lanes: &[0, 2], alike: (0, 2), attempts_max: 2, callbacks: true, unheard: false };
const SCOPES: [Scope; 3] = [REPLICAS, TOLD_TWICE, CALLBACKS];

/// One instruction on one rail, under rules.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    rail: Rail,
    scope: Scope,
    rules: Rules,
    writers: Writers,
}

const ASKS_MAX: u16 = 1;
const UNDER_WAY_MAX: usize = 2;
const LANES: usize = 4;
const PROCESSES: usize = 3;
/// How many lanes act at the same time; the others are idle, and may have a window that they have forgotten.
const BUSY_MAX: usize = 2;

/// The first process has two lanes.
const fn process_of(lane: usize) -> usize {
    lane.saturating_sub(1)
}

/// Processes 0 and 1 are replicas of one backend, 2 belongs to another.
const fn backend_of(process: usize) -> u8 {
    if process < 2 { 0 } else { 1 }
}

const fn backend_of_lane(lane: usize) -> u8 {
    backend_of(process_of(lane))
}

impl Model for Instruction {
    type State = World;
    type Action = Happens;

    fn init_states(&self) -> Vec<World> {
        let nothing = World {
            row: None,
            lanes: [Doing::Nothing; LANES],
            in_hand: [false; LANES],
            noted: [None; LANES],
            callback: None,
            closed: false,
            under_way: Vec::new(),
            paid: Vec::new(),
            refused: Vec::new(),
            impossible: Vec::new(),
        };
        vec![nothing]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Happens>) {
        self.happens_to_row(world, actions);
        for lane in 0..LANES {
            self.happens_to_lane(world, lane, actions);
        }
        let is_busy = |lane: usize| world.lanes[lane] != Doing::Nothing;
        let lives = |process: &usize| (0..LANES).any(|lane| process_of(lane) == *process && is_busy(lane));
        actions.extend((0..PROCESSES).filter(lives).map(Happens::Crashes));
        if world.callback.is_some() {
            actions.extend((0..PROCESSES).filter(|process| backend_of(*process) == 0).map(Happens::CallbackArrives));
        }
        let mut keys = world.under_way.clone();
        keys.dedup();
        for key in keys {
            actions.extend([Happens::RailPays(key), Happens::RailRefuses(key), Happens::RailLoses(key)]);
        }
    }

    fn next_state(&self, before: &World, happens: Happens) -> Option<World> {
        let mut world = before.clone();
        match happens {
            Happens::MapperRejects | Happens::SenderCancels => {
                let is_rejected = happens == Happens::MapperRejects;
                let state = if is_rejected { LedgerState::Rejected } else { LedgerState::Cancelled };
                world.row = Some(Row::closed(state, before.row.unwrap_or_else(|| Row::claimed(0))));
            }
            Happens::NobodyTriesAgain => world.row = Some(Row::closed(LedgerState::Failed, before.row?)),
            Happens::RailPays(key) => self.rail_pays(&mut world, key),
            Happens::RailRefuses(key) => {
                take(&mut world.under_way, key);
                if !world.paid.contains(&key) && !world.refused.contains(&key) {
                    add(&mut world.refused, key);
                }
            }
            Happens::RailLoses(key) => take(&mut world.under_way, key),
            Happens::LeaseEnds => world.row = Some(Row { lease: None, ..before.row? }),
            Happens::Claims(lane) => {
                let mut row = Row::claimed(lane);
                self.begins_to_send(&mut world, lane, &mut row);
                world.row = Some(row);
            }
            Happens::TakesUp(lane) => self.take_up(&mut world, before.row?, lane),
            Happens::Prepares(lane) => {
                let Doing::Prepare(call) = before.lanes[lane] else { return None };
                let handle = before.fresh_handle();
                let is_noted = before.in_hand[lane] && self.writers.handle;
                world.noted[lane] = handle.filter(|_| is_noted);
                let may_pay = is_noted || !self.writers.handle;
                world.lanes[lane] = if may_pay { Doing::Send(Call { handle, ..call }) } else { Doing::Nothing };
            }
            Happens::RefusesToPrepare(lane) | Happens::HasNothingToFence(lane) => {
                world.lanes[lane] = Doing::Tell(Self::word(before, lane, Learnt::Refused { again: true })?);
            }
            Happens::Sends(lane) => {
                let Doing::Send(call) = before.lanes[lane] else { return None };
                add(&mut world.under_way, call.key(lane));
                world.lanes[lane] = Doing::AwaitAnswer(call);
            }
            Happens::CannotConnect(lane) | Happens::GivesUpSending(lane) => {
                world.lanes[lane] = Doing::Tell(Self::word(before, lane, Learnt::NotSent)?);
            }
            Happens::Hears(lane, learnt) => world.lanes[lane] = Doing::Tell(Self::word(before, lane, learnt)?),
            Happens::AnswerGoesElsewhere(lane) => {
                world.callback = Self::word(before, lane, Learnt::Refused { again: true });
                world.lanes[lane] = Doing::Tell(Self::word(before, lane, Learnt::Nothing)?);
            }
            Happens::CallbackArrives(process) => {
                let word = world.callback.take()?;
                self.tell(&mut world, process, None, word);
            }
            Happens::Fences(lane) | Happens::FenceFails(lane) => {
                let Doing::Fence(call) = before.lanes[lane] else { return None };
                let key = call.key(lane);
                let is_settled =
                    [&world.paid, &world.refused, &world.impossible].iter().any(|keys| keys.contains(&key));
                if happens == Happens::Fences(lane) && !is_settled {
                    add(&mut world.impossible, key);
                }
                world.lanes[lane] = Doing::Ask(call);
            }
            Happens::Tells(lane) | Happens::TellsAndDoesNotHearIt(lane) => {
                let Doing::Tell(word) = before.lanes[lane] else { return None };
                self.tell(&mut world, process_of(lane), Some(lane), word);
                if happens == Happens::Tells(lane) {
                    world.lanes[lane] = Doing::Nothing;
                }
            }
            Happens::Crashes(process) => {
                (0..LANES)
                    .filter(|lane| process_of(*lane) == process)
                    .for_each(|lane| world.lanes[lane] = Doing::Nothing);
                // It comes back as another process.
                world.row = before.row.map(|row| Row { owner: row.owner.filter(|owner| *owner != process), ..row });
            }
            Happens::OperatorResolves => {
                let mut row = before.row?;
                let paid = before.paid.iter().any(|key| key.is_of(&row));
                row.take(if paid { News::Paid } else { News::NotPaid });
                world.row = Some(row);
            }
        }
        world.closed |= world.says(&CLOSED);
        // A rule that only brings an end to questions, or says what one asks by, lets nobody act who could not.
        let ends = Rules { contradiction: true, questions_end: true, ..self.rules };
        let harmless = Rules { noted: true, forgets: true, renames: true, ..ends };
        let all_rules_are_kept = harmless == Rules::ALL && self.writers == KEPT;
        world.forget_what_matters_no_more(all_rules_are_kept);
        if all_rules_are_kept {
            world.puts_in_order(self.scope.alike);
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody is paid twice", |_, world: &World| world.paid.len() <= 1),
            Property::always("what is closed without payment was not paid", |_, world: &World| {
                world.paid.is_empty() || !world.says(&CLOSED)
            }),
            Property::always("what is called paid was paid", |_, world: &World| {
                !world.paid.is_empty() || !world.says(&[LedgerState::Paid])
            }),
            Property::always("what is closed stays closed", |_, world: &World| !world.closed || world.says(&CLOSED)),
            Property::always("what is open is looked after by somebody", |_, world: &World| {
                let open = |row: &Row| row.is_open() || row.state == LedgerState::NotPaid;
                !world.row.is_some_and(|row| open(&row) && row.work == Work::Done)
            }),
        ]
    }
}

/// The ends without a payment.
const CLOSED: [LedgerState; 3] = [LedgerState::Rejected, LedgerState::Cancelled, LedgerState::Failed];

fn kept_on(rail: Rail, scope: Scope) -> Instruction {
    Instruction { rail, scope, rules: Rules::ALL, writers: KEPT }
}

fn all_kept() -> impl Iterator<Item = Instruction> {
    Rail::ALL.into_iter().flat_map(|rail| SCOPES.into_iter().map(move |scope| kept_on(rail, scope)))
}

#[test]
fn i2_i3_no_order_of_events_pays_twice_or_tells_a_lie_on_any_rail() {
    for instruction in all_kept() {
        let checked = instruction.checker().threads(2).spawn_bfs().join();
        assert!(checked.unique_state_count() > 400, "{instruction:?} was explored");
        checked.assert_properties();
    }
}

/// Whether no order of events breaks any property.
fn nothing_goes_wrong(instruction: Instruction) -> bool {
    let checked = instruction.checker().threads(2).finish_when(HasDiscoveries::Any).spawn_bfs().join();
    checked.discoveries().is_empty()
}

#[test]
fn i2_i3_each_rule_is_needed_on_some_rail() {
    let rules = |rail, scope, rules| Instruction { rules, ..kept_on(rail, scope) };
    let writers = |rail, scope, writers| Instruction { writers, ..kept_on(rail, scope) };
    let all = Rules::ALL;
    let without = [
        ("owner", rules(Rail::Blind, REPLICAS, Rules { owner: false, ..all })),
        ("not_found", rules(Rail::Folder, REPLICAS, Rules { not_found: false, ..all })),
        ("quarantine", rules(Rail::RemembersPaid, REPLICAS, Rules { quarantine: false, ..all })),
        ("unknown", rules(Rail::Blind, REPLICAS, Rules { unknown: false, ..all })),
        ("noted", rules(Rail::TwoPhase, TOLD_TWICE, Rules { noted: false, ..all })),
        ("renames", rules(Rail::TwoPhase, TOLD_TWICE, Rules { renames: false, ..all })),
        ("asked_in", rules(Rail::RemembersPaid, CALLBACKS, Rules { asked_in: false, ..all })),
        ("first_decides", writers(Rail::Remembers, REPLICAS, Writers { first_decides: false, ..KEPT })),
        ("own_row", writers(Rail::Remembers, REPLICAS, Writers { own_row: false, ..KEPT })),
        ("lease", writers(Rail::Blind, REPLICAS, Writers { lease: false, ..KEPT })),
        ("ask_first", writers(Rail::Folder, REPLICAS, Writers { ask_first: false, ..KEPT })),
        ("from_state", writers(Rail::RemembersPaid, CALLBACKS, Writers { from_state: false, ..KEPT })),
        ("in_hand", writers(Rail::Blind, TOLD_TWICE, Writers { in_hand: false, ..KEPT })),
        ("handle", writers(Rail::TwoPhase, REPLICAS, Writers { handle: false, ..KEPT })),
    ];
    let unneeded: Vec<String> = without
        .into_iter()
        .filter(|(_, instruction)| nothing_goes_wrong(*instruction))
        .map(|(rule, instruction)| format!("{rule} on {:?}", instruction.rail))
        .collect();
    assert_eq!(unneeded, Vec::<String>::new(), "nothing goes wrong without them");
}

#[test]
fn i2_who_asked_by_the_handle_of_a_former_preparation_would_pay_again_beside_the_last() {
    let on = |scope, rules| nothing_goes_wrong(Instruction { rules, ..kept_on(Rail::TwoPhase, scope) });
    let all = Rules::ALL;
    assert!(!on(REPLICAS, Rules { noted: false, forgets: false, ..all }));
    assert!(on(REPLICAS, Rules { noted: false, ..all }), "forgetting is enough where nothing is told twice");
    assert!(on(TOLD_TWICE, Rules { forgets: false, ..all }), "what is noted is enough where something is");
}

/// How many reachable states have no way to an end.
fn stranded(instruction: Instruction) -> usize {
    let mut numbers: HashMap<World, usize> = HashMap::new();
    let mut come_from: Vec<Vec<usize>> = Vec::new();
    let mut ends: VecDeque<usize> = VecDeque::new();
    let mut queue: VecDeque<World> = instruction.init_states().into();
    for world in &queue {
        numbers.insert(world.clone(), numbers.len());
        come_from.push(Vec::new());
    }
    while let Some(world) = queue.pop_front() {
        let from = numbers[&world];
        if world.row.is_some_and(|row| row.state.is_final()) {
            ends.push_back(from);
        }
        let mut actions = Vec::new();
        instruction.actions(&world, &mut actions);
        for next in actions.into_iter().filter_map(|happens| instruction.next_state(&world, happens)) {
            let to = *numbers.entry(next).or_insert_with_key(|next| {
                queue.push_back(next.clone());
                come_from.push(Vec::new());
                come_from.len() - 1
            });
            come_from[to].push(from);
        }
    }
    let mut has_a_way = vec![false; come_from.len()];
    ends.iter().for_each(|end| has_a_way[*end] = true);
    while let Some(to) = ends.pop_front() {
        for from in come_from[to].iter().copied() {
            if !std::mem::replace(&mut has_a_way[from], true) {
                ends.push_back(from);
            }
        }
    }
    has_a_way.into_iter().filter(|way| !way).count()
}

#[test]
fn i4_every_state_on_every_rail_has_a_way_to_an_end() {
    // What is told twice changes nothing about where one can get to.
    for instruction in all_kept().filter(|instruction| !instruction.scope.unheard) {
        assert_eq!(stranded(instruction), 0, "{instruction:?}");
    }
}

#[test]
fn i4_a_rail_that_answers_no_question_would_be_asked_for_ever_without_an_end() {
    let rules = Rules { questions_end: false, ..Rules::ALL };
    assert!(stranded(Instruction { rules, ..kept_on(Rail::Silent, CALLBACKS) }) > 0);
}

#[test]
fn i4_a_rail_that_contradicts_itself_would_be_asked_for_ever_without_an_operator() {
    let questions_do_not_end = Rules { questions_end: false, ..Rules::ALL };
    let on = |rules| stranded(Instruction { rules, ..kept_on(Rail::ContradictsItself, CALLBACKS) });
    assert_eq!(on(questions_do_not_end), 0, "it is a person's before its questions end");
    assert!(on(Rules { contradiction: false, ..questions_do_not_end }) > 0);
}
