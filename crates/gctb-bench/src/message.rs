//! Disburse messages, made before the clock starts. Every payee is another person, all of whom the simulated
//! rails pay.

use std::fmt::Write;

use chrono::{SecondsFormat, Utc};
use uuid::Uuid;

/// Who sends.
pub(crate) const SENDER: &str = "payments.openg2p.org";

/// Bytes of one disbursement, about, so that the text is made in one piece.
const ITEM_BYTES: usize = 480;

/// Who is paid: the form of the payees' addresses, which decides by which backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Payees {
    /// Bank accounts. Their numbers end in 7777, since the simulated bank and the simulated Mojaloop refuse some other endings.
    #[default]
    Accounts,
    /// The same accounts, and whole amounts.
    AccountsInWholeUnits,
    /// M-Pesa wallets by phone number, none of which ends in a number that the simulated M-Pesa refuses; whole amounts.
    Phones,
    /// simple-mpesa's wallets, which it knows by e-mail; whole amounts.
    Emails,
}

impl Payees {
    /// The address of the person with this number; numbers are counted from 1 and each has an address of its own.
    fn address(self, number: u64) -> String {
        match self {
            Self::Accounts | Self::AccountsInWholeUnits => format!("account:{number:012}7777@nairobi.kcb.bank_acc"),
            Self::Phones => format!("account:{}@safaricom.mpesa", phone(number)),
            Self::Emails => format!("email:{}.mpesa", email(number)),
        }
    }

    /// From 100.00 to 99,999.99, in minor units: what every simulated rail pays.
    const fn amount(self, number: u64) -> u64 {
        let amount = 10_000 + number * 7_919 % 9_990_000;
        match self {
            Self::Accounts => amount,
            Self::AccountsInWholeUnits | Self::Phones | Self::Emails => amount - amount % 100,
        }
    }
}

/// The phone of the person with this number, up to ninety million: its last four digits are above 0999, since the simulated
/// M-Pesa refuses some of those below.
pub(crate) fn phone(number: u64) -> String {
    format!("2547{:04}{:04}", number / 9_000, 1_000 + number % 9_000)
}

/// The e-mail of the person with this number.
pub(crate) fn email(number: u64) -> String {
    format!("p{number}@people.example")
}

/// One message, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// How many disbursements it has.
    pub(crate) disbursements: u32,
    /// Their sum in minor units of KES.
    pub(crate) minor: u64,
    /// As it goes over the wire.
    pub(crate) body: Vec<u8>,
}

/// Makes messages whose disbursements are numbered on and on.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    payees: Payees,
    made: u64,
}

impl Messages {
    /// Messages that pay such people.
    pub(crate) const fn to(payees: Payees) -> Self {
        Self { payees, made: 0 }
    }

    /// As many messages of `size` disbursements as make `all`; the last one has what is left.
    pub(crate) fn make(&mut self, all: u32, size: u32) -> Vec<Message> {
        let starts = (0..all).step_by(size as usize);
        starts.map(|start| self.message(size.min(all - start))).collect()
    }

    fn message(&mut self, disbursements: u32) -> Message {
        let mut text = String::with_capacity(disbursements as usize * ITEM_BYTES);
        head(&mut text, disbursements);
        let mut minor = 0;
        for position in 0..disbursements {
            self.made += 1;
            let amount = self.payees.amount(self.made);
            minor += amount;
            if position > 0 {
                text.push(',');
            }
            item(&mut text, self.made, &self.payees.address(self.made), amount);
        }
        text.push_str("]}}");
        Message { disbursements, minor, body: text.into_bytes() }
    }
}

fn head(text: &mut String, disbursements: u32) {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    let (message_id, transaction_id) = (Uuid::new_v4(), Uuid::new_v4());
    // Writing to a String cannot fail, here and below.
    let _ = write!(
        text,
        r#"{{"signature":"","header":{{"version":"1.0.0","message_id":"{message_id}","message_ts":"{now}","action":"disburse","sender_id":"{SENDER}","receiver_id":"pymts.example.org","total_count":{disbursements},"is_msg_encrypted":false}},"message":{{"transaction_id":"{transaction_id}","disbursements":["#
    );
}

/// The fields that OpenG2P's client sends, and the payer.
fn item(text: &mut String, number: u64, payee: &str, amount: u64) {
    let (reference, whole, cents) = (Uuid::new_v4(), amount / 100, amount % 100);
    let _ = write!(
        text,
        r#"{{"reference_id":"{reference}","payer_fa":"account:4100200300@head.treasury.bank_acc","payee_fa":"{payee}","amount":"{whole}.{cents:02}","currency_code":"KES","payer_name":"National Treasury","payee_name":"Achieng Baraka {number}","note":"Payment for Cycle 7 under Farmer Relief","purpose":"Farmer Relief","locale":"eng"}}"#
    );
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn wallets_are_paid_whole_amounts_at_numbers_that_the_simulated_rail_does_not_refuse() {
        let mut seen = BTreeSet::new();
        for number in (1..=1_000_000).step_by(37) {
            let phone = phone(number);
            assert_eq!(phone.len(), 12, "{phone}");
            assert!(phone[8..].parse::<u32>().expect("digits") >= 1_000, "{phone}");
            assert!(seen.insert(phone), "{number}");
            for payees in [Payees::AccountsInWholeUnits, Payees::Phones, Payees::Emails] {
                let amount = payees.amount(number);
                assert!(amount.is_multiple_of(100) && (10_000..10_000_000).contains(&amount), "{amount}");
            }
        }
        assert_eq!(Payees::Emails.address(7), "email:p7@people.example.mpesa");
    }

    #[test]
    fn messages_pay_every_person_once_and_know_their_sum() {
        let messages = Messages::default().make(2_500, 1_000);
        assert_eq!(messages.iter().map(|message| message.disbursements).collect::<Vec<_>>(), [1_000, 1_000, 500]);
        let (mut people, mut references, mut minor) = (BTreeSet::new(), BTreeSet::new(), 0);
        for message in &messages {
            let json: Value = serde_json::from_slice(&message.body).expect("JSON");
            let items = json["message"]["disbursements"].as_array().expect("a list");
            assert_eq!(
                (items.len(), &json["header"]["total_count"]),
                (message.disbursements as usize, &items.len().into())
            );
            for item in items {
                let digits: String = item["amount"].as_str().expect("text").split('.').collect();
                minor += digits.parse::<u64>().expect("digits");
                people.insert(item["payee_fa"].as_str().expect("text").to_owned());
                references.insert(item["reference_id"].as_str().expect("text").to_owned());
            }
        }
        assert_eq!((people.len(), references.len()), (2_500, 2_500));
        assert_eq!(minor, messages.iter().map(|message| message.minor).sum::<u64>());
    }
}
