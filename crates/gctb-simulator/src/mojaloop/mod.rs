//! The Mojaloop SDK's outbound API: transfers in two phases, inquiries, parties.
//!
//! POST asks the scheme for party and quote and moves no money; PUT with `acceptQuote` pays; GET asks the switch. The name that
//! the payer gives, `homeTransactionId`, is never compared. What was answered stands in the book first. It must not know HTTP
//! routes, or which fault is wanted.

mod body;
mod fspiop;
pub(crate) mod http;
mod judge;
mod request;

use std::collections::HashSet;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::rail_book::{Line, Paid, RailBook, RailError, Shards};
use crate::rail_faults::plan::{ForcedState, MojaloopKnobs};
use crate::rail_ids::Ids;
use fspiop::Code;
use judge::{At, Fate, Switch, fate};
use request::{AmountType, Choice, TransferRequest};

/// How many transfers can be forgotten by command.
const FORGOTTEN_LIMIT: usize = 100_000;

/// A transfer as POST made it: all that its answers follow from. An event of the book.
#[derive(Debug, Serialize, Deserialize)]
struct Prepared {
    transfer_id: String,
    home: String,
    account: String,
    currency: String,
    quote_id: String,
    /// What the payer is debited, in minor units.
    transfer_minor: u64,
    /// What the payee gets, in minor units.
    receive_minor: u64,
    fee_minor: u64,
    time: DateTime<Utc>,
    /// The request as it was sent, coerced.
    request: Map<String, Value>,
}

/// Where a transfer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum State {
    WaitingForParty,
    WaitingForQuote,
    PartyRejected,
    QuoteRejected,
    Ended {
        /// At which stage, for the words.
        at: At,
        /// `None`: COMPLETED.
        error: Option<Code>,
        switch: Switch,
        time: DateTime<Utc>,
    },
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Prepared(Prepared),
    Moved { transfer_id: String, state: State },
}

/// What is kept in memory of a transfer: where it stands, and where its beginning stands in the book.
#[derive(Debug, Clone, Copy)]
struct Transfer {
    prepared: u64,
    state: State,
}

/// The SDK and the scheme behind it, shared by all threads.
pub(crate) struct Mojaloop {
    book: RailBook,
    transfers: Shards<Transfer>,
    /// Transfers that the switch no longer knows, by command.
    forgotten: Mutex<HashSet<String>>,
    ids: Arc<Ids>,
}

impl Mojaloop {
    /// Opens the book in `folder`, or makes it.
    pub(crate) fn open(folder: &Path, ids: Arc<Ids>) -> Result<Self, RailError> {
        let transfers = Shards::default();
        let book = RailBook::open(&folder.join("mojaloop.jsonl"), |position, line| replay(position, line, &transfers))?;
        Ok(Self { book, transfers, forgotten: Mutex::default(), ids })
    }

    pub(crate) fn book(&self) -> &RailBook {
        &self.book
    }

    /// The switch no longer knows this transfer. Says whether there was one and room to forget it.
    pub(crate) fn forget(&self, transfer_id: &str) -> bool {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        let known = self.transfers.part(transfer_id).contains_key(transfer_id);
        known && forgotten.len() < FORGOTTEN_LIMIT && forgotten.insert(transfer_id.to_owned())
    }

