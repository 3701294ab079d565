//! A deposit as an agent asks for it, and whether simple-mpesa makes it. The customer's e-mail chooses the answer where it is
//! reserved. It must not know the book.

use super::form::{Form, is_email};
use super::refusal::Refusal;

/// The smallest deposit, in shillings.
const MIN_AMOUNT: u64 = 10;
/// The largest number of shillings that is one in minor units too.
const MAX_AMOUNT: u64 = u64::MAX / 100;

/// A deposit whose every field is there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Deposit {
    /// In whole shillings.
    pub(super) amount: u64,
    pub(super) account: String,
    customer: String,
}

impl Deposit {
    pub(super) fn read(form: &Form) -> Result<Self, Refusal> {
        let amount = form.whole_number("amount");
        let (account, customer) = (form.text("accountNo"), form.text("customerType"));
        let mut wrong = Vec::new();
        if amount == 0 || amount > MAX_AMOUNT {
            wrong.push("amount is a required field".to_owned());
        }
        for (name, text) in [("accountNo", account), ("customerType", customer)] {
            if text.is_empty() {
                wrong.push(format!("{name} is a required field"));
            }
        }
        if !customer.is_empty() && !matches!(customer, "agent" | "merchant" | "subscriber") {
            wrong.push("customerType must be one of [agent merchant subscriber]".to_owned());
        }
        if !wrong.is_empty() {
            return Err(Refusal::fields(&wrong));
        }
        Ok(Self { amount, account: account.to_owned(), customer: customer.to_owned() })
    }

    pub(super) fn amount_minor(&self) -> u64 {
        self.amount.saturating_mul(100)
    }

    /// Whether it may be made: docs/simulator.md has the reserved names.
    pub(super) fn judge(&self, agent: &str) -> Result<(), Refusal> {
        if self.amount < MIN_AMOUNT {
            return Err(Refusal::request("cannot deposit amounts less than 10"));
        }
        if self.customer == "merchant" || self.account == agent {
            return Err(Refusal::request("customer is not allowed to make a deposit"));
        }
        let local = self.account.split('@').next().unwrap_or_default();
        let refusal = match local {
            _ if !is_email(&self.account) => "user not found",
            "unknown" => "user not found",
            "frozen" => "couldn't access account. frozen",
            "suspended" => "<invalid> couldn't access account. suspended",
            "noaccount" => "user's account has not been created, report issue",
            _ => return Ok(()),
        };
        Err(Refusal::request(refusal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Deposit, Refusal> {
        Deposit::read(&Form::read("application/json", json.as_bytes()))
    }

    #[test]
    fn an_amount_that_is_no_whole_number_is_parsed_away() {
        for amount in ["0", "\"ten\"", "10.5", "-5", "null", "\"10.00\""] {
            let refusal =
                read(&format!(r#"{{"amount": {amount}, "accountNo": "a@b.example", "customerType": "subscriber"}}"#));
            assert_eq!(refusal, Err(Refusal::fields(&["amount is a required field".to_owned()])), "{amount}");
        }
        let form = Form::read(
            "application/x-www-form-urlencoded",
            b"amount=25&accountNo=a%40b.example&customerType=subscriber",
        );
        let deposit = Deposit::read(&form).expect("good");
        assert_eq!((deposit.amount_minor(), deposit.account.as_str()), (2500, "a@b.example"));
    }

    #[test]
    fn reserved_names_are_refused_in_the_words_of_the_rail() {
        for (account, message) in [
            ("unknown@b.example", "user not found"),
            ("no e-mail", "user not found"),
            ("frozen@b.example", "couldn't access account. frozen"),
            ("suspended@b.example", "<invalid> couldn't access account. suspended"),
            ("noaccount@b.example", "user's account has not been created, report issue"),
            ("agent@b.example", "customer is not allowed to make a deposit"),
        ] {
            let deposit = read(&format!(r#"{{"amount": 10, "accountNo": "{account}", "customerType": "subscriber"}}"#));
            assert_eq!(deposit.expect("read").judge("agent@b.example"), Err(Refusal::request(message)));
        }
        let small = read(r#"{"amount": 9, "accountNo": "a@b.example", "customerType": "subscriber"}"#).expect("read");
        assert_eq!(small.judge("x"), Err(Refusal::request("cannot deposit amounts less than 10")));
    }
}
