//! What Daraja finds when it is asked: the status of a transaction, the balance. It must not know how the answer travels.

use std::io;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::callback::{east_africa, kes};
use super::request::{About, Query};
use super::{Accepted, CURRENCY, Daraja, EXPIRED, End, Event, NotMade};
use crate::rail_book::Paid;
use crate::rail_faults::plan::MpesaKnobs;

/// What is told, by name, each value as JSON. A parameter of Daraja may have no value at all.
pub(super) type Finding = Vec<(&'static str, Option<String>)>;

/// A query that was acknowledged.
pub(crate) struct Asked {
    pub(super) query: Query,
    pub(super) originator: String,
    pub(super) conversation: String,
    pub(super) initiator_valid: bool,
}

impl Asked {
    /// The payment's key where the query names it, for whoever decides about faults.
    pub(super) fn key(&self) -> &str {
        match &self.query.about {
            About::Key(key) => key,
            About::Receipt(_) | About::Balance => "",
        }
    }
}

/// What the book says about one payment.
struct Record {
    accepted: Accepted,
    /// Receipt, status and time of the end; `None` while it is in hand.
    end: Option<(String, &'static str, DateTime<Utc>)>,
}

impl Daraja {
    /// Answers a query. `Err` inside is the result code that refuses it.
    pub(super) fn find(
        &self,
        asked: &Asked,
        knobs: &MpesaKnobs,
        now: DateTime<Utc>,
    ) -> io::Result<Result<Finding, &'static str>> {
        if let Some(code) = self.credentials.judge(asked.initiator_valid, knobs.lock_after) {
            return Ok(Err(code));
        }
        if asked.query.party_a != self.settings.short_code {
            return Ok(Err("2028"));
        }
        let record = match &asked.query.about {
            About::Balance => return Ok(Ok(balance(self.funds(), now))),
            About::Key(key) => self.record_of_key(key)?,
            About::Receipt(receipt) => self.record_of_receipt(receipt)?,
        };
        // Daraja documents no result for what it does not know; this code is the simulator's own choice.
        Ok(record.map(|record| self.status(&record)).ok_or("2032"))
    }

    fn record_of_receipt(&self, receipt: &str) -> io::Result<Option<Record>> {
        let position = self.receipts.part(receipt).get(receipt).copied();
        let Some(position) = position else { return Ok(None) };
        let line = self.book.line_at(position)?;
        let key = match serde_json::from_slice::<Paid<'_>>(&line) {
            Ok(paid) => paid.key.map(String::from),
            Err(_) => match serde_json::from_slice(&line)? {
                Event::NotMade(NotMade { key, .. }) => Some(key),
                Event::Accepted(_) => None,
            },
        };
        key.map_or(Ok(None), |key| self.record_of_key(&key))
    }

    fn record_of_key(&self, key: &str) -> io::Result<Option<Record>> {
        let state = self.keys.part(key).get(key).copied();
        let Some(state) = state else { return Ok(None) };
        let Event::Accepted(accepted) = serde_json::from_slice(&self.book.line_at(state.accepted)?)? else {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        };
        let end = match state.end {
            End::InHand => None,
            End::Paid(position) => {
                let line = self.book.line_at(position)?;
                let paid: Paid<'_> = serde_json::from_slice(&line)?;
                Some((paid.reference.into_owned(), "Completed", paid.time))
            }
            End::NotMade(position) => match serde_json::from_slice(&self.book.line_at(position)?)? {
                Event::NotMade(NotMade { code, receipt, time, .. }) => {
                    Some((receipt, if code == EXPIRED { "Expired" } else { "Declined" }, time))
                }
                Event::Accepted(_) => None,
            },
        };
        Ok(Some(Record { accepted, end }))
    }

    fn status(&self, record: &Record) -> Finding {
        let Record { accepted, end } = record;
        let text = |value: String| Some(Value::from(value).to_string());
        let stamp = |time: DateTime<Utc>| Some(east_africa(time).format("%Y%m%d%H%M%S").to_string());
        let mut finding = vec![
            ("DebitPartyName", text(format!("{} - SIMULATED ORGANISATION", self.settings.short_code))),
            ("CreditPartyName", text(format!("{} - SIMULATED CUSTOMER", accepted.account))),
            ("OriginatorConversationID", text(accepted.key.clone())),
            ("ConversationID", text(accepted.conversation.clone())),
            ("InitiatedTime", stamp(accepted.time)),
            ("DebitAccountType", text("Utility Account".to_owned())),
            ("DebitPartyCharges", text(format!("Fee For B2C Payment|{CURRENCY}|0.00"))),
            ("TransactionReason", None),
            ("ReasonType", text("Business Payment to Customer via API".to_owned())),
            ("Amount", Some(kes(i128::from(accepted.amount_minor)))),
        ];
        match end {
            None => finding.push(("TransactionStatus", text("Authorized".to_owned()))),
            Some((receipt, status, time)) => finding.extend([
                ("TransactionStatus", text((*status).to_owned())),
                ("FinalisedTime", stamp(*time)),
                ("ReceiptNo", text(receipt.clone())),
            ]),
        }
        finding
    }
}

fn balance(funds: i128, now: DateTime<Utc>) -> Finding {
    let account = |name: &str, amount: &str| format!("{name}|{CURRENCY}|{amount}|{amount}|0.00|0.00");
    let accounts = [
        account("Working Account", "0.00"),
        account("Float Account", "0.00"),
        account("Utility Account", &kes(funds)),
        account("Charges Paid Account", "0.00"),
        account("Organization Settlement Account", "0.00"),
    ];
    vec![
        ("AccountBalance", Some(Value::from(accounts.join("&")).to_string())),
        ("BOCompletedTime", Some(east_africa(now).format("%Y%m%d%H%M%S").to_string())),
    ]
}
