//! Disburse messages, and what must become of each disbursement in them.
//!
//! Every payee of a test run is another person: an account that stands twice in the bank's book was paid twice.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

/// Who sends, if the test does not care.
pub const SENDER: &str = "payments.openg2p.org";

/// Another sender.
pub const OTHER_SENDER: &str = "pensions.example.org";

/// What must become of a disbursement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Paid, once.
    Paid,
    /// Refused with this reason code, and never paid.
    Refused(&'static str),
}

/// One disbursement.
#[derive(Clone, Debug)]
pub struct Item {
    /// The sender's reference; empty lets the bridge derive one.
    pub reference_id: String,
    /// An id or an address.
    pub payee_fa: String,
    /// As it is sent.
    pub amount: String,
    /// As it is sent.
    pub currency: String,
    /// The payee's name.
    pub payee_name: String,
    /// Not before.
    pub scheduled_at: Option<DateTime<Utc>>,
    /// What must become of it.
    pub fate: Fate,
}

impl Item {
    fn new(payee_fa: String, fate: Fate) -> Self {
        let id = Uuid::new_v4().simple().to_string();
        let cents = u32::from_str_radix(&id[..4], 16).unwrap_or(0);
        Self {
            payee_fa,
            amount: format!("{}.{:02}", 100 + cents / 100, cents % 100),
            currency: "KES".to_owned(),
            payee_name: format!("Nyambura Secret{}", &id[..12]),
            reference_id: id,
            scheduled_at: None,
            fate,
        }
    }

    /// To an id that the mapper knows.
    pub fn to_id() -> Self {
        Self::new(format!("token:BEN{}@nationalId", digits()), Fate::Paid)
    }

    /// To a bank account.
    pub fn to_account() -> Self {
        // Numbers that end in less than 1000 are the simulated bank's rules.
        Self::new(format!("account:{}7777@nairobi.kcb.bank_acc", digits()), Fate::Paid)
    }

    /// To an account that the bank has closed.
    pub fn to_closed_account() -> Self {
        Self::new(format!("account:{}0004@nairobi.kcb.bank_acc", digits()), Fate::Refused("rjct.payee_fa.invalid"))
    }

    /// To an id that the mapper does not know.
    pub fn to_unknown_id() -> Self {
        Self::new(format!("token:NOTFOUND{}@nationalId", digits()), Fate::Refused("rjct.payee_fa.invalid"))
    }

    /// To an address of a form that nobody pays.
    pub fn to_odd_address() -> Self {
        Self::new(format!("cowrie-shells:{}", digits()), Fate::Refused("rjct.payee_fa.invalid"))
    }

    /// To this address.
    pub fn to_address(address: String, amount: &str) -> Self {
        Self { amount: amount.to_owned(), ..Self::new(address, Fate::Paid) }
    }

    /// With an amount that is none.
    pub fn of_amount(amount: &str) -> Self {
        Self { amount: amount.to_owned(), fate: Fate::Refused("rjct.amount.invalid"), ..Self::to_account() }
    }

    /// In a currency that is none.
    pub fn in_unknown_currency() -> Self {
        Self { currency: "ZZZ".to_owned(), fate: Fate::Refused("rjct.currency_code.invalid"), ..Self::to_account() }
    }

    /// Under a reference that another disbursement of the batch has as well.
    pub fn under_duplicated_reference(reference_id: &str) -> Self {
        let fate = Fate::Refused("rjct.reference_id.duplicate");
        Self { reference_id: reference_id.to_owned(), fate, ..Self::to_account() }
    }

    /// The same, to be paid some time from now.
    #[must_use]
    pub fn in_seconds(mut self, seconds: i64) -> Self {
        self.scheduled_at = Some(Utc::now() + TimeDelta::seconds(seconds));
        self
    }

    fn json(&self) -> Value {
        let mut json = json!({
            "payer_fa": "",
            "payee_fa": self.payee_fa,
            "amount": self.amount,
            "currency_code": self.currency,
            "payee_name": self.payee_name,
            "note": format!("Relief for {}", self.payee_name),
            "purpose": "Farmer Relief",
            "locale": "eng",
        });
        if !self.reference_id.is_empty() {
            json["reference_id"] = json!(self.reference_id);
        }
        if let Some(at) = self.scheduled_at {
            json["scheduled_timestamp"] = json!(at.to_rfc3339_opts(SecondsFormat::Millis, true));
        }
        json
    }
}

/// Twelve digits that nobody else has.
fn digits() -> String {
    format!("{:012}", Uuid::new_v4().as_u128() % 1_000_000_000_000)
}

/// One disburse message.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who sends it.
    pub sender: &'static str,
    /// The sender's id of it; None lets the bridge derive one.
    pub transaction_id: Option<String>,
    /// The message's id.
    pub message_id: String,
    /// The disbursements.
    pub items: Vec<Item>,
}

impl Batch {
    /// A message of these disbursements.
    pub fn of(items: Vec<Item>) -> Self {
        let transaction_id = Some(Uuid::new_v4().to_string());
        Self { sender: SENDER, transaction_id, message_id: Uuid::new_v4().to_string(), items }
    }

    /// `count` disbursements that are paid, every other one by id.
    pub fn payable(count: usize) -> Self {
        Self::of((0..count).map(|n| if n % 2 == 0 { Item::to_id() } else { Item::to_account() }).collect())
    }

    /// `count` payable disbursements among which one of every kind of bad one is strewn.
    pub fn mixed(count: usize) -> Self {
        let mut batch = Self::payable(count);
        let twice = Uuid::new_v4().to_string();
        let bad = [
            Item::to_closed_account(),
            Item::to_unknown_id(),
            Item::to_odd_address(),
            Item::of_amount("0"),
            Item::of_amount("-5.00"),
            Item::of_amount("10.505"),
            Item::of_amount("ten"),
            Item::in_unknown_currency(),
            Item::under_duplicated_reference(&twice),
            Item::under_duplicated_reference(&twice),
        ];
        for (n, item) in bad.into_iter().enumerate() {
            let place = n * batch.items.len() / 10;
            batch.items.insert(place, item);
        }
        batch
    }

    /// The same from another sender.
    #[must_use]
    pub fn from_sender(mut self, sender: &'static str) -> Self {
        self.sender = sender;
        self
    }

    /// The message as JSON.
    pub fn json(&self) -> String {
        let mut message = json!({ "disbursements": self.items.iter().map(Item::json).collect::<Vec<_>>() });
        if let Some(transaction_id) = &self.transaction_id {
            message["transaction_id"] = json!(transaction_id);
        }
        json!({ "signature": "", "header": header(self.sender, "disburse", &self.message_id), "message": message })
            .to_string()
    }

    /// How many must end this way.
    pub fn count(&self, wanted: impl Fn(Fate) -> bool) -> usize {
        self.items.iter().filter(|item| wanted(item.fate)).count()
    }
}

/// The header of a message.
pub fn header(sender: &str, action: &str, message_id: &str) -> Value {
    json!({
        "version": "1.0.0",
        "message_id": message_id,
        "message_ts": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
        "action": action,
        "sender_id": sender,
        "receiver_id": "pymts.example.org",
        "is_msg_encrypted": false,
    })
}