    fn is_forgotten(&self, transfer_id: &str) -> bool {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner).contains(transfer_id)
    }

    /// Makes a transfer: asks for party and quote, as far as the SDK may go by itself.
    fn prepare(
        &self,
        request: TransferRequest,
        knobs: &MojaloopKnobs,
        now: DateTime<Utc>,
    ) -> io::Result<(Prepared, State)> {
        let fate = fate(&request.payee);
        let quote = quote(&request, knobs.fee_minor);
        let (transfer_minor, receive_minor) = quote.unwrap_or_default();
        let prepared = Prepared {
            transfer_id: self.ids.ulid(now),
            home: request.home,
            account: request.account,
            currency: request.currency,
            quote_id: self.ids.ulid(now),
            transfer_minor,
            receive_minor,
            fee_minor: transfer_minor - receive_minor,
            time: now,
            request: request.echo,
        };
        let prepared = Event::Prepared(prepared);
        let position = self.book.note(&prepared)?;
        let Event::Prepared(prepared) = prepared else { return Err(io::ErrorKind::InvalidData.into()) };

        let party_fails = fate.filter(|fate| fate.at == At::Party && !request.skip_party_lookup);
        let quote_fails = fate
            .filter(|fate| fate.at == At::Quote)
            .and_then(|fate| fate.error)
            .or(if request.amount_minor.is_none() { Some(Code::VALIDATION) } else { None })
            .or(if quote.is_err() { Some(Code::QUOTE_REJECTED) } else { None });
        let failed = |at, error| State::Ended { at, error: Some(error), switch: Switch::Unknown, time: now };
        let state = match (party_fails.and_then(|fate| fate.error), quote_fails) {
            (Some(error), _) => failed(At::Party, error),
            (None, _) if !knobs.auto_accept_party && !request.skip_party_lookup => State::WaitingForParty,
            (None, Some(error)) => failed(At::Quote, error),
            (None, None) if !knobs.auto_accept_quotes => State::WaitingForQuote,
            (None, None) => self.pay(&prepared, None, now)?,
        };
        if !matches!(state, State::WaitingForQuote) {
            self.moved(&prepared.transfer_id, state)?;
        }
        let transfer = Transfer { prepared: position, state };
        self.transfers.part(&prepared.transfer_id).insert(prepared.transfer_id.as_str().into(), transfer);
        Ok((prepared, state))
    }

    /// Moves a transfer on as the payer chose. `None`: the SDK has no such transfer. What has ended stays as it is.
    fn choose(
        &self,
        transfer_id: &str,
        choice: Choice,
        forced: Option<ForcedState>,
        knobs: &MojaloopKnobs,
        now: DateTime<Utc>,
    ) -> io::Result<Option<(Prepared, State)>> {
        // Held until the payment is in the book: of two PUTs at once the second finds the transfer completed.
        let mut part = self.transfers.part(transfer_id);
        let Some(transfer) = part.get_mut(transfer_id) else { return Ok(None) };
        let prepared = self.prepared_at(transfer.prepared)?;
        let next = match (transfer.state, choice) {
            (State::WaitingForParty, Choice::Party(true)) => Some(self.quoted(&prepared, knobs, now)?),
            (State::WaitingForParty, _) => Some(State::PartyRejected),
            (State::WaitingForQuote, Choice::Quote(true) | Choice::QuoteOrConversion(true)) => {
                Some(self.pay(&prepared, forced, now)?)
            }
            (State::WaitingForQuote, _) => Some(State::QuoteRejected),
            (State::PartyRejected | State::QuoteRejected | State::Ended { .. }, _) => None,
        };
        if let Some(next) = next {
            // An ordinary payment's own line says all; anything else needs a word.
            self.moved(transfer_id, next)?;
            transfer.state = next;
        }
        Ok(Some((prepared, transfer.state)))
    }

    /// What the switch says of a transfer. `None`: it does not know it.
    fn inquire(&self, transfer_id: &str) -> Option<State> {
        if self.is_forgotten(transfer_id) {
            return None;
        }
        let state = self.transfers.part(transfer_id).get(transfer_id)?.state;
        match state {
            State::Ended { switch: Switch::Unknown, .. } => None,
            State::Ended { .. } => Some(state),
            State::WaitingForParty | State::WaitingForQuote | State::PartyRejected | State::QuoteRejected => None,
        }
    }

    /// The payer's name for a transfer, for whoever decides about faults.
    fn home_of(&self, transfer_id: &str) -> Option<(String, String, u64)> {
        let position = self.transfers.part(transfer_id).get(transfer_id)?.prepared;
        let prepared = self.prepared_at(position).ok()?;
        Some((prepared.home, prepared.account, prepared.receive_minor))
    }

    /// After the party was accepted: the quote, and the transfer where the SDK accepts quotes by itself.
    fn quoted(&self, prepared: &Prepared, knobs: &MojaloopKnobs, now: DateTime<Utc>) -> io::Result<State> {
        let fate = fate(&prepared.account).filter(|fate| fate.at == At::Quote).and_then(|fate| fate.error);
        let invalid = (prepared.receive_minor == 0).then_some(Code::QUOTE_REJECTED);
        match fate.or(invalid) {
            Some(error) => Ok(State::Ended { at: At::Quote, error: Some(error), switch: Switch::Unknown, time: now }),
            None if knobs.auto_accept_quotes => self.pay(prepared, None, now),
            None => Ok(State::WaitingForQuote),
        }
    }

    /// The transfer itself: pays, unless payee or fault want otherwise.
    fn pay(&self, prepared: &Prepared, forced: Option<ForcedState>, now: DateTime<Utc>) -> io::Result<State> {
        let by_payee = fate(&prepared.account).filter(|fate| fate.at == At::Transfer);
        let ordinary = Fate { at: At::Transfer, error: None, switch: Switch::Committed };
        let Fate { error, switch, .. } = match forced {
            Some(ForcedState::Reserved) => Fate { switch: Switch::ReservedThenCommitted, ..ordinary },
            Some(ForcedState::Aborted) => Fate { switch: Switch::Aborted, ..ordinary },
            None => by_payee.unwrap_or(ordinary),
        };
        if switch.paid() {
            self.book.pay(&Paid {
                key: Some(prepared.home.as_str().into()),
                account: prepared.account.as_str().into(),
                amount_minor: prepared.receive_minor,
                currency: prepared.currency.as_str().into(),
                reference: prepared.transfer_id.as_str().into(),
                time: now,
            })?;
        }
        Ok(State::Ended { at: At::Transfer, error, switch, time: now })
    }

    /// Writes where a transfer stands, unless its payment's own line says so already.
    fn moved(&self, transfer_id: &str, state: State) -> io::Result<()> {
        if matches!(state, State::Ended { error: None, switch: Switch::Committed, .. }) {
            return Ok(());
        }
        self.book.note(&Event::Moved { transfer_id: transfer_id.to_owned(), state }).map(drop)
    }

    fn prepared_at(&self, position: u64) -> io::Result<Prepared> {
        match serde_json::from_slice(&self.book.line_at(position)?)? {
            Event::Prepared(prepared) => Ok(prepared),
            Event::Moved { .. } => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// What the payer is debited and what the payee gets, in minor units. A fee that eats a SEND up is refused.
fn quote(request: &TransferRequest, fee: u64) -> Result<(u64, u64), ()> {
    let amount = request.amount_minor.unwrap_or(0);
    match request.amount_type {
        AmountType::Send => amount.checked_sub(fee).filter(|left| *left > 0).map(|left| (amount, left)).ok_or(()),
        AmountType::Receive if amount > 0 => amount.checked_add(fee).map(|debit| (debit, amount)).ok_or(()),
        AmountType::Receive => Err(()),
    }
}

/// Takes a line of the book read back into memory. Says whether it is one that this rail writes.
fn replay(position: u64, line: Line<'_>, transfers: &Shards<Transfer>) -> bool {
    let set = |transfer_id: &str, state: State| match transfers.part(transfer_id).get_mut(transfer_id) {
        Some(transfer) => {
            transfer.state = state;
            true
        }
        None => false,
    };
    match line {
        Line::Payment(Paid { reference, time, .. }) => {
            let state = State::Ended { at: At::Transfer, error: None, switch: Switch::Committed, time };
            set(&reference, state)
        }
        Line::Event(bytes) => match serde_json::from_slice(bytes) {
            Ok(Event::Prepared(prepared)) => {
                let transfer = Transfer { prepared: position, state: State::WaitingForQuote };
                transfers.part(&prepared.transfer_id).insert(prepared.transfer_id.into(), transfer);
                true
            }
            Ok(Event::Moved { transfer_id, state }) => set(&transfer_id, state),
            Err(_) => false,
        },
    }
}
