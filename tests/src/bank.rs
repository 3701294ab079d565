//! The simulator's switches, and the bank's book: what was really paid.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::http;

/// The simulator of a system.
#[derive(Clone, Debug)]
pub struct Bank {
    url: String,
}

/// One payment that the bank made.
#[derive(Clone, Debug)]
pub struct Payment {
    /// The reference that the payment file gave it.
    pub payment_ref: String,
    /// The payee's account.
    pub account: String,
    /// Minor units of KES.
    pub minor: i128,
}

/// A line of the bank's book as it stands there, in whatever currency.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The reference that the payment file gave it.
    pub payment_ref: String,
    /// With the currency's decimals.
    pub amount: String,
    /// ISO 4217 code.
    pub currency: String,
}

impl Bank {
    /// The simulator at this address.
    pub fn at(address: &str) -> Self {
        Self { url: format!("http://{address}") }
    }

    /// Stops the bank from taking and answering files, or lets it go on.
    pub fn pause(&self, paused: bool) {
        http::put(&format!("{}/control/bank", self.url), &json!({ "paused": paused }));
    }

    /// Chooses what the bank says about what it does.
    pub fn respond(&self, how: &str) {
        http::put(&format!("{}/control/bank", self.url), &json!({ "respond": how }));
    }

    /// Lets the bank tell the truth that it owes.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn respond_rest(&self) -> Value {
        let (status, answer) =
            http::post(&format!("{}/bank/respond-rest", self.url), "", &[]).expect("the bank answers");
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Changes the mapper's switches.
    pub fn mapper(&self, change: &Value) {
        http::put(&format!("{}/control/mapper", self.url), change);
    }

    /// How many calls the mapper has got.
    pub fn mapper_calls(&self) -> u64 {
        let (_, view) = http::get(&format!("{}/control/mapper", self.url));
        view["calls"].as_u64().expect("the mapper counts its calls")
    }

    /// Counts of the book.
    pub fn summary(&self) -> Value {
        http::get(&format!("{}/bank/summary", self.url)).1
    }

    /// Every payment that was made, in KES.
    pub fn book(&self) -> Vec<Payment> {
        self.lines().iter().map(payment).collect()
    }

    /// Every payment that was made, in whatever currency.
    pub fn entries(&self) -> Vec<Entry> {
        self.lines().iter().map(entry).collect()
    }

    fn lines(&self) -> Vec<Value> {
        let mut book = Vec::new();
        loop {
            let (_, page) = http::get(&format!("{}/bank/book?offset={}&limit=10000", self.url, book.len()));
            let page = page.as_array().cloned().unwrap_or_default();
            if page.is_empty() {
                return book;
            }
            book.extend(page);
        }
    }
}

fn entry(line: &Value) -> Entry {
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    Entry { payment_ref: text("payment_ref"), amount: text("amount"), currency: text("currency") }
}

fn payment(line: &Value) -> Payment {
    let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
    assert_eq!(text("currency"), "KES", "tests pay in KES");
    let minor = minor(&text("amount")).expect("the bank's amounts are exact");
    Payment { payment_ref: text("payment_ref"), account: text("beneficiary_account"), minor }
}

/// A plain decimal of a currency with two decimals, in minor units; None for anything else and for what is not positive.
pub fn minor(text: &str) -> Option<i128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (kept, beyond) = part.split_at(part.len().min(2));
    if !is_digits(whole) || !is_digits(part) || beyond.bytes().any(|byte| byte != b'0') {
        return None;
    }
    let minor = whole.parse::<i128>().ok()? * 100 + format!("{kept:0<2}").parse::<i128>().ok()?;
    (minor > 0).then_some(minor)
}

/// Fails where anybody was paid twice, by reference or by account.
///
/// # Panics
/// Then.
pub fn assert_nobody_is_paid_twice(book: &[Payment]) {
    let references: BTreeSet<&str> = book.iter().map(|payment| payment.payment_ref.as_str()).collect();
    assert_eq!(references.len(), book.len(), "a payment reference stands twice in the bank's book");
    let accounts: BTreeSet<&str> = book.iter().map(|payment| payment.account.as_str()).collect();
    assert_eq!(accounts.len(), book.len(), "a person stands twice in the bank's book");
}
