//! simple-mpesa, the API that the first bridge paid through: login, deposit, balance, statement.
//!
//! It has no key, no reference and no way to ask: 200 means paid, and a retry pays twice. It must not know HTTP routes, or
//! which fault is wanted.

mod deposit;
mod form;
pub(crate) mod http;
mod jwt;
mod refusal;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::rail_book::{Line, Paid, RailBook, RailError};
use crate::rail_ids::Ids;
use crate::rail_settings::SimpleMpesaSettings;
use deposit::Deposit;
use refusal::Refusal;

const CURRENCY: &str = "KES";
const STATEMENT_ROWS: usize = 5;
/// The agent's names for himself; the one agent always has the same.
const AGENT_ID: &str = "5a1e57c0-0000-4000-8000-00000000a9e7";
const ACCOUNT_ID: &str = "5a1e57c0-0000-4000-8000-0000000ac007";

/// The agent's money and his last movements.
struct Float {
    minor: i128,
    rows: VecDeque<Row>,
}

/// One row of the statement.
struct Row {
    reference: String,
    amount_minor: u64,
    time: DateTime<Utc>,
}

impl Float {
    fn pay(&mut self, row: Row) {
        self.minor -= i128::from(row.amount_minor);
        self.rows.push_front(row);
        self.rows.truncate(STATEMENT_ROWS);
    }
}

/// simple-mpesa, shared by all threads.
pub(crate) struct SimpleMpesa {
    settings: SimpleMpesaSettings,
    book: RailBook,
    float: Mutex<Float>,
    ids: Arc<Ids>,
}

impl SimpleMpesa {
    /// Opens the book in `folder`, or makes it.
    pub(crate) fn open(folder: &Path, settings: SimpleMpesaSettings, ids: Arc<Ids>) -> Result<Self, RailError> {
        let mut float = Float { minor: i128::from(settings.float), rows: VecDeque::new() };
        let book = RailBook::open(&folder.join("simple-mpesa.jsonl"), |_, line| match line {
            Line::Payment(Paid { key: None, amount_minor, reference, time, .. }) => {
                float.pay(Row { reference: reference.into_owned(), amount_minor, time });
                true
            }
            Line::Payment(_) | Line::Event(_) => false,
        })?;
        Ok(Self { settings, book, float: Mutex::new(float), ids })
    }

    pub(crate) fn book(&self) -> &RailBook {
        &self.book
    }

    pub(crate) fn funds(&self) -> i128 {
        self.lock().minor
    }

    pub(crate) fn set_funds(&self, minor: i128) {
        self.lock().minor = minor;
    }

    /// The token of a user who has the right password.
    fn login(
        &self,
        kind: &str,
        email: &str,
        password: &str,
        life: Duration,
        now: DateTime<Utc>,
    ) -> Result<Value, Refusal> {
        if kind != "agent" || email != self.settings.agent {
            return Err(Refusal::request("user not found"));
        }
        if password != self.settings.password.reveal() {
            return Err(Refusal::unauthorized("invalid email or password"));
        }
        let token = jwt::issue(self.settings.secret.reveal(), AGENT_ID, life, now);
        Ok(json!({"userId": AGENT_ID, "userType": "agent", "token": token}))
    }

    /// Pays one deposit. Nothing tells whether it was paid before.
    fn deposit(&self, deposit: &Deposit, now: DateTime<Utc>) -> io::Result<Result<(), Refusal>> {
        if let Err(refusal) = deposit.judge(&self.settings.agent) {
            return Ok(Err(refusal));
        }
        let mut float = self.lock();
        if float.minor < i128::from(deposit.amount_minor()) {
            return Ok(Err(Refusal::float(deposit.amount, float.minor / 100)));
        }
        let reference = self.ids.uuid();
        self.book.pay(&Paid {
            key: None,
            account: deposit.account.as_str().into(),
            amount_minor: deposit.amount_minor(),
            currency: CURRENCY.into(),
            reference: reference.as_str().into(),
            time: now,
        })?;
        float.pay(Row { reference, amount_minor: deposit.amount_minor(), time: now });
        Ok(Ok(()))
    }

    fn balance(&self) -> Value {
        let shillings = self.funds() / 100;
        json!({"status": "success", "message": "Success", "data": {"userId": AGENT_ID, "accountId": ACCOUNT_ID, "balance": shillings}})
    }

    fn statement(&self) -> Value {
        let row = |row: &Row| {
            json!({"transactionId": row.reference, "transactionType": "DEPOSIT", "createdAt": row.time, "creditedAmount": 0,
                "debitedAmount": row.amount_minor / 100, "userId": AGENT_ID, "accountId": ACCOUNT_ID})
        };
        let rows: Vec<_> = self.lock().rows.iter().map(row).collect();
        json!({"status": "success", "message": "Success", "data": {"transactions": rows}})
    }

    fn lock(&self) -> MutexGuard<'_, Float> {
        self.float.lock().expect("a rail stops for good once somebody panicked at its books")
    }
}
