//! Every order in which replicas, a second backend, the mapper, a cancel, crashes, late requests and an operator can meet over
//! one instruction, explored with the decisions of `paying`.
//!
//! Two replicas of backend A and one of backend B (a changed route) may claim it, freeze anywhere and wake up, and crash
//! anywhere. A request that was sent stays under way for as long as it likes, and the rail then pays, refuses or loses it. A rule
//! that is taken away must lead to a double payment or to a lie on at least one kind of rail: a rule that nothing needs is not
//! one.

use std::collections::{HashMap, VecDeque};

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::*;
use crate::ledger::{LedgerState, Step};

/// The rails that are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rail {
    /// It remembers every key that it has seen.
    Remembers,
    /// It remembers the keys that it has paid.
    RemembersPaid,
    /// It dedupes, and says that it does not know what it has paid.
    ContradictsItself,
    /// A payment is prepared, then accepted or refused.
    TwoPhase,
    /// It takes money orders and says nothing afterwards.
    Blind,
    /// It shows what it has not yet taken, and pays everything that it takes: a folder of payment files.
    Folder,
}

impl Rail {
    const ALL: [Self; 6] =
        [Self::Remembers, Self::RemembersPaid, Self::ContradictsItself, Self::TwoPhase, Self::Blind, Self::Folder];

    const fn kind(self) -> RailKind {
        let (dedupes, can_be_asked, two_phase) = match self {
            Self::Remembers => (Dedupe::OnceSeen, true, false),
            Self::RemembersPaid | Self::ContradictsItself => (Dedupe::OncePaid, true, false),
            Self::TwoPhase => (Dedupe::Never, true, true),
            Self::Blind => (Dedupe::Never, false, false),
            Self::Folder => (Dedupe::Never, true, false),
        };
        RailKind { dedupes, can_be_asked, two_phase }
    }
}

/// The rules around the decisions, which the writers of the ledger keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Writers {
    /// Who inserts the row first decides.
    first_decides: bool,
    /// A backend never touches another backend's row.
    own_row: bool,
    /// Nothing is sent by who does not hold the lease.
    lease: bool,
    /// A successor waits for the end of the lease.
    succession: bool,
    /// A successor asks first.
    ask_first: bool,
    /// An update names the state that it acts from.
    from_state: bool,
}

const KEPT: Writers =
    Writers { first_decides: true, own_row: true, lease: true, succession: true, ask_first: true, from_state: true };

/// An attempt as a rail knows it: which backend's, and which one.
type Key = (u8, i16);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Row {
    backend: u8,
    state: LedgerState,
    owner: usize,
    attempt: i16,
    sends: u16,
    not_found: u16,
    /// It waits for a person.
    operators: bool,
}

