//! Daraja, Safaricom's M-Pesa API for businesses: OAuth, B2C payments (v1 and v3), transaction status, account balance.
//!
//! A request is checked and acknowledged first; then the money moves and the result is posted to the caller's `ResultURL`, in
//! one attempt. What was acknowledged stands in the book before the acknowledgement leaves, so a killed simulator goes on where
//! it was. It must not know HTTP routes, or which fault is wanted.

mod callback;
mod credential;
mod desk;
pub(crate) mod http;
mod judge;
mod poster;
mod query;
mod refusal;
mod request;
mod token;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

use crate::rail_book::{Line, Paid, RailBook, RailError, Shards};
use crate::rail_faults::plan::MpesaKnobs;
use crate::rail_ids::Ids;
use crate::rail_settings::MpesaSettings;
use credential::Credentials;
pub(crate) use desk::resume;
pub(crate) use poster::Poster;
use token::Tokens;

pub(crate) const CURRENCY: &str = "KES";
/// How many acknowledged requests may wait for their money and their callback; further ones are acknowledged later.
const IN_HAND_LIMIT: usize = 20_000;

/// A payment that was acknowledged: all that making it and telling about it takes. An event of the book.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Accepted {
    pub(crate) key: String,
    conversation: String,
    pub(crate) account: String,
    pub(crate) amount_minor: u64,
    party_a: String,
    /// Whether name and password of the initiator were right.
    initiator_valid: bool,
    result_url: String,
    timeout_url: String,
    time: DateTime<Utc>,
}

/// A payment that was acknowledged and not made. An event of the book.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct NotMade {
    key: String,
    /// The result code, or [`EXPIRED`].
    code: String,
    receipt: String,
    time: DateTime<Utc>,
}

/// What stands in the book instead of a result code where the request ran into its queue's time-out.
const EXPIRED: &str = "expired";

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Accepted(Accepted),
    NotMade(NotMade),
}

/// What is known of an `OriginatorConversationID`: where its request stands in the book, and where its end.
#[derive(Debug, Clone, Copy)]
struct KeyState {
    accepted: u64,
    end: End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    InHand,
    Paid(u64),
    NotMade(u64),
}

/// What became of an acknowledged payment.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    code: &'static str,
    receipt: String,
    time: DateTime<Utc>,
    funds: i128,
}

/// How a payment in hand ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settle {
    /// By the rules.
    ByTheRules,
    /// It waited too long in the queue: nothing is paid.
    Expire,
}

/// Daraja, shared by all threads.
pub(crate) struct Daraja {
    settings: MpesaSettings,
    book: RailBook,
    keys: Shards<KeyState>,
    /// Where the payment or refusal with a receipt stands in the book.
    receipts: Shards<u64>,
    tokens: Tokens,
    credentials: Credentials,
    /// Of the utility account, in minor units.
    funds: Mutex<i128>,
    in_hand: Arc<Semaphore>,
    /// What a kill left acknowledged and unfinished, until it is taken up again.
    unfinished: Mutex<Vec<Accepted>>,
    ids: Arc<Ids>,
}

impl Daraja {
    /// Opens the book, the key and the certificate in `folder`, or makes them.
    pub(crate) fn open(folder: &Path, settings: MpesaSettings, ids: Arc<Ids>) -> Result<Self, RailError> {
        let credentials = Credentials::open(folder, &settings.initiator_password)?;
        let (keys, receipts) = (Shards::default(), Shards::default());
        let mut unfinished = HashMap::new();
        let book = RailBook::open(&folder.join("mpesa.jsonl"), |position, line| {
            replay(position, line, &keys, &receipts, &mut unfinished)
        })?;
        let funds = i128::from(settings.funds) - book.sum(CURRENCY);
        Ok(Self {
            settings,
            book,
            keys,
            receipts,
            tokens: Tokens::default(),
            credentials,
            funds: Mutex::new(funds),
            in_hand: Arc::new(Semaphore::new(IN_HAND_LIMIT)),
            unfinished: Mutex::new(unfinished.into_values().collect()),
            ids,
        })
    }

    pub(crate) fn book(&self) -> &RailBook {
        &self.book
    }

    pub(crate) fn certificate(&self) -> &str {
        self.credentials.certificate()
    }

    pub(crate) fn funds(&self) -> i128 {
        *self.lock_funds()
    }

    pub(crate) fn set_funds(&self, minor: i128) {
        *self.lock_funds() = minor;
    }

    pub(crate) fn locked(&self) -> bool {
        self.credentials.locked()
    }

    pub(crate) fn set_locked(&self, locked: bool) {
        self.credentials.set_locked(locked);
    }

    pub(crate) fn in_hand(&self) -> usize {
        IN_HAND_LIMIT - self.in_hand.available_permits()
    }

    /// Waits for a place among the payments in hand.
    pub(crate) async fn place_in_hand(&self) -> Result<OwnedSemaphorePermit, AcquireError> {
        Arc::clone(&self.in_hand).acquire_owned().await
    }

