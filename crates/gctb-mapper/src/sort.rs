//! What becomes of each instruction, by the rules and by what is known about its payee's id. Pure: it asks nobody.

use std::collections::{BTreeMap, HashMap};

use gctb_db::Rejection;
use gctb_domain::{BackendName, FinancialAddress, ReasonCode};
use gctb_events::{InstructionChunk, Payment};
use gctb_runtime::Incoming;

use crate::progress::Tally;
use crate::rules::{Form, Rules};

/// What is known about the ids of a group.
pub(crate) type KnownIds = HashMap<FinancialAddress, Known>;

/// What is known about an id.
pub(crate) enum Known {
    /// It has this address.
    Address(FinancialAddress),
    Refused {
        code: ReasonCode,
        message: String,
    },
    /// Asked about often enough; left to the sweeper.
    LeftOut,
}

/// What becomes of one instruction.
enum Verdict<'a> {
    Pay(&'a BackendName, FinancialAddress),
    Refuse(ReasonCode, String),
    Resolve,
    LeaveOut,
}

const UNKNOWN_FORM: &str = "the payee is of no form that this bridge pays or resolves";
const NO_ROUTE: &str = "no payment backend of this bridge pays addresses of this form";
const UNPAYABLE_ANSWER: &str = "the ID account mapper gave an address of a form that this bridge does not pay";

/// The instructions of one message by what becomes of them.
#[derive(Default)]
pub(crate) struct Sorted<'a> {
    pub(crate) payments: BTreeMap<&'a BackendName, Vec<Payment>>,
    pub(crate) refusals: Vec<(usize, Rejection)>,
    /// Positions of instructions about whose id nothing is known.
    pub(crate) ids: Vec<usize>,
    pub(crate) tally: Tally,
}

/// Sorts the instructions at these positions of a message.
pub(crate) fn sort<'a>(
    rules: &'a Rules,
    incoming: &Incoming<InstructionChunk>,
    positions: &[usize],
    known: &KnownIds,
) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    for &position in positions {
        let instruction = &incoming.event.instructions[position];
        match judge(rules, &instruction.to_fa, known) {
            Verdict::Pay(backend, resolved_fa) => {
                let payment = Payment { instruction: instruction.clone(), resolved_fa };
                sorted.payments.entry(backend).or_default().push(payment);
                sorted.tally.routed += 1;
            }
            Verdict::Refuse(reason, message) => {
                sorted.refusals.push((position, Rejection { seq: instruction.seq, reason, message }));
            }
            Verdict::Resolve => sorted.ids.push(position),
            Verdict::LeaveOut => sorted.tally.undecided += 1,
        }
    }
    sorted
}

fn judge<'a>(rules: &'a Rules, payee: &FinancialAddress, known: &KnownIds) -> Verdict<'a> {
    let refuse = |message: &str| Verdict::Refuse(ReasonCode::PayeeFaInvalid, message.to_owned());
    match rules.form(payee) {
        Form::Payable(backend) => Verdict::Pay(backend, payee.clone()),
        Form::NoRoute => refuse(NO_ROUTE),
        Form::Unknown => refuse(UNKNOWN_FORM),
        Form::Id => match known.get(payee) {
            None => Verdict::Resolve,
            Some(Known::LeftOut) => Verdict::LeaveOut,
            Some(Known::Refused { code, message }) => Verdict::Refuse(*code, message.clone()),
            Some(Known::Address(address)) => match rules.form(address) {
                Form::Payable(backend) => Verdict::Pay(backend, address.clone()),
                Form::NoRoute => refuse(NO_ROUTE),
                Form::Id | Form::Unknown => refuse(UNPAYABLE_ANSWER),
            },
        },
    }
}

/// What the sender is told where the mapper has no address.
pub(crate) fn no_address(mapper_code: &str) -> String {
    let code = if mapper_code.is_empty() { "no code" } else { mapper_code };
    format!("the ID account mapper has no active address for the payee ({code})")
}