/// What a process is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Nothing,
    Send(i16),
    AwaitAnswer(i16),
    Ask(i16),
    Fence(i16),
    /// With what it has learnt, and whether it was quiet when it asked.
    Tell(i16, Learnt, bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    row: Option<Row>,
    processes: [Doing; 3],
    /// Whose lease runs, by the ledger's time; it outlives a crash of its holder.
    leased: [bool; 3],
    /// Whether the sender was told that it was not paid.
    closed: bool,
    under_way: Vec<Key>,
    paid: Vec<Key>,
    refused: Vec<Key>,
    impossible: Vec<Key>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Happens {
    MapperRejects,
    SenderCancels,
    RailPays(Key),
    RailRefuses(Key),
    RailLoses(Key),
    LeaseEnds(usize),
    Claims(usize),
    TakesOver(usize),
    TriesAgain(usize),
    Sends(usize),
    CannotConnect(usize),
    GivesUpSending(usize),
    Hears(usize, Learnt),
    Fences(usize),
    Tells(usize),
    Crashes(usize),
    OperatorResolves,
    NobodyTriesAgain,
}

/// One instruction on one rail, under rules.
#[derive(Clone, Copy, Debug)]
struct Instruction {
    rail: Rail,
    rules: Rules,
    writers: Writers,
}

const ATTEMPTS_MAX: i16 = 3;
const UNDER_WAY_MAX: usize = 3;

/// Processes 0 and 1 are replicas of one backend, 2 belongs to another.
const fn backend_of(process: usize) -> u8 {
    if process < 2 { 0 } else { 1 }
}

fn add(keys: &mut Vec<Key>, key: Key) {
    keys.push(key);
    keys.sort_unstable();
}

fn take(keys: &mut Vec<Key>, key: Key) {
    if let Some(place) = keys.iter().position(|known| *known == key) {
        keys.remove(place);
    }
}

impl World {
    fn says(&self, states: &[LedgerState]) -> bool {
        self.row.is_some_and(|row| states.contains(&row.state))
    }

    /// A claim, or a ledger update that counts a send: both begin a lease.
    fn begins_to_send(&mut self, process: usize, attempt: i16) {
        self.leased[process] = true;
        self.processes[process] = Doing::Send(attempt);
    }

    /// Whether nothing of the attempt can be under way, by the ledger's own time.
    fn is_quiet(&self, key: Key) -> bool {
        let leased = self.row.is_some_and(|row| self.leased[row.owner] && (row.backend, row.attempt) == key);
        !leased && !self.under_way.contains(&key)
    }

    fn standing(&self, row: &Row, attempt: i16, learnt: Option<(Learnt, bool)>) -> Standing {
        let key = (row.backend, attempt);
        let quiet = learnt.map_or_else(|| self.is_quiet(key), |(_, quiet)| quiet);
        let counts = learnt == Some((Learnt::NotFound, true));
        Standing {
            state: row.state,
            sends: row.sends,
            not_found: (row.not_found + u16::from(counts)).min(NOT_FOUND_MAX),
            quiet,
            fenced: self.impossible.contains(&key),
        }
    }
}

impl Instruction {
    /// What a process may hear about its attempt: as an answer to a send, or to a question.
    fn heard(self, world: &World, process: usize) -> Vec<Learnt> {
        let (attempt, is_answer) = match world.processes[process] {
            Doing::AwaitAnswer(attempt) => (attempt, true),
            Doing::Ask(attempt) => (attempt, false),
            Doing::Nothing | Doing::Send(_) | Doing::Fence(_) | Doing::Tell(..) => return Vec::new(),
        };
        let key = (backend_of(process), attempt);
        let mut heard = vec![Learnt::Nothing];
        let dedupes = self.rail.kind().dedupes != Dedupe::Never;
        let hides = self.rail == Rail::ContradictsItself || self.rail == Rail::Folder;
        let repeated = world.row.is_some_and(|row| row.attempt == attempt && row.sends > 1);
        if world.paid.contains(&key) {
            let says_so = if is_answer { self.rail != Rail::ContradictsItself || !repeated } else { !hides };
            heard.extend(says_so.then_some(Learnt::Paid));
            heard.extend((is_answer && dedupes).then_some(Learnt::Duplicate));
            heard.extend((!is_answer && hides).then_some(Learnt::NotFound));
        } else if world.refused.contains(&key) || (world.impossible.contains(&key) && !is_answer) {
            heard.push(Learnt::Refused { again: true });
        } else if !is_answer && self.rail.kind().can_be_asked {
            heard.push(Learnt::NotFound);
        }
        if world.under_way.contains(&key) && (is_answer || self.rail.kind().can_be_asked) {
            heard.push(Learnt::Accepted);
        }
        heard
    }

    /// The row that a process may act on for an attempt of its own, and whether it is the owner.
    fn bearer(self, row: &Row, process: usize, attempt: i16) -> Bearer {
        if row.owner == process && row.attempt == attempt { Bearer::Owner } else { Bearer::Other }
    }

    /// Writes what a process has learnt.
    fn tell(self, world: &mut World, process: usize, attempt: i16, learnt: Learnt, quiet: bool) {
        world.processes[process] = Doing::Nothing;
        let Some(row) = world.row else { return };
        if row.backend != backend_of(process) && self.writers.own_row {
            return;
        }
        let mut standing = world.standing(&row, attempt, Some((learnt, quiet)));
        if !self.writers.from_state {
            standing.state = LedgerState::Claimed;
        }
        let bearer = self.bearer(&row, process, attempt);
        // What is not about the row's attempt is about an earlier one, which is closed; only money is news of it.
        if row.attempt != attempt && learnt != Learnt::Paid && self.rules.owner {
            return;
        }
        let mut next = Row { not_found: standing.not_found, ..row };
        match decide_by(self.rules, self.rail.kind(), standing, learnt, bearer) {
            Decision::Record(news) => match standing.state.apply(news) {
                Ok(Step::Moved(state) | Step::Conflict(state)) => next.state = state,
                Ok(Step::AlreadyKnown) | Err(_) => {}
            },
            Decision::Unknown(todo) => {
                if let Ok(Step::Moved(state)) = standing.state.apply(News::Unknown) {
                    next.state = state;
                }
                match todo {
                    Next::Ask => {}
                    Next::Operator => next.operators = true,
                    Next::SendAgain => {
                        next.sends = (next.sends + 1).min(3);
                        next.owner = process;
                        world.begins_to_send(process, attempt);
                    }
                    Next::Fence => world.processes[process] = Doing::Fence(attempt),
                }
            }
            Decision::GiveBack => {
                world.begins_to_send(process, attempt);
            }
            Decision::Keep | Decision::Ignore => {}
        }
        world.row = Some(next);
    }

    fn is_open(row: &Row) -> bool {
        matches!(row.state, LedgerState::Claimed | LedgerState::Accepted | LedgerState::Unknown)
    }

    fn happens_to_row(self, world: &World, actions: &mut Vec<Happens>) {
        let Some(row) = &world.row else {
            actions.extend([Happens::MapperRejects, Happens::SenderCancels]);
            actions.extend((0..3).map(Happens::Claims));
            return;
        };
        if !self.writers.first_decides && row.state == LedgerState::Claimed {
            actions.extend([Happens::MapperRejects, Happens::SenderCancels]);
        }
        if row.state == LedgerState::NotPaid {
            actions.extend([Happens::SenderCancels, Happens::NobodyTriesAgain]);
        }
        let running = (0..3).filter(|process| world.leased[*process]);
        actions.extend(running.map(Happens::LeaseEnds));
        let standing = world.standing(row, row.attempt, None);
        if row.operators && may_be_resolved(standing) {
            actions.push(Happens::OperatorResolves);
        }
        for process in 0..3 {
            let ours = row.backend == backend_of(process) || !self.writers.own_row;
            if world.processes[process] != Doing::Nothing || !ours {
                continue;
            }
            if Self::is_open(row) && (!world.leased[row.owner] || !self.writers.succession) {
                actions.push(Happens::TakesOver(process));
            }
            if may_try_again(standing, row.attempt, ATTEMPTS_MAX) {
                actions.push(Happens::TriesAgain(process));
            }
        }
    }

    fn happens_to_process(self, world: &World, process: usize, actions: &mut Vec<Happens>) {
        match world.processes[process] {
            Doing::Nothing => return,
            Doing::Send(_) if world.leased[process] || !self.writers.lease => {
                actions.push(Happens::CannotConnect(process));
                actions.extend((world.under_way.len() < UNDER_WAY_MAX).then_some(Happens::Sends(process)));
            }
            Doing::Send(_) => actions.push(Happens::GivesUpSending(process)),
            Doing::AwaitAnswer(_) | Doing::Ask(_) => {
                actions.extend(self.heard(world, process).into_iter().map(|heard| Happens::Hears(process, heard)));
            }
            Doing::Fence(_) => actions.push(Happens::Fences(process)),
            Doing::Tell(..) => actions.push(Happens::Tells(process)),
        }
        actions.push(Happens::Crashes(process));
    }

    fn rail_pays(self, world: &mut World, key: Key) {
        take(&mut world.under_way, key);
        let dedupes = self.rail.kind().dedupes;
        let paid_before = world.paid.contains(&key);
        let refused_before = world.refused.contains(&key);
        let turned_away = match self.rail {
            Rail::TwoPhase => paid_before || refused_before || world.impossible.contains(&key),
            Rail::Remembers | Rail::RemembersPaid | Rail::ContradictsItself | Rail::Blind | Rail::Folder => {
                (dedupes != Dedupe::Never && paid_before) || (dedupes == Dedupe::OnceSeen && refused_before)
            }
        };
        if !turned_away {
            add(&mut world.paid, key);
        }
    }

    fn claim(process: usize, attempt: i16) -> Row {
        Row {
            backend: backend_of(process),
            state: LedgerState::Claimed,
            owner: process,
            attempt,
            sends: 1,
            not_found: 0,
            operators: false,
        }
    }
}

impl Model for Instruction {
    type State = World;
    type Action = Happens;

    fn init_states(&self) -> Vec<World> {
        let nothing = World {
            row: None,
            processes: [Doing::Nothing; 3],
            leased: [false; 3],
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
        for process in 0..3 {
            self.happens_to_process(world, process, actions);
        }
        let mut keys = world.under_way.clone();
        keys.dedup();
        for key in keys {
            actions.extend([Happens::RailPays(key), Happens::RailRefuses(key), Happens::RailLoses(key)]);
        }
    }

    fn next_state(&self, before: &World, happens: Happens) -> Option<World> {
        let mut world = before.clone();
        let closed = |state| Row { state, ..Self::claim(0, 0) };
        match happens {
            Happens::MapperRejects => world.row = Some(closed(LedgerState::Rejected)),
            Happens::SenderCancels => world.row = Some(closed(LedgerState::Cancelled)),
            Happens::RailPays(key) => self.rail_pays(&mut world, key),
            Happens::RailRefuses(key) => {
                take(&mut world.under_way, key);
                if !world.paid.contains(&key) && !world.refused.contains(&key) {
                    add(&mut world.refused, key);
                }
            }
            Happens::RailLoses(key) => take(&mut world.under_way, key),
            Happens::LeaseEnds(process) => world.leased[process] = false,
            Happens::Claims(process) => {
                world.row = Some(Self::claim(process, 1));
                world.begins_to_send(process, 1);
            }
            Happens::TakesOver(process) => {
                let row = before.row?;
                let mut taken = Row { owner: process, ..row };
                if self.writers.ask_first {
                    match take_over(self.rail.kind()) {
                        Next::Ask | Next::SendAgain | Next::Fence => world.processes[process] = Doing::Ask(row.attempt),
                        Next::Operator => taken = Row { state: LedgerState::Unknown, operators: true, ..taken },
                    }
                } else {
                    taken.sends = (row.sends + 1).min(3);
                    world.begins_to_send(process, row.attempt);
                }
                world.row = Some(taken);
            }
            Happens::TriesAgain(process) => {
                let attempt = before.row?.attempt + 1;
                world.row = Some(Self::claim(process, attempt));
                world.begins_to_send(process, attempt);
            }
            Happens::Sends(process) => {
                let Doing::Send(attempt) = before.processes[process] else { return None };
                add(&mut world.under_way, (backend_of(process), attempt));
                world.processes[process] = Doing::AwaitAnswer(attempt);
            }
            Happens::CannotConnect(process) => {
                let Doing::Send(attempt) = before.processes[process] else { return None };
                world.processes[process] = Doing::Tell(attempt, Learnt::NotSent, false);
            }
            Happens::GivesUpSending(process) | Happens::Crashes(process) => world.processes[process] = Doing::Nothing,
            Happens::Hears(process, learnt) => {
                let (attempt, quiet) = match before.processes[process] {
                    // The answer may be older than what happened since.
                    Doing::AwaitAnswer(attempt) => (attempt, false),
                    Doing::Ask(attempt) => (attempt, before.is_quiet((backend_of(process), attempt))),
                    Doing::Nothing | Doing::Send(_) | Doing::Fence(_) | Doing::Tell(..) => return None,
                };
                world.processes[process] = Doing::Tell(attempt, learnt, quiet);
            }
            Happens::Fences(process) => {
                let Doing::Fence(attempt) = before.processes[process] else { return None };
                let key = (backend_of(process), attempt);
                if !world.paid.contains(&key) && !world.refused.contains(&key) && !world.impossible.contains(&key) {
                    add(&mut world.impossible, key);
                }
                world.processes[process] = Doing::Ask(attempt);
            }
            Happens::Tells(process) => {
                let Doing::Tell(attempt, learnt, quiet) = before.processes[process] else { return None };
                self.tell(&mut world, process, attempt, learnt, quiet);
            }
            Happens::OperatorResolves => {
                let row = before.row?;
                let paid = before.paid.contains(&(row.backend, row.attempt));
                let state = if paid { LedgerState::Paid } else { LedgerState::NotPaid };
                world.row = Some(Row { state, ..row });
            }
            Happens::NobodyTriesAgain => {
                world.row = before.row.map(|row| Row { state: LedgerState::Failed, ..row });
            }
        }
        world.closed |= world.says(&CLOSED);
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
        ]
    }
}

/// The ends without a payment.
const CLOSED: [LedgerState; 3] = [LedgerState::Rejected, LedgerState::Cancelled, LedgerState::Failed];

fn kept_on(rail: Rail) -> Instruction {
    Instruction { rail, rules: Rules::ALL, writers: KEPT }
}

#[test]
fn i2_i3_no_order_of_events_pays_twice_or_tells_a_lie_on_any_rail() {
    for rail in Rail::ALL {
        let checked = kept_on(rail).checker().spawn_bfs().join();
        assert!(checked.unique_state_count() > 1_000, "{rail:?} was explored");
        checked.assert_properties();
    }
}

#[test]
fn i2_i3_each_rule_is_needed_on_some_rail() {
    let rules = |rail, rules| Instruction { rules, ..kept_on(rail) };
    let writers = |rail, writers| Instruction { writers, ..kept_on(rail) };
    let all = Rules::ALL;
    let without = [
        ("owner", rules(Rail::RemembersPaid, Rules { owner: false, ..all })),
        ("not_found", rules(Rail::Folder, Rules { not_found: false, ..all })),
        ("quarantine", rules(Rail::RemembersPaid, Rules { quarantine: false, ..all })),
        ("unknown", rules(Rail::Blind, Rules { unknown: false, ..all })),
        ("first_decides", writers(Rail::Remembers, Writers { first_decides: false, ..KEPT })),
        ("own_row", writers(Rail::Remembers, Writers { own_row: false, ..KEPT })),
        ("lease", writers(Rail::Blind, Writers { lease: false, ..KEPT })),
        ("succession", writers(Rail::RemembersPaid, Writers { succession: false, ..KEPT })),
        ("ask_first", writers(Rail::Folder, Writers { ask_first: false, ..KEPT })),
        ("from_state", writers(Rail::RemembersPaid, Writers { from_state: false, ..KEPT })),
    ];
    let unneeded: Vec<String> = without
        .into_iter()
        .filter(|(_, instruction)| {
            let checked = instruction.checker().finish_when(HasDiscoveries::Any).spawn_bfs().join();
            checked.discoveries().is_empty()
        })
        .map(|(rule, instruction)| format!("{rule} on {:?}", instruction.rail))
        .collect();
    assert_eq!(unneeded, Vec::<String>::new(), "nothing goes wrong without them");
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
    for rail in Rail::ALL {
        assert_eq!(stranded(kept_on(rail)), 0, "{rail:?}");
    }
}

#[test]
fn i4_a_rail_that_contradicts_itself_would_be_asked_for_ever_without_an_operator() {
    let rules = Rules { contradiction: false, ..Rules::ALL };
    assert!(stranded(Instruction { rules, ..kept_on(Rail::ContradictsItself) }) > 0);
}