    /// Gives what a kill left unfinished, once.
    fn take_unfinished(&self) -> Vec<Accepted> {
        std::mem::take(&mut *self.unfinished.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes a payment in hand, unless its key is known. `None` is a duplicate.
    fn accept(&self, accepted: &Accepted, knobs: &MpesaKnobs) -> io::Result<Option<()>> {
        let mut keys = self.keys.part(&accepted.key);
        let known = match keys.get(accepted.key.as_str()).map(|state| state.end) {
            None => false,
            Some(End::Paid(_)) => true,
            Some(End::InHand) => !knobs.dedupe_lax,
            Some(End::NotMade(_)) => !knobs.dedupe_lax && !knobs.forgets_refused,
        };
        if known {
            return Ok(None);
        }
        let position = self.book.note(&Event::Accepted(accepted.clone()))?;
        keys.insert(accepted.key.as_str().into(), KeyState { accepted: position, end: End::InHand });
        Ok(Some(()))
    }

    /// Ends a payment in hand: pays it or says why not, in the book first.
    fn settle(
        &self,
        accepted: &Accepted,
        settle: Settle,
        knobs: &MpesaKnobs,
        now: DateTime<Utc>,
    ) -> io::Result<Outcome> {
        let mut keys = self.keys.part(&accepted.key);
        let receipt = self.ids.receipt();
        let already = keys.get(accepted.key.as_str()).is_some_and(|state| matches!(state.end, End::Paid(_)));
        let verdict = match settle {
            Settle::Expire if !already => judge::Verdict::refused(EXPIRED),
            Settle::ByTheRules if !already => self.judge(accepted, knobs),
            Settle::Expire | Settle::ByTheRules => judge::Verdict::refused("15"),
        };
        let mut funds = self.lock_funds();
        let verdict = if verdict.paid && *funds < i128::from(accepted.amount_minor) {
            judge::Verdict::refused("1")
        } else {
            verdict
        };
        let end = if verdict.paid {
            let position = self.book.pay(&paid(accepted, &receipt, now))?;
            *funds -= i128::from(accepted.amount_minor);
            Some(End::Paid(position))
        } else {
            let event = NotMade {
                key: accepted.key.clone(),
                code: verdict.code.to_owned(),
                receipt: receipt.clone(),
                time: now,
            };
            let position = self.book.note(&Event::NotMade(event))?;
            (!already).then_some(End::NotMade(position))
        };
        let funds_left = *funds;
        drop(funds);
        if let Some(end) = end {
            if let Some(state) = keys.get_mut(accepted.key.as_str()) {
                state.end = end;
            }
            if let End::Paid(position) | End::NotMade(position) = end {
                self.receipts.part(&receipt).insert(receipt.as_str().into(), position);
            }
        }
        Ok(Outcome { code: verdict.code, receipt, time: now, funds: funds_left })
    }

    fn judge(&self, accepted: &Accepted, knobs: &MpesaKnobs) -> judge::Verdict {
        match self.credentials.judge(accepted.initiator_valid, knobs.lock_after) {
            Some(code) => judge::Verdict::refused(code),
            None => judge::judge(accepted, &self.settings.short_code),
        }
    }

    fn lock_funds(&self) -> MutexGuard<'_, i128> {
        self.funds.lock().expect("a rail stops for good once somebody panicked at its books")
    }
}

fn paid<'a>(accepted: &'a Accepted, receipt: &'a str, now: DateTime<Utc>) -> Paid<'a> {
    Paid {
        key: Some(accepted.key.as_str().into()),
        account: accepted.account.as_str().into(),
        amount_minor: accepted.amount_minor,
        currency: CURRENCY.into(),
        reference: receipt.into(),
        time: now,
    }
}

/// Takes a line of the book read back into memory. Says whether it is one that Daraja writes.
fn replay(
    position: u64,
    line: Line<'_>,
    keys: &Shards<KeyState>,
    receipts: &Shards<u64>,
    unfinished: &mut HashMap<String, Accepted>,
) -> bool {
    let mut ended = |key: &str, receipt: &str, end| {
        unfinished.remove(key);
        receipts.part(receipt).insert(receipt.into(), position);
        if let Some(state) = keys.part(key).get_mut(key).filter(|state| !matches!(state.end, End::Paid(_))) {
            state.end = end;
        }
    };
    match line {
        Line::Payment(Paid { key: Some(key), reference, .. }) => ended(&key, &reference, End::Paid(position)),
        Line::Payment(_) => return false,
        Line::Event(bytes) => match serde_json::from_slice(bytes) {
            Ok(Event::Accepted(accepted)) => {
                let state = KeyState { accepted: position, end: End::InHand };
                keys.part(&accepted.key).insert(accepted.key.as_str().into(), state);
                unfinished.insert(accepted.key.clone(), accepted);
            }
            Ok(Event::NotMade(NotMade { key, receipt, .. })) => ended(&key, &receipt, End::NotMade(position)),
            Err(_) => return false,
        },
    }
    true
}
